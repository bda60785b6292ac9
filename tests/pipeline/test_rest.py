"""Who follows the records sleeps through the frame path's work: one waking a frame, right behind its decision."""

from collections.abc import Callable
from dataclasses import dataclass, field

from inframe.core.clock import ManualClock
from inframe.core.config import FileStream
from inframe.pipeline.rest import AFTER, GLANCE_S, LONGEST, period_of, rest
from tests.pipeline.records import PERIOD_NS, Records

PERIOD_S = PERIOD_NS / 1e9
SHOWN_NS = 10_000_000
GLANCE_NS, BEHIND_NS = int(GLANCE_S * 1e9), int((AFTER - 1) * PERIOD_NS)


@dataclass
class Follower:
    """Its clock moves while it waits; frames are decided 10 ms behind their capture, plus what `late_ns` says of them."""

    frames: int
    late_ns: Callable[[int], int] = lambda _frame: 0
    stops_after: int = 10**9
    records: Records = field(default_factory=Records)
    clock: ManualClock = field(default_factory=lambda: ManualClock(PERIOD_NS))
    wakings: int = 0

    def wait(self, seconds: float) -> bool:
        """Sleep so long."""
        self.wakings += 1
        self.clock.advance(int(seconds * 1e9))
        while self.records.written < self.frames and self._decided(self.records.written + 1) <= self.clock.now():
            self.records.write()
        return self.wakings >= self.stops_after

    def _decided(self, frame: int) -> int:
        return frame * PERIOD_NS + SHOWN_NS + self.late_ns(frame)

    def rest(self) -> bool:
        """Wait for the next record."""
        return rest(self.records.reader, PERIOD_S, self.clock, self.wait)


def test_it_wakes_once_a_frame_right_behind_the_decision() -> None:
    follower = Follower(100)
    assert follower.rest()
    follower.records.take()
    before = follower.wakings
    for number in range(2, 101):
        assert follower.rest()
        assert follower.records.take() == [number]
        assert 0 <= follower.clock.now() - follower._decided(number) - BEHIND_NS < GLANCE_NS
    assert follower.wakings - before == 99


def test_a_late_decision_is_looked_for_and_does_not_shift_the_next() -> None:
    follower = Follower(20, late_ns=lambda frame: 5_000_000 if frame == 10 else 0)
    while follower.records.reader.last < 20:
        assert follower.rest()
        follower.records.take()
        newest = follower.records.written
        assert follower.clock.now() - follower._decided(newest) < BEHIND_NS + GLANCE_NS


def test_without_a_decision_it_looks_all_the_same() -> None:
    follower = Follower(1)
    assert follower.rest()
    follower.records.take()
    for _ in range(3):
        began = follower.clock.now()
        assert follower.rest()
        assert follower.records.take() == []
        assert 0 <= follower.clock.now() - began - int(LONGEST * PERIOD_NS) < GLANCE_NS


def test_a_file_that_is_read_as_fast_as_it_can_be_is_glanced_at() -> None:
    stream = FileStream(camera="file", path="x", width=64, height=64, fps=30, pace="fast")
    assert period_of(stream) == 0
    assert period_of(stream.model_copy(update={"pace": "realtime"})) == 1 / 30
    follower = Follower(0)
    assert rest(follower.records.reader, 0.0, follower.clock, follower.wait)
    assert follower.clock.now() == PERIOD_NS + GLANCE_NS


def test_it_ends_when_told_to() -> None:
    assert not Follower(0, stops_after=1).rest()
