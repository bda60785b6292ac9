"""What a bundle says of itself: `manifest.json`, its first member by meaning. `bundle.yaml`, from which it is made, differs only in
that labels may be in a file.

Every other member is named in it; a member that nothing names is refused, and so is a name without a member.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.config import ModelPart
from inframe.core.errors import BundleError, ConfigError
from inframe.core.part import Name, Part, PositiveMs, Sha256
from inframe.core.yamlfile import parse_json

MANIFEST = "manifest.json"
BOM = "bom.json"
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Line = Annotated[str, Field(min_length=1, max_length=200)]
Version = Annotated[str, Field(min_length=1, max_length=64)]
Setting = str | int | float | bool


class BundledModel(ModelPart):
    """A model with its schedule and how to read it, whole: nothing of it lies outside the bundle."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if isinstance(self.labels, str):
            raise ValueError(f"labels: found {self.labels!r}, expected the labels themselves")  # noqa: TRY004  # what pydantic takes
        if self.decode.kind == "function":
            raise ValueError("decode.kind: found function, expected a decoder that needs no code of its own")
        return self


class Compatibility(Part):
    """What the bundle needs of a device."""

    inframe: Version = Field(description="at least this version of inframe")
    engines: dict[Literal["onnxruntime", "openvino"], Version] = Field(
        min_length=1, description="engine -> at least this version of it; others were not validated"
    )
    architectures: tuple[Line, ...] = Field((), description="as uname says it: x86_64, aarch64; none: any")
    memory_mb: int = Field(512, ge=1, le=1 << 20, description="of the worker, MB")


class Golden(Part):
    """Frames with the outputs that the model must give for them, in order, from an empty state."""

    model: Name
    frames: str = Field(description="member, npy: (n, height, width, 3) uint8 RGB, before preprocessing")
    outputs: str = Field(description="member, npz: each output by its name, (n, …), as the engine gives them")
    absolute: float = Field(
        ge=0, description="|found - expected| <= absolute + relative * |expected|, for every number"
    )
    relative: float = Field(0, ge=0)


class Criterion(Part):
    """One number that the model must reach on the locked cases."""

    metric: Line
    model: Name
    label: Line | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("found both or neither of at_least and at_most, expected exactly one")
        return self


class DataSet(Part):
    """Data by digest: which they are can be shown later, without their being here."""

    name: Line
    sha256: Sha256
    about: Text | None = None


class Acceptance(Part):
    """What must hold on the locked data set before the model may be used."""

    data: DataSet
    criteria: tuple[Criterion, ...] = Field(min_length=1)


class Training(Part):
    """Where the model comes from."""

    data: tuple[DataSet, ...] = Field(min_length=1)
    code: Line = Field(description="the revision of the training code")
    hyperparameters: dict[str, Setting] = Field({}, description="as the training code had them")


class Metric(Part):
    """One figure of the model card."""

    metric: Line
    value: float
    low: float | None = Field(None, description="lower end of the 95 % confidence interval")
    high: float | None = None
    about: Line | None = Field(None, description="on which cases")


class Card(Part):
    """The model card."""

    task: Line
    users: tuple[Text, ...] = Field(min_length=1)
    limitations: tuple[Text, ...] = Field(min_length=1, description="when it must not be trusted")
    tradeoffs: tuple[Text, ...] = ()
    performance: tuple[Metric, ...] = ()


class Latency(Part):
    """What one run may take on this device, under load, before the bundle may be used."""

    model: Name
    p99_ms: PositiveMs


class Schedule(Part):
    """When the model must be looked at again, on cases of that time."""

    every_days: int = Field(ge=1, le=3660)


