"""Signed notes (c2sp.org/signed-note), checkpoints (c2sp.org/tlog-checkpoint), cosignatures (c2sp.org/tlog-cosignature). No I/O.

Stricter than the specification in one point: base64 must be canonical, so that no byte of a note can change unnoticed.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from inframe.core.errors import ConfigError
from inframe.trail.errors import TrailDamaged
from inframe.trail.tree import HASH_BYTES

MAX_NOTE = 1 << 17
MAX_SIGNATURES = 100
_DASH = "\u2014 "
_PRIVATE = "PRIVATE+KEY+"
_SEED_BYTES = 32


class Scheme(IntEnum):
    """signed-note's signature type bytes, as far as they are used here."""

    ED25519 = 0x01
    """The log's own signature."""
    COSIGNATURE = 0x04
    """cosignature/v1, Ed25519, with the time: a witness."""
    ML_DSA_44 = 0x06
    """Post-quantum (FIPS 204), with the time: a witness, or the log beside its Ed25519 signature."""


_PUBLIC_BYTES = {Scheme.ED25519: 32, Scheme.COSIGNATURE: 32, Scheme.ML_DSA_44: 1312}
_SIGNATURE_BYTES = {Scheme.ED25519: 64, Scheme.COSIGNATURE: 8 + 64, Scheme.ML_DSA_44: 8 + 2420}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: the log's name, how many leaves, and their root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text. Extension lines are refused: ML-DSA cosignatures do not cover them."""
    lines = text.split("\n")
    root = unbase64(lines[2]) if len(lines) == 4 else None
    size = lines[1] if len(lines) == 4 else ""
    sound = len(size) < 20 and size.isascii() and size.isdigit() and str(int(size)) == size and int(size) < 1 << 63
    if len(lines) != 4 or lines[3] or not lines[0] or not sound or root is None or len(root) != HASH_BYTES:
        raise TrailDamaged("checkpoint", repr(text), "three lines: origin, size, root hash in base64")
    return Checkpoint(lines[0], int(size), root)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key with its name; for a log, the name is the origin of its checkpoints."""

    name: str
    scheme: Scheme
    public: bytes

    def __post_init__(self) -> None:
        bad = (
            not self.name
            or "+" in self.name
            or any(c.isspace() or c < " " for c in self.name)
            or len(self.name.encode()) > 255
        )
        if bad or len(self.public) != _PUBLIC_BYTES[self.scheme]:
            raise ConfigError(
                "key", "name", self.name, "a name of 1 to 255 bytes without spaces and plus, and a key of its scheme"
            )

    @property
    def id(self) -> bytes:
        """signed-note's key ID, 4 bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.scheme]) + self.public).digest()[:4]

    def text(self) -> str:
        """As people exchange it: name+id+key."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.scheme]) + self.public).decode()}"

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether `signature` (without the key ID) is this key's over a note's text."""
        if len(signature) != _SIGNATURE_BYTES[self.scheme]:
            return False
        try:
            if self.scheme is Scheme.ML_DSA_44:
                message = _message(self, text, int.from_bytes(signature[:8], "big"))
                MLDSA44PublicKey.from_public_bytes(self.public).verify(signature[8:], message)
            elif self.scheme is Scheme.COSIGNATURE:
                message = _message(self, text, int.from_bytes(signature[:8], "big"))
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature[8:], message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, TrailDamaged):  # the latter: an ML-DSA signature on a text that is no checkpoint
            return False
        return True


def parse_key(text: str) -> Key:
    """The key in name+id+base64. Raises ConfigError."""
    name, _, rest = text.strip().partition("+")
    shown, _, coded = rest.partition("+")
    raw = unbase64(coded)
    if raw and raw[0] in set(Scheme) and len(raw) - 1 == _PUBLIC_BYTES[Scheme(raw[0])]:
        key = Key(name, Scheme(raw[0]), raw[1:])
        if key.id.hex() == shown.lower():
            return key
    raise ConfigError("key", "text", text, "name+id+base64 as in c2sp.org/signed-note, of a scheme known here")


class Signer:
    """A private key held in memory, made from its 32-byte seed."""

    def __init__(self, name: str, scheme: Scheme, seed: bytes) -> None:
        self._private: Ed25519PrivateKey | MLDSA44PrivateKey
        if scheme is Scheme.ML_DSA_44:
            self._private = MLDSA44PrivateKey.from_seed_bytes(seed)
        else:
            self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = Key(name, scheme, self._private.public_key().public_bytes_raw())

    def text(self) -> str:
        """The private key as golang.org/x/mod/sumdb/note keeps it: PRIVATE+KEY+name+id+base64. Whoever reads it can sign."""
        raw = bytes([self.key.scheme]) + self.seed
        return f"{_PRIVATE}{self.key.name}+{self.key.id.hex()}+{base64.b64encode(raw).decode()}"

    @property
    def seed(self) -> bytes:
        """The private key itself, 32 bytes."""
        return self._private.private_bytes_raw()

    def renamed(self, name: str) -> "Signer":
        """The same key under another name, for another log."""
        return Signer(name, self.key.scheme, self.seed)

    def line(self, text: str, time_s: int) -> str:
        """The signature line over a note's text; `time_s` (POSIX seconds) goes into the schemes that state a time."""
        if self.key.scheme is Scheme.ED25519:
            signature = self._private.sign(text.encode())
        else:
            signature = time_s.to_bytes(8, "big") + self._private.sign(_message(self.key, text, time_s))
        return f"{_DASH}{self.key.name} {base64.b64encode(self.key.id + signature).decode()}\n"


