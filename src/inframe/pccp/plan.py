"""`pccp.yaml`: a predetermined change control plan (FDA, final guidance of December 2024), in its parts: the modifications with
their bounds, for each its protocol (data management, retraining, performance evaluation, update), its impact, and its traces.

Its JSON Schema is published by `inframe pccp schema`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.bundle.manifest import Criterion, DataSet, Line, Setting, Text
from inframe.core.part import Name, Part
from inframe.core.yamlfile import parse_yaml, read_bytes
from inframe.revalidation.criteria import wrong_with

ModificationId = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9-]{0,31}$")]


class Bound(Part):
    """What may become of a field of the manifest, or of a member; * in its name stands for anything. Exactly one kind of bound."""

    field: Line = Field(
        description="as `inframe bundle diff` names it: models.anatomy.budget_ms, training.*, member anatomy.onnx"
    )
    change: Literal["any", "weights"] | None = Field(
        None, description="any; weights: an ONNX member whose graph stays, and whose weights may change"
    )
    at_least: float | None = None
    at_most: float | None = None
    by: float | None = Field(None, ge=0, description="at most so far from what it was")
    one_of: tuple[Setting, ...] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [self.change is not None, self.by is not None, self.one_of is not None]
        kinds.append(self.at_least is not None or self.at_most is not None)
        if sum(kinds) != 1:
            raise ValueError(
                f"found {sum(kinds)} kinds of bound, expected one: change, at_least/at_most, by, or one_of"
            )
        return self


class DataManagement(Part):
    """Which data may be used. Data that the evaluation uses may never be among those of the training."""

    about: Text
    least_training_sets: int = Field(1, ge=1)
    keeps: bool = Field(False, description="the training data of the bundle before must still be among them")
    cases: DataSet | None = Field(None, description="the locked cases; null: any that a lock names")
    least_cases: int = Field(1, ge=1, description="procedures that must have been evaluated")


class Range(Part):
    """A number's bounds."""

    at_least: float | None = None
    at_most: float | None = None


class Retraining(Part):
    """How the model may be made anew."""

    about: Text
    code: tuple[Line, ...] = Field((), description="revisions of the training code; none: any")
    hyperparameters: dict[str, Range] = Field({}, description="those that must be told, and within which bounds")


class Evaluation(Part):
    """What a locked revalidation must have shown of the new bundle."""

    about: Text
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    against_old: bool = Field(
        True, description="not inferior to the very bundle before, by margins of the locked protocol"
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="at most; one-sided, over all endpoints")

    @model_validator(mode="after")
    def _judged(self) -> Self:
        for i, one in enumerate(self.criteria):
            wrong = wrong_with(one)
            if wrong is not None:
                raise ValueError(f"criteria.{i}.{wrong}")
        return self


class UpdateProcedure(Part):
    """How it may reach devices."""

    about: Text
    signatures: dict[Name, Annotated[int, Field(ge=1, le=64)]] = Field(
        {}, description="role -> so many keys of it must have signed the bundle"
    )
    latency: bool = Field(True, description="the bundle must say how long a run may take on the device (`latency`)")


class Impact(Part):
    """A risk of this modification, and what is done about it."""

    risk: Text
    mitigation: Text
    controls: tuple[Line, ...] = Field(
        min_length=1, description="risk controls by id, as in the risk file and in EVENTS"
    )
    benefit: Text | None = None


class Modification(Part):
    """One kind of change that was agreed upon beforehand."""

    about: Text
    changes: tuple[Bound, ...] = Field(min_length=1, description="what may change; everything else may not")
    data: DataManagement
    retraining: Retraining
    evaluation: Evaluation
    update: UpdateProcedure
    impact: tuple[Impact, ...] = Field(min_length=1)
    traces: tuple[Line, ...] = Field(
        min_length=1, description="requirements, labelling and documents that it touches, by id"
    )


class Plan(Part):
    """`pccp.yaml`."""

    format: Literal[1] = 1
    plan: Line = Field(description="its name and version")
    product: Line = Field(description="what it was agreed upon for")
    bundle: Name = Field(description="the bundles that it is about, by name")
    modifications: dict[ModificationId, Modification] = Field(min_length=1)


def read_plan(path: Path) -> Plan:
    """Raises ConfigError."""
    return parse_yaml(read_bytes(path, "change control plan"), path, Plan, "change control plan")
