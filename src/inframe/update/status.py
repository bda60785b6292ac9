"""The status as bytes, and back. A field that is not as it must be is refused by name."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from inframe.update.sealed import refused, sealed, unsealed
from inframe.update.states import Excuse, Installed, Progress, Release, Slot, State, Status, Told

PATH = "status"


def encode(status: Status) -> bytes:
    """The file's bytes."""
    return sealed(
        "status",
        {
            "state": status.state.value,
            "reason": status.reason,
            "sequence": status.sequence,
            "slots": {slot.value: _release(status.slots[slot]) for slot in Slot},
            "excuses": [
                {"why": one.why, "digests": list(one.digests), "floor": dict(one.floor)} for one in status.excuses
            ],
            "progress": asdict(status.progress),
            "rejected": [list(one) for one in status.rejected],
            "seen": dict(status.seen),
            "outbox": [_told(one) for one in status.outbox],
            "history": [_told(one) for one in status.history],
        },
    )


def decode(raw: bytes) -> Status:
    """The status in those bytes. Raises UpdateError."""
    content = unsealed(PATH, "status", raw)
    try:
        slots = {Slot(name): _to_release(one) for name, one in content["slots"].items()}
        status = Status(
            state=State(content["state"]),
            reason=str(content["reason"]),
            slots=slots,
            excuses=tuple(Excuse(one["why"], tuple(one["digests"]), dict(one["floor"])) for one in content["excuses"]),
            progress=_to_progress(content.get("progress", {})),
            sequence=int(content["sequence"]),
            rejected=tuple((str(name), str(reason)) for name, reason in content["rejected"]),
            outbox=tuple(_to_told(one) for one in content["outbox"]),
            seen={str(role): int(version) for role, version in content.get("seen", {}).items()},
            history=tuple(_to_told(one) for one in content["history"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise refused(PATH, "content", error, "the fields of a status") from None
    if set(slots) != set(Slot):
        raise refused(PATH, "slots", ", ".join(slots), ", ".join(Slot))
    return status


def _release(release: Release | None) -> dict[str, Any] | None:
    if release is None:
        return None
    bundles = {b.name: {"digest": b.digest, "counter": b.counter, "size": b.size} for b in release.bundles}
    return {"name": release.name, "bundles": bundles}


def _to_release(content: Mapping[str, Any] | None) -> Release | None:
    if content is None:
        return None
    return Release(
        str(content["name"]),
        tuple(
            Installed(name, checked_digest(name, one["digest"]), int(one["counter"]), int(one["size"]))
            for name, one in sorted(content["bundles"].items())
        ),
    )


def _to_progress(content: Mapping[str, Any]) -> Progress:
    """A status from before there was any has none."""
    if not content:
        return Progress()
    return Progress(
        checks=tuple((str(name), bool(passed), str(found)) for name, passed, found in content["checks"]),
        compared=str(content["compared"]),
        trial_ns=int(content["trial_ns"]),
        procedures=int(content["procedures"]),
        deferred_ns=int(content["deferred_ns"]),
    )


def checked_digest(where: str, text: object) -> str:
    """A SHA-256 in hex, which is also a file's name: nothing else may be one. Raises UpdateError."""
    if isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text
    raise refused(where, "sha256", text, "64 hexadecimal digits")


def _told(told: Told) -> dict[str, Any]:
    return {"name": told.name, "wall_ns": told.wall_ns, "text": told.text, "data": dict(told.data)}


def _to_told(content: Mapping[str, Any]) -> Told:
    data = {str(key): str(value) for key, value in content["data"].items()}
    return Told(str(content["name"]), int(content["wall_ns"]), str(content["text"]), data)
