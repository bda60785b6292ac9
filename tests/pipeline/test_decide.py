"""Whole stories: a device at work, frame after frame, on a clock of the test's own."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.budgets import RECOVER_NS, START_NS, VIDEO_ONLY_NS
from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.events import EVENTS
from inframe.core.types import Controls, FrameFlag, MissedReason, Mode, Priority, Verdict
from inframe.pipeline.alerts import MIN_ON_NS
from inframe.pipeline.decide import due
from tests.pipeline.script import NOTHING, PERIOD_NS, Run, device, masks, model, present

LATE, INVALID, FAILED = MissedReason.LATE, MissedReason.INVALID, MissedReason.FAILED
SHOW, HOLD, WITHHOLD = Verdict.SHOW, Verdict.HOLD, Verdict.WITHHOLD
NOMINAL, DEGRADED, VIDEO_ONLY, FAULT = Mode.NOMINAL, Mode.DEGRADED, Mode.VIDEO_ONLY, Mode.FAULT
LARGE = masks((1, 0.5))
RULES = {
    "organ_large": {
        "model": "organs",
        "when": {"kind": "area", "labels": ["organ"], "above": 0.3},
        "text": "ORGAN LARGE",
        "priority": "high",
    }
}


def modes(run: Run) -> list[Mode]:
    """The modes in their order, each once."""
    found = [decision.mode for _, decision in run.decisions]
    return [found[0], *(b for a, b in pairwise(found) if a is not b)]


def when(run: Run, mode: Mode) -> int:
    """When the mode last became this one."""
    at = [
        now for (_, before), (now, after) in pairwise(run.decisions) if before.mode is not mode and after.mode is mode
    ]
    return at[-1]


def test_a_quiet_start() -> None:
    run = Run()
    run.frames(1.5, LATE)
    late_ns = run.clock.now()
    run.frames(1, NOTHING)
    assert modes(run) == [VIDEO_ONLY, NOMINAL]
    assert not any(decision.alerts for _, decision in run.decisions), "what is still starting is not late"
    shown_ns = next(now for now, decision in run.decisions if decision.verdict is SHOW)
    assert RECOVER_NS <= shown_ns - late_ns < RECOVER_NS + PERIOD_NS


def test_a_model_that_never_comes_is_late_in_the_end() -> None:
    run = Run()
    run.frames(START_NS / NS_PER_S + 0.2, LATE)
    assert present(run.decisions[-1][1]) == {"AI_LATE": "ON"}
    assert modes(run) == [VIDEO_ONLY]


def test_one_late_result_costs_one_overlay_and_nothing_else() -> None:
    run = Run().started()
    late = run.frame(LATE)
    assert (late.verdict, late.mode, late.alerts) == (WITHHOLD, NOMINAL, ())
    after = run.frame(NOTHING)
    assert (after.verdict, after.mode, after.alerts) == (SHOW, NOMINAL, ())


def test_the_worker_dies_and_returns_after_800_ms() -> None:
    run = Run(device(rules=RULES)).started(LARGE)
    assert present(run.decisions[-1][1]) == {"organ_large": "ON"}
    died_ns = run.clock.now()
    first = run.frame(LATE)
    assert (first.verdict, first.shown, first.mode) == (WITHHOLD, (), NOMINAL)
    run.frame(LATE)
    assert run.frame(LATE, faults={"WORKER_LOST": run.clock.now()}).mode is DEGRADED
    run.frames(0.7, LATE, faults={"WORKER_LOST": died_ns})
    off = run.decisions[-1][1]
    assert (off.mode, off.findings, set(present(off))) == (VIDEO_ONLY, (), {"AI_LATE", "WORKER_LOST"})
    run.frames(0.6, LARGE)
    assert modes(run)[1:] == [NOMINAL, DEGRADED, VIDEO_ONLY, NOMINAL]
    assert when(run, NOMINAL) - died_ns <= 1500 * NS_PER_MS
    again = run.decisions[-1][1]
    assert (again.verdict, [f.rule for f in again.findings]) == (SHOW, ["organ_large"])
    run.frames(2, LARGE)
    assert present(run.decisions[-1][1]) == {"organ_large": "ON"}


def test_a_worker_that_is_given_up_is_video_only_at_once_and_for_good() -> None:
    run = Run().started()
    faults = {"WORKER_GIVEN_UP": run.clock.now()}
    assert run.frame(LATE, faults=faults).mode is VIDEO_ONLY
    run.frames(2, LATE, faults=faults)
    assert modes(run) == [VIDEO_ONLY, NOMINAL, VIDEO_ONLY]
    assert run.decisions[-1][1].alerts[0].text == "AI OFF"
    other = Run().started()
    assert other.frame(NOTHING, faults=faults).mode is DEGRADED, "it was an optional model's"
    assert other.frame(NOTHING, faults=faults).verdict is SHOW


@pytest.mark.parametrize(("reason", "event"), [(INVALID, "AI_INVALID"), (FAILED, "AI_FAILED"), (LATE, "AI_LATE")])
def test_a_model_that_returns_nonsense(reason: MissedReason, event: str) -> None:
    run = Run().started()
    assert [run.frame(reason).verdict for _ in range(3)] == [WITHHOLD] * 3
    alerted = run.decisions[-1][1]
    assert (present(alerted), alerted.mode) == ({event: "ON"}, DEGRADED)
    run.frame(NOTHING)
    assert present(run.decisions[-1][1]) == {event: "ON"}, "long enough to be read"
    run.frames(MIN_ON_NS / NS_PER_S, NOTHING)
    last = run.decisions[-1][1]
    assert (last.alerts, last.mode, last.verdict) == ((), NOMINAL, SHOW)


def test_a_rare_schedule_still_tells_why_there_is_nothing() -> None:
    run = Run(device({"organs": model(every=10)})).started()
    said = [run.frame(INVALID), *(run.frame(NOTHING) for _ in range(9))]
    assert present(said[2]) == {"AI_INVALID": "ON"}
    assert {d.verdict for d in said} == {WITHHOLD}
    assert run.frame(NOTHING).verdict is SHOW


def test_an_optional_model_may_be_late_but_not_wrong() -> None:
    run = Run(device({"organs": model(), "extra": model(required=False)})).started()
    run.frames(1, NOTHING, LATE)
    assert (run.decisions[-1][1].alerts, run.decisions[-1][1].mode) == ((), NOMINAL)
    run.frames(1, NOTHING, INVALID)
    last = run.decisions[-1][1]
    assert (present(last), last.mode, last.verdict) == ({"AI_INVALID": "ON"}, NOMINAL, SHOW)


def test_the_camera_freezes() -> None:
    run = Run(device(rules=RULES)).started(LARGE)
    frozen = run.frame(LARGE, flags=FrameFlag.FROZEN)
    assert (frozen.verdict, frozen.mode) == (WITHHOLD, DEGRADED)
    assert [(a.key, a.priority) for a in frozen.alerts][-1] == ("CAMERA_FROZEN", Priority.HIGH)
    assert "AI_LATE" not in present(frozen)
    run.frames(1, LARGE, flags=FrameFlag.FROZEN)
    last = run.decisions[-1][1]
    assert (last.mode, last.findings, present(last)) == (VIDEO_ONLY, (), {"CAMERA_FROZEN": "ON"})
    run.frames(3, LARGE)
    assert modes(run)[-2:] == [VIDEO_ONLY, NOMINAL]
    assert present(run.decisions[-1][1]) == {"organ_large": "ON"}


def test_broken_packets() -> None:
    run = Run().started()
    one = run.frame(NOTHING, flags=FrameFlag.CORRUPT)
    assert (one.verdict, one.mode, one.alerts) == (WITHHOLD, NOMINAL, ())
    run.frames(0.1, NOTHING, flags=FrameFlag.CORRUPT)
    assert present(run.decisions[-1][1]) == {"CAMERA_CORRUPT": "ON"}
    assert run.decisions[-1][1].mode is DEGRADED


def test_the_camera_changes_its_size() -> None:
    run = Run().started()
    resized = run.frame(NOTHING, flags=FrameFlag.RESIZED)
    assert (resized.verdict, resized.mode, present(resized)) == (WITHHOLD, DEGRADED, {"CAMERA_RESIZED": "ON"})


def test_the_camera_is_gone_and_comes_back() -> None:
    run = Run(device(rules=RULES)).started(LARGE)
    gone = run.no_signal()
    assert (gone.verdict, gone.mode, gone.shown, gone.findings) == (WITHHOLD, FAULT, (), ())
    assert present(gone) == {"NO_SIGNAL": "ON"}
    run.no_signal()
    back_ns = run.clock.now()
    run.frames(0.5, LARGE)
    assert modes(run)[-2:] == [FAULT, NOMINAL]
    assert RECOVER_NS <= when(run, NOMINAL) - back_ns < RECOVER_NS + PERIOD_NS
    run.frames(3, LARGE)
    assert present(run.decisions[-1][1]) == {"organ_large": "ON"}


def test_the_camera_comes_back_but_the_models_do_not() -> None:
    run = Run().started()
    for _ in range(8):
        run.no_signal()
    run.frames(1, LATE)
    assert modes(run)[-2:] == [FAULT, VIDEO_ONLY]


def test_a_frame_that_was_on_its_way_does_not_turn_time_back() -> None:
    run = Run().started()
    run.no_signal()
    late_ns = run.clock.now()
    run.clock = ManualClock(late_ns - PERIOD_NS - 1)
    decision = run.frame(NOTHING)
    assert run.state.now_ns == late_ns
    assert decision.mode is FAULT


def test_hold_keeps_the_device_degraded_and_the_finding_standing() -> None:
    run = Run(device({"organs": model(max_age_ms=1000)}, RULES)).started(LARGE)
    said = run.frames(0.9, LATE)
    assert {d.verdict for d in said} == {HOLD}
    assert [d.mode for d in said[:3]] == [NOMINAL, NOMINAL, DEGRADED]
    assert {d.mode for d in said[3:]} == {DEGRADED}
    assert said[-1].findings[0].value == said[0].findings[0].value
    said = run.frames(0.8, LATE)
    assert (said[-1].mode, said[-1].verdict, said[-1].findings) == (VIDEO_ONLY, WITHHOLD, ())
    gone = next(i for i, d in enumerate(run.decisions) if i > 30 and d[1].verdict is WITHHOLD)
    assert when(run, VIDEO_ONLY) - run.decisions[gone][0] >= VIDEO_ONLY_NS


def test_an_outage_that_flickers_is_no_flickering_mode() -> None:
    run = Run().started()
    for i in range(120):
        run.frame(LATE if i % 3 else NOTHING)
    assert modes(run) == [VIDEO_ONLY, NOMINAL, DEGRADED]
    assert [k for _, d in run.decisions[40:] for k in present(d)] == ["AI_LATE"] * (len(run.decisions) - 40)


def test_a_latched_finding_outlives_its_condition_until_somebody_has_seen_it() -> None:
    rules = {"organ_large": RULES["organ_large"] | {"latch": True, "clear_s": 0.1}}
    run = Run(device(rules=rules)).started(LARGE)
    run.frames(1, NOTHING)
    last = run.decisions[-1][1]
    assert (last.findings, present(last)) == ((), {"organ_large": "LATCHED"})
    seen = Controls(acknowledged_ns=run.clock.now())
    assert run.frame(NOTHING, controls=seen).alerts == ()
    assert present(run.frame(LARGE, controls=seen)) == {"organ_large": "ON"}


def test_a_finding_without_priority_alerts_nobody() -> None:
    rules = {"organ_large": RULES["organ_large"] | {"priority": "none"}}
    decision = Run(device(rules=rules)).started(LARGE).decisions[-1][1]
    assert ([f.rule for f in decision.findings], decision.alerts) == (["organ_large"], ())


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda e: e.name)
def test_every_event_that_is_present_reaches_people_if_it_has_a_priority(event: Any) -> None:
    run = Run().started()
    alerts = run.frame(NOTHING, faults={event.name: run.clock.now()}).alerts
    expected = [(event.name, event.text, event.priority)] if event.priority > Priority.NONE else []
    assert [(a.key, a.text, a.priority) for a in alerts] == expected


def test_due_is_what_the_gate_goes_by() -> None:
    run = Run(device({"organs": model(every=3), "echo": model(stream="ultrasound")}))
    assert [seq for seq in range(1, 8) if due(run.plan, "organs", seq)] == [1, 4, 7]
    assert not due(run.plan, "echo", 1)


FRAMES = st.lists(
    st.tuples(
        st.sampled_from(["good"] * 5 + ["late", "invalid", "no signal", "frozen", "corrupt"]),
        st.integers(1, 25),
        st.sets(st.sampled_from(sorted(EVENTS)), max_size=2) | st.just(set()),
        st.booleans(),
    ),
    max_size=25,
)


def play(run: Run, drawn: list[Any]) -> None:
    for what, times, faults, acknowledge in drawn:
        controls = Controls(acknowledged_ns=run.clock.now() if acknowledge else 0)
        for _ in range(times):
            more: Any = {"faults": dict.fromkeys(faults, run.clock.now()), "controls": controls}
            if what == "no signal":
                run.no_signal(**more)
                continue
            flag = {"frozen": FrameFlag.FROZEN, "corrupt": FrameFlag.CORRUPT}.get(what, FrameFlag.NONE)
            run.frame({"late": LATE, "invalid": INVALID}.get(what, LARGE), flags=flag, **more)


@settings(max_examples=150, deadline=None)
@given(FRAMES)
def test_whatever_happened_a_good_while_makes_it_good_again(drawn: list[Any]) -> None:
    run = Run(device(rules=RULES))
    play(run, drawn)
    for _, decision in run.decisions:
        if decision.mode >= VIDEO_ONLY:
            assert decision.verdict is WITHHOLD
            assert not decision.findings
        if decision.verdict is WITHHOLD:
            assert decision.shown == ()
    run.frames(2 * RECOVER_NS / NS_PER_S, LARGE)
    assert run.decisions[-1][1].mode is NOMINAL
    assert run.decisions[-1][1].verdict is SHOW
    run.frames(MIN_ON_NS / NS_PER_S, LARGE)
    assert set(present(run.decisions[-1][1])) == {"organ_large"}


@settings(max_examples=60, deadline=None)
@given(FRAMES)
def test_the_same_story_gives_the_same_decisions(drawn: list[Any]) -> None:
    one, other = Run(device(rules=RULES)), Run(device(rules=RULES))
    play(one, drawn)
    play(other, drawn)
    assert repr(one.decisions) == repr(other.decisions)


def test_a_state_can_be_used_twice() -> None:
    run = Run(device({"organs": model(max_age_ms=100)}, RULES)).started(LARGE)
    before, seq, clock = run.state, run.seq, run.clock.now()
    first = run.frame(LATE, faults={"DISK_FULL": clock})
    run.state, run.seq, run.clock = before, seq, ManualClock(clock)
    assert repr(run.frame(LATE, faults={"DISK_FULL": clock})) == repr(first)
