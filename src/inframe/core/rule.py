"""The rules of a device file: what of the results becomes a finding."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.part import Fraction, Name, Part


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


Condition = Annotated[AreaCondition | DistanceCondition | ScoreCondition | CountCondition, Field(discriminator="kind")]


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
    """Turns a model's results into a finding."""

    model: Name
    when: Condition
    persist: Persistence = Persistence(k=1, n=1)
    clear_s: float = Field(1.0, ge=0, le=3600, description="the finding ends after so long without the condition")
    text: str = Field(min_length=1, max_length=60)
    priority: Literal["none", "low", "medium", "high"] = "medium"
    latch: bool = Field(False, description="the alert stays, marked as past, until it is acknowledged")
