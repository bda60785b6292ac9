"""`inframe chaos`: one fault after the other on a running device; what each did to the picture, and whether the bars held."""

import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inframe.chaos import camera, candidates, recording, sensors, trail
from inframe.chaos.faults import FAULTS, CanNot, Fault, release, small_disk
from inframe.chaos.stage import FPS, RECORDING, TRAIL, Stage
from inframe.chaos.stalls import Probes, Stall, unexplained
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.errors import ConfigError
from inframe.core.samples import Aligned
from inframe.core.types import Mode, Presence, Verdict
from inframe.pipeline.record import Shown
from inframe.trail.home import Home

RECOVERY_LIMIT_S = 20.0
KILLED_WORKER_RECOVERS_MS = 1500.0
CAMERA_ALERT_MS = 500.0
PERIOD_NS = NS_PER_S // FPS
SYNTHETIC = {"camera": "synthetic"}


@dataclass
class Outcome:
    """What one fault did. Times in ms from the strike; None: it did not happen."""

    name: str
    frames_expected: int = 0
    frames_lost: int = 0
    """Not on the screen by their deadline."""
    frames_lost_beyond_stalls: int = 0
    """Of those, the ones that no stall of the machine explains (see `stalls`); of a camera's fault all of them."""
    overlay_off_ms: float = 0.0
    """How long, all together, the picture was without an overlay."""
    wrongly_shown: int = 0
    """Frames with an overlay that was neither theirs nor young enough to be held."""
    recovered_ms: float | None = None
    """NOMINAL again and the fault's alert gone."""
    alert: str | None = None
    alert_ms: float | None = None
    back_ms: float | None = None
    """From the last picture with the candidate's overlay to the first one with the overlay of the model before it."""
    quality: str | None = None
    """Why a sensor's stream had no value, at first, and how long after the strike the first frame had none."""
    quality_ms: float | None = None
    wrong_values: int = 0
    """Frames with a sensor's value that was not true at its own moment."""
    skipped: str | None = None
    bars: str = "held"
    """"held", "skipped", or what was not held."""


def break_and_show(out: Console, only: list[str] | None) -> dict[str, Any]:
    """Run the campaign, print the table, return the report: {"faults": [...], "held": bool}."""
    every = (*FAULTS, *candidates.FAULTS, *sensors.FAULTS, *camera.FAULTS)
    chosen = [fault for fault in every if not only or fault.name in only]
    unknown = set(only or ()) - {fault.name for fault in every}
    if unknown:
        raise ConfigError(
            "inframe chaos", "--only", ", ".join(sorted(unknown)), "one or more of: " + ", ".join(f.name for f in every)
        )
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("starting", total=len(chosen))
        outcomes = run_all(chosen, lambda name: progress.update(task, advance=1, description=name))
    _show(out, outcomes)
    return {
        "faults": [asdict(outcome) for outcome in outcomes],
        "held": all(outcome.bars in ("held", "skipped") for outcome in outcomes),
        "skipped": [outcome.name for outcome in outcomes if outcome.bars == "skipped"],
    }


