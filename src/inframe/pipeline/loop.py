"""A frame's way. `run` is the whole of it; everything it calls is bounded in time, and none of it calls a model, parses
anything from outside, or touches a disk or a socket.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from inframe.core.budgets import DRAW_NS, NO_SIGNAL_REDRAW_NS, START_NS
from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.config import ModelConfig, StreamBase
from inframe.core.samples import NO_SAMPLES, Samples
from inframe.core.types import (
    Controls,
    Decision,
    Frame,
    FrameFlag,
    Missed,
    MissedReason,
    NoSignal,
    Pixels,
    Result,
    Results,
)
from inframe.pipeline import results as results_ring
from inframe.pipeline.decide import Plan, decide, initial
from inframe.pipeline.gate import looks_at
from inframe.pipeline.ring import Header, RingReader

WAIT_NS = 50 * NS_PER_MS
"""The loop looks up at least this often, to beat and to notice that it shall stop."""

FROZEN_ROWS = 16
"""So many rows of a picture are compared with the last picture's: sensor noise alone makes each of them differ."""
PERIODS = 2.5
LAY_NS = NS_PER_MS // 2
"""On a core of its own the display looks for a frame so long after it should have come."""
LOOK_NS = 4 * NS_PER_MS
"""A frame that is late is looked for this often."""
REHEARSED_NS = NS_PER_MS // 2
"""So long before results are expected the display has rehearsed what it does with them."""
FORGET = 16
"""What is expected is the least of late: anything longer moves it by this part of the difference."""

Wait = Callable[[int], bool]
"""Sleep until woken (True) or until the moment given, ns (False)."""


class Surface(Protocol):
    """Where pictures go: the overlay and the screen ring behind it."""

    def lay(self, frame: Frame) -> None:
        """What can be done before the models have spoken: the frame as it is, where the picture will be."""
        ...

    def show(self, frame: Frame | NoSignal, decision: Decision, controls: Controls) -> int:
        """Draw, hand over, and return when that was done, ns; 0 if the frame was overwritten while it was drawn."""
        ...


