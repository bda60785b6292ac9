"""The outer structure of a bundle's file: one header in canonical JSON, then the members, one after the other. No I/O.

    inframe bundle 1\\n                        what it is
    00000abc\\n                                how long the header is, hexadecimal
    {"envelope":{…},"members":[[name,size],…]}\\n
    the members' bytes, in that order, without anything between, before or after them

There is one encoding of each bundle, and no place for a byte that means nothing. Links, modes, owners, times, compression,
padding, comments and a second table of contents can't be expressed, so nobody has to refuse them
(docs/decisions/0013-bundle-file.md). Sizes are not signed by themselves: a wrong one gives another digest.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from inframe.bundle.base64text import from_base64, to_base64
from inframe.bundle.envelope import Envelope, Signature
from inframe.core.errors import BundleError

MAGIC = b"inframe bundle 1\n"
MAX_BUNDLE = 8 << 30
MAX_HEADER = 1 << 20
MAX_MEMBERS = 256
MAX_MEMBER = 4 << 30
MAX_SIGNATURES = 32
_LENGTH = 9
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){0,3}")
_KEY_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the members."""

    envelope: Envelope
    members: tuple[tuple[str, int], ...]
    """Name and size (bytes) of each, sorted by name."""

    def encoded(self) -> bytes:
        """The one encoding, from the first byte of the file to the first member."""
        signatures = [{"keyid": s.key_id, "sig": to_base64(s.raw)} for s in self.envelope.signatures]
        payload = to_base64(self.envelope.payload)
        envelope = {"payload": payload, "payloadType": self.envelope.payload_type, "signatures": signatures}
        text = canonical({"envelope": envelope, "members": self.members}) + b"\n"
        return MAGIC + f"{len(text):08x}\n".encode() + text


def canonical(value: object) -> bytes:
    """The one JSON encoding of a value: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def is_name(text: object) -> bool:
    """Whether a member may be called so: up to four parts of letters, digits and ._-, none of which begins with . or -"""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_names(where: str, names: Sequence[str]) -> None:
    """Raises BundleError for names that are strange, twice there (also when case is ignored), a folder and a file at once, or out
    of order."""
    for name in names:
        if not is_name(name):
            raise BundleError(where, "members", f"the name {name!r}", "letters, digits and ._- in at most four parts")
    for before, after in pairwise(names):
        if before >= after:
            raise BundleError(where, f"members.{after}", f"after {before}", "each name once, in alphabetical order")
    folded = sorted(name.casefold() for name in names)
    for before, after in pairwise(folded):
        if before == after:
            raise BundleError(where, f"members.{after}", "the same name in upper and lower case", "each name once")
    parents = {name.rpartition("/")[0] for name in folded}
    for name in folded:
        if name in parents:
            raise BundleError(where, f"members.{name}", "a member that is a folder of others as well", "one of the two")


def split(where: str, data: memoryview) -> tuple[Header, dict[str, memoryview]]:
    """The header, and the members' bytes by name. Nothing is verified yet but that this is a bundle's outer structure and that
    every byte has its place. Raises BundleError, naming `where`."""
    start = len(MAGIC) + _LENGTH
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise BundleError(where, "byte 0", repr(bytes(data[: len(MAGIC)])), repr(MAGIC))
    length = bytes(data[len(MAGIC) : start])
    if not re.fullmatch(rb"[0-9a-f]{8}\n", length) or not 0 < int(length, 16) <= MAX_HEADER:
        raise BundleError(
            where, f"byte {len(MAGIC)}", repr(length), f"a length of 1 to {MAX_HEADER:x} in 8 hexadecimal digits"
        )
    end = start + int(length, 16)
    if end > len(data):
        raise BundleError(where, "header", f"{len(data) - start} bytes", f"{end - start}: the file is cut off")
    header = _header(where, bytes(data[start:end]))
    if header.encoded() != bytes(data[:end]):
        raise BundleError(where, "header", "another encoding", "canonical JSON: sorted keys, no spaces, each key once")
    return header, _members(where, header, data, end)


def _members(where: str, header: Header, data: memoryview, at: int) -> dict[str, memoryview]:
    found = {}
    for name, size in header.members:
        found[name] = data[at : at + size]
        at += size
    if at != len(data):
        raise BundleError(where, "file", f"{len(data):,} bytes", f"{at:,}, as its header says")
    return found


def _header(where: str, text: bytes) -> Header:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BundleError(where, "header", "no JSON", "a header in JSON") from None
    _keys(where, "header", found, {"envelope", "members"})
    members = found["members"]
    if not isinstance(members, list) or not 1 <= len(members) <= MAX_MEMBERS:
        raise BundleError(where, "members", _shown(members), f"a list of 1 to {MAX_MEMBERS}")
    pairs = tuple(_member(where, one) for one in members)
    check_names(where, [name for name, _ in pairs])
    return Header(_envelope(where, found["envelope"]), pairs)


def _member(where: str, one: Any) -> tuple[str, int]:
    if not (isinstance(one, list) and len(one) == 2 and is_name(one[0])):
        raise BundleError(
            where, "members", _shown(one), "[name, size], a name of letters, digits and ._- in at most four parts"
        )
    if type(one[1]) is not int or not 0 <= one[1] <= MAX_MEMBER:
        raise BundleError(where, f"members.{one[0]}", _shown(one[1]), f"a size of 0 to {MAX_MEMBER:,} bytes")
    return one[0], one[1]


def _envelope(where: str, found: Any) -> Envelope:
    _keys(where, "envelope", found, {"payload", "payloadType", "signatures"})
    payload = from_base64(found["payload"])
    if payload is None or not isinstance(found["payloadType"], str):
        raise BundleError(
            where, "envelope.payload", "something else", "base64 in its one canonical form, and a payloadType"
        )
    signatures = found["signatures"]
    if not isinstance(signatures, list) or len(signatures) > MAX_SIGNATURES:
        raise BundleError(where, "envelope.signatures", _shown(signatures), f"a list of at most {MAX_SIGNATURES}")
    return Envelope(payload, found["payloadType"], tuple(_signature(where, one) for one in signatures))


def _signature(where: str, one: Any) -> Signature:
    _keys(where, "envelope.signatures", one, {"keyid", "sig"})
    raw = from_base64(one["sig"])
    if raw is None or not isinstance(one["keyid"], str) or not _KEY_ID.fullmatch(one["keyid"]):
        raise BundleError(
            where, "envelope.signatures", _shown(one["keyid"]), "a key's id (64 hexadecimal digits) and base64"
        )
    return Signature(one["keyid"], raw)


def _keys(where: str, field: str, found: Any, expected: set[str]) -> None:
    if not isinstance(found, dict) or set(found) != expected:
        raise BundleError(where, field, _shown(found), f"a mapping of {', '.join(sorted(expected))}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"a mapping of {', '.join(map(str, sorted(value)))[:80]}"
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:80]
