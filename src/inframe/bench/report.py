"""`inframe bench`: runs the phases, and says in one table and one JSON what came of them."""

import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inframe.bench.floor import PlainLoop
from inframe.bench.load import ALL, Load
from inframe.bench.turns import Turns, turns_us
from inframe.bench.wakeups import Probe, round_trips
from inframe.bench.windows import WINDOW_S, Bench, Phase, Window, beyond_stalls, of_device, of_loop
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import Device, RecordingConfig, Trail
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.drivers.sensors.simulator import POSE
from inframe.machine.kernel import status_of
from inframe.pipeline.board import Count
from inframe.procedure import quantile
from inframe.reference_device import device_file
from inframe.resolve import resolve
from inframe.table import layout_of, names, partition_of

FPS = 30
READY_S = 90.0
ROUNDS = 300

PHASES = ("floor", "idle", "recorded", "load", "load_unpartitioned", "plain_loop")
SENSORS = "sensors"
"""A phase that runs only when it is asked for: a device of its own with many sensors beside two streams of video."""
STREAMS, RATE_HZ = 16, 1000
SLOWDOWNS = {
    "slowdown_p99": ("load", "idle"),
    "slowdown_p99_unpartitioned": ("load_unpartitioned", "idle"),
    "slowdown_p99_plain_loop": ("plain_loop", "floor"),
}
"""p99 of one phase over that of another. An unpartitioned device is late with the model, not with the picture: its display
still draws by the deadline, which caps its latency. A plain loop has nothing that caps it."""

Tick = Callable[[str], None]


def measure_and_show(out: Console, seconds: float, only: list[str] | None = None) -> dict[str, Any]:
    """Run for about `seconds`, print the table, return the report."""
    known = (*PHASES, SENSORS)
    if unknown := set(only or ()) - set(known):
        raise ConfigError("inframe bench", "--only", ", ".join(sorted(unknown)), f"one or more of: {', '.join(known)}")
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("starting", total=seconds)
        began = time.monotonic()
        report = measure(
            seconds,
            lambda what: progress.update(task, completed=time.monotonic() - began, description=what),
            only or PHASES,
        )
    show(out, report)
    return report


def bench_device() -> tuple[Device, Path]:
    """The reference device with the synthetic camera, 1280x720 at 30 fps, and no screen."""
    path = device_file()
    device = resolve(read_device(path), path)
    camera = {"camera": "synthetic", "width": 1280, "height": 720, "fps": FPS}
    changes = {"streams": {device.display: camera}, "screens": [{"kind": "none"}], "trail": None}
    return Device.model_validate(device.model_dump(mode="json") | changes), path


def sensor_device(device: Device) -> Device:
    """The same with a second stream of video and STREAMS streams of samples, a pose each, at RATE_HZ."""
    pose = {name: {"unit": "m" if len(name) == 1 else ""} for name in POSE}
    one = {"sensor": "simulator", "signal": "kinematics", "rate_hz": RATE_HZ, "channels": pose, "jitter_ms": 1}
    one |= {"rotation": list(POSE[3:]), "align": {"how": "interpolate", "max_age_ms": 50}}
    values = device.model_dump(mode="json")
    second = {"second": {**values["streams"][device.display], "width": 640, "height": 360}}
    sensors = {f"pose{n}": {**one, "seed": n, "drift_ppm": 10 * n} for n in range(STREAMS)}
    return Device.model_validate(values | {"streams": values["streams"] | second, "sensors": sensors})


