"""What the monitor costs: `python -m reference.drift cost`. The reference device runs with and without it, in turns; each process's
CPU time is the kernel's, in ns. A busy machine inflates all of them: compare the two, on a quiet one."""

import signal
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.resolve import resolve

DEVICE = Path("src/inframe/reference_device/device.yaml").absolute()
PATH = ("capture.endoscope", "worker.worker", "display")
WARM_FRAMES = 90


def _write(folder: Path, *, monitored: bool) -> Path:
    values = yaml.safe_load(DEVICE.read_text("utf-8"))
    values["streams"]["endoscope"] |= {"path": str(DEVICE.parent / "procedure.mp4"), "loop": True}
    values["models"]["anatomy"] |= {name: str(DEVICE.parent / file) for name, file in _FILES.items()}
    values |= {"trail": {"folder": str(folder / "trail")}}
    if monitored:
        values["monitor"] = {"folder": str(folder / "monitor"), "least_s": 1}
    path = folder / "device.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


_FILES = {"file": "anatomy.onnx", "labels": "labels.txt"}


def _cpu_ns(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _memory(pid: int | None) -> dict[str, float]:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    known = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in rollup[1:]}
    return {name: round(known[name], 1) for name in ("Rss", "Pss")}


def measure(seconds: float, *, monitored: bool) -> dict[str, Any]:
    """us of CPU a frame for each process of the frame path; of the monitor the share of a core, and MB."""
    with tempfile.TemporaryDirectory() as name:
        path = _write(Path(name), monitored=monitored)
        with Running(resolve(read_device(path), path), path) as running:
            display = running.board.row("display")
            names = [*PATH, *(["monitor"] if monitored else [])]

            def until(frames: int) -> None:
                while display.get(Count.FRAMES) < frames:
                    running.step()
                    signal.sigtimedwait([], 0.005)

            until(WARM_FRAMES)
            while monitored and running.board.row("monitor").get(Count.FRAMES) < 10:
                until(display.get(Count.FRAMES) + 1)
            before = {one: _cpu_ns(running.supervisor.pid(one)) for one in names}
            first, began = display.get(Count.FRAMES), running.clock.now()
            until(first + int(seconds * 30))
            frames, took = display.get(Count.FRAMES) - first, running.clock.now() - began
            used = {one: _cpu_ns(running.supervisor.pid(one)) - before[one] for one in names}
            report: dict[str, Any] = {one: round(used[one] / frames / 1000, 1) for one in PATH}
            if monitored:
                report |= {"monitor_percent": round(100 * used["monitor"] / took, 2)}
                report |= _memory(running.supervisor.pid("monitor"))
            return report


BAR_US, BAR_PERCENT, BAR_MB = 20.0, 3.0, 60.0


def cost(seconds: float = 15, rounds: int = 5) -> dict[str, Any]:
    """Rounds of both, one after the other, and what each round differs by; prints each figure with its bar."""
    both: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for _ in range(rounds):
        for monitored in (False, True):
            both[monitored].append(measure(seconds, monitored=monitored))
            print("with" if monitored else "without", both[monitored][-1], flush=True)
    pairs = list(zip(both[False], both[True], strict=True))
    more = {one: _interval([with_[one] - without[one] for without, with_ in pairs]) for one in PATH}
    for one, figures in more.items():
        _say(f"{one}: more us a frame with the monitor", figures, BAR_US)
    for name, what, bar in (
        ("monitor_percent", "monitor: % of a core at 30 fps", BAR_PERCENT),
        ("Rss", "monitor: MB resident", BAR_MB),
        ("Pss", "monitor: MB, shared pages in part", BAR_MB),
    ):
        _say(what, _interval([row[name] for row in both[True]]), bar)
    return {"without": both[False], "with": both[True], "more_us": more}


def _interval(values: list[float]) -> tuple[float, float, float]:
    """The mean and its 95 % interval, by Student's t for five rounds."""
    half = STUDENT * stdev(values) / len(values) ** 0.5
    return round(mean(values), 2), round(mean(values) - half, 2), round(mean(values) + half, 2)


STUDENT = 2.776


def _say(what: str, figures: tuple[float, float, float], bar: float) -> None:
    middle, low, high = figures
    said = "met" if high <= bar else "NOT MET" if low > bar else "not settled"
    print(f"{what}: {middle} ({low} to {high}), bar {bar:g}: {said}")
