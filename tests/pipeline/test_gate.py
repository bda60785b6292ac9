"""The gate: no result is ever shown that is older than it may be, or that belongs to another frame."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.clock import NS_PER_MS
from inframe.core.types import Decision, Frame, FrameFlag, MissedReason, Mode, Result, Verdict
from inframe.pipeline.gate import Memory, judge, looks_at
from tests.pipeline.script import NOTHING, PERIOD_NS, PIXELS, Run, device, masks, model, result

LATE, INVALID, FAILED = MissedReason.LATE, MissedReason.INVALID, MissedReason.FAILED
SHOW, HOLD, WITHHOLD = Verdict.SHOW, Verdict.HOLD, Verdict.WITHHOLD


def run(**changes: Any) -> Run:
    return Run(device({"organs": model(**changes)})).started()


def two(second: dict[str, Any]) -> Run:
    return Run(device({"organs": model(), "extra": model(**second)})).started()


def verdicts(decisions: list[Decision]) -> list[Verdict]:
    return [d.verdict for d in decisions]


def test_the_frames_own_result_is_shown() -> None:
    decision = run().frame(NOTHING)
    assert (decision.verdict, decision.age_ns, len(decision.shown)) == (SHOW, 0, 1)


@pytest.mark.parametrize("reason", [LATE, INVALID, FAILED, MissedReason.NOT_DUE])
def test_a_missed_result_withholds_the_overlay_on_this_very_frame(reason: MissedReason) -> None:
    device_run = run()
    decision = device_run.frame(reason)
    assert (decision.verdict, decision.shown, decision.age_ns) == (WITHHOLD, (), 0)
    assert device_run.frame(NOTHING).verdict is SHOW


def test_a_model_that_says_nothing_is_late() -> None:
    assert run().frame().verdict is WITHHOLD


def test_hold_ends_exactly_after_max_age() -> None:
    held = run(max_age_ms=100)  # three periods are 99.999999 ms
    held.period_ns = 50 * NS_PER_MS
    held.frame(NOTHING)
    decisions = [held.frame(LATE) for _ in range(3)]
    assert verdicts(decisions) == [HOLD, HOLD, WITHHOLD]
    assert [d.age_ns // NS_PER_MS for d in decisions] == [50, 100, 0]
    held.frame(NOTHING)
    held.period_ns = 100 * NS_PER_MS + 1
    assert held.frame(LATE).verdict is WITHHOLD


def test_a_model_that_looks_at_each_third_frame() -> None:
    third = run(every=3)  # a second is 30 frames: the next one, 31, is due
    decisions = [third.frame(NOTHING) for _ in range(4)]
    assert verdicts(decisions) == [SHOW] * 4
    assert [d.age_ns for d in decisions] == [0, PERIOD_NS, 2 * PERIOD_NS, 0]
    third.frame(NOTHING)
    third.frame(NOTHING)
    assert verdicts([third.frame(LATE), third.frame(NOTHING), third.frame(NOTHING), third.frame(NOTHING)]) == [
        WITHHOLD,
        WITHHOLD,
        WITHHOLD,
        SHOW,
    ]


def test_a_missed_third_frame_is_held_and_stays_held() -> None:
    third = run(every=3, max_age_ms=150)
    for _ in range(3):
        third.frame(NOTHING)
    decisions = [third.frame(LATE), third.frame(NOTHING), third.frame(NOTHING), third.frame(NOTHING)]
    assert verdicts(decisions) == [HOLD, HOLD, WITHHOLD, SHOW], "100, 133, 167 ms, and a new one"


def test_a_schedule_is_a_time_too() -> None:
    third = run(every=3)
    third.frame(NOTHING)
    third.period_ns = 3 * PERIOD_NS  # the camera slows down: the next frame isn't due, and the result no longer young
    assert third.frame(NOTHING).verdict is WITHHOLD


def test_every_required_model_counts() -> None:
    both = two({})
    assert both.frame(NOTHING, NOTHING).verdict is SHOW
    assert both.frame(NOTHING, LATE).verdict is WITHHOLD


def test_an_optional_model_holds_nothing_back() -> None:
    both = two({"required": False})
    decision = both.frame(NOTHING, LATE)
    assert (decision.verdict, [r.model for r in decision.shown]) == (SHOW, ["organs"])
    assert both.frame(LATE, NOTHING).shown == ()


def test_an_optional_models_held_result_is_drawn_and_its_age_is_told() -> None:
    both = two({"required": False, "max_age_ms": 50})
    both.frame(NOTHING, NOTHING)
    decision = both.frame(NOTHING, LATE)
    assert (decision.verdict, len(decision.shown), decision.age_ns) == (SHOW, 2, PERIOD_NS)
    assert len(both.frame(NOTHING, LATE).shown) == 1


def test_optional_models_only() -> None:
    alone = run(required=False, max_age_ms=50)
    assert alone.frame(NOTHING).verdict is SHOW
    assert verdicts([alone.frame(LATE), alone.frame(LATE)]) == [HOLD, WITHHOLD]


def test_without_a_model_nothing_is_shown_and_the_mode_says_so() -> None:
    bare = Run(device({})).started()
    decision = bare.frame()
    assert (decision.verdict, decision.mode, decision.alerts) == (WITHHOLD, Mode.VIDEO_ONLY, ())


def test_a_model_of_another_stream_has_no_say() -> None:
    other = Run(device({"organs": model(), "echo": model(stream="ultrasound")})).started()
    decision = other.frame(NOTHING, NOTHING)
    assert (decision.verdict, [r.model for r in decision.shown]) == (SHOW, ["organs"])


@pytest.mark.parametrize("flag", [FrameFlag.CORRUPT, FrameFlag.FROZEN, FrameFlag.RESIZED])
def test_a_flagged_frame_is_never_drawn_upon_and_what_was_held_is_forgotten(flag: FrameFlag) -> None:
    held = run(max_age_ms=500)
    assert held.frame(NOTHING).verdict is SHOW
    assert held.frame(NOTHING, flags=flag).verdict is WITHHOLD
    assert held.frame(LATE).verdict is WITHHOLD, "a result from before the flag may not be held over it"
    assert held.frame(NOTHING).verdict is SHOW


def test_no_signal_forgets_what_was_held() -> None:
    held = run(max_age_ms=5000)
    held.no_signal()
    held.frames(0.5, LATE)
    assert all(d.verdict is WITHHOLD for _, d in held.decisions[30:])


def test_frames_that_are_counted_anew_forget_what_was_held() -> None:
    held = run(max_age_ms=5000)
    held.seq = 0
    assert held.frame(LATE).verdict is WITHHOLD
    assert held.frame(NOTHING).verdict is SHOW


@pytest.mark.parametrize(
    "wrong",
    [
        {"captured_ns": PERIOD_NS // 2},
        {"captured_ns": -PERIOD_NS // 2},
        {"seq": 1},
        {"seq": -1},
        {"seq": 1, "captured_ns": PERIOD_NS},
    ],
)
def test_a_result_that_does_not_match_the_frame_is_not_shown(wrong: dict[str, int]) -> None:
    now = run()
    seq, captured_ns = now.seq + 1, now.clock.now() + PERIOD_NS
    word = result(seq + wrong.get("seq", 0), captured_ns + wrong.get("captured_ns", 0))
    assert now.frame(word).verdict is WITHHOLD


def test_another_models_result_is_not_shown() -> None:
    now = run()
    word = result(now.seq + 1, now.clock.now() + PERIOD_NS, "somebody")
    assert now.frame(word).verdict is WITHHOLD


def test_a_late_result_may_be_held_for_what_is_left_of_its_age() -> None:
    slow = run(max_age_ms=40)
    slow.frames(0.2, LATE)
    word = result(slow.seq, slow.last_ns)
    decision = slow.frame(word)
    assert (decision.verdict, decision.age_ns, decision.shown) == (HOLD, PERIOD_NS, (word,))
    assert slow.frame(LATE).verdict is WITHHOLD


def test_a_late_result_that_is_too_old_to_be_held_is_no_evidence_either() -> None:
    slow = run()
    word = result(slow.seq, slow.last_ns)
    gated, _ = judge(
        slow.plan.models, frame_after(slow), {"organs": word}, replace(slow.state.gate, memories=(Memory(),))
    )
    assert gated.fresh == ()


def frame_after(now: Run) -> Frame:
    at = now.last_ns + PERIOD_NS
    return Frame("endoscope", now.seq + 1, at, at + PERIOD_NS, PIXELS)


def test_a_late_result_from_before_a_flag_is_refused() -> None:
    slow = run(max_age_ms=500)
    seq, captured_ns = slow.seq, slow.last_ns
    slow.frame(LATE, flags=FrameFlag.CORRUPT)
    assert slow.frame(result(seq, captured_ns, output=masks((1, 0.5)))).verdict is WITHHOLD


def test_the_first_frame_is_due_and_each_nth_after_it() -> None:
    assert [seq for seq in range(1, 11) if looks_at(3, seq)] == [1, 4, 7, 10]


WORDS = st.sampled_from(["good", "good", "good", "late", "invalid", "old", "older", "future", "nothing"])
STEP = st.tuples(
    st.lists(WORDS, min_size=3, max_size=3),
    st.integers(1, 120),  # ms since the frame before
    st.sampled_from([FrameFlag.NONE] * 8 + [FrameFlag.CORRUPT, FrameFlag.FROZEN]),
    st.integers(0, 60).map(lambda n: n == 0),  # lost signal
    st.integers(1, 3),  # 1: no frame dropped
)
MODELS = st.lists(
    st.builds(
        lambda every, age, required: model(every=every, max_age_ms=age, required=required),
        st.integers(1, 5),
        st.sampled_from([0, 0, 40, 100, 250]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


def _say(now: Run, word: str, name: str, dt_ns: int) -> MissedReason | Result:
    seq, at = now.seq + 1, now.clock.now() + dt_ns
    match word:
        case "good":
            return result(seq, at, name)
        case "old":
            return result(seq - 1, now.last_ns, name)
        case "older":
            return result(seq - 4, now.last_ns - 3 * PERIOD_NS, name)
        case "future":
            return result(seq + 1, at + PERIOD_NS, name)
        case "invalid":
            return INVALID
        case _:
            return LATE


@settings(max_examples=400, deadline=None)
@given(MODELS, st.lists(STEP, min_size=1, max_size=80))
def test_nothing_older_than_allowed_is_ever_in_a_decision(models: list[dict[str, Any]], steps: list[Any]) -> None:
    file = device({f"m{i}": m for i, m in enumerate(models)})
    now = Run(file)
    nominal, flagged_ns = Run(file).started().state.mode, 0
    for words, ms, flags, lost, ahead in steps:
        now.state = replace(now.state, mode=nominal)  # lest the mode withhold what the gate let through
        now.seq += ahead - 1
        now.period_ns = ms * NS_PER_MS
        if lost:
            decision = now.no_signal()
            flagged_ns = now.clock.now()
        else:
            said = [_say(now, word, name, now.period_ns) for word, name in zip(words, file.models, strict=False)]
            decision = now.frame(*said, flags=flags)
            flagged_ns = now.last_ns if flags else flagged_ns
        _check(now, decision, flagged_ns, flags if not lost else FrameFlag.FROZEN)


def _check(now: Run, decision: Decision, flagged_ns: int, flags: FrameFlag) -> None:
    plans = {plan.name: plan for plan in now.plan.models}
    for shown in decision.shown:
        plan, age_ns = plans[shown.model], now.last_ns - shown.captured_ns
        by_schedule = age_ns < plan.schedule_ns and shown.seq > now.seq - plan.every
        assert 0 <= age_ns <= decision.age_ns
        assert age_ns <= plan.max_age_ns or by_schedule
        assert shown.captured_ns > flagged_ns, "from another picture"
        if age_ns == 0:
            assert shown.seq == now.seq
    assert (decision.verdict is WITHHOLD) == (not decision.shown)
    assert not (flags and decision.shown)
    if decision.mode >= Mode.VIDEO_ONLY:
        assert decision.verdict is WITHHOLD
    if decision.verdict is SHOW:
        late = {p.name for p in plans.values() if p.required} - {r.model for r in decision.shown}
        assert not late


def test_the_arguments_are_left_as_they_were() -> None:
    now = run(max_age_ms=100)
    seen = masks((1, 0.3))
    word = result(now.seq + 1, now.clock.now() + PERIOD_NS, output=seen)
    before, pixels = now.state, seen.classes.copy()
    same = replace(before)
    assert now.frame(word).shown[0] is word
    assert before == same
    assert np.array_equal(seen.classes, pixels)
