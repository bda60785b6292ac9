"""The rules of a device file: what of the results becomes a finding."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.guidance import UNITS_MM, Tool
from inframe.core.part import Fraction, Name, Part
from inframe.core.sensor import SensorBase


class ConditionBase(Part):
    """A measured number against a threshold. `release` is where it ends: a band between the two does not flicker."""

    above: float | None = None
    below: float | None = None
    release: float | None = Field(None, description="the condition ends beyond this value; default: at the threshold")

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("found both or neither of above and below, expected exactly one")
        if self.release is not None:
            if self.above is not None and self.release > self.above:
                raise ValueError(f"release: found {self.release}, expected at most above = {self.above}")
            if self.below is not None and self.release < self.below:
                raise ValueError(f"release: found {self.release}, expected at least below = {self.below}")
        return self


class AreaCondition(ConditionBase):
    """Segmentation: the share of the output's region that the labels cover, 0..1."""

    kind: Literal["area"]
    labels: tuple[str, ...] = Field(min_length=1)


class DistanceCondition(ConditionBase):
    """Segmentation: the shortest distance between two labels, as a fraction of the frame's width; absent labels: no value."""

    kind: Literal["distance"]
    source: str
    target: str


class ScoreCondition(ConditionBase):
    """Classification: a label's score; detection: the best score of a label; heat: the map's one number (no label)."""

    kind: Literal["score"]
    label: str | None = None


class CountCondition(ConditionBase):
    """Detection: how many boxes of a label; segmentation: how many connected parts of at least `min_area`."""

    kind: Literal["count"]
    label: str
    min_area: Fraction = 0.001


class SampleCondition(ConditionBase):
    """A sensor: one channel of its stream, as it is aligned with the frame."""

    kind: Literal["sample"]
    channel: Name


class QualityCondition(Part):
    """A sensor: its stream has no value, for one of these reasons. `stale`, `noisy`, `saturated`: a lead that is off."""

    kind: Literal["quality"]
    among: tuple[Literal["stale", "gap", "saturated", "calibrating", "noisy"], ...] = Field(min_length=1)


class TipCondition(ConditionBase):
    """A tool's tip, from kinematics, and a label of a segmentation: `tip_distance`, how far it is from the label's nearest pixel, 0
    on it; `tip_contact`, in how many seconds it would touch at its present speed. No value if either is out of sight."""

    kind: Literal["tip_distance", "tip_contact"]
    tool: Name
    target: str
    behind: tuple[str, ...] = Field(
        (), description="labels of what may stand before it, as the tool: there the nearest other label counts"
    )
    unit: Literal["width", "px", "mm"] = Field(
        "px",
        description="tip_distance: a fraction of the frame's width, pixels, or millimetres across the line of sight",
    )


Condition = Annotated[
    AreaCondition
    | DistanceCondition
    | ScoreCondition
    | CountCondition
    | SampleCondition
    | QualityCondition
    | TipCondition,
    Field(discriminator="kind"),
]
OF_TIPS = ("tip_distance", "tip_contact")
"""The kinds that look at a model's results and at a tool, whose sensor may be absent too."""
OF_SENSORS = ("sample", "quality")
"""The kinds that look at a sensor; the others look at a model's results."""


class Persistence(Part):
    """When a condition becomes a finding: in k of the last n results, or without a break for so many seconds."""

    k: int | None = Field(None, ge=1, le=1000)
    n: int | None = Field(None, ge=1, le=1000)
    seconds: float | None = Field(None, ge=0, le=3600)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        frames = self.k is not None and self.n is not None
        if frames == (self.seconds is not None) or (self.k is None) != (self.n is None):
            raise ValueError("found a mixture, expected either k and n, or seconds")
        if self.k is not None and self.n is not None and self.k > self.n:
            raise ValueError(f"k: found {self.k}, expected at most n = {self.n}")
        return self


