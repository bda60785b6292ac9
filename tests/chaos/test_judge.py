"""What a fault did to the picture, judged from scripted records; and that the campaign breaks what it must."""

import re
from typing import Any

import pytest
from rich.console import Console

from inframe.chaos import camera, sensors
from inframe.chaos.campaign import CAMERA_ALERT_MS, KILLED_WORKER_RECOVERS_MS, PERIOD_NS, Outcome, break_and_show, judge
from inframe.chaos.faults import FAULTS, Fault
from inframe.core.clock import NS_PER_MS
from inframe.core.errors import ConfigError
from inframe.core.events import EVENTS
from inframe.core.types import FrameFlag, MissedReason, Mode, Presence, Run, Steps, Verdict
from inframe.pipeline.record import Shown
from inframe.table import PROCESSES

STRUCK = 100 * PERIOD_NS + 10 * NS_PER_MS
FRAMES = 20
END = STRUCK + FRAMES * PERIOD_NS
MAX_AGE = 100 * NS_PER_MS
STEPS = Steps(0, 0, 0, 0)


def fault(name: str = "worker_killed", alerts: tuple[str, ...] = ("WORKER_LOST",), **more: Any) -> Fault:
    return Fault(name, lambda _stage: lambda: None, 0.0, alerts, **more)


def record(number: int, verdict: Verdict = Verdict.SHOW, **changes: Any) -> Shown:
    """The frame `number` after the strike, 0 the first; on the screen 10 ms after its capture."""
    captured = (101 + number) * PERIOD_NS
    seq = 700 + number
    whole = Shown(
        seq,
        captured,
        captured + PERIOD_NS,
        captured + 10 * NS_PER_MS,
        0,
        FrameFlag.NONE,
        verdict,
        Mode.NOMINAL,
        {"m": Run(seq, STEPS) if verdict is Verdict.SHOW else MissedReason.LATE},
        (),
        {},
    )
    return whole._replace(**changes)


def run(*changed: Shown, lost: tuple[int, ...] = ()) -> list[Shown]:
    """A good run of FRAMES frames, some of which are others or not there; and a few before and behind."""
    by_number = {one.seq - 700: one for one in changed}
    return [by_number.get(i, record(i)) for i in range(-3, FRAMES + 3) if i not in lost]


ALERTED = record(2, alerts={"WORKER_LOST": Presence.ON})


def judged(records: list[Shown], one: Fault | None = None, recovered_ms: float | None = 500.0) -> Outcome:
    return judge(one or fault(), records, STRUCK, END, recovered_ms, MAX_AGE)


def test_a_fault_that_cost_nothing() -> None:
    alert_ms = (ALERTED.shown_ns - STRUCK) / NS_PER_MS
    assert judged(run(ALERTED)) == Outcome(
        "worker_killed", frames_expected=FRAMES, recovered_ms=500.0, alert="WORKER_LOST", alert_ms=alert_ms
    )


@pytest.mark.parametrize("lost", [(5,), (0,), (FRAMES - 1,), (0, 7, 8, 9)])
def test_frames_that_never_came_are_lost(lost: tuple[int, ...]) -> None:
    outcome = judged(run(ALERTED, lost=lost))
    assert (outcome.frames_expected, outcome.frames_lost) == (FRAMES, len(lost))
    assert outcome.bars == f"{len(lost)} frames lost"


@pytest.mark.parametrize("shown_ns", [0, record(6).deadline_ns + 1])
def test_frames_that_were_overwritten_or_late_are_lost(shown_ns: int) -> None:
    outcome = judged(run(ALERTED, record(6, shown_ns=shown_ns)))
    assert (outcome.frames_lost, outcome.bars) == (1, "1 frames lost")
    assert judged(run(ALERTED, record(6, shown_ns=record(6).deadline_ns))).frames_lost == 0


def test_a_display_that_showed_nothing_has_lost_all() -> None:
    outcome = judged([])
    assert (outcome.frames_expected, outcome.frames_lost) == (FRAMES, FRAMES)
    assert outcome.bars == f"{FRAMES} frames lost; no WORKER_LOST"


OTHERS: dict[str, dict[str, Any]] = {
    "of the frame before": {"runs": {"m": Run(704, STEPS)}},
    "none": {"runs": {"m": MissedReason.LATE}},
    "one of two": {"runs": {"m": Run(705, STEPS), "n": MissedReason.INVALID}},
    "held too long": {"verdict": Verdict.HOLD, "age_ns": MAX_AGE + 1},
}


@pytest.mark.parametrize("case", OTHERS)
def test_an_overlay_that_is_not_the_frames_is_found(case: str) -> None:
    outcome = judged(run(ALERTED, record(5, **OTHERS[case])))
    assert outcome.wrongly_shown == 1
    assert outcome.bars == "1 overlays that were not the frame's"


def test_what_may_be_held_and_what_is_withheld_is_not_wrong() -> None:
    held = record(5, Verdict.HOLD, age_ns=MAX_AGE)
    withheld = [record(i, Verdict.WITHHOLD, age_ns=10 * MAX_AGE) for i in (6, 7, 8)]
    outcome = judged(run(ALERTED, held, *withheld))
    assert (outcome.wrongly_shown, outcome.bars) == (0, "held")
    assert outcome.overlay_off_ms == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("presence", [Presence.LATCHED, Presence.OFF])
def test_an_alert_must_be_on(presence: Presence) -> None:
    outcome = judged(run(record(2, alerts={"WORKER_LOST": presence, "AI_LATE": Presence.ON})))
    assert (outcome.alert, outcome.alert_ms, outcome.bars) == (None, None, "no WORKER_LOST")


