"""Runs a device from start to end and says how every frame fared."""

import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import Device
from inframe.core.samples import Absent
from inframe.core.types import Presence
from inframe.device import Running
from inframe.machine.supervise import Notice
from inframe.pipeline.board import Count, Row
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from inframe.table import names

STEP_S = 0.01


@dataclass(frozen=True, slots=True)
class SensorSummary:
    """How one stream of samples fared, and what is known of its source's clock (0 where it has none of its own)."""

    samples: int
    left_out: int
    """Whose time could not be right."""
    absent: int
    """Frames at which it had no value."""
    offset_ms: float
    """The device's clock minus the source's."""
    drift_ppm: float
    """How much faster the source's runs."""
    uncertain_ms: float
    """How far off the mapping of the two may be, beyond the least delay of the way."""


@dataclass
class Summary:
    """How every frame fared. Times in ms; latency is from capture to hand-off to the screen."""

    device: str
    seconds: float = 0.0
    stopped: bool = False
    """By a signal."""
    frames: int = 0
    """Frames that the display's stream captured."""
    shown: int = 0
    missed: int = 0
    """Shown after the deadline, or never."""
    late: int = 0
    """Of these, shown after the deadline."""
    dropped_by_camera: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    deadline_ms: float = 0.0
    first_frame_ms: float | None = None
    """From the start of this program to the first frame on the screen."""
    first_overlay_ms: float | None = None
    findings: dict[str, int] = field(default_factory=dict)
    """How often each rule's finding began."""
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """The first and the last frame (its number) of each finding, by rule."""
    alerts: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    recorded: int | None = None
    """Frames safely in the trail; None where none is kept."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """What else processes counted: over_budget, invalid, failed, corrupt, reconnects; by process, where not 0."""
    sensors: dict[str, SensorSummary] = field(default_factory=dict)
    """By stream of samples."""
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    """What processes had to say: process, what, why."""
    next_ports: dict[int, int] | None = None
    """A person asked for the next procedure: the port of each page, by its screen."""

    def as_json(self) -> dict[str, Any]:
        """Plain values; of this procedure alone."""
        return {key: value for key, value in asdict(self).items() if key != "next_ports"}


def quantile(values: list[float], q: float) -> float | None:
    """The value below which a share `q` of `values` lies (the nearest rank above); None of nothing."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else None


class Follower:
    """Reads the records as they come and keeps count."""

    def __init__(self, running: Running) -> None:
        self._records = RecordReader(RingReader(running.shared["records.read"]), fields_of(running.device))
        self._present: set[str] = set()
        self._alerting: set[str] = set()
        self.latencies_ms: list[float] = []
        self.late = 0
        self.verdicts: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.spans: dict[str, list[tuple[int, int]]] = {}
        self.alerts: Counter[str] = Counter()
        self.absent: Counter[str] = Counter()
        """Frames at which a stream of samples had no value."""
        self.last: Shown | None = None

    def take(self) -> list[Shown]:
        """Count the records that are new; returns them."""
        taken = self._records.take()
        for record in taken:
            self._count(record)
        return taken

    def _count(self, record: Shown) -> None:
        self.last = record
        self.absent.update(name for name, said in record.samples.items() if record.seq and isinstance(said, Absent))
        if record.seq:
            self.verdicts[record.verdict.name] += 1
            self.modes[record.mode.name] += 1
            if record.shown_ns:
                self.late += record.shown_ns > record.deadline_ns
                self.latencies_ms.append((record.shown_ns - record.captured_ns) / NS_PER_MS)
        present = {finding.rule for finding in record.findings}
        self.findings.update(present - self._present)
        if record.seq:
            self._span(present, record.seq)
        self._present = present
        alerting = {key for key, presence in record.alerts.items() if presence is Presence.ON}
        self.alerts.update(alerting - self._alerting - present)
        self._alerting = alerting

    def _span(self, present: set[str], seq: int) -> None:
        for rule in present:
            spans = self.spans.setdefault(rule, [])
            if rule in self._present and spans:
                spans[-1] = (spans[-1][0], seq)
            else:
                spans.append((seq, seq))


