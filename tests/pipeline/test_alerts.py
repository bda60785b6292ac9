"""Alerts: every event that matters reaches people, nothing flickers, and an acknowledgement is for what was seen."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.events import EVENTS
from inframe.core.types import Alert, Audio, Controls, Presence, Priority
from inframe.pipeline.alerts import (
    EVENT_ALERTS,
    FLASHES,
    MIN_ON_NS,
    RAISED_AFTER,
    AlertPlan,
    Live,
    audible,
    flash_on,
    listed,
    step_alerts,
    step_sightings,
)

PLAIN = AlertPlan("plain", "PLAIN", Priority.MEDIUM)
LATCHING = AlertPlan("latching", "LATCHING", Priority.HIGH, latch=True)
FAULT = AlertPlan("FAULT", "FAULT", Priority.LOW, min_on_ns=MIN_ON_NS)
PLANS = {plan.key: plan for plan in (PLAIN, LATCHING, FAULT)}
NOBODY = Controls()


def story(key: str, *steps: tuple[int, bool, int]) -> list[str]:
    """The alert's presence after steps of (now, is the condition there, acknowledged_ns)."""
    lives: tuple[Live, ...] = ()
    out = []
    for now, there, acknowledged in steps:
        lives = step_alerts(PLANS, {key} if there else set(), Controls(acknowledged_ns=acknowledged), lives, now)
        out.append(listed(PLANS, lives)[0].presence.name if lives else "OFF")
    return out


def test_an_alert_is_there_as_long_as_its_condition() -> None:
    assert story("plain", (1, True, 0), (2, True, 0), (3, False, 0)) == ["ON", "ON", "OFF"]


def test_an_acknowledged_condition_that_ends_and_comes_again_alerts_again() -> None:
    assert story("plain", (10, True, 0), (20, True, 15), (30, False, 15), (40, True, 15)) == [
        "ON",
        "ACKNOWLEDGED",
        "OFF",
        "ON",
    ]


def test_a_latched_alert_stays_until_it_is_acknowledged() -> None:
    assert story("latching", (10, True, 0), (20, False, 0), (99, False, 0), (100, False, 99)) == [
        "ON",
        "LATCHED",
        "LATCHED",
        "OFF",
    ]


def test_a_latched_alert_that_comes_again_needs_a_new_acknowledgement() -> None:
    assert story("latching", (10, True, 0), (20, False, 0), (30, True, 25), (40, False, 25), (50, False, 30)) == [
        "ON",
        "LATCHED",
        "ON",
        "LATCHED",
        "OFF",
    ]


def test_who_acknowledged_while_it_was_there_need_not_do_it_again() -> None:
    assert story("latching", (10, True, 0), (20, True, 15), (30, False, 15)) == ["ON", "ACKNOWLEDGED", "OFF"]


def test_an_acknowledgement_before_the_alert_was_raised_is_not_for_it() -> None:
    assert story("plain", (10, True, 9), (20, True, 9)) == ["ON", "ON"]


def test_a_device_alert_stays_long_enough_to_be_seen_unless_somebody_has_seen_it() -> None:
    assert story("FAULT", (0, True, -1), (1, False, -1), (MIN_ON_NS - 1, False, -1), (MIN_ON_NS, False, -1)) == [
        "ON",
        "ON",
        "ON",
        "OFF",
    ]
    assert story("FAULT", (10, True, 0), (11, False, 10)) == ["ON", "OFF"]


def test_highest_priority_first_then_the_one_that_was_there_first() -> None:
    lives = step_alerts(PLANS | {"second": AlertPlan("second", "", Priority.MEDIUM)}, {"second"}, NOBODY, (), 1)
    plans = PLANS | {"second": AlertPlan("second", "", Priority.MEDIUM)}
    lives = step_alerts(plans, set(plans), NOBODY, lives, 2)
    assert [a.key for a in listed(plans, lives)] == ["latching", "second", "plain", "FAULT"]


@given(
    st.lists(
        st.tuples(st.integers(1, 3000), st.sets(st.sampled_from(sorted(PLANS))), st.booleans()), min_size=1, max_size=60
    )
)
def test_what_is_present_is_listed_and_what_is_listed_is_explained(steps: list[tuple[int, set[str], bool]]) -> None:
    lives: tuple[Live, ...] = ()
    now, controls = 0, NOBODY
    for ms, there, acknowledge in steps:
        now += ms * NS_PER_MS
        controls = Controls(acknowledged_ns=now) if acknowledge else controls
        lives = step_alerts(PLANS, there, controls, lives, now)
        alerts = {a.key: a for a in listed(PLANS, lives)}
        assert there <= alerts.keys()
        for key, alert in alerts.items():
            assert (alert.presence is Presence.ACKNOWLEDGED) == (alert.since_ns <= controls.acknowledged_ns)
            if key not in there:
                assert alert.presence is Presence.LATCHED or now - alert.since_ns < MIN_ON_NS