def test_the_first_of_several_alerts_counts() -> None:
    several = fault(alerts=("AI_FAILED", "WORKER_LOST"))
    outcome = judged(
        run(record(3, alerts={"WORKER_LOST": Presence.ACKNOWLEDGED}), record(5, alerts={"AI_FAILED": Presence.ON})),
        several,
    )
    assert outcome.alert == "WORKER_LOST"
    assert outcome.alert_ms == pytest.approx((record(3).shown_ns - STRUCK) / NS_PER_MS)
    assert judged(run(), several).bars == "no AI_FAILED or WORKER_LOST"
    assert judged(run(), fault(alerts=())).bars == "held"


def test_an_alert_on_the_picture_without_a_frame_counts() -> None:
    shown = STRUCK + 400 * NS_PER_MS
    card = record(0, Verdict.WITHHOLD, seq=0, shown_ns=shown, runs={}, alerts={"NO_SIGNAL": Presence.ON})
    outcome = judged([card, *run()], fault("camera_gone", ("NO_SIGNAL",), camera=True))
    assert (outcome.alert_ms, outcome.bars) == (400.0, "held")
    card = card._replace(shown_ns=shown + 101 * NS_PER_MS)
    assert judged([card, *run()], fault("camera_gone", ("NO_SIGNAL",), camera=True)).bars == (
        f"alert later than {CAMERA_ALERT_MS:g} ms"
    )


def test_a_cameras_frames_may_be_lost_and_are_counted_by_the_clock() -> None:
    gone = fault("camera_gone", ("NO_SIGNAL",), camera=True)
    outcome = judged(run(record(2, alerts={"NO_SIGNAL": Presence.ON}), lost=tuple(range(5, 12))), gone)
    assert (outcome.frames_expected, outcome.frames_lost, outcome.bars) == (FRAMES, 7, "held")


@pytest.mark.parametrize(
    ("name", "recovered", "bars"),
    [
        ("worker_killed", KILLED_WORKER_RECOVERS_MS, "held"),
        ("worker_killed", KILLED_WORKER_RECOVERS_MS + 1, "NOMINAL only after 1501 ms"),
        ("worker_stopped", 3000.0, "held"),
        ("worker_stopped", None, "not NOMINAL within 20 s"),
    ],
)
def test_recovery(name: str, recovered: float | None, bars: str) -> None:
    assert judged(run(ALERTED), fault(name), recovered).bars == bars


def test_every_bar_that_is_broken_is_named() -> None:
    outcome = judged(run(record(5, runs={}, shown_ns=0), record(6, **OTHERS["none"])), recovered_ms=None)
    assert (
        outcome.bars == "1 frames lost; 1 overlays that were not the frame's; no WORKER_LOST; not NOMINAL within 20 s"
    )


# --- the table -------------------------------------------------------------------------------------------------------

ASKED = [
    "worker_killed",
    "worker_stopped",
    "worker_slow",
    "worker_nan",
    "worker_raising",
    "worker_out_of_memory",
    "recorder_killed",
    "recorder_stopped",
    "console_killed",
    "console_stopped",
    "disk_full",
    "camera_gone",
    "camera_frozen",
    "camera_broken_packets",
    "wall_clock_stepped",
    "cpu_hogs",
    "memory_hogs",
    "ring_slot_corrupted",
    "config_torn",
    "recording_killed",
    "recording_stopped",
    "sensor_silent",
    "sensor_frozen",
    "sensor_noisy",
    "sensor_late",
    "sensor_clock_stepped",
]


def test_everything_that_must_be_broken_is() -> None:
    faults = (*FAULTS, *sensors.FAULTS, *camera.FAULTS)
    assert {one.name for one in faults} >= set(ASKED)
    for one in faults:
        assert set(one.alerts) <= set(EVENTS)
        assert one.camera == one.name.startswith("camera_")
        assert one.ai == one.name.startswith("worker_")
        assert one.recording == one.name.startswith("recording_")
        assert bool(one.sensor) == one.name.startswith("sensor_")
        assert bool(one.alerts) != one.name.endswith(("_hogs", "capture_killed"))
    assert {one.name.split("_")[0] for one in faults if one.name.endswith("_killed")} <= set(PROCESSES)


def test_a_fault_that_nobody_knows_is_refused_before_anything_is_broken() -> None:
    with pytest.raises(
        ConfigError,
        match=re.escape("inframe chaos: --only: found nonsense, other, expected one or more of: worker_killed, "),
    ):
        break_and_show(Console(quiet=True), ["other", "worker_killed", "nonsense"])


@pytest.mark.parametrize(
    ("begin_ms", "lasts_ms", "beyond"),
    [(0.0, 8.0, 1), (-20.0, 28.0, 1), (0.0, 6.9, 2), (-30.0, 30.0, 2), (20.0, 25.0, 0), (200.0, 50.0, 2)],
)
def test_a_frame_is_excused_only_by_a_stall_that_leaves_no_time_to_draw_it(
    begin_ms: float, lasts_ms: float, beyond: int
) -> None:
    """Frames 4 and 5 are lost, due one period after the other."""
    begin = record(4).captured_ns + int(begin_ms * NS_PER_MS)
    stall = (begin, begin + int(lasts_ms * NS_PER_MS))
    outcome = judge(fault(), run(ALERTED, lost=(4, 5)), STRUCK, END, 500.0, MAX_AGE, [[], [stall]])
    assert (outcome.frames_lost, outcome.frames_lost_beyond_stalls) == (2, beyond)
    assert ("frames lost" in outcome.bars) is bool(beyond)


def test_without_a_probe_nothing_is_excused() -> None:
    assert judged(run(ALERTED, lost=(4,))).frames_lost_beyond_stalls == 1
