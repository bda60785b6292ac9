"""The mode: how much of the device works, with hysteresis. A worse mode is entered at once, a better one only after
RECOVER_NS in which nothing spoke for the worse one. Pure: times come in with the facts.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass

from inframe.core.budgets import RECOVER_NS, VIDEO_ONLY_NS
from inframe.core.clock import NS_PER_S
from inframe.core.events import EVENTS
from inframe.core.types import Mode

MISSES = 3
"""So many missed frames within the window are a reason; an isolated one is not."""

_UPDATES = {name for name in EVENTS if name.startswith("UPDATE_")} - {"UPDATE_DAMAGED"}
_CANDIDATES = {"CANDIDATE_PROPOSED", "CANDIDATE_SHOWN", "CANDIDATE_TAKEN_BACK", "CANDIDATE_KEPT", "SHADOW_LOST"}
_BESIDE = {"DRIFT", "PICTURE_UNUSUAL", "MONITOR_LOST", "MONITOR_DAMAGED", "ASSISTANT_LOST"}
_SENSORS = {
    "SENSOR_LOST",
    "SENSOR_ABSENT",
    "SENSOR_CLOCK_STEPPED",
}  # the mode is the AI's; what lacks a sensor says so itself
HARMLESS = frozenset({"CLOCK_STEPPED", "CONFIG_CHANGED", "UNPARTITIONED"} | _UPDATES | _CANDIDATES | _BESIDE | _SENSORS)
"""Events that take nothing away from what the device does now. Every other one, also one added later, is DEGRADED."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame, or its absence, says to the mode."""

    now_ns: int
    no_signal: bool
    no_models: bool
    missed: bool
    """A frame that is not SHOW, whatever the reason."""
    withheld: bool
    picture_wrong: bool
    """FROZEN or RESIZED: known for sure, not a matter of counting."""
    faults: Set[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the reasons look at."""

    seen: Seen
    mode: Mode
    """The mode until now."""
    misses: int
    """Missed frames within the window, this one included, at most MISSES."""
    withheld_ns: int
    """For how long there has been nothing to draw."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One row: while `holds`, the mode is at least `mode`."""

    text: str
    mode: Mode
    holds: Callable[[Facts], bool]


REASONS = (
    Reason("no frame from the camera", Mode.FAULT, lambda f: f.seen.no_signal or "NO_SIGNAL" in f.seen.faults),
    Reason("no model looks at this picture", Mode.VIDEO_ONLY, lambda f: f.seen.no_models),
    Reason("nothing to draw for VIDEO_ONLY_NS", Mode.VIDEO_ONLY, lambda f: f.withheld_ns >= VIDEO_ONLY_NS),
    Reason(  # not while all required results still come: then it was the worker of an optional model
        "a worker was given up, and results are missing",
        Mode.VIDEO_ONLY,
        lambda f: f.seen.missed and "WORKER_GIVEN_UP" in f.seen.faults,
    ),
    Reason(
        "results missing: several at first, any one before the device has recovered",
        Mode.DEGRADED,
        lambda f: f.seen.missed and (f.misses >= MISSES or f.mode > Mode.NOMINAL),
    ),
    Reason("the camera's picture is frozen or resized", Mode.DEGRADED, lambda f: f.seen.picture_wrong),
    Reason("something beside the models is broken", Mode.DEGRADED, lambda f: bool(f.seen.faults - HARMLESS)),
)


@dataclass(frozen=True, slots=True)
class ModeState:
    """The mode, and what its hysteresis needs."""

    mode: Mode
    asked_ns: tuple[int | None, int | None, int | None]
    """When a reason last asked for DEGRADED, VIDEO_ONLY, FAULT."""
    withheld_since_ns: int | None = None
    missed_ns: tuple[int, ...] = ()
    """The latest missed frames, at most MISSES."""


def first_mode(now_ns: int) -> ModeState:
    """VIDEO_ONLY, as after a long outage: NOMINAL before any result came would be a promise."""
    return ModeState(Mode.VIDEO_ONLY, (None, now_ns, None), withheld_since_ns=now_ns - VIDEO_ONLY_NS)


def step_mode(seen: Seen, past: ModeState, window_ns: int) -> ModeState:
    """The mode after one more frame, or its absence."""
    now = seen.now_ns
    missed_ns = recent(past.missed_ns, now, window_ns, MISSES, again=seen.missed)
    since = (past.withheld_since_ns if past.withheld_since_ns is not None else now) if seen.withheld else None
    withheld_ns = now - since if since is not None else 0
    facts = Facts(seen, past.mode, len(missed_ns), withheld_ns)
    asked = worst(facts)
    degraded, video_only, fault = (now if asked is mode else at for mode, at in zip(_WORSE, past.asked_ns, strict=True))
    asked_ns = (degraded, video_only, fault)
    standing = (m for m, at in zip(_WORSE, asked_ns, strict=True) if at is not None and now - at < RECOVER_NS)
    return ModeState(max(standing, default=Mode.NOMINAL), asked_ns, since, missed_ns)


_WORSE = (Mode.DEGRADED, Mode.VIDEO_ONLY, Mode.FAULT)


def worst(facts: Facts) -> Mode:
    """The worst mode that any reason asks for."""
    return max((reason.mode for reason in REASONS if reason.holds(facts)), default=Mode.NOMINAL)


def window(period_ns: int) -> int:
    """How far back misses count, ns: one second, or ten frames of a slow camera."""
    return max(NS_PER_S, 10 * period_ns)


def recent(times: tuple[int, ...], now_ns: int, window_ns: int, keep: int, *, again: bool) -> tuple[int, ...]:
    """The latest `keep` of `times` that lie within the window, with `now_ns` among them if it happened again."""
    kept = tuple(t for t in times if now_ns - t < window_ns)
    return (*kept, now_ns)[-keep:] if again else kept
