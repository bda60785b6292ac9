"""From the rules of a device file to RulePlans: names become indices, milliseconds nanoseconds, and what
can't work is refused."""

from collections.abc import Callable, Mapping

from inframe.core.budgets import NO_SIGNAL_REDRAW_NS, VIDEO_ONLY_NS
from inframe.core.clock import NS_PER_S
from inframe.core.config import Decode, DecodeFunction, Device
from inframe.core.errors import ConfigError
from inframe.core.rule import (
    AreaCondition,
    Condition,
    CountCondition,
    DistanceCondition,
    Persistence,
    QualityCondition,
    Rule,
    SampleCondition,
    ScoreCondition,
    TipCondition,
)
from inframe.core.samples import Quality
from inframe.core.types import Priority
from inframe.pipeline.measure import Area, Count, Distance, Lacking, Measure, Reading, Score, Sensed
from inframe.pipeline.project import guides_of
from inframe.pipeline.rules import RulePlan
from inframe.pipeline.tips import Structure, TipDistance

WHERE = "device file"

_MEASURABLE = {
    "segmentation": ("area", "distance", "count"),
    "detection": ("score", "count"),
    "classification": ("score",),
    "heat": ("score",),
}


def plan_rules(device: Device, labels: Mapping[str, tuple[str, ...]], period_ns: int) -> tuple[RulePlan, ...]:
    """The rules in the order of the device file. Raises ConfigError."""
    return tuple(_plan_rule(name, rule, device, labels, period_ns) for name, rule in device.rules.items())


def _plan_rule(
    name: str, rule: Rule, device: Device, labels: Mapping[str, tuple[str, ...]], period_ns: int
) -> RulePlan:
    if rule.sensor is not None:
        every_ns = max(period_ns, NO_SIGNAL_REDRAW_NS)  # sensors are looked at with each frame, and each NO SIGNAL card
        return _plan(name, rule, _sensed(rule, rule.sensor, device), every_ns, *_threshold(rule.when))
    if rule.model is None:
        raise RuntimeError("the schema asks for exactly one of model and sensor")
    model = device.models[rule.model]
    if model.stream != device.display:  # display gets no results of other streams: the rule would be silent for ever
        found = f"{rule.model}, which looks at {model.stream}"
        raise ConfigError(WHERE, f"rules.{name}.model", found, f"a model of the display's stream, {device.display}")
    measure: Measure | TipDistance
    if isinstance(rule.when, TipCondition):
        measure = _tip(name, rule.model, rule, rule.when, device, labels[rule.model])
    else:
        measure = _measure(name, rule.model, rule.when, device, labels[rule.model])
    return _plan(name, rule, measure, model.every * period_ns, *_threshold(rule.when))


def _threshold(when: Condition) -> tuple[float | None, float | None, float]:
    """Above, below, and where it lets go."""
    if isinstance(when, QualityCondition):
        return 0.5, None, 0.5
    threshold = when.above if when.above is not None else when.below
    release = when.release if when.release is not None else threshold
    if release is None:
        raise RuntimeError("the schema asks for exactly one of above and below")
    return when.above, when.below, release


def _plan(
    name: str,
    rule: Rule,
    measure: Measure | Sensed | TipDistance,
    every_ns: int,
    above: float | None,
    below: float | None,
    release: float,
) -> RulePlan:
    persist: Persistence = rule.persist
    clear_ns = int(rule.clear_s * NS_PER_S)
    return RulePlan(
        name=name,
        measure=measure,
        above=above,
        below=below,
        release=release,
        k=persist.k or 1,
        n=persist.n or 1,
        seconds_ns=None if persist.seconds is None else int(persist.seconds * NS_PER_S),
        clear_ns=clear_ns,
        stale_ns=max(clear_ns, every_ns + VIDEO_ONLY_NS),
        gap_ns=2 * every_ns,
        text=rule.text,
        priority=Priority[rule.priority.upper()],
    )


def _sensed(rule: Rule, stream: str, device: Device) -> Sensed:
    when = rule.when
    if isinstance(when, SampleCondition):
        return Reading(stream, list(device.sensors[stream].channels).index(when.channel), rule.absent or "end")
    if isinstance(when, QualityCondition):
        return Lacking(stream, frozenset(Quality[why.upper()] for why in when.among))
    raise RuntimeError("the schema asks for a sensor's condition")


def _tip(
    rule: str, model: str, whole: Rule, when: TipCondition, device: Device, labels: tuple[str, ...]
) -> TipDistance:
    if (kind := _kind(device.models[model].decode)) != "segmentation":
        raise ConfigError(
            WHERE, f"rules.{rule}.model", f"{model}, which gives {kind}", "a model that gives segmentation"
        )
    for key, label in [("target", when.target), *(("behind", label) for label in when.behind)]:
        if label not in labels:
            raise ConfigError(WHERE, f"rules.{rule}.when.{key}", label, f"one of {', '.join(labels)}")
    guide = guides_of({when.tool: device.tools[when.tool]}, device.sensors)[when.tool]
    stream = device.streams[device.display]
    behind = frozenset(labels.index(label) for label in when.behind)
    structure = Structure(model, labels.index(when.target), behind, stream.width, stream.height)
    return TipDistance(structure, when.tool, guide, when.unit, whole.absent or "end", when.kind == "tip_contact")


def _measure(rule: str, model: str, when: Condition, device: Device, labels: tuple[str, ...]) -> Measure:
    kind = _kind(device.models[model].decode)
    if when.kind not in _MEASURABLE[kind]:
        expected = f"one of {', '.join(_MEASURABLE[kind])}: {model} gives {kind}"
        raise ConfigError(WHERE, f"rules.{rule}.when.kind", when.kind, expected)
    stream = device.streams[device.display]
    aspect = stream.height / stream.width

    def index(key: str, label: str) -> int:
        if label not in labels:
            raise ConfigError(WHERE, f"rules.{rule}.when.{key}", label, f"one of {', '.join(labels)}")
        return labels.index(label)

    match when:
        case AreaCondition():
            return Area(model, tuple(index("labels", label) for label in when.labels))
        case DistanceCondition():
            return Distance(model, index("source", when.source), index("target", when.target), aspect)
        case CountCondition():
            return Count(model, index("label", when.label), when.min_area, aspect)
        case ScoreCondition():
            return Score(model, _score_label(rule, kind, when.label, labels, index))
        case _:
            raise RuntimeError("the schema asks for a model's condition")


def _kind(decode: Decode) -> str:
    return decode.returns if isinstance(decode, DecodeFunction) else decode.kind


def _score_label(
    rule: str, kind: str, label: str | None, labels: tuple[str, ...], index: Callable[[str, str], int]
) -> int | None:
    field = f"rules.{rule}.when.label"
    if kind == "heat":
        if label is not None:
            raise ConfigError(WHERE, field, label, "none: a heat map has one score")
        return None
    if label is None:
        raise ConfigError(WHERE, field, "nothing", f"one of {', '.join(labels)}")
    return index("label", label)
