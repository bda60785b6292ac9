"""Rules: from results to findings. A condition compares a measure with a threshold (and lets go at `release`),
persistence makes it a finding, `clear_s` ends it. Pure.

Only a result speaks for or against a condition. A frame without one (late, invalid, not due, held) is unknown: it
counts for neither side. But what has been unknown for long is not known any more: after `stale_ns` without a result,
or at once when the mode is VIDEO_ONLY or FAULT, the finding ends and all evidence is forgotten. The mode then says
that the AI is off.
"""

import math
from dataclasses import dataclass, field, replace

from inframe.core.samples import NO_SAMPLES, Absent, Aligned, Samples
from inframe.core.types import Finding, Masks, Priority, Result
from inframe.pipeline.approach import Approach, approached, contact_s, error_of
from inframe.pipeline.measure import Lacking, Measure, Reading, Sensed, take
from inframe.pipeline.project import Guide, Tip, tip_of
from inframe.pipeline.tips import Away, Structure, TipDistance, away_of, in_unit, own_result


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
    approach: Approach | None = None
    """Of a rule on a tip: its way up to now."""


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
    tips = Tips(fresh, samples, now_ns)
    after = []
    for plan, state in zip(plans, past, strict=True):
        if isinstance(plan.measure, Reading | Lacking):  # what a sensor says does not depend on the AI
            after.append(_sensed(plan, plan.measure, samples.get(plan.measure.stream), now_ns, state))
        elif not ai_on:
            after.append(RuleState())
        elif isinstance(plan.measure, TipDistance):
            after.append(_tip(plan, plan.measure, tips, state))
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


@dataclass(slots=True)
class Tips:
    """Where tips are at one frame, and how far from what: worked out once for all grades of a warning."""

    fresh: tuple[Result, ...]
    samples: Samples
    now_ns: int
    known: dict[tuple[str, Structure], tuple[Tip, Away] | None] = field(default_factory=dict)

    def of(self, tool: str, guide: Guide, structure: Structure, masks: Masks) -> tuple[Tip, Away] | None:
        """None where there is no distance."""
        key = tool, structure
        if key not in self.known:
            tip = tip_of(guide, self.samples)
            away = away_of(structure, masks, tip) if tip is not None else None
            self.known[key] = (tip, away) if tip is not None and away is not None else None
        return self.known[key]


def _tip(plan: RulePlan, measure: TipDistance, tips: Tips, past: RuleState) -> RuleState:
    """After one more frame: where the tip is by its sensor, and the structure by the model, both at this very moment."""
    now_ns, said = tips.now_ns, [tips.samples.get(stream) for stream in measure.guide.streams]
    if None in said or (past.known_ns is not None and now_ns <= past.known_ns):
        return past
    if any(isinstance(one, Absent) for one in said):
        return _without(plan, measure.absent, now_ns, past)
    masks = own_result(measure.model, tips.fresh, now_ns)
    past = _unless_stale(plan, now_ns, past)
    if masks is None:
        return past
    found = tips.of(measure.tool, measure.guide, measure.structure, masks)
    if found is None:
        return _heard(plan, None, now_ns, past)
    (tip, away), width = found, measure.structure.width
    approach = approached(past.approach, now_ns, away.px, error_of(tip.error_px, away.cell_px), width)
    value = contact_s(approach, width) if measure.contact else in_unit(measure, approach.px, tip)
    return replace(_heard(plan, value, now_ns, past), approach=approach)


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
