"""Short windows of each phase, shuffled within blocks; only one subject runs at a time, the others are stopped but warm."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from inframe.bench.floor import PlainLoop
from inframe.bench.load import Load
from inframe.bench.turns import BESIDE, Pair, Turns, beside, missed_in, pairs, steps_ms
from inframe.bench.wakeups import Probe
from inframe.core.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from inframe.device import Running
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from inframe.table import names

WINDOW_S = 4.0
SETTLE_S = 0.7
"""After a switch: caches fill, the camera finds its rhythm again. Not measured."""
STEAL_LIMIT = 0.05


@dataclass
class Subject:
    """Something that shows frames: a device or the plain loop."""

    name: str
    pids: Callable[[], list[int]]
    records: RecordReader
    step: Callable[[], object]
    turns: Turns | None = None

    def go(self) -> None:
        """Let it run."""
        self._send(signal.SIGCONT)

    def hold(self) -> None:
        """Stop it where it is."""
        self._send(signal.SIGSTOP)
        if self.turns is not None:
            self.turns.end()

    def _send(self, number: signal.Signals) -> None:
        for pid in self.pids():
            os.kill(pid, number)


def of_device(name: str, running: Running, turns: Turns | None = None) -> Subject:
    """A device as a subject. `turns`: some of its processes run and are held turn about; without, they are held."""

    def pids() -> list[int]:
        found = (running.supervisor.pid(process) for process in names(running.device) if process not in BESIDE)
        return [pid for pid in found if pid is not None]

    def step() -> None:
        for process in beside(running):
            running.board.row(process).beat(running.clock.now())  # held by us, not hung
        if turns is not None:
            turns.tick(running.clock.now())
        running.step()

    return Subject(
        name, pids, RecordReader(RingReader(running.shared["records.read"]), fields_of(running.device)), step, turns
    )


def of_loop(name: str, plain: PlainLoop) -> Subject:
    """The plain loop as a subject."""
    return Subject(name, plain.pids, RecordReader(RingReader(plain.records_fd), plain.fields), plain.step)


@dataclass(frozen=True, slots=True)
class Phase:
    """What runs in a window, and whether the load does."""

    name: str
    subject: Subject
    load: bool


@dataclass
class Window:
    """What one window showed. Latencies in ms, of every frame that was due: of one that was never shown, the time until a newer
    one was. Left out, the frames that fare worst would make a quantile better."""

    phase: str
    expected: int
    latencies_ms: list[float]
    lateness_ns: list[int]
    """Of each frame captured in the window: shown minus deadline; of a frame never shown: the whole deadline."""
    due_ns: list[int]
    """When the frames were due that were shown late or never."""
    in_time: int
    never_shown: int = 0
    steps_ms: dict[str, list[float]] = field(default_factory=dict)
    stolen: float = 0.0
    stalls: list[tuple[int, int]] = field(default_factory=list)
    excused: int = 0
    pairs: list[Pair] = field(default_factory=list)
    """Of the turns with what keeps a record and without."""
    missed: list[int] = field(default_factory=lambda: [0, 0])
    """Frames missed in turns with it, and without."""


def stolen_ticks(core: int) -> int:
    """The kernel's count of hundredths of a second that the host took from this core."""
    for row in Path("/proc/stat").read_text("ascii").splitlines():
        if row.startswith(f"cpu{core} "):
            return int(row.split()[8])
    return 0