def parse_signer(text: str) -> Signer:
    """The private key in `Signer.text`. Raises ConfigError, which does not repeat it."""
    name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
    shown, _, coded = rest.partition("+")
    raw = unbase64(coded)
    if text.startswith(_PRIVATE) and raw and raw[0] in set(Scheme) and len(raw) == 1 + _SEED_BYTES:
        signer = Signer(name, Scheme(raw[0]), raw[1:])
        if signer.key.id.hex() == shown.lower():
            return signer
    expected = "PRIVATE+KEY+name+id+base64, of a scheme known here"
    raise ConfigError("key", "text", f"{len(text)} characters that are not one", expected)


def _message(key: Key, text: str, time_s: int) -> bytes:
    """What a cosigner signs (tlog-cosignature: "Ed25519 signed message", "ML-DSA-44 signed message")."""
    if key.scheme is Scheme.COSIGNATURE:
        return f"cosignature/v1\ntime {time_s}\n{text}".encode()
    return subtree_message(key.name, time_s, parse_checkpoint(text))


def subtree_message(cosigner: str, time_s: int, end: Checkpoint, start: int = 0) -> bytes:
    """tlog-cosignature's `cosigned_message`: that leaves `start` … `end.size`-1 have the root `end.root`."""
    names = [len(name).to_bytes(1, "big") + name for name in (cosigner.encode(), end.origin.encode())]
    span = start.to_bytes(8, "big") + end.size.to_bytes(8, "big")
    return b"subtree/v1\n\x00" + names[0] + time_s.to_bytes(8, "big") + names[1] + span + end.root


@dataclass(frozen=True, slots=True)
class Signature:
    """One line of a note, not yet verified."""

    name: str
    id: bytes
    signature: bytes

    @property
    def time_s(self) -> int:
        """What a cosignature states as its time, POSIX seconds."""
        return int.from_bytes(self.signature[:8], "big")


def split_note(note: bytes) -> tuple[str, tuple[Signature, ...]]:
    """A note's text and its signature lines, unverified. Raises TrailDamaged where it is not a note."""
    try:
        whole = note.decode() if len(note) <= MAX_NOTE else ""
    except UnicodeDecodeError:
        whole = ""
    text, blank, rest = whole.rpartition("\n\n")
    lines = rest.split("\n")
    if (
        not blank
        or not text
        or lines.pop()
        or not lines
        or len(lines) > MAX_SIGNATURES
        or any(c < " " and c != "\n" for c in whole)
    ):
        raise TrailDamaged(
            "note", f"{len(note)} bytes", "text, an empty line and signature lines (c2sp.org/signed-note)"
        )
    return text + "\n", tuple(map(_signature, lines))


def _signature(line: str) -> Signature:
    name, _, coded = line.removeprefix(_DASH).partition(" ")
    raw = unbase64(coded)
    if not line.startswith(_DASH) or not name or raw is None or len(raw) < 5:
        raise TrailDamaged("note", repr(line), "a signature line")
    return Signature(name, raw[:4], raw[4:])


def verified(note: bytes, keys: Iterable[Key]) -> tuple[str, tuple[tuple[Key, Signature], ...]]:
    """A note's text, and which of `keys` signed it (at least one; those unknown are ignored).

    Raises TrailDamaged if none did, or if a line names one of `keys` and does not verify.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    found = [(known[s.name, s.id], s) for s in signatures if (s.name, s.id) in known]
    for key, signature in found:
        if not key.accepts(text, signature.signature):
            raise TrailDamaged("note", f"a signature of {key.name} that does not verify", "a valid one")
    if not found:
        names = ", ".join(f"{s.name}+{s.id.hex()}" for s in signatures)
        raise TrailDamaged(
            "note", f"signatures of {names}", " or ".join(f"{k.name}+{k.id.hex()}" for k in known.values())
        )
    return text, tuple(found)


def signed(text: str, signers: Sequence[Signer], time_s: int) -> bytes:
    """A note: the text with one signature line of each signer."""
    return (text + "\n" + "".join(signer.line(text, time_s) for signer in signers)).encode()


def verified_checkpoint(note: bytes, key: Key, also: Sequence[Key] = ()) -> Checkpoint:
    """The checkpoint of a note that `key` signed, and each of `also`, for the log of that name. Raises TrailDamaged."""
    for one in (key, *also):
        text, _ = verified(note, [one])
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin != key.name:
        raise TrailDamaged("checkpoint", f"log {checkpoint.origin}", f"log {key.name}")
    return checkpoint


def unbase64(text: str) -> bytes | None:
    """The bytes, or None unless `text` is their one canonical encoding."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