class Rule(Part):
    """Turns a model's results, or a sensor's samples, into a finding."""

    model: Name | None = Field(None, description="the model whose results it looks at")
    sensor: Name | None = Field(None, description="or the stream of samples")
    when: Condition
    absent: Literal["end", "keep", "raise"] | None = Field(
        None,
        description="kind: sample, tip_distance, tip_contact: what becomes of the finding while the sensor has no value. "
        "end: it ends; keep: it stays as it was, for `clear_s`; raise: no value counts as the condition",
    )
    persist: Persistence = Persistence(k=1, n=1)
    clear_s: float = Field(1.0, ge=0, le=3600, description="the finding ends after so long without the condition")
    text: str = Field(min_length=1, max_length=60)
    priority: Literal["none", "low", "medium", "high"] = "medium"
    latch: bool = Field(False, description="the alert stays, marked as past, until it is acknowledged")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.model is None) == (self.sensor is None):
            raise ValueError("found both or neither of model and sensor, expected exactly one")
        if (self.when.kind in OF_SENSORS) != (self.sensor is not None):
            raise ValueError(
                f"when.kind: found {self.when.kind}, expected {'one' if self.sensor else 'none'} of {', '.join(OF_SENSORS)}"
            )
        may_lack = self.when.kind in ("sample", *OF_TIPS)
        if may_lack and self.absent is None:
            raise ValueError(
                "absent: found nothing, expected end, keep or raise: what it does while the sensor has no value"
            )
        if not may_lack and self.absent is not None:
            raise ValueError(f"absent: found {self.absent}, expected it with kind: sample, {', '.join(OF_TIPS)} only")
        return self


def check_names(
    rules: Mapping[str, Rule],
    models: Collection[str],
    sensors: Mapping[str, SensorBase],
    streams: Collection[str],
    tools: Mapping[str, Tool],
) -> None:
    """That rules name what there is, and no stream has two meanings. Raises ValueError."""
    for name in sensors:
        if name in streams:
            raise ValueError(f"sensors.{name}: found a name that streams has too, expected each name once")
    for name, tool in tools.items():
        _check_tool(name, tool, sensors)
    for name, rule in rules.items():
        if isinstance(rule.when, TipCondition) and rule.when.tool not in tools:
            known = ", ".join(tools)
            raise ValueError(f"rules.{name}.when.tool: found {rule.when.tool!r}, expected one of tools: {known}")
        if rule.model is not None and rule.model not in models:
            known = ", ".join(dict.fromkeys(models))
            raise ValueError(f"rules.{name}.model: found {rule.model!r}, expected one of models: {known}")
        if rule.sensor is not None:
            _check_sensor(name, rule.sensor, rule.when, sensors)


def _check_sensor(name: str, stream: str, when: Condition, sensors: Mapping[str, SensorBase]) -> None:
    """That a rule reads a number that there is. Raises ValueError."""
    if stream not in sensors:
        raise ValueError(f"rules.{name}.sensor: found {stream!r}, expected one of sensors: {', '.join(sensors)}")
    if isinstance(when, SampleCondition):
        sensor = sensors[stream]
        if when.channel not in sensor.channels:
            known = ", ".join(sensor.channels)
            raise ValueError(f"rules.{name}.when.channel: found {when.channel!r}, expected one of: {known}")
        if sensor.align.over == "last":
            raise ValueError(f"rules.{name}.sensor: found {stream}, a window of samples, expected one with one value")


def _check_tool(name: str, tool: Tool, sensors: Mapping[str, SensorBase]) -> None:
    """That a tool's pose is one, and its carrier's. Raises ValueError."""
    sensor = _check_pose(name, "sensor", tool.sensor, tool, sensors)
    if any(tool.tip_mm) and sensor.rotation is None:
        raise ValueError(f"tools.{name}.tip_mm: found a tip beside the pose, expected a sensor with rotation")
    if tool.carrier is not None and _check_pose(name, "carrier", tool.carrier, tool, sensors).rotation is None:
        raise ValueError(f"tools.{name}.carrier: found {tool.carrier}, expected a sensor with rotation")


def _check_pose(name: str, field: str, found: str, tool: Tool, sensors: Mapping[str, SensorBase]) -> SensorBase:
    if found not in sensors:
        raise ValueError(f"tools.{name}.{field}: found {found!r}, expected one of sensors: {', '.join(sensors)}")
    sensor = sensors[found]
    for channel in tool.position:
        if channel not in sensor.channels:
            raise ValueError(f"tools.{name}.position: found {channel!r}, expected one of: {', '.join(sensor.channels)}")
    units = {sensor.channels[channel].unit for channel in tool.position}
    if len(units) > 1 or not units <= UNITS_MM.keys():
        raise ValueError(
            f"tools.{name}.position: found units {', '.join(sorted(units))}, expected all in m or all in mm"
        )
    if sensor.align.over == "last":
        raise ValueError(f"tools.{name}.{field}: found {found}, a window of samples, expected one with one value")
    return sensor
