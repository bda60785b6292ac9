"""The simulator: what it measures is the truth, on its own clock, and its faults are what they say."""

from typing import Any

import pytest

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.errors import ConfigError
from inframe.core.ports import Block
from inframe.core.sensor import SimulatedSensor
from inframe.drivers.sensors import open_sensor
from inframe.drivers.sensors.simulator import POSE, Simulator, truth
from tests.drivers.check_sensor import check_sensor
from tests.pipeline.sensing import sensor


def blocks(one: SimulatedSensor, seconds: float) -> tuple[int, list[Block]]:
    clock = ManualClock()
    source = Simulator(one, clock, clock.advance)
    found = []
    while clock.now() < source.began_ns + seconds * NS_PER_S:
        block = source.read(0.05)
        found += [block] if block is not None else []
    return source.began_ns, found


def pose(names: tuple[str, ...] = POSE, **changes: Any) -> SimulatedSensor:
    return sensor(signal="kinematics", channels={name: {"unit": ""} for name in names}, **changes)


@pytest.mark.parametrize("signal", ["force", "ecg", "pressure", "spo2", "sine"])
def test_conforms(signal: str) -> None:
    clock = ManualClock()
    check_sensor(lambda: Simulator(sensor(signal=signal), clock, clock.advance), clock, 1)


def test_a_pose_has_its_channels_by_name_in_whatever_order() -> None:
    clock = ManualClock()
    check_sensor(lambda: Simulator(pose(), clock, clock.advance), clock, 7)
    _, (first, *_) = blocks(pose(tuple(reversed(POSE))), 0.1)
    assert tuple(reversed(first.values[0])) == truth("kinematics", 0, 7)


def test_its_clock_drifts_and_its_values_are_those_of_the_true_time() -> None:
    _, found = blocks(sensor(signal="pressure", drift_ppm=200), 10)
    stamps = [ns for block in found for ns in block.source_ns or ()]
    assert (stamps[-1] - stamps[0]) / (len(stamps) - 1) == pytest.approx(10_000_000 * 1.0002, abs=1)
    values = [value for block in found for value in block.values]
    assert values[100] == truth("pressure", 1.0, 1)


def test_samples_are_handed_over_together_where_they_are_many() -> None:
    _, many = blocks(sensor(signal="force", rate_hz=1000), 1)
    assert 120 <= len(many) <= 126
    began, few = blocks(sensor(signal="force", rate_hz=50), 1)
    assert [(block.arrived_ns - began) / 20_000_000 for block in few] == list(range(len(few))), "each when it is due"


@pytest.mark.parametrize(
    ("signal", "channels", "said"),
    [
        (
            "kinematics",
            {"x": {"unit": "m"}},
            "channels: found x, expected x, y, z, qx, qy, qz, qw for signal kinematics",
        ),
        ("ecg", {"a": {"unit": "mV"}, "b": {"unit": "mV"}}, "channels: found 2, expected 1 for signal ecg"),
    ],
)
def test_channels_that_do_not_fit(signal: str, channels: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_sensor(sensor(signal=signal, channels=channels), ManualClock(), 0)