def test_every_event_with_a_priority_has_an_alert_and_no_other() -> None:
    assert EVENT_ALERTS.keys() == {e.name for e in EVENTS.values() if e.priority > Priority.NONE}
    assert all(EVENT_ALERTS[name].text for name in EVENT_ALERTS)
    assert RAISED_AFTER.keys() <= EVENT_ALERTS.keys()


def test_one_sight_raises_what_is_sure_and_three_what_may_be_chance() -> None:
    sightings = step_sightings({"CAMERA_FROZEN", "AI_LATE"}, (), 1, NS_PER_S)
    assert {event for event, _, raised in sightings if raised} == {"CAMERA_FROZEN"}
    sightings = step_sightings({"AI_LATE"}, step_sightings({"AI_LATE"}, sightings, 2, NS_PER_S), 3, NS_PER_S)
    assert ("AI_LATE", (1, 2, 3), True) in sightings
    assert ("AI_LATE", (1, 2, 3), True) in step_sightings(set(), sightings, NS_PER_S, NS_PER_S)
    assert step_sightings(set(), sightings, NS_PER_S + 3, NS_PER_S) == ()


def test_what_is_raised_stands_while_it_is_still_seen_now_and_then() -> None:
    sightings = step_sightings({"AI_LATE"}, (), 0, NS_PER_S)
    for tenth in (4, 8, 16):
        sightings = step_sightings({"AI_LATE"}, sightings, tenth * NS_PER_S // 10, NS_PER_S)
    assert [raised for _, _, raised in sightings] == [True]


def test_three_sights_over_more_than_the_window_raise_nothing() -> None:
    sightings = step_sightings({"AI_LATE"}, (), 0, NS_PER_S)
    for now in (NS_PER_S - 1, 2 * NS_PER_S - 2):
        sightings = step_sightings({"AI_LATE"}, sightings, now, NS_PER_S)
    assert not any(raised for _, _, raised in sightings)


def alert(priority: Priority, presence: Presence) -> Alert:
    return Alert("a", "A", priority, presence, 0)


@pytest.mark.parametrize(
    ("presence", "sounds"),
    [(Presence.ON, True), (Presence.LATCHED, True), (Presence.ACKNOWLEDGED, False), (Presence.OFF, False)],
)
def test_what_nobody_has_acknowledged_sounds(presence: Presence, sounds: bool) -> None:
    assert (audible((alert(Priority.LOW, presence),), NOBODY, 0) is Priority.LOW) == sounds


def test_the_highest_priority_sounds() -> None:
    alerts = (
        alert(Priority.HIGH, Presence.ACKNOWLEDGED),
        alert(Priority.MEDIUM, Presence.ON),
        alert(Priority.LOW, Presence.ON),
    )
    assert audible(alerts, NOBODY, 0) is Priority.MEDIUM


def test_sound_is_apart_from_presence() -> None:
    alerts = (alert(Priority.HIGH, Presence.ON),)
    assert audible(alerts, Controls(audio=Audio.OFF), 10) is Priority.NONE
    paused = Controls(audio=Audio.PAUSED, audio_until_ns=10)
    assert audible(alerts, paused, 9) is Priority.NONE
    assert audible(alerts, paused, 10) is Priority.HIGH, "a pause ends by itself"


@pytest.mark.parametrize(("priority", "hz"), [(Priority.MEDIUM, (0.4, 0.8)), (Priority.HIGH, (1.4, 2.8))])
def test_flashing_is_within_the_standards_limits(priority: Priority, hz: tuple[float, float]) -> None:
    lit = [flash_on(priority, ms * NS_PER_MS) for ms in range(60_000)]
    flashes = sum(now and not before for before, now in pairwise(lit)) / 60
    assert hz[0] <= flashes <= hz[1]
    assert 0.2 <= sum(lit) / len(lit) <= 0.6


def test_low_is_constant_and_none_is_dark() -> None:
    assert all(flash_on(Priority.LOW, ms * NS_PER_MS) for ms in range(5000))
    assert not any(flash_on(Priority.NONE, ms * NS_PER_MS) for ms in range(5000))
    assert FLASHES.keys() == set(Priority)
