"""A running device with everything needed to break it, and the records of what it showed."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inframe.chaos import model
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import Device, ModelConfig
from inframe.core.errors import DeviceFault
from inframe.core.events import EVENTS
from inframe.core.samples import Aligned
from inframe.core.types import Mode
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.machine.supervise import Notice
from inframe.pipeline.board import Count
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from inframe.reference_device import device_file
from inframe.resolve import resolve

FPS = 30
STEP_S = 0.005
WORKER_MB = 512
TRAIL = "trail"
"""Where the device under test keeps its trail, in its folder."""
RECORDING = "recording"
"""And its recording, if it makes one."""
NOMINAL_LIMIT_S = 20.0


def device_for(
    folder: Path,
    camera: dict[str, Any],
    *,
    recording: bool = False,
    candidate: Mapping[str, Any] | None = None,
    sensors: Mapping[str, Any] | None = None,
) -> Path:
    """A device file in `folder`: the reference device on `camera`, its model's decoder breakable, recorder and page running;
    with a `recording` only if asked, as its encoder takes a quarter of a core, and a second place for a `candidate` likewise."""
    reference = device_file()
    device = resolve(read_device(reference), reference)
    values = device.model_dump(mode="json")
    stream = {**camera, "width": 1280, "height": 720, "fps": FPS}
    models = {name: _breakable(config, device.models[name]) for name, config in values["models"].items()}
    screens = [{"kind": "web", "port": 0}]
    changes: dict[str, Any] = {
        "streams": {device.display: stream},
        "models": models,
        "screens": screens,
        "trail": {"folder": str(folder / TRAIL), "key": str(folder / "key")},
        "sensors": dict(sensors or {}),
        "recording": {"folder": str(folder / RECORDING)} if recording else None,
        "worker_memory_mb": WORKER_MB,
        "candidate": {"control": str(folder / "control"), **candidate} if candidate is not None else None,
    }
    path = folder / "device.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False), "utf-8")
    return path


def _breakable(values: dict[str, Any], config: ModelConfig) -> dict[str, Any]:
    if config.decode.kind != "segmentation":
        return values
    function = {"kind": "function", "function": "inframe.chaos.model:decode", "returns": "segmentation"}
    return {**values, "decode": function, "budget_ms": 20}


@dataclass
class Stage:
    """One running device. Call `watch` instead of sleeping: it keeps the device going and collects its records."""

    folder: Path
    path: Path
    running: Running
    control: Path
    records: list[Shown] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    reader: RecordReader | None = None
    tracker: Any = None
    """On a device with a sensor: what it is connected to."""

    @staticmethod
    def start(
        folder: Path,
        camera: dict[str, Any],
        *,
        recording: bool = False,
        candidate: Mapping[str, Any] | None = None,
        sensors: Mapping[str, Any] | None = None,
    ) -> "Stage":
        """Start the device of `device_for`; use `close` at the end."""
        control = folder / "misdeed"
        control.write_bytes(b"\0")
        os.environ[model.CONTROL] = str(control)
        path = device_for(folder, camera, recording=recording, candidate=candidate, sensors=sensors)
        device: Device = resolve(read_device(path), path)
        notices: list[Notice] = []
        running = Running(device, path, notices.append).__enter__()
        records = RecordReader(RingReader(running.shared["records.read"]), fields_of(device))
        return Stage(folder, path, running, control, [], notices, records)

    def close(self) -> None:
        """Stop the device."""
        self.running.stop()

    @property
    def max_age_ns(self) -> int:
        """How old an overlay may be at most: the strictest of the required models'."""
        models = self.running.device.models.values()
        return int(min(model.max_age_ms for model in models if model.required) * NS_PER_MS)

    def now(self) -> int:
        """The device's clock, ns."""
        return self.running.clock.now()

    def watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Keep the device going for so long, or until something is true; says whether it became true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.running.step()
            self._take()
            if until():
                return True
            time.sleep(STEP_S)
        return False

    def _take(self) -> None:
        if self.reader is not None:
            self.records += self.reader.take()

    def settle(self) -> None:
        """Wait until all is well: NOMINAL for a second, every process ready, every sensor with a value, no fault posted. Raises
        DeviceFault."""
        calm_since = self.now()

        def calm() -> bool:
            nonlocal calm_since
            if self.mode() is not Mode.NOMINAL or not self._all_ready() or not self._all_sensed() or self._announced():
                calm_since = self.now()
            return self.now() - calm_since > NS_PER_S

        if not self.watch(NOMINAL_LIMIT_S, calm):
            raise DeviceFault(
                f"the device is not NOMINAL after {NOMINAL_LIMIT_S:g} s: {sorted(self.running.board.faults())}"
            )

    def _announced(self) -> bool:
        """Whether a fault is posted, or its alert is still on the screen."""
        alerts = self.records[-1].alerts if self.records else {}
        return bool(self.running.board.faults()) or any(key in EVENTS for key in alerts)

    def _all_sensed(self) -> bool:
        samples = self.records[-1].samples if self.records else {}
        return all(isinstance(samples.get(name), Aligned) for name in self.running.device.sensors)

    def _all_ready(self) -> bool:
        rows = [name for name in self.running.board.names if self.running.supervisor.has(name)]
        return all(self.row(name).get(Count.READY_NS) for name in rows)

    def mode(self) -> Mode:
        """The device's mode now."""
        return Mode(self.row("display").get(Count.MODE))

    def row(self, name: str) -> Any:
        """A process's row on the board."""
        return self.running.board.row(name)

    def pid(self, kind: str) -> int:
        """The process of this kind (there is one each). Raises DeviceFault while it is away."""
        for name in self.running.board.names:
            pid = self.running.supervisor.pid(name) if name != "device" else None
            if name.partition(".")[0] == kind and pid is not None:
                return pid
        raise DeviceFault(f"no process of kind {kind} is running")

    def misdeed(self, what: model.Misdeed) -> None:
        """What the model's decoder shall do from now on."""
        with self.control.open("r+b") as file:
            file.write(bytes((what,)))