def run(
    device: Device, path: Path, seconds: float | None = None, tick: Callable[[Running, Follower], None] | None = None
) -> Summary:
    """Run until the recording ends, `seconds` are over, a screen is closed, or SIGINT, SIGTERM or SIGHUP comes.

    `tick` is called about a hundred times a second. Raises AlreadyTold when a process refused its input, DeviceFault when the
    picture can't be kept up.
    """
    stopped: list[int] = []
    restarts: Counter[str] = Counter()

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    def notice(one: Notice) -> None:
        restarts[one.name] += one.kind == "died"

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with Running(device, path, notice) as running:
            follower = Follower(running)
            began = running.clock.now()
            while running.step() and not stopped:
                follower.take()
                if tick is not None:
                    tick(running, follower)
                if seconds is not None and running.clock.now() - began > seconds * NS_PER_S:
                    break
                time.sleep(STEP_S)
            ended, ports = running.clock.now(), running.next_ports()
        follower.take()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    summary = _summary(running, follower, restarts, (ended - began) / NS_PER_S)
    return replace(summary, stopped=bool(stopped), next_ports=None if stopped else ports)


def _summary(running: Running, follower: Follower, restarts: Counter[str], seconds: float) -> Summary:
    device, board = running.device, running.board
    display, capture = board.row("display"), board.row(f"capture.{device.display}")
    born = _born_ns()
    latencies = follower.latencies_ms

    def since_birth(count: Count) -> float | None:
        at = display.get(count)
        return (at - born) / NS_PER_MS if at else None

    return Summary(
        device=device.device,
        seconds=round(seconds, 3),
        frames=capture.get(Count.FRAMES),
        shown=display.get(Count.FRAMES),
        missed=display.get(Count.MISSED),
        late=follower.late,
        dropped_by_camera=capture.get(Count.DROPPED),
        verdicts=dict(follower.verdicts),
        modes=dict(follower.modes),
        p50_ms=statistics.median(latencies) if latencies else None,
        p99_ms=quantile(latencies, 0.99),
        max_ms=max(latencies, default=None),
        deadline_ms=device.deadline_ns / NS_PER_MS,
        first_frame_ms=since_birth(Count.FIRST_NS),
        first_overlay_ms=since_birth(Count.FIRST_OVERLAY_NS),
        findings=dict(follower.findings),
        spans=follower.spans,
        alerts=dict(follower.alerts),
        restarts={name: restarts[name] for name in names(device) if restarts[name]},
        recorded=board.row("recorder").get(Count.FRAMES) if "recorder" in names(device) else None,
        counts=_counts(running),
        sensors={name: _sensor(running.board.row(f"sensor.{name}"), follower.absent[name]) for name in device.sensors},
        notes=running.notes,
    )


def _sensor(row: Row, absent: int) -> SensorSummary:
    clock = [row.get(count) for count in (Count.CLOCK_OFFSET_NS, Count.CLOCK_DRIFT_PPB, Count.CLOCK_UNCERTAIN_NS)]
    offset, drift, uncertain = clock
    times = (offset / NS_PER_MS, drift / 1000, uncertain / NS_PER_MS)
    return SensorSummary(row.get(Count.FRAMES), row.get(Count.DROPPED), absent, *(round(one, 3) for one in times))


def _counts(running: Running) -> dict[str, dict[str, int]]:
    counted = (Count.OVER_BUDGET, Count.INVALID, Count.FAILED, Count.CORRUPT, Count.RECONNECTS)
    rows = {name: running.board.row(name) for name in names(running.device)}
    found = {name: {c.name.lower(): row.get(c) for c in counted if row.get(c)} for name, row in rows.items()}
    return {name: counts for name, counts in found.items() if counts}


def _born_ns() -> int:
    """When this process was started by the operating system, on the monotonic clock (to a hundredth of a second)."""
    started_ticks = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19])
    asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()  # the machine's time in suspend
    return started_ticks * NS_PER_S // os.sysconf("SC_CLK_TCK") - asleep
