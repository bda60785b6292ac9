"""What the monitor costs: `python -m reference.drift cost`. On one device it runs for half a second and is held for half a second,
turn about, as a virtual machine's speed drifts by more than what is asked for. How long each frame took is in its record."""

import math
import os
import signal
import tempfile
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from inframe.bench.turns import STEPS, WHOLE, Turn, pairs
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from inframe.resolve import resolve

DEVICE = Path("src/inframe/reference_device/device.yaml").absolute()
WARM_FRAMES = 90
TURN_FRAMES = 15


def _write(folder: Path) -> Path:
    values = yaml.safe_load(DEVICE.read_text("utf-8"))
    values["streams"]["endoscope"] |= {"path": str(DEVICE.parent / "procedure.mp4"), "loop": True}
    values["models"]["anatomy"] |= {name: str(DEVICE.parent / file) for name, file in _FILES.items()}
    values |= {"trail": {"folder": str(folder / "trail")}}
    values["monitor"] = {"folder": str(folder / "monitor"), "least_s": 1}
    path = folder / "device.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


_FILES = {"file": "anatomy.onnx", "labels": "labels.txt"}


def _cpu_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _memory(pid: int) -> dict[str, float]:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    known = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in rollup[1:]}
    return {name: round(known[name], 1) for name in ("Rss", "Pss")}


class _Turns:
    """One device, whose monitor runs or is held."""

    def __init__(self, running: Running) -> None:
        self._running, self._display = running, running.board.row("display")
        self._records = RecordReader(RingReader(running.shared["records.read"]), fields_of(running.device))
        self.turns: list[Turn] = []
        self.records: list[Shown] = []

    @cached_property
    def _pid(self) -> int:
        """Once it has been started."""
        found = self._running.supervisor.pid("monitor")
        if found is None:
            raise RuntimeError("the monitor has not been started")
        return found

    def until(self, frames: int) -> None:
        """Until so many more are shown."""
        last = self._display.get(Count.FRAMES) + frames
        while self._display.get(Count.FRAMES) < last:
            self._running.step()
            self.records += self._records.take()
            signal.sigtimedwait([], 0.005)

    def turn(self, *, monitored: bool) -> float:
        """What the monitor takes of a core, %."""
        pid = self._pid
        os.kill(pid, signal.SIGCONT if monitored else signal.SIGSTOP)
        before, began = _cpu_ns(pid), self._running.clock.now()
        self.until(TURN_FRAMES)
        self.turns.append((began, self._running.clock.now(), monitored))
        return 100 * (_cpu_ns(pid) - before) / (self.turns[-1][1] - began)

    def memory(self) -> dict[str, float]:
        """MB of the monitor."""
        return _memory(self._pid)


BAR_US, BAR_PERCENT, BAR_MB = 20.0, 3.0, 60.0


def cost(count: int = 200) -> dict[str, Any]:
    """So many pairs of turns, and by how much longer frames took in the one with the monitor; then ten seconds of the monitor as it
    runs. Prints each figure with its bar."""
    with tempfile.TemporaryDirectory() as name:
        path = _write(Path(name))
        with Running(resolve(read_device(path), path), path) as running:
            turns = _Turns(running)
            turns.until(WARM_FRAMES)
            while running.board.row("monitor").get(Count.FRAMES) < 10:
                turns.until(1)
            for _ in range(count):
                turns.turn(monitored=False)
                turns.turn(monitored=True)
            found = pairs(turns.turns, turns.records)
            percent, memory = [turns.turn(monitored=True) for _ in range(20)], turns.memory()
    longer = {step: _interval([1000 * one[step] for one in found if step in one]) for step in (*STEPS, WHOLE)}
    for step, figures in longer.items():
        _say(f"{step}: us longer with the monitor, {len(found)} pairs", figures, BAR_US)
    _say("monitor: % of a core at 30 fps", _interval(percent), BAR_PERCENT)
    for kind, mb in memory.items():
        _say(f"monitor: MB, {kind}", (mb, mb, mb), BAR_MB)
    return {"longer_us": longer, "monitor_percent": percent, "memory_mb": memory}


def _interval(values: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval: order statistics, no distribution is assumed."""
    ranked = sorted(values)
    rank = int((len(ranked) - 1.96 * math.sqrt(len(ranked))) / 2)
    return round(median(ranked), 2), round(ranked[rank], 2), round(ranked[-1 - rank], 2)


def _say(what: str, figures: tuple[float, float, float], bar: float) -> None:
    middle, low, high = figures
    said = "met" if high <= bar else "NOT MET" if low > bar else "not settled"
    print(f"{what}: {middle} ({low} to {high}), bar {bar:g}: {said}")
