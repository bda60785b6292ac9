"""The comparison of a candidate with the model beside it, on real rings written by hand."""

from dataclasses import astuple

import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS
from inframe.core.health import Measured
from inframe.core.types import Masks, MissedReason, Steps
from inframe.pipeline import results, ring, shadow
from inframe.pipeline.ring import RingReader, RingWriter
from inframe.pipeline.shadow import Pair, publish, read_measured, together
from tests.pipeline import script

PERIOD = 33 * NS_PER_MS
RULE = {"model": "organs", "when": {"kind": "area", "labels": ["organ"], "above": 0.5}, "text": "ORGAN", "clear_s": 0}
SLOTS = 8


class Desk:
    """Both rings, and who compares them."""

    def __init__(self, window: int = 4) -> None:
        device = script.device({"organs": script.model()}, {"organ": RULE})
        memories = [ring.create("results", SLOTS, results.bound(device.models["organs"])) for _ in range(2)]
        self.candidate, self.before = (RingWriter(memory, ()) for memory in memories)
        self.say(self.candidate, 1, 0)  # from before it was proposed
        self.pair = Pair.of(device, "organs", RingReader(memories[0]), RingReader(memories[1]), window)

    def say(self, side: RingWriter, seq: int, organ: float | MissedReason, ms: float = 5) -> None:
        """Of frame `seq`: this share is organ, after so many ms."""
        at = seq * PERIOD
        steps = Steps(at, at, at, at + int(ms * NS_PER_MS))
        classes = np.zeros((10, 10), np.uint8)
        if not isinstance(organ, MissedReason):
            classes[: round(organ * 10)] = 1
        results.write(side, seq, at, organ if isinstance(organ, MissedReason) else Masks(classes), steps, at)

    def both(self, seq: int, candidate: float, before: float) -> None:
        self.say(self.candidate, seq, candidate)
        self.say(self.before, seq, before)

    def look(self) -> Measured:
        self.pair.look()
        return self.pair.tally.measured()


def test_what_both_say_of_a_frame_is_compared_whoever_speaks_first() -> None:
    desk = Desk()
    desk.say(desk.before, 2, 0.0)
    assert desk.look().compared == 0
    desk.say(desk.candidate, 2, 0.3)
    desk.say(desk.candidate, 3, 0.0)
    assert desk.look().compared == 1
    desk.say(desk.before, 3, 0.1)
    measured = desk.look()
    assert (measured.compared, measured.lost) == (2, 0)
    assert measured.disagreement == 0.2


def test_recent_is_the_window_and_worst_the_worst_full_window() -> None:
    desk = Desk(window=2)
    for seq, share in enumerate((1.0, 0.0, 0.4, 0.0, 0.0), 2):
        desk.both(seq, share, 0.0)
        measured = desk.look()
    assert (measured.recent, measured.worst, measured.compared) == (0.0, 0.5, 5)
    assert measured.disagreement == pytest.approx(0.28)


def test_findings_of_both_sides_are_made_by_the_device_s_rules() -> None:
    desk = Desk()
    for seq, (candidate, before) in enumerate(((0.6, 0.0), (0.6, 0.6), (0.0, 0.6), (0.0, 0.6)), 2):
        desk.both(seq, candidate, before)
        measured = desk.look()
    assert (measured.findings, measured.findings_before) == (0.5, 0.75)


def test_how_long_the_candidate_ran() -> None:
    desk = Desk(window=3)
    for seq, ms in enumerate((50.0, 5.0, 6.0, 7.0), 2):
        desk.say(desk.candidate, seq, 0.0, ms)
    measured = desk.look()
    assert (measured.p50_ms, measured.p99_ms, measured.max_ms) == (6.0, 7.0, 50.0)


def test_what_can_not_be_compared_is_lost() -> None:
    desk = Desk()
    for seq in range(2, 14):  # more than a ring holds, without a look
        desk.both(seq, 0.0, 0.0)
    assert desk.look() == desk.look()
    assert desk.pair.tally.compared + desk.pair.tally.lost == 12
    assert desk.pair.tally.lost > 0
    for seq in range(14, 14 + shadow.KEPT + 3):  # the other side says nothing
        desk.say(desk.candidate, seq, 0.0)
        desk.say(desk.before, seq, MissedReason.INVALID)
        measured = desk.look()
    assert measured.lost == desk.pair.tally.lost
    assert len(desk.pair.candidate.waiting) == shadow.KEPT
    assert measured.compared < 12


def test_what_was_measured_comes_back_under_its_number_only() -> None:
    memory = ring.create("measured", shadow.SLOTS, shadow.BYTES)
    reader = RingReader(memory)
    assert read_measured(reader, 1) == Measured()
    measured = Measured(7, 1, *(float(i) for i in range(8)))
    publish(RingWriter(memory, ()), 1, measured, 5)
    assert read_measured(reader, 1) == measured
    assert read_measured(reader, 2) == Measured()


def test_of_several_models_the_worst_counts_and_the_fewest() -> None:
    one = Measured(5, 1, 0.1, 0.2, 0.3, 0.5, 0.5, 1, 2, 3)
    two = Measured(9, 2, 0.05, 0.3, 0.1, 0.1, 0.4, 3, 2, 1)
    assert astuple(together([one, two])) == (5, 3, 0.1, 0.3, 0.3, 0.1, 0.4, 3, 2, 3)
    assert together([]) == Measured()