class Recipe(Part):
    """`bundle.yaml`: from what a bundle is made. Paths are relative to its folder and become the members' names."""

    bundle: Name
    version: Version
    counter: int = Field(
        ge=1, le=1 << 53, description="release counter: grows with every release, never decreases on a device"
    )
    intended_use: Text
    models: dict[Name, ModelPart] = Field(min_length=1)
    compatibility: Compatibility
    card: Card
    golden: tuple[Golden, ...] = Field(min_length=1)
    acceptance: Acceptance | None = None
    latency: tuple[Latency, ...] = ()
    revalidation: Schedule | None = Field(None, description="null: nobody has planned it")
    reference: dict[Name, str] = Field({}, description="model -> member: statistics of the locked reference, for drift")
    training: Training
    pccp: Line | None = Field(
        None, description="the modification of the predetermined change control plan that this release claims"
    )
    documents: tuple[str, ...] = Field((), description="members that are only carried along")

    @model_validator(mode="after")
    def _references(self) -> Self:
        parts = [(f"golden.{i}", one.model) for i, one in enumerate(self.golden)]
        parts += [(f"latency.{i}", one.model) for i, one in enumerate(self.latency)]
        parts += [(f"reference.{name}", name) for name in self.reference]
        criteria = self.acceptance.criteria if self.acceptance is not None else ()
        parts += [(f"acceptance.criteria.{i}", one.model) for i, one in enumerate(criteria)]
        for field, model in parts:
            if model not in self.models:
                raise ValueError(f"{field}.model: found {model!r}, expected one of models: {', '.join(self.models)}")
        return self

    def files(self) -> Iterator[tuple[str, str]]:
        """Every member that is named, with the field that names it."""
        yield from ((f"models.{name}.file", model.file) for name, model in self.models.items())
        for i, one in enumerate(self.golden):
            yield f"golden.{i}.frames", one.frames
            yield f"golden.{i}.outputs", one.outputs
        yield from ((f"reference.{name}", file) for name, file in self.reference.items())
        yield from ((f"documents.{i}", file) for i, file in enumerate(self.documents))


class Manifest(Recipe):
    """`manifest.json`: what the bundle is."""

    format: Literal[1] = 1
    models: dict[Name, BundledModel] = Field(min_length=1)  # type: ignore[assignment]  # narrower, and never written to


def parse_manifest(where: str, members: Mapping[str, memoryview]) -> Manifest:
    """The manifest of members whose digests were verified. Raises BundleError."""
    if MANIFEST not in members:
        raise BundleError(where, "members", "no manifest", MANIFEST)
    try:
        manifest = parse_json(bytes(members[MANIFEST]), Path(where), Manifest, "manifest")
    except ConfigError as error:
        raise BundleError(where, f"{MANIFEST}: {error.field}", error.found, error.expected) from None
    named = dict(manifest.files())
    for field, file in named.items():
        if file not in members:
            raise BundleError(where, f"{MANIFEST}: {field}", f"{file!r}, which is not in the bundle", "a member")
    unnamed = sorted(set(members) - set(named.values()) - {MANIFEST, BOM})
    if unnamed or BOM not in members:
        found = f"{unnamed[0]!r}, which nothing names" if unnamed else f"no {BOM}"
        raise BundleError(where, "members", found, f"{MANIFEST}, {BOM} and what the manifest names")
    return manifest


def version_key(text: str) -> tuple[int, ...]:
    """A version's leading numbers, for comparing: 1.10.2 > 1.9; what is not a number ends it."""
    found: list[int] = []
    for part in text.split("+", maxsplit=1)[0].split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        found.append(int(digits[0]))
    return tuple(found)


def problems(
    manifest: Manifest, *, inframe: str, engines: Mapping[str, str], architecture: str
) -> list[tuple[str, str, str]]:
    """What keeps a bundle from this device: (field, found, expected) of each. `engines`: those to be used -> their versions."""
    needs = manifest.compatibility
    wrong = []
    if version_key(inframe) < version_key(needs.inframe):
        wrong.append(("compatibility.inframe", f"inframe {inframe}", f"at least {needs.inframe}"))
    for engine, version in engines.items():
        least = needs.engines.get(engine)  # type: ignore[call-overload]  # another engine is just not in it
        if least is None:
            wrong.append(("compatibility.engines", engine, f"one of {', '.join(needs.engines)}"))
        elif version_key(version) < version_key(least):
            wrong.append(("compatibility.engines", f"{engine} {version}", f"at least {least}"))
    if needs.architectures and architecture not in needs.architectures:
        wrong.append(("compatibility.architectures", architecture, f"one of {', '.join(needs.architectures)}"))
    return wrong
