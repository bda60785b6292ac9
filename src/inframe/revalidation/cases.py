"""Cases: labelled, recorded procedures in folders, and the manifest that fixes them by digest (docs/revalidation.md).

    SET/cases.json            the manifest: name, purpose, and the SHA-256 of every file of every case
    SET/CASE/case.json        what the case is
    SET/CASE/…                its pictures (an MCAP recording or a video file) and label masks

The digest of a set is the SHA-256 of cases.json: `sha256sum` says it, and a bundle's `acceptance.data.sha256` names it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.errors import ConfigError
from inframe.core.part import Labels, Name, Part, Sha256
from inframe.core.yamlfile import parse_json

MANIFEST, CASE = "cases.json", "case.json"
MAX_JSON = 64 << 20
_BLOCK = 1 << 20
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]
CaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]


class CaseStream(Part):
    """The pictures' size and rate."""

    width: int = Field(ge=16, le=7680)
    height: int = Field(ge=16, le=4320)
    fps: float = Field(ge=0.1, le=240)


class LabelMasks(Part):
    """What every pixel shows, in some frames: npz with `masks`, (n, height, width) uint8, indices of `labels`, 255 where nobody
    knows. Its sides have the pictures' proportion, within 1 %."""

    file: FileName
    labels: Labels
    every: int = Field(1, ge=1, description="frames 1, 1 + every, 1 + 2 every … have a mask")


class LabelBoxes(Part):
    """What is where, in some frames: JSON with `frames`, of each a list of {"label": …, "box": [x0, y0, x1, y1]}, pixels."""

    file: FileName
    labels: Labels = Field(
        description="what is boxed wherever it is: a label of the model that is not here is not judged"
    )
    every: int = Field(1, ge=1, description="frames 1, 1 + every, 1 + 2 every … have boxes, be they none")


class TrueFinding(Part):
    """Something that was so, and that a rule of this name should find: frames `first` to `last`, counted from 1."""

    rule: Name
    first: int = Field(ge=1)
    last: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last: found {self.last}, expected at least first = {self.first}")
        return self


class Case(Part):
    """`case.json`: one procedure."""

    format: Literal[1] = 1
    pictures: FileName = Field(description="the first part of a recording (.mcap), or a video file")
    stream: CaseStream
    frames: int = Field(ge=1)
    masks: dict[Name, LabelMasks] = Field(
        {}, description="by the name of the model whose answers they are compared with"
    )
    boxes: dict[Name, LabelBoxes] = Field({}, description="by the name of the detection model, likewise")
    findings: tuple[TrueFinding, ...] = ()
    judged: tuple[Name, ...] = Field((), description="the rules whose findings are complete: any other one is false")
    attributes: dict[Name, str] = Field({}, description="what subgroups are made of: site, instrument, camera …")

    @model_validator(mode="after")
    def _judged(self) -> Self:
        for i, one in enumerate(self.findings):
            if one.rule not in self.judged:
                raise ValueError(
                    f"findings.{i}.rule: found {one.rule!r}, expected one of judged: {', '.join(self.judged)}"
                )
        return self


class CaseManifest(Part):
    """`cases.json`."""

    format: Literal[1] = 1
    name: str = Field(min_length=1, max_length=200)
    purpose: Literal["locked", "development"] = Field(
        description="locked: looked at under a lock only, and every look is recorded; development: as often as one likes"
    )
    cases: dict[CaseName, dict[FileName, Sha256]] = Field(min_length=1, description="case -> file -> SHA-256")


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """One case of a set: where it lies, and what it is to be."""

    name: str
    folder: Path
    digests: dict[str, str]
    """SHA-256 of each file, hex, as the manifest has it."""

    @property
    def digest(self) -> str:
        """Of the whole case: SHA-256 over its files' names and digests."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    def verify(self) -> None:
        """That every file is the one of the manifest, and that there is no other. Raises ConfigError."""
        _no_others(self.folder, self.digests)
        for name, expected in self.digests.items():
            found = file_digest(self.folder / name)
            if found != expected:
                raise ConfigError(self.folder / name, "sha256", found, f"{expected}, as {MANIFEST} has it")

    def read(self) -> Case:
        """What it is. Raises ConfigError."""
        path = self.folder / CASE
        case = parse_json(read_json(path), path, Case, "case")
        masks, boxes = (
            [(f"{kind}.{name}.file", one.file) for name, one in some.items()]
            for kind, some in (("masks", case.masks), ("boxes", case.boxes))
        )
        for field, file in [("pictures", case.pictures), *masks, *boxes]:
            if file not in self.digests:
                raise ConfigError(path, field, file, f"a file of the case: {', '.join(self.digests)}")
        return case


@dataclass(frozen=True, slots=True)
class CaseSet:
    """A set of cases, by its manifest. Whether the files are those, `CaseFolder.verify` says, case by case."""

    folder: Path
    manifest: CaseManifest
    digest: str

    @property
    def cases(self) -> list[CaseFolder]:
        """In the order of their names."""
        return [CaseFolder(name, self.folder / name, files) for name, files in sorted(self.manifest.cases.items())]


def open_set(folder: Path) -> CaseSet:
    """Raises ConfigError."""
    path = folder / MANIFEST
    data = read_json(path)
    return CaseSet(
        folder.absolute(), parse_json(data, path, CaseManifest, "manifest of cases"), hashlib.sha256(data).hexdigest()
    )


def write_manifest(folder: Path, name: str, purpose: Literal["locked", "development"]) -> CaseSet:
    """Fix the cases that lie in `folder`: every folder in it that has a case.json. Never over a manifest. Raises ConfigError."""
    path = folder / MANIFEST
    if path.exists():
        raise ConfigError(
            path, "file", "a manifest that exists", "a set that has none yet: cases that change are another set"
        )
    found = {one.parent.name: _digests(one.parent) for one in sorted(folder.glob(f"*/{CASE}"))}
    if not found:
        raise ConfigError(folder, CASE, "no folder with one", "a folder for each case, with its case.json")
    values = json.dumps({"name": name, "purpose": purpose, "cases": found}, indent=1, sort_keys=True)
    manifest = parse_json(values, path, CaseManifest, "manifest of cases")
    made = CaseSet(folder, manifest, "")
    for case in made.cases:
        case.read()
    path.write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    return open_set(folder)


def file_digest(path: Path) -> str:
    """SHA-256, hex. Raises ConfigError."""
    total = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable file of the case") from None
    return total.hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _no_others(folder: Path, digests: dict[str, str]) -> None:
    try:
        others = [path.name for path in _files(folder) if path.name not in digests]
    except OSError as error:
        raise ConfigError(folder, "case", error.strerror or error, "the case's folder") from None
    if others:
        raise ConfigError(folder, "files", f"{others[0]}, which is not in {MANIFEST}", ", ".join(digests))


def read_json(path: Path) -> bytes:
    """The bytes of a JSON file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JSON + 1)
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable file") from None
    if len(data) > MAX_JSON:
        raise ConfigError(path, "file", "more than 64 MiB", "a JSON file")
    try:
        json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(path, "file", error, "JSON") from None
    return data
