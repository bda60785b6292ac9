"""`decide`: what reaches the screen, what is said beside it, and in which mode. Pure: the same frames, results,
faults and controls give the same decisions, live and in a replay. It reads no clock: the present is the frame's
capture time.

    results ── gate ──► verdict, what is drawn ─┐
                │                               ├─► Decision
    faults ─► mode ──► rules ──► findings ──► alerts

While the mode is VIDEO_ONLY or FAULT nothing that a model says reaches anybody, be it as overlay or as finding, and a
model that comes back must be good for RECOVER_NS first: the mode on the screen and the picture below it never
contradict.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from inframe.core.budgets import START_NS
from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.core.samples import NO_SAMPLES, Absent, Aligned, Samples
from inframe.core.types import (
    Controls,
    Decision,
    Frame,
    FrameFlag,
    MissedReason,
    Mode,
    NoSignal,
    Priority,
    Results,
    Verdict,
)
from inframe.pipeline.alerts import EVENT_ALERTS, AlertPlan, Live, Sightings, listed, step_alerts, step_sightings
from inframe.pipeline.gate import Gated, GateState, Memory, ModelPlan, forget, judge, looks_at
from inframe.pipeline.mode import ModeState, Seen, first_mode, step_mode, window
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.rules import RulePlan, RuleState, findings, step_rules

_FLAG_EVENTS = {
    FrameFlag.CORRUPT: "CAMERA_CORRUPT",
    FrameFlag.FROZEN: "CAMERA_FROZEN",
    FrameFlag.RESIZED: "CAMERA_RESIZED",
}
_REASON_EVENTS = {
    MissedReason.LATE: "AI_LATE",
    MissedReason.INVALID: "AI_INVALID",
    MissedReason.FAILED: "AI_FAILED",
    MissedReason.ABSENT: "AI_INPUT_ABSENT",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The device file, worked out for `decide`. Models and rules are those of the displayed stream."""

    display: str
    models: tuple[ModelPlan, ...]
    rules: tuple[RulePlan, ...]
    alerts: Mapping[str, AlertPlan]
    """By rule or event name; what is not in here alerts nobody."""
    labels: Mapping[str, tuple[str, ...]]
    window_ns: int


@dataclass(frozen=True, slots=True)
class State:
    """All that `decide` remembers from frame to frame. It keeps the latest results whole, for HOLD: their arrays must
    not be written to any more (`results.read_newest` copies them out of the ring)."""

    now_ns: int
    start_ns: int
    proven: bool
    """A result has been good once since the start."""
    gate: GateState
    mode: ModeState
    rules: tuple[RuleState, ...]
    sightings: Sightings
    alerts: tuple[Live, ...]


def make_plan(device: Device, labels: Mapping[str, tuple[str, ...]]) -> Plan:
    """Everything that can be worked out before the first frame. `labels`: of each model, in the order of its classes.

    Raises ConfigError for a rule that names a label which its model has not, or a measure that its outputs can't give.
    """
    period_ns = int(1e9 / device.streams[device.display].fps)
    models = tuple(
        ModelPlan(name, m.every, m.every * period_ns, int(m.max_age_ms * NS_PER_MS), m.required)
        for name, m in device.models.items()
        if m.stream == device.display
    )
    rules = plan_rules(device, labels, period_ns)
    latch = {name: rule.latch for name, rule in device.rules.items()}
    alerts = {r.name: AlertPlan(r.name, r.text, r.priority, latch[r.name]) for r in rules if r.priority > Priority.NONE}
    return Plan(device.display, models, rules, {**EVENT_ALERTS, **alerts}, dict(labels), window(period_ns))


def due(plan: Plan, model: str, seq: int) -> bool:
    """Whether the model (a name) looks at frame `seq` of the displayed stream."""
    return any(m.name == model and looks_at(m.every, seq) for m in plan.models)


def initial(plan: Plan, now_ns: int) -> State:
    """The state before the first frame: VIDEO_ONLY until a model has proved itself."""
    gate = GateState(tuple(Memory() for _ in plan.models))
    return State(now_ns, now_ns, False, gate, first_mode(now_ns), tuple(RuleState() for _ in plan.rules), (), ())


