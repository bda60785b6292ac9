"""`shadow`: compares a candidate's results with those of the model beside it, frame by frame. It only reads, runs when nothing else
wants to, and nothing waits for it; what it can't get at in time is counted as lost.
"""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, field

from inframe.core.clock import NS_PER_MS, MonotonicClock
from inframe.core.config import Device
from inframe.core.health import Measured
from inframe.core.types import Missed, Result
from inframe.machine.child import ChildContext
from inframe.pipeline import results, start
from inframe.pipeline.board import Board, Count
from inframe.pipeline.decide import Plan, make_plan
from inframe.pipeline.disagree import disagreement
from inframe.pipeline.measure import model_of
from inframe.pipeline.places import B, readers
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.rules import RulePlan, RuleState, findings, step_rules

KEPT = 64
"""So many results of each side wait for their counterpart."""
_MEASURED = struct.Struct("<2q8d")
BYTES = _MEASURED.size
SLOTS = 4


def main(ctx: ChildContext) -> None:
    """The process's life."""
    device = Device.model_validate(ctx.args["device"])
    if device.candidate is None:
        raise RuntimeError("a shadow for a device without candidate")
    clock, board = MonotonicClock(), Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    row, writer = board.row(ctx.name), RingWriter(ctx.fds["measured"], ())
    places, generation = (
        {str(name): int(place) for name, place in ctx.args["places"].items()},
        int(ctx.args["generation"]),
    )
    sides = [readers(ctx.fds, places, place) for place in range(B + 1)]
    pairs = [
        Pair.of(device, name, sides[place][name], sides[1 - place][name], device.candidate.health.window)
        for name, place in places.items()
    ]
    start.ready(ctx, row, clock)
    fps = max(stream.fps for stream in device.streams.values())
    while not ctx.stop.wait(1 / fps):
        for pair in pairs:
            pair.look()
        publish(writer, generation, together([pair.tally.measured() for pair in pairs]), clock.now())
        row.set(Count.FRAMES, sum(pair.tally.compared for pair in pairs))
        row.beat(clock.now())


def publish(writer: RingWriter, generation: int, measured: Measured, now_ns: int) -> None:
    """Write down what was measured of candidate number `generation`."""
    writer.begin()
    writer.put(0, memoryview(_MEASURED.pack(*astuple(measured))))
    writer.commit(Header(0, generation, 0, now_ns, size=BYTES))


def read_measured(ring: RingReader, generation: int) -> Measured:
    """What was measured of candidate number `generation` so far."""
    header = ring.latest()
    data = ring.take(header) if header is not None and header.tag == generation else None
    return Measured(*_MEASURED.unpack(data)) if data is not None and len(data) == BYTES else Measured()


def together(measured: list[Measured]) -> Measured:
    """Of several models: as many as were compared of each, and the worst of each number."""
    if not measured:
        return Measured()
    largest = max(measured, key=lambda one: abs(one.findings - one.findings_before))
    return Measured(
        compared=min(one.compared for one in measured),
        lost=sum(one.lost for one in measured),
        disagreement=max(one.disagreement for one in measured),
        recent=max(one.recent for one in measured),
        worst=max(one.worst for one in measured),
        findings=largest.findings,
        findings_before=largest.findings_before,
        p50_ms=max(one.p50_ms for one in measured),
        p99_ms=max(one.p99_ms for one in measured),
        max_ms=max(one.max_ms for one in measured),
    )


