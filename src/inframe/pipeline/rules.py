"""Rules: from results to findings. A condition compares a measure with a threshold (and lets go at `release`),
persistence makes it a finding, `clear_s` ends it. Pure.

Only a result speaks for or against a condition. A frame without one (late, invalid, not due, held) is unknown: it
counts for neither side. But what has been unknown for long is not known any more: after `stale_ns` without a result,
or at once when the mode is VIDEO_ONLY or FAULT, the finding ends and all evidence is forgotten. The mode then says
that the AI is off.
"""

import math
from dataclasses import dataclass, replace

from inframe.core.samples import NO_SAMPLES, Absent, Aligned, Samples
from inframe.core.types import Finding, Priority, Result
from inframe.pipeline.measure import Lacking, Measure, Reading, Sensed, take
from inframe.pipeline.project import tip_of
from inframe.pipeline.tips import TipDistance, Track, contact_s, distance_px, follow, in_unit, own_result


@dataclass(frozen=True, slots=True)
class RulePlan:
    """One rule of the device file, worked out."""

    name: str
    measure: Measure | Sensed | TipDistance
    above: float | None
    below: float | None
    release: float
    k: int
    n: int
    seconds_ns: int | None
    """None: k of n results."""
    clear_ns: int
    stale_ns: int
    gap_ns: int
    """The time between two results counts at most as this: two of the model's periods. A longer gap was unknown."""
    text: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class RuleState:
    """What a rule remembers."""

    on: bool = False
    """The condition, at the latest result."""
    history: int = 0
    """The last n results as bits, the latest lowest; an int, because it is immutable and counts fast."""
    for_ns: int = 0
    against_ns: int = 0
    first_ns: int = 0
    """When the condition was first seen; 0: nothing speaks for it."""
    known_ns: int | None = None
    """When the latest result was captured."""
    value: float = math.nan
    finding: bool = False
    track: Track = ()
    """Of a rule on contact: the distances before this one."""


def step_rules(
    plans: tuple[RulePlan, ...],
    fresh: tuple[Result, ...],
    now_ns: int,
    past: tuple[RuleState, ...],
    *,
    ai_on: bool,
    samples: Samples = NO_SAMPLES,
) -> tuple[RuleState, ...]:
    """The rules after one more frame, with which the results `fresh` came, and at which the sensors said `samples`."""
    measures = (plan.measure for plan in plans if not isinstance(plan.measure, Reading | Lacking | TipDistance))
    values = take(measures, fresh) if fresh and ai_on else {}
    captured = {result.model: result.captured_ns for result in fresh}
    after = []
    for plan, state in zip(plans, past, strict=True):
        if isinstance(plan.measure, Reading | Lacking):  # what a sensor says does not depend on the AI
            after.append(_sensed(plan, plan.measure, samples.get(plan.measure.stream), now_ns, state))
        elif not ai_on:
            after.append(RuleState())
        elif isinstance(plan.measure, TipDistance):
            after.append(_tip(plan, plan.measure, fresh, samples, now_ns, state))
        elif plan.measure in values:
            at_ns = captured[plan.measure.model]
            after.append(_heard(plan, values[plan.measure], at_ns, _unless_stale(plan, at_ns, state)))
        else:
            after.append(_unless_stale(plan, now_ns, state))
    return tuple(after)


def findings(plans: tuple[RulePlan, ...], states: tuple[RuleState, ...]) -> tuple[Finding, ...]:
    """The findings that stand, in the order of the device file."""
    return tuple(
        Finding(plan.name, plan.text, plan.priority, state.first_ns, state.value)
        for plan, state in zip(plans, states, strict=True)
        if state.finding
    )


def _unless_stale(plan: RulePlan, now_ns: int, past: RuleState) -> RuleState:
    return RuleState() if past.known_ns is not None and now_ns - past.known_ns > plan.stale_ns else past


def holds(plan: RulePlan, value: float | None, was_on: bool) -> bool:
    """The condition, with its hysteresis: it begins beyond the threshold and ends beyond `release`. No value: it
    doesn't."""
    if value is None:
        return False
    if plan.above is not None:
        return value > plan.above or (was_on and value >= plan.release)
    return plan.below is not None and (value < plan.below or (was_on and value <= plan.release))


def _sensed(plan: RulePlan, measure: Sensed, said: Aligned | Absent | None, now_ns: int, past: RuleState) -> RuleState:
    """After one more look at a sensor. A look at the same moment as the one before, without a frame, adds nothing."""
    if said is None or (past.known_ns is not None and now_ns <= past.known_ns):
        return past
    if isinstance(measure, Lacking):
        lacks = isinstance(said, Absent) and said.why in measure.among
        return _heard(plan, float(lacks), now_ns, past)
    if isinstance(said, Aligned):
        return _heard(plan, said.values[measure.index], now_ns, _unless_stale(plan, now_ns, past))
    return _without(plan, measure.absent, now_ns, past)


def _without(plan: RulePlan, absent: str, now_ns: int, past: RuleState) -> RuleState:
    """While a sensor has no value the rule does what it says for that."""
    if absent == "raise":
        return _heard(plan, None, now_ns, past, absent_on=True)
    return RuleState() if absent == "end" else _unless_stale(plan, now_ns, past)


def _tip(
    plan: RulePlan, measure: TipDistance, fresh: tuple[Result, ...], samples: Samples, now_ns: int, past: RuleState
) -> RuleState:
    """After one more frame: where the tip is by its sensor, and the structure by the model, both at this very moment."""
    said = samples.get(measure.guide.stream)
    if said is None or (past.known_ns is not None and now_ns <= past.known_ns):
        return past
    if isinstance(said, Absent):
        return _without(plan, measure.absent, now_ns, past)
    masks = own_result(measure, fresh, now_ns)
    past = _unless_stale(plan, now_ns, past)
    if masks is None:
        return past
    tip = tip_of(measure.guide, samples)
    px = distance_px(measure, masks, tip) if tip is not None else None
    if px is None or tip is None:
        return _heard(plan, None, now_ns, past)
    if not measure.contact:
        return _heard(plan, in_unit(measure, px, tip), now_ns, past)
    track = follow(past.track, now_ns, px)
    return replace(_heard(plan, contact_s(track), now_ns, past), track=track)


def _heard(plan: RulePlan, value: float | None, at_ns: int, past: RuleState, *, absent_on: bool = False) -> RuleState:
    """After a result that was captured at `at_ns`. `absent_on`: that there is no value counts as the condition."""
    on = absent_on or holds(plan, value, past.on)
    gap_ns = min(at_ns - past.known_ns, plan.gap_ns) if past.known_ns is not None else 0
    for_ns = past.for_ns + gap_ns if on and past.on else 0
    against_ns = past.against_ns + gap_ns if not on and not past.on else 0
    history = (past.history << 1 | on) & ((1 << plan.n) - 1)
    persisted = for_ns >= plan.seconds_ns if plan.seconds_ns is not None else history.bit_count() >= plan.k
    finding = (on and persisted) or (past.finding and (on or against_ns < plan.clear_ns))
    first_ns = past.first_ns or (at_ns if on else 0)
    if not finding and (past.finding or not history):
        first_ns = 0
    state = RuleState(on, history, for_ns, against_ns, first_ns, at_ns, past.value, finding)
    return state if value is None else replace(state, value=value)