def decide(
    plan: Plan,
    frame: Frame | NoSignal,
    results: Results,
    faults: Mapping[str, int],
    controls: Controls,
    state: State,
    samples: Samples = NO_SAMPLES,
) -> tuple[Decision, State]:
    """The decision on one frame, or on its absence, and the state for the next.

    `results` by model name; a model that is not in it is LATE. `faults`: the events of EVENTS that other processes have
    raised, and since when, ns. A result is taken for this frame's only if both its seq and its captured_ns are. `samples`: what was
    known of each sensor at the present.
    """
    gated, gate, now_ns = _gate(plan, frame, results, state)
    seen = _seen(frame, gated, state, now_ns)
    sensed = samples
    if any(isinstance(said, Absent) for said in samples.values()):
        if now_ns - state.start_ns >= START_NS:
            seen.add("SENSOR_ABSENT")
        else:  # sensors take a moment to open, and their clocks to be known: nothing is lost yet
            sensed = {name: said for name, said in samples.items() if isinstance(said, Aligned)}
    sightings = step_sightings(seen, state.sightings, now_ns, plan.window_ns)
    mode = step_mode(_facts(plan, frame, gated, faults, now_ns), state.mode, plan.window_ns)
    ai_on = mode.mode < Mode.VIDEO_ONLY
    rules = step_rules(plan.rules, gated.fresh, now_ns, state.rules, ai_on=ai_on, samples=sensed)
    raised = {event for event, _, is_raised in sightings if is_raised}
    found = findings(plan.rules, rules)
    present = (raised | faults.keys() | {finding.rule for finding in found}) & plan.alerts.keys()
    alerts = step_alerts(plan.alerts, present, controls, state.alerts, now_ns)
    drawn = gated if ai_on else Gated(Verdict.WITHHOLD)
    shown = listed(plan.alerts, alerts)
    decision = Decision(drawn.verdict, mode.mode, found, shown, drawn.shown, drawn.age_ns, samples)
    proven = state.proven or gated.verdict is Verdict.SHOW
    return decision, State(now_ns, state.start_ns, proven, gate, mode, rules, sightings, alerts)


def _gate(plan: Plan, frame: Frame | NoSignal, results: Results, state: State) -> tuple[Gated, GateState, int]:
    """The gate's word, and the present. A frame that was on its way while the signal was missed does not turn time
    back."""
    if isinstance(frame, NoSignal):
        now_ns = max(state.now_ns, frame.now_ns)
        return Gated(Verdict.WITHHOLD), forget(state.gate, now_ns), now_ns
    gated, gate = judge(plan.models, frame, results, state.gate)
    return gated, gate, max(state.now_ns, frame.captured_ns)


def _seen(frame: Frame | NoSignal, gated: Gated, state: State, now_ns: int) -> set[str]:
    """The events that this frame is a sight of. An optional model may be late: only its errors are worth an event."""
    if isinstance(frame, NoSignal):
        return {"NO_SIGNAL"}
    events = {event for flag, event in _FLAG_EVENTS.items() if frame.flags & flag}
    starting = not state.proven and now_ns - state.start_ns < START_NS
    for model, why in gated.why:
        if why is not MissedReason.LATE or (model.required and not starting):
            events.add(_REASON_EVENTS[why])
    return events


def _facts(plan: Plan, frame: Frame | NoSignal, gated: Gated, faults: Mapping[str, int], now_ns: int) -> Seen:
    return Seen(
        now_ns,
        no_signal=isinstance(frame, NoSignal),
        no_models=not plan.models,
        missed=gated.verdict is not Verdict.SHOW,
        withheld=gated.verdict is Verdict.WITHHOLD,
        picture_wrong=isinstance(frame, Frame) and bool(frame.flags & (FrameFlag.FROZEN | FrameFlag.RESIZED)),
        faults=faults.keys(),
    )
