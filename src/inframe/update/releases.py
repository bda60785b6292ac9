"""The list of releases, `releases.json`: a target of the repository like the bundles, so every word of it is signed.

It says which bundles go in together, for whom, since when and until when; a device takes the newest release that is for it.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inframe.core.errors import UpdateError
from inframe.update.sealed import refused
from inframe.update.states import BY_HAND, Installed, Release

TARGET = "releases.json"
BLOCK = 1 << 20
MAX_BYTES = 4 << 20
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BundleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Version = Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,6}){0,3}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ListedBundle(_Part):
    """A bundle, and how to know each block of it."""

    path: Annotated[str, Field(pattern=r"^bundles/[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    """The target that it is."""
    sha256: Digest
    size: int = Field(gt=0)
    counter: int = Field(gt=0)
    blocks: list[Digest]


class ListedRelease(_Part):
    """Bundles that go in together."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    bundles: dict[BundleName, ListedBundle] = Field(min_length=1)
    percent: int = Field(0, ge=0, le=100)
    """Of all devices; which ones, their ids decide."""
    devices: list[str] = []
    """These anyway."""
    stopped: str | None = None
    """Why no device may begin it any more, or go on with it."""
    app_from: Version | None = None
    """The oldest version of inframe that can run it."""
    app_below: Version | None = None
    """The first version that can't."""
    after: dict[BundleName, int] = {}
    """Counters that the active bundles must have reached."""

    def as_release(self) -> Release:
        """As the slots keep it."""
        bundles = sorted(self.bundles.items())
        return Release(self.name, tuple(Installed(name, one.sha256, one.counter, one.size) for name, one in bundles))


class ReleaseList(_Part):
    """The whole file, oldest release first."""

    format: Literal["inframe releases 1"] = "inframe releases 1"
    block: int = Field(BLOCK, ge=1024, le=64 << 20)
    """Bytes of each block but the last one."""
    stopped: str | None = None
    """Why no device may begin any update."""
    releases: list[ListedRelease] = []

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [one.name for one in self.releases]
        if len(set(names)) != len(names):
            raise ValueError("releases: found a name twice, expected each once")
        for release in self.releases:
            for name, bundle in release.bundles.items():
                blocks = -(-bundle.size // self.block)
                if len(bundle.blocks) != blocks:
                    found = f"{release.name}: {name}: found {len(bundle.blocks)} blocks, expected {blocks}"
                    raise ValueError(found)
        return self


def parse(raw: bytes) -> ReleaseList:
    """Raises UpdateError: where, what was found, what was expected."""
    try:
        listed = ReleaseList.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "content"
        raise refused(TARGET, field, repr(first["input"])[:60], first["msg"]) from None
    if "format" not in listed.model_fields_set:
        raise refused(TARGET, "format", "none", "it to be said")
    return listed


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether a release is for this device."""

    device: str
    """Its id."""
    app: str
    """The version of inframe."""
    bundles: Set[str]
    """The names that its device file gives."""
    counters: Mapping[str, int]
    """Of the active release."""
    digests: Set[str]
    """Of the active release."""
    rejected: Mapping[str, str]
    """Releases that were rolled back here, and why."""


def bucket(device: str, release: str) -> int:
    """0 … 99: the device's place in the roll-out of this release. Another release, another order: the risk goes round."""
    return int.from_bytes(sha256(f"{release}\n{device}".encode()).digest()[:8], "big") % 100


def why_not(listed: ListedRelease, facts: Facts) -> str:
    """Why a release is not for this device now; empty if it is."""
    unknown = sorted(set(listed.bundles) - facts.bundles)
    older = [name for name, one in listed.bundles.items() if one.counter < facts.counters.get(name, 0)]
    missing = [name for name, least in sorted(listed.after.items()) if facts.counters.get(name, 0) < least]
    reasons = (
        (listed.stopped is not None, f"stopped: {listed.stopped}"),
        (bool(unknown), f"it has bundles that the device file does not name: {', '.join(unknown)}"),
        (listed.name in facts.rejected, f"it was rolled back here: {facts.rejected.get(listed.name)}"),
        ({one.sha256 for one in listed.bundles.values()} <= facts.digests, "it is active"),
        (bool(older), f"it is older than what is active: {', '.join(older)}"),
        (bool(missing), f"it comes after a newer {', '.join(missing)} than is active"),
        (_before(facts.app, listed.app_from), f"it needs inframe {listed.app_from} or newer"),
        (listed.app_below is not None and not _before(facts.app, listed.app_below), f"inframe {facts.app} is too new"),
        (
            bucket(facts.device, listed.name) >= listed.percent and facts.device not in listed.devices,
            f"it is rolled out to {listed.percent} % of the devices, and this one is not among them yet",
        ),
    )
    return next((why for holds, why in reasons if holds), "")


def _before(version: str, other: str | None) -> bool:
    return other is not None and _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def choose(known: ReleaseList, facts: Facts) -> tuple[ListedRelease | None, dict[str, str]]:
    """The newest release for this device, and why each newer one is not."""
    reasons: dict[str, str] = {}
    for listed in reversed(known.releases):
        why = f"stopped: {known.stopped}" if known.stopped is not None else why_not(listed, facts)
        if not why:
            return listed, reasons
        reasons[listed.name] = why
    return None, reasons


def must_stop(known: ReleaseList, release: Release) -> str:
    """Why an update that is on its way must not go on: its release was stopped, or is not listed any more."""
    if known.stopped is not None:
        return f"stopped: {known.stopped}"
    if release.name == BY_HAND:
        return ""
    listed = next((one for one in known.releases if one.name == release.name), None)
    if listed is None or not set(listed.as_release().bundles) <= set(release.bundles):
        return "it is not in the list of releases any more"
    return f"stopped: {listed.stopped}" if listed.stopped is not None else ""


def find(known: ReleaseList, name: str) -> ListedRelease:
    """The release of that name. Raises UpdateError."""
    for one in known.releases:
        if one.name == name:
            return one
    listed = ", ".join(one.name for one in known.releases) or "no release"
    raise UpdateError(f"{TARGET}: release: found none named {name}, expected one of: {listed}")
