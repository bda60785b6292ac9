"""What a device has learnt from its repository: the newest metadata that it verified, in one file, written as a whole.

python-tuf keeps a folder of files that it never syncs, and takes a damaged one for one that is not there, which lets an older
repository in. So its folder is made afresh for each run, from this file, and what it then accepted comes back here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from inframe.trail.files import Files, put
from inframe.update.sealed import refused, sealed, unsealed

PATH = "trust"
ROLES = ("root", "timestamp", "snapshot", "targets")


@dataclass(frozen=True, slots=True)
class Trust:
    """The newest verified metadata of each role, as its file's text, and the newest time that it proves."""

    roles: Mapping[str, str] = field(default_factory=dict)
    signed_s: int = 0
    """When the newest metadata of an offline key was signed, seconds since 1970 (see `wallclock`)."""

    def seen(self) -> dict[str, int]:
        """What the status keeps of it, for the day on which this is damaged: each role's version, and `signed_s`."""
        versions = {role: int(json.loads(text)["signed"]["version"]) for role, text in self.roles.items()}
        return {**versions, SIGNED: self.signed_s}


SIGNED = "signed_s"


def learnt_anew(seen: Mapping[str, int]) -> Trust:
    """What to begin with where it is damaged: nothing but the time."""
    return Trust({}, seen[SIGNED])


def older(trust: Trust, seen: Mapping[str, int]) -> str:
    """What was learnt anew and is older than what was seen before, or not there any more; empty where nothing is."""
    now = trust.seen()
    return next((f"{role} {now.get(role, 'none')}" for role, version in seen.items() if now.get(role, 0) < version), "")


def read(files: Files) -> Trust:
    """Raises UpdateError where it is damaged or gone: a fresh start would accept an older repository."""
    raw = files.read(PATH)
    if raw is None:
        raise refused(PATH, "file", "none", "what this device has learnt from its repository")
    content = unsealed(PATH, "trust", raw)
    roles, signed_s = content.get("roles"), content.get("signed_s")
    if (
        not isinstance(roles, dict)
        or not set(roles) <= set(ROLES)
        or not all(isinstance(t, str) for t in roles.values())
    ):
        raise refused(PATH, "roles", type(roles).__name__, f"metadata of {', '.join(ROLES)}")
    if type(signed_s) is not int:
        raise refused(PATH, "signed_s", signed_s, "seconds since 1970")
    return Trust(roles, signed_s)


def write(files: Files, trust: Trust) -> None:
    """Keep it, durably, if it is not what is there."""
    data = _encode(trust)
    if files.read(PATH) != data:
        put(files, PATH, data)


def begin(files: Files) -> None:
    """Begin with nothing, on a device that has no status. Raises UpdateError where there is something already."""
    if files.read(PATH) not in (None, _encode(Trust())):
        raise refused(PATH, "content", "what a device has learnt, without a status", "the status that it belongs to")
    put(files, PATH, _encode(Trust()))


def _encode(trust: Trust) -> bytes:
    return sealed("trust", {"roles": dict(trust.roles), "signed_s": trust.signed_s})
