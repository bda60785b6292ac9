"""What is fixed and signed before anybody has looked, and what keeps a look from being one of many.

A lock holds the protocol (criteria, margins, seed), the digest of the cases, the code revision, the bundle in use, and how long the
trail was. A look is refused where any of it is not so any more, or where the trail tells of a look that this lock did not cover.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from inframe.bundle.base64text import from_base64
from inframe.bundle.keys import Signer
from inframe.bundle.manifest import Acceptance, DataSet
from inframe.bundle.policy import Policy
from inframe.core.errors import BundleError, ConfigError
from inframe.core.part import Part, Sha256
from inframe.core.yamlfile import parse_json
from inframe.revalidation.attesting import LOCK, opened, sealed
from inframe.revalidation.cases import CaseSet
from inframe.revalidation.criteria import bound_of
from inframe.revalidation.looks import LOCKED, LOOKED, Look, Looks, Mark
from inframe.revalidation.protocol import Endpoint, Protocol
from inframe.revalidation.revision import code_revision


class TrailMark(Part):
    """The trail when the lock was made."""

    log: str
    size: int
    root: Sha256


class Lock(Part):
    """The predicate of a lock."""

    protocol: Protocol
    cases: DataSet
    code: str = Field(description="the revision of inframe's own sources")
    against: DataSet | None = Field(None, description="the bundle in use, where an endpoint has a margin")
    trail: TrailMark


def lock(protocol: Protocol, cases: CaseSet, against: DataSet | None, looks: Looks, keys: Sequence[Signer]) -> bytes:
    """A lock's file; the trail then tells of it. Raises ConfigError where there is nothing left to lock."""
    where = cases.folder
    if cases.manifest.purpose != "locked":
        raise ConfigError(
            where, "purpose", cases.manifest.purpose, "locked: development cases are looked at all the time"
        )
    seen = [one for one in looks.all() if one.name == LOOKED and one.data.get("cases") == cases.digest]
    if seen:
        found = f"looked at {len(seen)} times before, first with bundle {seen[0].data.get('bundle', '')[:16]}…"
        raise ConfigError(where, "cases", found, "cases that nobody has looked at: criteria come before results")
    margins = [one.name for one in protocol.endpoints if one.margin is not None]
    if margins and against is None:
        raise ConfigError(where, "--against", "nothing", f"the bundle in use: {margins[0]} has a margin")
    for case in cases.cases:
        case.verify()
    mark = looks.mark()
    made = Lock(
        protocol=protocol,
        cases=DataSet(name=cases.manifest.name, sha256=cases.digest),
        code=code_revision(),
        against=against,
        trail=TrailMark(log=mark.log, size=mark.size, root=mark.root),
    )
    data = sealed(LOCK, {cases.manifest.name: cases.digest}, json.loads(made.model_dump_json()), keys)
    looks.record(LOCKED, f"criteria of {protocol.protocol} are locked", {"lock": _digest(data), "cases": cases.digest})
    return data


def open_lock(path: Path, policy: Policy) -> tuple[Lock, str]:
    """The lock, and its digest as the trail has it. Raises BundleError, ConfigError."""
    _, predicate, payload = opened(path, LOCK, policy)
    return parse_json(json.dumps(predicate), path, Lock, "lock"), hashlib.sha256(payload).hexdigest()


def may_look(path: Path, made: Lock, digest: str, cases: CaseSet, bundle: str, looks: Looks) -> None:
    """Whether that bundle may be looked at on those cases under this lock. Raises ConfigError, which says why not."""
    if cases.digest != made.cases.sha256:
        expected = f"{made.cases.sha256}, the cases {made.cases.name} that were locked"
        raise ConfigError(cases.folder, "cases", f"changed cases, {cases.digest}", expected)
    if code_revision() != made.code:
        raise ConfigError(
            path, "code", code_revision(), f"{made.code}, which was locked: install that one, or lock anew"
        )
    if not looks.holds(Mark(made.trail.log, made.trail.size, made.trail.root)):
        expected = f"the trail {made.trail.log} with the {made.trail.size} leaves that it had when the lock was signed"
        raise ConfigError(path, "--trail", "another trail, or one that was cut", expected)
    told = looks.all()
    if not any(one.name == LOCKED and one.data.get("lock") == digest for one in told):
        raise ConfigError(path, "--trail", "no word of this lock", "the trail that the lock was made with")
    seen = [one for one in told if one.name == LOOKED and one.data.get("cases") == cases.digest]
    _not_peeked(path, seen, digest)
    others = {one.data.get("bundle", "") for one in seen} - {bundle}
    if len(others) >= made.protocol.looks:
        found = f"{len(others)} bundles looked at already ({', '.join(sorted(one[:16] + '…' for one in others))})"
        raise ConfigError(
            path, "looks", found, f"at most {made.protocol.looks}, as the protocol declares: lock new cases"
        )


def _not_peeked(path: Path, seen: list[Look], digest: str) -> None:
    for one in seen:
        if one.data.get("lock") != digest:
            found = f"a look at these cases under another lock, {one.data.get('lock', 'none')[:16]}…"
            raise ConfigError(path, "looks", found, "looks under this lock only: the cases are no longer unseen")


def must_cover(where: str, acceptance: Acceptance | None, protocol: Protocol, cases: CaseSet) -> None:
    """That the protocol asks all that the bundle says of itself, on the cases that it names, and no less. Raises BundleError."""
    if acceptance is None or acceptance.data.sha256 != cases.digest:
        return
    by_name = {(one.metric, one.model, one.label): one for one in protocol.endpoints}
    for i, one in enumerate(acceptance.criteria):
        asked = by_name.get((one.metric, one.model, one.label))
        sign = 1 if one.at_least is not None else -1
        if asked is None or sign * bound_of(asked) < sign * bound_of(one):
            found = "not asked by the protocol" if asked is None else _said(asked)
            raise BundleError(
                where, f"acceptance.criteria.{i}", found, f"at least what the bundle asks: {bound_of(one):g}"
            )


def _said(one: Endpoint) -> str:
    return f"{one.name} {'at least' if one.at_least is not None else 'at most'} {bound_of(one):g}"


def _digest(data: bytes) -> str:
    """Of the payload, as `open_lock` has it."""
    return hashlib.sha256(from_base64(json.loads(data)["payload"]) or b"").hexdigest()
