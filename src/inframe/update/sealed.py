"""A file of the update's own state: one line with the digest of what follows, so that damage is refused and never taken for a
fresh start. The digest is no signature: against whoever may write this disk only a floor outside it helps (`floor`)."""

import json
from hashlib import sha256
from typing import Any

from inframe.core.errors import UpdateError, one_line

_MAGIC = "inframe"
_VERSION = "1"
MAX_BYTES = 64 << 20


def sealed(kind: str, content: dict[str, Any]) -> bytes:
    """The bytes of such a file."""
    body = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return f"{_MAGIC} {kind} {_VERSION} {sha256(body).hexdigest()}\n".encode() + body


def unsealed(where: str, kind: str, raw: bytes) -> dict[str, Any]:
    """What is in it. `where`: the file's name, for the error. Raises UpdateError."""
    head, _, body = raw.partition(b"\n")
    words = head.decode("ascii", "replace").split(" ")
    if words[:3] != [_MAGIC, kind, _VERSION] or len(words) != 4:
        raise refused(where, "first line", head[:60], f"`{_MAGIC} {kind} {_VERSION} DIGEST`; it is damaged")
    found = sha256(body).hexdigest()
    if found != words[3]:
        raise refused(where, "digest", found[:16], f"{words[3][:16]}, as its first line says; it is damaged")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise refused(where, "content", body[:40], "a JSON object")
    return content


def refused(where: object, field: str, found: object, expected: str) -> UpdateError:
    """An UpdateError as every error of bad input reads: file, field, found, expected."""
    return UpdateError(f"{one_line(where)}: {one_line(field)}: found {one_line(found)}, expected {one_line(expected)}")
