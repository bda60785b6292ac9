"""Sensors on a manual clock: sleeping moves it."""

from pathlib import Path
from typing import Any

import pytest

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.sensor import CsvSensor, WfdbSensor
from inframe.drivers.sensors.csvfile import read_csv
from inframe.drivers.sensors.play import Played
from inframe.drivers.sensors.wfdb import read_wfdb

DATA = Path(__file__).parents[3] / "../shared/data/vitals"
BEGAN = NS_PER_S


def record() -> Path:
    """The real record's header, or a reason to skip."""
    path = DATA / "03700181.hea"
    if not path.is_file():
        pytest.skip("no folder ../shared/data/vitals beside the project")
    return path


def csv(path: Path, **changes: Any) -> CsvSensor:
    values = {"sensor": "csv", "path": str(path), "rate_hz": 100, "channels": {"x": {"unit": "mm"}}}
    return CsvSensor.model_validate(values | {"align": {"how": "hold", "max_age_ms": 50}} | changes)


def wfdb(path: Path, rate_hz: float = 125, **channels: str) -> WfdbSensor:
    """`channels`: name=unit."""
    parts = {name.lower(): {"source": name, "unit": unit} for name, unit in channels.items()}
    values = {"sensor": "wfdb", "path": str(path), "rate_hz": rate_hz, "channels": parts}
    return WfdbSensor.model_validate(values | {"align": {"how": "hold", "max_age_ms": 50}})


def play(sensor: CsvSensor | WfdbSensor, clock: ManualClock) -> Played:
    """Played on a clock that moves when the player sleeps."""
    times, values = read_csv(sensor) if isinstance(sensor, CsvSensor) else read_wfdb(sensor)
    return Played(times, values, sensor.rate_hz, clock, clock.now(), clock.advance)