@dataclass
class Tally:
    """Counts one comparison after the other. Pure but for its own memory, which is bounded."""

    window: int
    compared: int = 0
    lost: int = 0
    _sum: float = 0.0
    _worst: float = 0.0
    _max_ms: float = 0.0
    _shares: deque[float] = field(init=False)
    _found: deque[tuple[bool, bool]] = field(init=False)
    _times: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        self._shares, self._found = deque(maxlen=self.window), deque(maxlen=self.window)
        self._times = deque(maxlen=self.window)

    def ran(self, ms: float) -> None:
        """The candidate ran for so long."""
        self._times.append(ms)
        self._max_ms = max(self._max_ms, ms)

    def compare(self, share: float, found: bool, found_before: bool) -> None:
        """Both spoke of one frame: they differ by `share`, and from which a rule made a finding."""
        self.compared += 1
        self._sum += share
        self._shares.append(share)
        self._found.append((found, found_before))
        if len(self._shares) == self.window:
            self._worst = max(self._worst, sum(self._shares) / self.window)

    def measured(self) -> Measured:
        """All of it."""
        n, times = max(1, len(self._shares)), sorted(self._times)
        return Measured(
            compared=self.compared,
            lost=self.lost,
            disagreement=self._sum / max(1, self.compared),
            recent=sum(self._shares) / n,
            worst=self._worst,
            findings=sum(one for one, _ in self._found) / n,
            findings_before=sum(before for _, before in self._found) / n,
            p50_ms=times[len(times) // 2] if times else 0.0,
            p99_ms=times[int(len(times) * 0.99)] if times else 0.0,
            max_ms=self._max_ms,
        )


@dataclass
class Side:
    """One model's results as they come."""

    ring: RingReader
    read: Callable[[RingReader, Header], Result | Missed | None]
    rules: tuple[RulePlan, ...]
    last: int = 0
    waiting: dict[int, Result] = field(default_factory=dict)
    """By frame."""
    states: tuple[RuleState, ...] = ()

    def __post_init__(self) -> None:
        self.last, self.states = self.ring.newest(), tuple(RuleState() for _ in self.rules)

    def take(self) -> tuple[list[Result], int]:
        """The results that are new, and how many were overwritten before they were read."""
        newest = self.ring.newest()
        first = max(self.last + 1, newest - self.ring.slots + 2)
        lost, taken = first - self.last - 1 if newest > self.last else 0, []
        for seq in range(first, newest + 1):
            header = self.ring.header(seq)
            said = self.read(self.ring, header) if header is not None else None
            lost += not isinstance(said, Result)
            if isinstance(said, Result):
                taken.append(said)
                self.waiting[said.seq] = said
        self.last = max(self.last, newest)
        return taken, lost

    def finds(self, said: Result) -> bool:
        """Whether a rule makes a finding, with this result and those before it."""
        self.states = step_rules(self.rules, (said,), said.captured_ns, self.states, ai_on=True)
        return bool(findings(self.rules, self.states))


@dataclass
class Pair:
    """A candidate and the model beside it."""

    candidate: Side
    before: Side
    full_scale: float
    tally: Tally

    @staticmethod
    def of(device: Device, name: str, candidate: RingReader, before: RingReader, window: int) -> "Pair":
        """The model `name`, the candidate's results from one ring and the other one's from the other."""
        model = device.models[name]
        labels = tuple(model.labels)
        rules = _rules(make_plan(device, {key: tuple(one.labels) for key, one in device.models.items()}), name)

        def read(ring: RingReader, header: Header) -> Result | Missed | None:
            return results.read(ring, header, name, len(labels))

        full_scale = model.decode.full_scale if model.decode.kind == "heat" else 1.0
        return Pair(Side(candidate, read, rules), Side(before, read, rules), full_scale, Tally(window))

    def look(self) -> None:
        """Compare what is new on both sides."""
        taken, lost = self.candidate.take()
        self.before.take()
        for said in taken:
            self.tally.ran((said.steps.decoded - said.steps.started) / NS_PER_MS)
        both = sorted(self.candidate.waiting.keys() & self.before.waiting.keys())
        for seq in both:
            one, other = self.candidate.waiting.pop(seq), self.before.waiting.pop(seq)
            if one.captured_ns == other.captured_ns:
                share = disagreement(one.output, other.output, self.full_scale)
                self.tally.compare(share, self.candidate.finds(one), self.before.finds(other))
        self.tally.lost += lost + self._tidy()

    def _tidy(self) -> int:
        """Forget what waits in vain; how many of these are the candidate's."""
        lost = 0
        for side in (self.candidate, self.before):
            while len(side.waiting) > KEPT:
                del side.waiting[next(iter(side.waiting))]
                lost += side is self.candidate
        return lost


def _rules(plan: Plan, model: str) -> tuple[RulePlan, ...]:
    return tuple(rule for rule in plan.rules if model_of(rule.measure) == model)