def measure(seconds: float, tick: Tick, only: Sequence[str] = PHASES) -> dict[str, Any]:
    """The whole measurement: `seconds` of windows after a start-up of some 15 s. Returns the report (docs/performance.md)."""
    device, path = bench_device()
    core = max(partition_of(device, "display", "", layout_of(device)).cores)
    tick("wake-ups")
    wakeups = _wakeups(device, core)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="inframe-bench-"))
        both = {"trail": Trail(folder=f"{folder}/trail"), "recording": RecordingConfig(folder=f"{folder}/recordings")}
        recorded = device.model_copy(update=both)
        # in this order: a partitioned device binds this process, and what it starts, to the background's cores
        ordinary = device.model_copy(update={"real_time": False})
        plain = stack.enter_context(Running(ordinary, path))
        loops = [stack.enter_context(PlainLoop(one)) for one in (device, ordinary)]
        sensed = stack.enter_context(Running(sensor_device(device), path)) if SENSORS in only else None
        partitioned = stack.enter_context(Running(recorded, path))
        tick("warming up")
        _until_ready([one for one in (partitioned, plain, sensed) if one is not None], loops)
        probe = Probe(core)
        stack.callback(probe.close)
        load = stack.enter_context(Load(ALL))
        turns = Turns(partitioned)
        stack.callback(turns.release)
        subject = of_device("partitioned", partitioned)
        every = [
            Phase("floor", of_loop("floor", loops[0]), load=False),
            Phase("idle", subject, load=False),
            Phase("recorded", of_device("recorded", partitioned, turns), load=False),
            Phase("load", subject, load=True),
            Phase("load_unpartitioned", of_device("unpartitioned", plain), load=True),
            Phase("plain_loop", of_loop("plain loop", loops[1]), load=True),
        ]
        every += [Phase(SENSORS, of_device(SENSORS, one), load=False) for one in (sensed,) if one is not None]
        for phase in every:
            phase.subject.hold()
        phases = [phase for phase in every if phase.name in only]
        bench = Bench(phases, load, probe, core, NS_PER_S // FPS, device.deadline_ns)
        before = _ticks(sensed)
        rss = _run_blocks(bench, seconds, tick, partitioned.supervisor.pid("display") or 0)
        cpu = _percent(sensed, before, bench)
        for phase in every:
            phase.subject.go()  # so that they can end in order
    return _report(bench, wakeups, rss, partitioned.notes) | {"sensors_cpu_percent": cpu}


def _percent(running: Running | None, before: int, bench: Bench) -> float | None:
    """How much of a core the processes of sensors took while they ran; None where there are none."""
    if running is None:
        return None
    ran_s = WINDOW_S * sum(window.phase == SENSORS for window in bench.windows) or math.inf
    return 100 * (_ticks(running) - before) / os.sysconf("SC_CLK_TCK") / ran_s


def _ticks(running: Running | None) -> int:
    """What the processes of sensors have used of the processor so far, in hundredths of a second."""
    used = 0
    for name in names(running.device) if running is not None else ():
        pid = running.supervisor.pid(name) if running is not None and name.startswith("sensor.") else None
        if pid is not None:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
    return used


def _until_ready(devices: list[Running], loops: list[PlainLoop]) -> None:
    until = time.monotonic() + READY_S
    rows = [device.board.row(name) for device in devices for name in names(device.device)]
    while not (all(loop.is_ready for loop in loops) and all(row.get(Count.READY_NS) for row in rows)):
        for device in devices:
            device.step()
        for loop in loops:
            loop.step()
        time.sleep(0.01)
        if time.monotonic() > until:
            raise DeviceFault(f"not every process was ready within {READY_S:g} s")


def _run_blocks(bench: Bench, seconds: float, tick: Tick, display: int) -> list[float]:
    rng = random.Random(1)  # an order of windows, not a secret
    rss: list[float] = []
    until = time.monotonic() + seconds - len(bench.phases) * WINDOW_S / 2
    while not rss or time.monotonic() < until:
        bench.block(rng, tick)
        rss.append(int(status_of(str(display), "VmRSS").split()[0]) / 1024)
    return rss


def _wakeups(device: Device, core: int) -> dict[str, dict[str, float]]:
    """Between the cores that display and worker really have, and on one core for comparison."""
    workers = max(partition_of(device, "worker", "", layout_of(device)).cores)
    found = {"used": round_trips((core, workers), ROUNDS)}
    if core != workers:
        found["one_core"] = round_trips((workers, workers), ROUNDS)
    return found


def _report(
    bench: Bench, wakeups: dict[str, dict[str, float]], rss: list[float], notes: list[tuple[str, str, str]]
) -> dict[str, Any]:
    by_phase = {phase.name: [w for w in bench.windows if w.phase == phase.name] for phase in bench.phases}
    idle = [latency for window in by_phase.get("idle", ()) for latency in window.latencies_ms]
    slack_ns = bench.deadline_ns - int((quantile(idle, 0.99) or 0.0) * NS_PER_MS)
    report: dict[str, Any] = {
        name: phase_report(windows, slack_ns, bench.deadline_ns) for name, windows in by_phase.items()
    }
    for key, (name, alone) in SLOWDOWNS.items():
        p99, quiet_p99 = _of(report, name, "p99_ms"), _of(report, alone, "p99_ms")
        report[key] = p99 / quiet_p99 if p99 and quiet_p99 else None
    floor_p50, idle_p50 = _of(report, "floor", "p50_ms"), _of(report, "idle", "p50_ms")
    report["isolation_ms"] = idle_p50 - floor_p50 if idle_p50 and floor_p50 else None
    sensors_p50 = _of(report, SENSORS, "p50_ms")
    report["sensors_ms"] = sensors_p50 - idle_p50 if sensors_p50 and idle_p50 else None
    report["recording_us"] = turns_us(
        [pair for window in bench.windows for pair in window.pairs], [window.missed for window in bench.windows]
    )
    report |= {"handoff_us": wakeups["used"]["handoff"], "pingpong_us": wakeups["used"]["pingpong"]}
    report["one_core"] = wakeups.get("one_core")
    report["stalls"] = {name: _stalls(windows) for name, windows in by_phase.items()}
    report["voided_windows"] = bench.voided
    report["rss_display_mb"] = {"first": rss[0], "last": rss[-1], "max": max(rss)}
    report["memcpy_frame_ms"] = memcpy_ms()
    report["notes"] = notes
    return report


def _of(report: dict[str, Any], phase: str, key: str) -> float | None:
    value: float | None = report.get(phase, {}).get(key)
    return value


def phase_report(windows: list[Window], slack_ns: int, deadline_ns: int) -> dict[str, Any]:
    """One phase: counts over all its windows, quantiles as medians over windows, the maximum over all."""

    def median_of(q: float) -> float | None:
        values = [value for w in windows if (value := quantile(w.latencies_ms, q)) is not None]
        return statistics.median(values) if values else None

    frames = sum(w.expected for w in windows)
    in_time = sum(w.in_time for w in windows)
    return {
        "windows": len(windows),
        "frames": frames,
        "missed": sum(len(w.due_ns) for w in windows),
        "never_shown": sum(w.never_shown for w in windows),
        "missed_beyond_stalls": sum(beyond_stalls(w, slack_ns, deadline_ns) for w in windows),
        "results_in_time": in_time,
        "results_in_time_percent": 100.0 * in_time / frames if frames else None,
        "p50_ms": median_of(0.5),
        "p99_ms": median_of(0.99),
        "p999_ms": median_of(0.999),
        "max_ms": max((latency for w in windows for latency in w.latencies_ms), default=None),
        "steps_p50_ms": _steps(windows),
    }


def _steps(windows: list[Window]) -> dict[str, float]:
    steps: dict[str, list[float]] = {}
    for window in windows:
        for name, values in window.steps_ms.items():
            steps.setdefault(name, []).extend(values)
    return {name: statistics.median(values) for name, values in steps.items()}


def _stalls(windows: list[Window]) -> dict[str, float]:
    spans = [(b - a) / NS_PER_MS for window in windows for a, b in window.stalls]
    return {"count": len(spans), "total_ms": sum(spans), "max_ms": max(spans, default=0.0)}


def memcpy_ms() -> float:
    """The median time of copying one 1280x720x3 frame, ms: the floor under everything that touches pixels."""
    a, b = np.ones((720, 1280, 3), np.uint8), np.empty((720, 1280, 3), np.uint8)
    times = []
    for _ in range(200):
        began = time.perf_counter_ns()
        np.copyto(b, a)
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / NS_PER_MS


def show(out: Console, report: dict[str, Any]) -> None:
    """The report as a table."""
    table = Table(title="frame path, 1280x720 at 30 fps: capture to hand-off to the screen, ms")
    keys = (
        "frames",
        "missed",
        "missed_beyond_stalls",
        "results_in_time_percent",
        "p50_ms",
        "p99_ms",
        "max_ms",
    )
    table.add_column("phase", no_wrap=True)
    for key in keys:
        table.add_column(key.removesuffix("_ms").replace("_", " "), justify="right")
    for phase in (phase for phase in (*PHASES, SENSORS) if phase in report):
        table.add_row(phase, *(_cell(report[phase][key]) for key in keys))
    out.print(table)
    out.print(
        f"isolation costs {_cell(report['isolation_ms'])} ms (idle p50 - floor p50); "
        f"slow-down of p99 under load {_cell(report['slowdown_p99'])}, unpartitioned "
        f"{_cell(report['slowdown_p99_unpartitioned'])}, a plain loop unpartitioned {_cell(report['slowdown_p99_plain_loop'])}"
    )
    if report["sensors_ms"] is not None:
        out.print(
            f"{STREAMS} sensors of {RATE_HZ} Hz and a second video: p50 {report['sensors_ms']:+.2f} ms against idle; "
            f"their processes take {report['sensors_cpu_percent']:.0f} % of a core"
        )
    if (cost := report["recording_us"]) is not None:
        out.print(
            f"trail, recording on: p50 {cost['median']:+.0f} us ({cost['low']:+.0f} to {cost['high']:+.0f} with 95 % confidence, "
            f"{cost['pairs']} pairs of half seconds of one device); "
            f"missed {cost['missed_with']} with, {cost['missed_without']} without; "
            f"by step {', '.join(f'{name} {us:+.0f}' for name, us in cost['steps'].items())}"
        )
    out.print(
        f"hand-off there and back {report['handoff_us']:.0f} us, bare eventfds {report['pingpong_us']:.0f} us; "
        f"display {report['rss_display_mb']['last']:.0f} MB; voided windows {report['voided_windows']}"
    )
    for process, what, why in report["notes"]:
        out.print(f"{process}: {what} ({why})", markup=False)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