class Journal(Protocol):
    """What is kept of each frame."""

    def note(self, frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> None:
        """Count and record; bounded, never blocks."""
        ...

    def skipped(self, frames: int) -> None:
        """So many frames of the stream never reached the screen."""
        ...


class Island(Protocol):
    """The safety supervisor's end of the heartbeat."""

    def beat(self, frame: Frame | NoSignal | None, decision: Decision | None) -> None:
        """The loop is alive; with what it last did."""
        ...


class Sensors(Protocol):
    """The streams of samples."""

    def rehearse(self, at_ns: int) -> None:
        """What can be done before the models have spoken."""
        ...

    def at(self, at_ns: int) -> Samples:
        """What is known of each at the moment `at_ns`; never waits."""
        ...


class NoSensors:
    """A device without any."""

    def rehearse(self, at_ns: int) -> None:
        """See Sensors."""

    def at(self, at_ns: int) -> Samples:  # noqa: ARG002  # Sensors'
        """See Sensors."""
        return NO_SAMPLES


class Status(Protocol):
    """What the loop reads of the rest of the device."""

    def faults(self) -> Mapping[str, int]:
        """Events present, and since when, ns."""
        ...

    def controls(self) -> Controls:
        """What people have set."""
        ...


NO_SENSORS = NoSensors()


def run(
    incoming: "Incoming",
    models: "ModelResults",
    plan: Plan,
    status: Status,
    surface: Surface,
    journal: Journal,
    island: Island,
    sensors: Sensors = NO_SENSORS,
) -> None:
    """Every frame reaches the screen by its deadline, whatever the models do. Ends when `incoming` does."""
    state = initial(plan, incoming.begin())
    for frame in incoming:
        results: Results = {}
        if isinstance(frame, Frame):
            surface.lay(frame)
            sensors.rehearse(frame.captured_ns)
            results = models.await_for(frame, until_ns=frame.deadline_ns - DRAW_NS)
        samples = sensors.at(frame.captured_ns if isinstance(frame, Frame) else frame.now_ns)
        controls = status.controls()
        deciding = partial(decide, plan, frame, results, status.faults(), controls, state, samples)
        decision, state = deciding()
        shown_ns = surface.show(frame, decision, controls)
        journal.note(frame, results, decision, shown_ns)
        island.beat(frame, decision)
        incoming.remember(frame)
        models.last_decided = deciding


@dataclass
class Incoming:
    """The frames of one stream, oldest first; those whose deadline has passed are left out when a newer one is there."""

    stream: str
    ring: RingReader
    views: list[Pixels]
    period_ns: int
    deadline_ns: int
    stall_ns: int
    frozen_ns: float
    """The same picture for so long is a frozen camera; math.inf: never."""
    clock: Clock
    wait: Wait
    stopping: Callable[[], bool]
    skipped: Callable[[int], None]
    idle: Callable[[], None]
    """Called when nothing came for WAIT_NS."""
    look_ns: int | None = None
    """How long after a frame should have come the loop looks for it. None: the capture process wakes it. See `woken_by`."""
    last: int = 0
    """The newest frame handled; after a restart that of the process before, so that what was lost between is counted."""
    began: Callable[[int, int], None] = lambda _start_ns, _last: None
    """Called once with the moment at which the loop begins, and `last`."""
    _last_ns: int = 0
    _card_ns: int = 0
    _looked_ns: int = 0
    _seen: bool = False
    _signature: int = -1
    _repeated: bool = False
    _same_since_ns: int = 0

    def begin(self) -> int:
        """The moment at which the loop begins; before the first frame is asked for."""
        now = self.clock.now()
        grace_ns = 0 if self.last else START_NS - self.stall_ns  # after a restart the camera has had its time already
        self._last_ns = now + grace_ns
        self.began(now, self.last)
        return now

    def __iter__(self) -> Iterator[Frame | NoSignal]:
        while not self.stopping():
            frame = self._next()
            if frame is not None:
                yield frame
            elif self._stalled():
                yield NoSignal(self.stream, min(self._last_ns, self._card_ns), self._card_ns)
            else:
                self.wait(self._next_look())
                if self.clock.now() - self._looked_ns >= WAIT_NS:
                    self._looked_ns = self.clock.now()
                    self.idle()

    def _next_look(self) -> int:
        """When to look again if nobody wakes the loop. The frame period is known: one frame after the last one, and then often."""
        now = self.clock.now()
        if self.look_ns is None:
            return now + WAIT_NS
        expected = self._last_ns + self.period_ns + self.look_ns if self._seen else 0
        return min(now + WAIT_NS, max(expected, now + LOOK_NS))

    def _stalled(self) -> bool:
        now = self.clock.now()
        if now - self._last_ns < self.stall_ns or now - self._card_ns < NO_SIGNAL_REDRAW_NS:
            return False
        self._card_ns = now
        return True

    def _next(self) -> Frame | None:
        latest = self.ring.latest()
        if latest is None:
            return None
        newest = latest.seq
        if newest <= self.last:
            self.last = newest  # a damaged note may once have claimed more than there is
            return None
        if newest == self.last + 1:
            return self._take(latest)
        first = max(self.last + 1, newest - self.ring.slots + 2)
        now = self.clock.now()
        for seq in range(first, newest + 1):
            header = self.ring.header(seq)
            if header is None or (seq < newest and header.captured_ns + self.deadline_ns - DRAW_NS // 2 < now):
                continue
            return self._take(header)
        return None

    def _take(self, header: Header) -> Frame:
        seq, captured_ns = header.seq, header.captured_ns
        if seq > self.last + 1:
            self.skipped(seq - self.last - 1)
        self.last, self._last_ns, self._seen = seq, captured_ns, True
        pixels = self.views[seq % self.ring.slots]
        return Frame(self.stream, seq, captured_ns, captured_ns + self.deadline_ns, pixels, self._flags(header))

    def _flags(self, header: Header) -> FrameFlag:
        flags = FrameFlag(header.flags) if header.flags else FrameFlag.NONE
        frozen = self._repeated and header.captured_ns - self._same_since_ns >= self.frozen_ns
        return flags | FrameFlag.FROZEN if frozen else flags

    def remember(self, frame: Frame | NoSignal) -> None:
        """After the hand-off, where it delays nobody: since when has the camera been sending this very picture?"""
        if isinstance(frame, NoSignal):
            self._repeated, self._signature = False, -1
            return
        signature = 0
        for row in frame.pixels[:: max(1, len(frame.pixels) // FROZEN_ROWS)]:
            signature = zlib.crc32(row, signature)
        self._repeated = signature == self._signature
        if not self._repeated:
            self._signature, self._same_since_ns = signature, frame.captured_ns

    def still(self, frame: Frame) -> bool:
        """Whether the frame's pixels are still its own: asked after the last use of them."""
        return self.ring.holds(frame.seq)


def stall_after(stream: StreamBase) -> int:
    """`Incoming.stall_ns`: some frame periods at least are no stall, whatever `stall_ms` says."""
    return int(max(stream.stall_ms * NS_PER_MS, PERIODS * NS_PER_S / stream.fps))


def frozen_after(stream: StreamBase) -> float:
    """`Incoming.frozen_ns`."""
    return math.inf if stream.frozen_ms is None else stream.frozen_ms * NS_PER_MS


def awaited(models: Mapping[str, ModelConfig], deadline_ns: int) -> frozenset[str]:
    """The models whose `budget_ms` lets them speak of a frame before it has to be drawn. The picture waits for these and no
    others: what can't come in time is not worth a moment of it."""
    return frozenset(name for name, m in models.items() if m.budget_ms * NS_PER_MS <= deadline_ns - DRAW_NS)


def woken_by(models: Mapping[str, ModelConfig], deadline_ns: int) -> Literal["results", "frames"]:
    """What wakes the display. With a model that speaks of every frame in time, its result does: to be woken by the frame as well,
    only to learn that there is nothing to draw yet, would cost the model a switch of tasks and back, 0.3 ms of each frame."""
    return "results" if any(models[name].every == 1 for name in awaited(models, deadline_ns)) else "frames"


def look_after(deadline_ns: int, own_core: bool) -> int:
    """`Incoming.look_ns` for a display woken by results. On a core that it shares with the models: later than results come when
    all is well, and early enough when not. On its own: soon, so that it lays the frame while the models run."""
    return LAY_NS if own_core else (deadline_ns - DRAW_NS) // 2


@dataclass
class ModelResults:
    """The newest output of each model of the display's stream."""

    plan: Plan
    rings: Mapping[str, RingReader]
    clock: Clock
    wait: Wait
    awaited: frozenset[str]
    """The models that the picture waits for; see `awaited`."""
    is_up: Callable[[str], bool] = lambda _model: True
    """Whether the model's worker has been set up."""
    redraw: Callable[[Frame], None] | None = None
    """Draws the last decision onto a frame where nobody sees it. None: nothing is rehearsed, as a model may have the core."""
    last_decided: Callable[[], object] = field(default=bool, init=False)
    """The last decision, to be made once more."""
    _lag_ns: int = field(default=0, init=False)
    """How long after a frame's capture all are expected to have spoken; 0: not known yet."""
    _rehearsal_ns: int = field(default=0, init=False)
    """How long a rehearsal is expected to take."""
    _known: dict[str, Result | Missed] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict)
    _every: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._every = {model.name: model.every for model in self.plan.models}

    def await_for(self, frame: Frame, until_ns: int) -> Results:
        """What each model says of `frame`, as soon as all that can have spoken in time have, at the latest at `until_ns`.

        A late result of an earlier frame is handed on once: the gate may HOLD it, and never takes it for this frame's. For a
        model that is still starting the picture does not wait.
        """
        seq, awaited = frame.seq, self.awaited
        asked = {name: looks_at(every, seq) for name, every in self._every.items()}
        missing = [
            name
            for name, is_due in asked.items()
            if self._lacks(name, seq) and is_due and name in awaited and (name in self._known or self.is_up(name))
        ]
        is_awaited = bool(missing)
        if missing and self.redraw is not None:
            missing = self._rehearse(frame, missing, self.redraw, until_ns - DRAW_NS)
        while missing and self.wait(until_ns):
            missing = [name for name in missing if self._lacks(name, seq)]
        if is_awaited and not missing:
            self._lag_ns = _expected(self._lag_ns, self.clock.now() - frame.captured_ns)
        if len(asked) > 1:  # what came while the others were waited for
            for name in asked:
                self._lacks(name, seq)
        return {name: self._said(name, seq, is_due) for name, is_due in asked.items()}

    def _rehearse(self, frame: Frame, missing: list[str], redraw: Callable[[Frame], None], latest_ns: int) -> list[str]:
        """Shortly before all are expected to have spoken: do with the last frame's results what will be done with this one's. What
        has not run for ten milliseconds has left the caches, the more so if another process had the core meanwhile. Not begun after
        `latest_ns`: even one that takes as long as a picture may ends before that must begin. Returns who is missing still."""
        begin_ns = frame.captured_ns + self._lag_ns - REHEARSED_NS - self._rehearsal_ns
        if self.clock.now() >= begin_ns:  # no time; what once took too long is tried again some day
            self._rehearsal_ns -= self._rehearsal_ns // FORGET
        while missing and self.clock.now() < begin_ns <= latest_ns:
            if not self.wait(begin_ns):
                for name, known in self._known.items():
                    results_ring.read_newest(self.rings[name], name, len(self.plan.labels[name]), known.seq)
                self.last_decided()
                redraw(frame)
                self._rehearsal_ns = _expected(self._rehearsal_ns, self.clock.now() - begin_ns)
                begin_ns = 0
            missing = [name for name in missing if self._lacks(name, frame.seq)]
        return missing

    def _said(self, name: str, seq: int, is_due: bool) -> Result | Missed:
        known = self._known.get(name)
        if (
            known is not None
            and known.seq > self._told.get(name, 0)
            and (known.seq == seq or isinstance(known, Result))
        ):
            self._told[name] = known.seq
            return known
        return Missed(name, seq, MissedReason.LATE if is_due else MissedReason.NOT_DUE)

    def _lacks(self, name: str, seq: int) -> bool:
        """Whether the model has not spoken of frame `seq`; looks at its ring if it had not so far."""
        known = self._known.get(name)
        if known is not None and known.seq >= seq:
            return False
        newest = results_ring.read_newest(self.rings[name], name, len(self.plan.labels[name]), seq)
        if newest is None:
            return True
        self._known[name] = newest
        return newest.seq < seq


def _expected(before_ns: int, now_ns: int) -> int:
    """What was expected before (0: nothing), and what it has been now."""
    return before_ns + (now_ns - before_ns) // FORGET if 0 < before_ns < now_ns else now_ns
