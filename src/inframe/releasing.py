"""What `inframe release` does on the manufacturer's side: the repository, its list, its keys. Prints nothing."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from inframe import verifying
from inframe.core.errors import ConfigError
from inframe.update.authorisation import Authorisation, signed
from inframe.update.releases import ListedBundle, ListedRelease, ReleaseList
from inframe.update.repository import DAY_S, THRESHOLDS, Repository, list_bundle, read_keys
from inframe.update.wallclock import text

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Wishes:
    """For whom a release is."""

    percent: int
    devices: tuple[str, ...]
    app_from: str | None
    app_below: str | None
    after: tuple[str, ...]
    """NAME=COUNTER."""


def repository(folder: Path, keys: Path) -> Repository:
    """Raises ConfigError."""
    return Repository(folder, read_keys(keys), int(time.time()))


def add(where: Repository, name: str, bundles: Iterable[Path], wishes: Wishes) -> ListedRelease:
    """Publish one more release. Raises ConfigError, UpdateError."""
    before = where.releases()
    if any(one.name == name for one in before.releases):
        raise ConfigError("inframe release add", "NAME", name, "a name that no release had")
    listed: dict[str, ListedBundle] = {}
    files: dict[str, Path] = {}
    for path in bundles:
        found = verifying.verified(path)
        if found.name in listed:
            raise ConfigError(path, "name", found.name, "each name once")
        target = f"bundles/{found.name}-{found.counter}.bundle"
        listed[found.name] = list_bundle(target, path.read_bytes(), found.counter, before.block)
        files[target] = path
    said = {
        "name": name,
        "bundles": {key: one.model_dump() for key, one in listed.items()},
        "percent": wishes.percent,
        "devices": list(wishes.devices),
        "app_from": wishes.app_from,
        "app_below": wishes.app_below,
        "after": numbers(wishes.after, "--after"),
    }
    release = _made(ListedRelease, said, "inframe release add")
    where.publish(before.model_copy(update={"releases": [*before.releases, release]}), files)
    return release


def change(where: Repository, name: str, **fields: Any) -> ListedRelease:
    """Publish the list with a release changed. Raises ConfigError."""
    before = where.releases()
    if all(one.name != name for one in before.releases):
        known = ", ".join(one.name for one in before.releases) or "a list that has some"
        raise ConfigError(where.folder, "NAME", name, f"one of: {known}")
    after = [
        _made(ListedRelease, one.model_dump() | fields, "inframe release") if one.name == name else one
        for one in before.releases
    ]
    where.publish(before.model_copy(update={"releases": after}))
    return next(one for one in after if one.name == name)


def stop_all(where: Repository, why: str | None) -> ReleaseList:
    """Publish the list with the switch for all devices set, or taken back."""
    listed = where.releases().model_copy(update={"stopped": why})
    where.publish(listed)
    return listed


def authorise(keys: Path, fields: dict[str, Any], bundles: Iterable[Path], floor: Iterable[str], days: int) -> bytes:
    """An authorisation of a downgrade to those bundles. Raises ConfigError, UpdateError."""
    holders = read_keys(keys).holders.get("downgrade", ())
    if len(holders) < THRESHOLDS["downgrade"]:
        expected = f"{THRESHOLDS['downgrade']} of them"
        raise ConfigError(keys, "downgrade-N.pem", f"{len(holders)} keys of that role", expected)
    found = [verifying.verified(path) for path in bundles]
    said = fields | {
        "bundles": {one.name: one.digest for one in found},
        "floor": numbers(floor, "--floor"),
        "expires": text(int(time.time()) + days * DAY_S),
    }
    return signed(_made(Authorisation, said, "inframe release authorise"), list(holders))


def numbers(pairs: Iterable[str], option: str) -> dict[str, int]:
    """NAME=COUNTER, repeated. Raises ConfigError."""
    found: dict[str, int] = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise ConfigError("inframe release", option, pair, "NAME=COUNTER")
        found[name] = int(number)
    return found


def _made(model: type[M], content: dict[str, Any], where: str) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(where, ".".join(map(str, first["loc"])), first["input"], first["msg"]) from None