def run_all(faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    """The outcomes of `faults`, those of the recording, of candidates, sensors and the camera on devices of their own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that devices and hogs are ended in order
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="inframe-chaos-") as name:
        for run in (_plain, _recording, _candidates, _sensors, _camera):
            own = [fault for fault in faults if _device_of(fault) is run]
            if own:
                folder = Path(name) / run.__name__
                folder.mkdir()
                outcomes += run(folder, own, tick)
    return outcomes


def _device_of(fault: Fault) -> "Run":
    own = (
        (fault.camera, _camera),
        (fault.recording, _recording),
        (fault.candidate, _candidates),
        (bool(fault.sensor), _sensors),
    )
    return next((run for asked, run in own if asked), _plain)


def _plain(folder: Path, faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    (folder / TRAIL).mkdir()
    small_disk(folder / TRAIL)
    try:
        outcomes = _on_stage(Stage.start(folder, SYNTHETIC), faults, tick)
        broken = trail.broken_bars(Home(folder / TRAIL, folder / "key"), _struck(outcomes))
    finally:
        release(folder / TRAIL)
    return [*outcomes, Outcome("trail_afterwards", bars="; ".join(broken) or "held")]


def _recording(folder: Path, faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    outcomes = _on_stage(Stage.start(folder, SYNTHETIC, recording=True), faults, tick)
    broken = recording.broken_bars(folder / RECORDING, _struck(outcomes))
    return [*outcomes, Outcome("recording_afterwards", bars="; ".join(broken) or "held")]


def _candidates(folder: Path, faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    return _on_stage(Stage.start(folder, SYNTHETIC, candidate=candidates.CANDIDATE), faults, tick)


def _sensors(folder: Path, faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    with sensors.Tracker() as tracker:
        stage = Stage.start(folder, SYNTHETIC, sensors=sensors.sensors(tracker.port))
        stage.tracker = tracker
        return _on_stage(stage, faults, tick)


def _camera(folder: Path, faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    with camera.Feed() as feed:
        return _on_stage(camera.CameraStage.of(folder, feed), faults, tick)


Run = Callable[[Path, list[Fault], Callable[[str], None]], list[Outcome]]
"""Runs faults on a device of its own, in a folder of its own."""


def _struck(outcomes: list[Outcome]) -> list[str]:
    return [one.name for one in outcomes if one.skipped is None]


def _on_stage(stage: Stage, faults: list[Fault], tick: Callable[[str], None]) -> list[Outcome]:
    try:
        outcomes = []
        with Probes(stage.running.device) as probes:
            for fault in faults:
                tick(fault.name)
                stage.settle()
                outcomes.append(_one(stage, fault, probes))
        return outcomes
    finally:
        stage.close()


def _one(stage: Stage, fault: Fault, probes: Probes) -> Outcome:
    stage.records.clear()
    struck = stage.now()
    try:
        mend = fault.strike(stage)
    except CanNot as reason:
        return Outcome(fault.name, skipped=str(reason), bars="skipped")
    try:
        stage.watch(fault.lasts_s - (stage.now() - struck) / NS_PER_S)
    finally:
        mend()
    recovered = stage.watch(RECOVERY_LIMIT_S, lambda: _well(stage, fault))
    recovered_ms = (stage.now() - struck) / NS_PER_MS if recovered else None
    stage.watch(0.3)
    end = stage.now() - 2 * PERIOD_NS
    stood = probes.seen(struck, stage.now())
    return judge(fault, stage.records, struck, end, recovered_ms, stage.max_age_ns, stood)


def _well(stage: Stage, fault: Fault) -> bool:
    if not stage.records or stage.mode() is not Mode.NOMINAL:
        return False
    if fault.ai and stage.records[-1].verdict is not Verdict.SHOW:
        return False
    if fault.sensor and not isinstance(stage.records[-1].samples[sensors.STREAM], Aligned):
        return False
    return _first_alert(stage.records, fault) is not None or not fault.alerts


def _first_alert(records: list[Shown], fault: Fault) -> tuple[str, int] | None:
    """The alert that announced the fault, and when it was on the screen, ns."""
    for record in records:
        for name in fault.alerts:
            if record.shown_ns and record.alerts.get(name) in (Presence.ON, Presence.ACKNOWLEDGED):
                return name, record.shown_ns
    return None


def judge(
    fault: Fault,
    records: list[Shown],
    struck: int,
    end: int,
    recovered_ms: float | None,
    max_age_ns: int,
    stood: Sequence[Sequence[Stall]] = (),
) -> Outcome:
    """The outcome from the records of what was shown; `stood`: when each core stood still. Pure."""
    frames = [r for r in records if r.seq and struck <= r.captured_ns < end]
    expected = len(_due(frames, struck, end)) if not fault.camera else (end - struck) // PERIOD_NS
    in_time = sum(0 < r.shown_ns <= r.deadline_ns for r in frames)
    alert = _first_alert(records, fault)
    outcome = Outcome(
        fault.name,
        expected,
        max(0, expected - in_time),  # a camera's own rhythm can give one more than was counted on
        0,
        sum(r.verdict is Verdict.WITHHOLD for r in frames) * PERIOD_NS / NS_PER_MS,
        sum(_wrong(r, max_age_ns) for r in frames),
        recovered_ms,
        alert[0] if alert is not None else None,
        (alert[1] - struck) / NS_PER_MS if alert is not None else None,
    )
    outcome.frames_lost_beyond_stalls = outcome.frames_lost if fault.camera else _beyond(frames, struck, end, stood)
    outcome.back_ms = _back_ms(frames)
    if fault.sensor:
        found = sensors.seen(records, struck)
        outcome.quality, outcome.quality_ms, outcome.wrong_values = found.quality, found.quality_ms, found.wrong
    outcome.bars = "; ".join(_broken_bars(fault, outcome)) or "held"
    return outcome


def _back_ms(frames: list[Shown]) -> float | None:
    """The greatest, of all the times that a candidate was taken back."""
    with_overlay = [r for r in frames if r.verdict is Verdict.SHOW and r.shown_ns]
    turns = [
        after.shown_ns - before.shown_ns for before, after in pairwise(with_overlay) if before.places > after.places
    ]
    return max(turns) / NS_PER_MS if turns else None


def _beyond(frames: list[Shown], struck: int, end: int, stood: Sequence[Sequence[Stall]]) -> int:
    """How many frames were lost that no stall explains."""
    first = frames[0].captured_ns if frames else struck
    in_time = {round((r.captured_ns - first) / PERIOD_NS) for r in frames if 0 < r.shown_ns <= r.deadline_ns}
    lost = [first + n * PERIOD_NS for n in _due(frames, struck, end) if n not in in_time]
    return unexplained(lost, PERIOD_NS, stood)


def _due(frames: list[Shown], struck: int, end: int) -> range:
    """The synthetic camera's frames are due at exact multiples of its period: which ones fell between strike and end."""
    if not frames:
        return range((end - struck) // PERIOD_NS)
    first = frames[0].captured_ns
    return range(-((first - struck) // PERIOD_NS), (end - 1 - first) // PERIOD_NS + 1)


def _wrong(record: Shown, max_age_ns: int) -> bool:
    """An overlay that this frame should not have had: SHOW without each model's result of this very frame."""
    if record.verdict is Verdict.SHOW:
        return not all(record.is_own(model) for model in record.runs)
    return record.verdict is Verdict.HOLD and record.age_ns > max_age_ns


def _broken_bars(fault: Fault, outcome: Outcome) -> list[str]:
    broken = []
    if outcome.frames_lost_beyond_stalls and not (fault.camera or fault.path):
        broken.append(f"{outcome.frames_lost_beyond_stalls} frames lost")
    if fault.candidate and outcome.overlay_off_ms > PERIOD_NS / NS_PER_MS:
        broken.append(f"{round(outcome.overlay_off_ms * NS_PER_MS / PERIOD_NS)} frames without an overlay")
    if outcome.wrongly_shown:
        broken.append(f"{outcome.wrongly_shown} overlays that were not the frame's")
    if fault.alerts and outcome.alert is None:
        broken.append(f"no {' or '.join(fault.alerts)}")
    if outcome.recovered_ms is None:
        broken.append(f"not NOMINAL within {RECOVERY_LIMIT_S:g} s")
    elif fault.name == "worker_killed" and outcome.recovered_ms > KILLED_WORKER_RECOVERS_MS:
        broken.append(f"NOMINAL only after {outcome.recovered_ms:.0f} ms")
    if fault.sensor:
        broken += sensors.broken_bars(fault, sensors.Seen(outcome.quality, outcome.quality_ms, outcome.wrong_values))
    if fault.camera and (outcome.alert_ms is None or outcome.alert_ms > CAMERA_ALERT_MS):
        broken.append(f"alert later than {CAMERA_ALERT_MS:g} ms")
    return broken


def _show(out: Console, outcomes: list[Outcome]) -> None:
    table = Table(title="inframe chaos: one fault at a time, ms from the strike")
    for column in ("fault", "frames", "lost", "overlay off", "recovered", "alert", "after", "back", "quality", "bars"):
        table.add_column(
            column, justify="left" if column in ("fault", "alert", "quality", "bars") else "right", overflow="fold"
        )
    for one in outcomes:
        if one.skipped is not None:
            table.add_row(one.name, "-", "-", "-", "-", "-", "-", "-", "-", f"SKIPPED: {one.skipped}")
            continue
        times = [_ms(value) for value in (one.overlay_off_ms, one.recovered_ms)]
        style = None if one.bars == "held" else "bold red"
        table.add_row(
            one.name,
            str(one.frames_expected),
            _lost(one),
            *times,
            one.alert or "-",
            _ms(one.alert_ms),
            _ms(one.back_ms),
            "-" if one.quality is None else f"{one.quality} {_ms(one.quality_ms)}",
            one.bars,
            style=style,
        )
    out.print(table)


def _lost(one: Outcome) -> str:
    stalled = one.frames_lost - one.frames_lost_beyond_stalls
    return str(one.frames_lost) if not stalled else f"{one.frames_lost} ({stalled} stalled)"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
