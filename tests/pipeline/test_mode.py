"""The mode: worse at once, better only after RECOVER_NS without a reason."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.budgets import RECOVER_NS, VIDEO_ONLY_NS
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.events import EVENTS
from inframe.core.types import Mode
from inframe.pipeline.mode import (
    HARMLESS,
    REASONS,
    Facts,
    ModeState,
    Seen,
    first_mode,
    recent,
    step_mode,
    window,
    worst,
)

PERIOD_NS = 33 * NS_PER_MS
WINDOW_NS = window(PERIOD_NS)
NOMINAL, DEGRADED, VIDEO_ONLY, FAULT = Mode.NOMINAL, Mode.DEGRADED, Mode.VIDEO_ONLY, Mode.FAULT


def seen(
    now_ns: int,
    *,
    no_signal: bool = False,
    missed: bool = False,
    withheld: bool = False,
    picture_wrong: bool = False,
    faults: Sequence[str] = (),
) -> Seen:
    return Seen(now_ns, no_signal, False, missed or withheld, withheld, picture_wrong, frozenset(faults))


SETTLED = ModeState(NOMINAL, (None, None, None))


def modes(frames: Sequence[Seen], state: ModeState = SETTLED) -> list[Mode]:
    out = []
    for frame in frames:
        state = step_mode(frame, state, WINDOW_NS)
        out.append(state.mode)
    return out


def test_one_late_result_does_not_change_the_mode() -> None:
    frames = [seen(PERIOD_NS * i, missed=i in (10, 60, 110)) for i in range(150)]
    assert set(modes(frames)) == {NOMINAL}


def test_the_third_miss_within_the_window_degrades_until_recovered() -> None:
    frames = [seen(PERIOD_NS * i, missed=i in (10, 20, 29)) for i in range(60)]
    out = modes(frames)
    clean = -(-RECOVER_NS // PERIOD_NS)
    assert out == [NOMINAL] * 29 + [DEGRADED] * clean + [NOMINAL] * (60 - 29 - clean)


def test_before_it_has_recovered_every_miss_counts() -> None:
    out = modes([seen(PERIOD_NS * i, missed=i < 3 or i == 10) for i in range(40)])
    assert out[2:19] == [DEGRADED] * 17
    assert out[-1] is NOMINAL


def test_one_miss_while_it_recovers_keeps_it_degraded() -> None:
    frames = [seen(NS_PER_S + PERIOD_NS * i, missed=i == 5) for i in range(30)]
    clean = -(-RECOVER_NS // PERIOD_NS)
    out = modes(frames, first_mode(NS_PER_S))
    assert out == [VIDEO_ONLY] * clean + [DEGRADED] * 5 + [NOMINAL] * (25 - clean)


def test_nothing_to_draw_for_half_a_second_is_video_only() -> None:
    frames = [seen(PERIOD_NS * i, withheld=True) for i in range(30)]
    out = modes(frames)
    first = out.index(VIDEO_ONLY)
    assert frames[first].now_ns >= VIDEO_ONLY_NS > frames[first - 1].now_ns


def test_a_single_miss_of_a_slow_camera_is_not_video_only() -> None:
    period = 600 * NS_PER_MS
    assert VIDEO_ONLY not in modes([seen(period * i, withheld=i == 5) for i in range(10)])


def test_the_start_is_video_only_until_results_have_come_for_a_while() -> None:
    start = NS_PER_S
    frames = [seen(start + PERIOD_NS * i, withheld=i < 20) for i in range(40)]
    out = modes(frames, first_mode(start))
    clean = -(-RECOVER_NS // PERIOD_NS) - 1
    assert out == [VIDEO_ONLY] * (20 + clean) + [NOMINAL] * (20 - clean)


@pytest.mark.parametrize(
    ("frame", "mode"),
    [
        (seen(0, no_signal=True, withheld=True), FAULT),
        (seen(0, faults=["NO_SIGNAL"]), FAULT),
        (seen(0, faults=["WORKER_GIVEN_UP"], withheld=True), VIDEO_ONLY),
        (seen(0, faults=["WORKER_GIVEN_UP"]), DEGRADED),
        (seen(0, faults=["WORKER_LOST"]), DEGRADED),
        (seen(0, picture_wrong=True, withheld=True), DEGRADED),
        (seen(0, withheld=True), NOMINAL),
        (seen(0), NOMINAL),
    ],
)
def test_each_reason_has_its_mode_at_once(frame: Seen, mode: Mode) -> None:
    assert modes([frame]) == [mode]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_degrades_unless_it_is_harmless(event: str) -> None:
    assert (modes([seen(0, faults=[event])])[0] is NOMINAL) == (event in HARMLESS)
    assert EVENTS.keys() >= HARMLESS


def test_each_reason_is_the_deciding_one_somewhere() -> None:
    cases = [
        Facts(Seen(0, True, False, True, True, False, frozenset()), NOMINAL, 1, 0),
        Facts(Seen(0, False, True, True, True, False, frozenset()), NOMINAL, 1, 0),
        Facts(Seen(0, False, False, True, True, False, frozenset()), NOMINAL, 1, VIDEO_ONLY_NS),
        Facts(Seen(0, False, False, True, True, False, frozenset({"WORKER_GIVEN_UP"})), NOMINAL, 1, 0),
        Facts(Seen(0, False, False, True, False, False, frozenset()), NOMINAL, 3, 0),
        Facts(Seen(0, False, False, True, False, True, frozenset()), NOMINAL, 1, 0),
        Facts(Seen(0, False, False, False, False, False, frozenset({"DISK_FULL"})), NOMINAL, 0, 0),
    ]
    assert [next(r.mode for r in REASONS if r.holds(facts)) for facts in cases] == [r.mode for r in REASONS]
    assert [worst(facts) for facts in cases] == [r.mode for r in REASONS]


def test_times_outside_the_window_or_beyond_the_number_kept_are_dropped() -> None:
    assert recent((0, 5, 9), 10, 6, 3, again=True) == (5, 9, 10)
    assert recent((5, 6, 7), 10, 6, 3, again=True) == (6, 7, 10)
    assert recent((4,), 10, 6, 3, again=False) == ()


FRAMES = st.lists(
    st.tuples(
        st.integers(1, 150),
        st.sampled_from(["good"] * 6 + ["missed", "withheld", "no signal", "frozen", "DISK_FULL", "WORKER_GIVEN_UP"]),
        st.integers(1, 12),
    ),
    max_size=60,
)


def script(drawn: Sequence[tuple[int, str, int]]) -> list[Seen]:
    frames, now = [], NS_PER_S
    for ms, what, times in drawn:
        for _ in range(times):
            now += ms * NS_PER_MS
            lost, given_up = what == "no signal", what == "WORKER_GIVEN_UP"
            withheld = lost or given_up or what in ("withheld", "frozen")
            frames.append(
                seen(
                    now,
                    no_signal=lost,
                    missed=what == "missed",
                    withheld=withheld,
                    picture_wrong=what == "frozen",
                    faults=[what] if what.isupper() else [],
                )
            )
    return frames


@settings(max_examples=500, deadline=None)
@given(FRAMES)
def test_worse_at_once_better_only_after_recover_ns(drawn: Sequence[tuple[int, str, int]]) -> None:
    state, asked_ns = SETTLED, dict.fromkeys(Mode, -RECOVER_NS)
    for frame in script(drawn):
        after = step_mode(frame, state, WINDOW_NS)
        obvious = FAULT if frame.no_signal else DEGRADED if frame.picture_wrong or frame.faults else NOMINAL
        assert after.mode >= obvious, "a worse mode is entered at once"
        for mode in (m for m in Mode if after.mode < m <= state.mode):
            assert frame.now_ns - asked_ns[mode] >= RECOVER_NS, "a better one only after so long without a reason"
        asked_ns[obvious] = frame.now_ns
        state = after


@settings(max_examples=500, deadline=None)
@given(FRAMES)
def test_no_excursion_from_nominal_is_shorter_than_recover_ns(drawn: Sequence[tuple[int, str, int]]) -> None:
    state, left_ns = SETTLED, 0
    for frame in script(drawn):
        after = step_mode(frame, state, WINDOW_NS)
        if state.mode is NOMINAL and after.mode > NOMINAL:
            left_ns = frame.now_ns
        if state.mode > NOMINAL and after.mode is NOMINAL:
            assert frame.now_ns - left_ns >= RECOVER_NS
        state = after


@settings(max_examples=500, deadline=None)
@given(FRAMES, st.integers(1, 100))
def test_once_all_reasons_are_gone_it_is_nominal_after_recover_ns(
    drawn: Sequence[tuple[int, str, int]], ms: int
) -> None:
    frames = script(drawn)
    state = SETTLED
    for frame in frames:
        state = step_mode(frame, state, WINDOW_NS)
    last = frames[-1].now_ns if frames else NS_PER_S
    now = last
    while now - last < RECOVER_NS:
        now += ms * NS_PER_MS
        state = step_mode(seen(now), state, WINDOW_NS)
    assert state.mode is NOMINAL
