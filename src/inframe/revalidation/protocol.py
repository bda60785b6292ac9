"""What is decided before anybody looks: `protocol.yaml`. The criteria are in the words of a bundle's acceptance section."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from inframe.bundle.manifest import Criterion, Line
from inframe.core.part import Name, Part
from inframe.revalidation.criteria import METRICS, wrong_with
from inframe.revalidation.measuring import Settings


class Endpoint(Criterion):
    """One figure, and what must be shown of it."""

    margin: float | None = Field(
        None, ge=0, description="not worse than the bundle in use by more than this; null: not compared with it"
    )
    worst: float | None = Field(None, description="what the worst subgroup must reach; null: it is only told")

    @model_validator(mode="after")
    def _known(self) -> Self:
        wrong = wrong_with(self)
        if wrong is not None:
            raise ValueError(wrong)
        return self

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.metric} of {self.model}" + (f"/{self.label}" if self.label is not None else "")


class Protocol(Part):
    """`protocol.yaml`."""

    protocol: Line = Field(description="its name and version")
    settings: Settings = Settings()
    endpoints: tuple[Endpoint, ...] = Field(min_length=1, max_length=64)
    subgroups: tuple[Name, ...] = Field((), description="attributes of cases: each value of one makes a subgroup")
    least_cases: int = Field(5, ge=2, description="a subgroup of fewer is told, and not judged")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="one-sided, over all endpoints and looks together")
    looks: int = Field(1, ge=1, le=20, description="so many bundles may be looked at; each gets its share of alpha")
    draws: int = Field(9999, ge=999, le=100_000, description="of the bootstrap")
    seed: Annotated[int, Field(ge=0, le=1 << 62)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [one.name for one in self.endpoints]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ValueError(f"endpoints.{i}: found {name} twice, expected each once")
        for i, one in enumerate(self.endpoints):
            if METRICS[one.metric].of_rules and one.label is not None and one.label not in self.settings.rules:
                known = ", ".join(self.settings.rules) or "none"
                raise ValueError(f"endpoints.{i}.label: found {one.label!r}, expected one of settings.rules: {known}")
        return self

    @property
    def alpha_each(self) -> float:
        """For each look (Bonferroni)."""
        return self.alpha / self.looks
