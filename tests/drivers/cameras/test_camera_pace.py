"""Time stamps that make no sense, and how early a frame is begun."""

import time
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.drivers.cameras.pace import MAX_GAP_NS, SPIN_NS, Lead, Timeline, sleep_until

MS = Fraction(1, 1000)
STEP = 40 * NS_PER_MS


def places(*stamps: int | None) -> list[int]:
    timeline = Timeline(STEP)
    return [timeline.place(stamp, MS) // NS_PER_MS for stamp in stamps]


def test_good_stamps_are_kept_relative_to_the_first() -> None:
    assert places(500, 533, 566, 700) == [0, 33, 66, 200]


def test_bad_stamps_count_as_one_step() -> None:
    assert places(None, None, None) == [0, 40, 80]
    assert places(0, None, 80, 120) == [0, 40, 80, 120]
    assert places(0, 33, 33, 66) == [0, 33, 73, 106]  # repeated
    assert places(0, 33, 66, 0, 33, 66) == [0, 33, 66, 106, 139, 172]  # back to the start
    assert places(0, 33, 9_000_000, 9_000_033) == [0, 33, 73, 106]  # hours ahead


@given(st.lists(st.none() | st.integers(-(1 << 62), 1 << 62), max_size=40))
def test_positions_only_grow_and_never_by_more_than_the_largest_gap(stamps: list[int | None]) -> None:
    timeline = Timeline(STEP)
    found = [timeline.place(stamp, MS) for stamp in stamps]
    assert all(0 < after - before <= MAX_GAP_NS for before, after in pairwise(found))


def test_the_lead_is_the_second_longest_of_the_last_makings() -> None:
    lead = Lead(STEP)
    assert lead.ns == STEP
    lead.note(5 * NS_PER_MS)
    assert lead.ns == 7 * NS_PER_MS
    lead.note(NS_PER_MS)
    assert lead.ns == 3 * NS_PER_MS
    lead.note(5 * NS_PER_MS)
    assert lead.ns == 7 * NS_PER_MS
    for _ in range(32):
        lead.note(NS_PER_MS)
    assert lead.ns == 3 * NS_PER_MS
    lead.note(NS_PER_S)
    lead.note(NS_PER_S)
    assert lead.ns == STEP


def test_sleep_until_sleeps_short_of_the_moment_and_polls_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    asked = []

    def sleep(seconds: float) -> None:
        asked.append(seconds)
        clock.advance(int(seconds * NS_PER_S) + SPIN_NS)  # woken late, as on a virtual machine

    monkeypatch.setattr(time, "sleep", sleep)
    moment = clock.now() + NS_PER_MS
    sleep_until(clock)(moment)
    assert clock.now() >= moment
    assert asked == [pytest.approx(0.00075)]