class Bench:
    """Runs windows. `core` is the one where the frame path lives, `period_ns` the camera's, `deadline_ns` the device's."""

    def __init__(
        self, phases: list[Phase], load: Load, probe: Probe, core: int, period_ns: int, deadline_ns: int
    ) -> None:
        self.phases, self.load, self.probe, self.core = phases, load, probe, core
        self.period_ns, self.deadline_ns = period_ns, deadline_ns
        self.clock = MonotonicClock()
        self.windows: list[Window] = []
        self.voided = 0
        for subject in {id(p.subject): p.subject for p in phases}.values():
            subject.hold()
        load.hold()

    def block(self, rng: random.Random, tick: Callable[[str], None]) -> None:
        """Each phase once, in a new order."""
        for phase in rng.sample(self.phases, len(self.phases)):
            tick(phase.name)
            window = self._window(phase)
            if window.stolen > STEAL_LIMIT:
                self.voided += 1
            else:
                self.windows.append(window)

    def _window(self, phase: Phase) -> Window:
        if phase.load:
            self.load.go()
        phase.subject.go()
        self._idle(phase.subject, SETTLE_S)
        phase.subject.records.take()
        ticks, begin = stolen_ticks(self.core), self.clock.now()
        records = self._idle(phase.subject, WINDOW_S - SETTLE_S)
        end, taken = self.clock.now(), stolen_ticks(self.core) - ticks
        records += self._idle(phase.subject, 0.1)  # the last frames' way to the screen
        phase.subject.hold()
        self.load.hold()
        window = measure(phase.name, records, begin, end, self.period_ns, self.deadline_ns)
        if phase.subject.turns is not None:
            turns = phase.subject.turns.take()
            window.pairs, window.missed = pairs(turns, records), missed_in(turns, window.due_ns)
        window.stolen = taken / os.sysconf("SC_CLK_TCK") / ((end - begin) / NS_PER_S)
        window.stalls = self.probe.stalls(begin - self.period_ns, end + self.deadline_ns)
        return window

    def _idle(self, subject: Subject, seconds: float) -> list[Shown]:
        """Let it run and collect its records; look after its processes only once they have beaten again."""
        until = time.monotonic() + seconds
        quiet = time.monotonic() + 0.25
        records: list[Shown] = []
        while time.monotonic() < until:
            time.sleep(0.05)
            if time.monotonic() > quiet:
                subject.step()
            records += subject.records.take()
        return records


def measure(phase: str, records: list[Shown], begin: int, end: int, period_ns: int, deadline_ns: int) -> Window:
    """The window from its records. The synthetic camera's frames are due at exact multiples of the period, so that a frame
    that was never shown, or never even captured, is known from the gap that it left."""
    shown = {r.captured_ns: r for r in records if r.seq and begin <= r.captured_ns < end}
    if not shown:
        due = list(range(begin, end, period_ns))
        latencies = [(end - at) / NS_PER_MS for at in due]
        return Window(phase, len(due), latencies, [deadline_ns] * len(due), due, 0, len(due))
    first = min(shown)
    numbers = {round((captured - first) / period_ns): record for captured, record in shown.items()}
    low, high = -((first - begin) // period_ns), (end - 1 - first) // period_ns
    window = Window(phase, high - low + 1, [], [], [], 0)
    numbers = {number: record for number, record in numbers.items() if record.shown_ns}
    for number in range(low, high + 1):
        due_ns = first + number * period_ns
        if number in numbers:
            _add(window, numbers[number], due_ns, deadline_ns)
        else:
            newer_ns = next((numbers[n].shown_ns for n in range(number, high + 1) if n in numbers), end)
            window.never_shown += 1
            window.latencies_ms.append((newer_ns - due_ns) / NS_PER_MS)
            window.lateness_ns.append(deadline_ns)
            window.due_ns.append(due_ns)
    return window


def _add(window: Window, record: Shown, due_ns: int, deadline_ns: int) -> None:
    latency = record.shown_ns - record.captured_ns
    window.latencies_ms.append(latency / NS_PER_MS)
    window.in_time += all(record.is_own(model) for model in record.runs)
    if latency > deadline_ns:
        window.lateness_ns.append(latency - deadline_ns)
        window.due_ns.append(due_ns)
    for name, ms in steps_ms(record).items():
        window.steps_ms.setdefault(name, []).append(ms)


def beyond_stalls(window: Window, slack_ns: int, deadline_ns: int) -> int:
    """Of the frames missed, those that the probe's stalls do not explain: while the frame was due, the highest-priority task
    on the core was itself kept waiting for less than the slack that a frame normally has."""
    unexplained = 0
    for due in window.due_ns:
        stalled = sum(max(0, min(b, due + deadline_ns) - max(a, due)) for a, b in window.stalls)
        unexplained += stalled < slack_ns
    return unexplained
