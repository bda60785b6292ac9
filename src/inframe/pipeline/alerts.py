"""Alerts: how findings and faults reach people. Priorities, flashing, latching and inactivation of sound after IEC
60601-1-8 ("characteristics of alarm indicator lights"); the names of presence and audio states after IEEE 11073 SDC.
Pure.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from inframe.core.clock import NS_PER_S
from inframe.core.events import EVENTS
from inframe.core.types import Alert, Audio, Controls, Presence, Priority
from inframe.pipeline.mode import MISSES, recent

MIN_ON_NS = 2 * NS_PER_S
"""A device alert stays at least so long: one whole flash of medium priority (1.67 s), so that what is over in one
frame can still be seen. Findings have `clear_s` and `latch` for that."""

RAISED_AFTER = {
    "NO_SIGNAL": 1,  # the loop has waited for stall_ms already
    "CAMERA_FROZEN": 1,  # the capture process has waited for frozen_ms already
    "CAMERA_RESIZED": 1,
    "CAMERA_CORRUPT": MISSES,
    "AI_LATE": MISSES,  # as for the mode: one late result changes neither the mode nor the alerts
    "AI_INVALID": MISSES,
    "AI_FAILED": MISSES,
    "AI_INPUT_ABSENT": MISSES,
    "SENSOR_ABSENT": MISSES,
}
"""The events that `decide` raises from frames and results itself: after so many frames within the window. They end when
none was seen for a whole window."""

Sightings = tuple[tuple[str, tuple[int, ...], bool], ...]
"""Event, when it was last seen (at most RAISED_AFTER times), whether it is raised."""


@dataclass(frozen=True, slots=True)
class Flash:
    """How a priority's light behaves."""

    millihertz: int
    """Flashes in 1000 seconds; 0: constant."""
    lit_percent: int
    """The part of each flash during which it is lit."""


FLASHES = {  # the colours that go with them are the overlay's
    Priority.NONE: Flash(0, 0),
    Priority.LOW: Flash(0, 100),  # cyan: constant
    Priority.MEDIUM: Flash(600, 50),  # yellow: 0.4 to 0.8 Hz, 20 to 60 %
    Priority.HIGH: Flash(2000, 50),  # red: 1.4 to 2.8 Hz, 20 to 60 %
}


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """What becomes of a finding or a fault when it is present."""

    key: str
    text: str
    priority: Priority
    latch: bool = False
    min_on_ns: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """An alert that is not OFF."""

    key: str
    since_ns: int
    """When it was raised: not when its condition began, lest an acknowledgement given in between counts for it."""
    present: bool = True
    acknowledged: bool = False


EVENT_ALERTS = {
    event.name: AlertPlan(event.name, event.text, event.priority, min_on_ns=MIN_ON_NS)
    for event in EVENTS.values()
    if event.priority > Priority.NONE
}


def step_sightings(seen: Set[str], past: Sightings, now_ns: int, window_ns: int) -> Sightings:
    """Which of `decide`'s own events stand after one more frame, on which `seen` were seen."""
    stood = {event: (times, raised) for event, times, raised in past}
    standing = []
    for event, needed in RAISED_AFTER.items():
        before, raised = stood.get(event, ((), False))
        times = recent(before, now_ns, window_ns, needed, again=event in seen)
        if times:
            standing.append((event, times, raised or len(times) >= needed))
    return tuple(standing)


def step_alerts(
    plans: Mapping[str, AlertPlan], present: Set[str], controls: Controls, past: tuple[Live, ...], now_ns: int
) -> tuple[Live, ...]:
    """The alerts after one more frame, on which the conditions `present` (keys of `plans`) hold."""
    before = {live.key: live for live in past}
    after = []
    for key in sorted(present | before.keys()):
        plan = plans[key]
        live = _next(plan, before.get(key), now_ns, present=key in present)
        live = replace(live, acknowledged=live.acknowledged or live.since_ns <= controls.acknowledged_ns)
        lingers = not live.acknowledged and (plan.latch or now_ns - live.since_ns < plan.min_on_ns)
        if live.present or lingers:
            after.append(live)
    return tuple(after)


def _next(plan: AlertPlan, live: Live | None, now_ns: int, *, present: bool) -> Live:
    """What was latched and comes again is a new occurrence: who acknowledges in that moment has seen the old one
    only."""
    if live is None or (present and not live.present and plan.latch):
        return Live(plan.key, now_ns)
    return replace(live, present=present)


def listed(plans: Mapping[str, AlertPlan], lives: tuple[Live, ...]) -> tuple[Alert, ...]:
    """The alerts to show: highest priority first, among equals the one that was there first."""
    alerts = (_alert(plans[live.key], live) for live in lives)
    return tuple(sorted(alerts, key=lambda a: (-a.priority, a.since_ns, a.key)))


def _alert(plan: AlertPlan, live: Live) -> Alert:
    return Alert(plan.key, plan.text, plan.priority, _presence(plan, live), live.since_ns)


def _presence(plan: AlertPlan, live: Live) -> Presence:
    if live.acknowledged:
        return Presence.ACKNOWLEDGED
    return Presence.LATCHED if plan.latch and not live.present else Presence.ON


def audible(alerts: tuple[Alert, ...], controls: Controls, now_ns: int) -> Priority:
    """The priority to sound; NONE: silence. A latched alert sounds until it is acknowledged."""
    paused = controls.audio is Audio.PAUSED and now_ns < controls.audio_until_ns
    if controls.audio is Audio.OFF or paused:
        return Priority.NONE
    sounding = (a.priority for a in alerts if a.presence in (Presence.ON, Presence.LATCHED))
    return max(sounding, default=Priority.NONE)


def flash_on(priority: Priority, now_ns: int) -> bool:
    """Whether an alert of this priority is lit at this moment; all of one priority flash together."""
    flash = FLASHES[priority]
    if not flash.millihertz:
        return flash.lit_percent > 0
    period_ns = 1000 * NS_PER_S // flash.millihertz
    return now_ns % period_ns * 100 < period_ns * flash.lit_percent
