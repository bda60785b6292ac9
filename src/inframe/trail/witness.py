"""The witness: a second party that remembers how long the trail was, and signs that it only ever grew (c2sp.org/tlog-witness).

The device asks when it is docked. Here is the protocol's content, both ends; whatever carries it (HTTP in `sync`, a cable, a
memory stick) carries these bytes.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

from inframe.core.errors import InframeError
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files, put
from inframe.trail.note import (
    Checkpoint,
    Key,
    Signer,
    parse_checkpoint,
    split_note,
    unbase64,
    verified,
    verified_checkpoint,
)
from inframe.trail.read import Log
from inframe.trail.tree import EMPTY_ROOT, HASH_BYTES, consistency_path, is_consistent

MAX_PROOF = 63


class WitnessRefused(InframeError):  # named like the others in core/errors.py
    """The witness does not sign. `status` is tlog-witness's HTTP status; for 409, `size` is what it last cosigned."""

    exit_code = 1

    def __init__(self, status: int, why: str, size: int | None = None) -> None:
        self.status, self.size = status, size
        super().__init__(f"witness: {status}: {why}")


class Witness:
    """Signs checkpoints of the logs it knows (origin -> the log's key), each consistent with the one before, which it
    keeps in a folder of its own before it answers."""

    def __init__(self, files: Files, signers: tuple[Signer, ...], logs: Mapping[str, Key]) -> None:
        self._files, self._signers, self._logs = files, signers, dict(logs)
        files.lock()

    def add_checkpoint(self, request: bytes, time_s: int) -> bytes:
        """tlog-witness's add-checkpoint: request body in, response body (signature lines) out. Raises WitnessRefused."""
        old, path, note = _parse_request(request)
        text, _ = self._split(note)
        new = self._checkpoint(text, note)
        last = self.last(new.origin)
        if old > new.size:
            raise WitnessRefused(400, f"old size {old} above the checkpoint's {new.size}")
        if old != last.size or (old == new.size and last.root != new.root):
            raise WitnessRefused(409, f"last cosigned {last.size}, asked to go on from {old}", last.size)
        if not is_consistent(last.size, last.root, new.size, new.root, path):
            raise WitnessRefused(422, f"no proof that {new.size} leaves begin with those {last.size} cosigned before")
        put(self._files, _state(new.origin), note)
        return "".join(signer.line(text, time_s) for signer in self._signers).encode()

    def _split(self, note: bytes) -> tuple[str, Checkpoint]:
        try:
            text, _ = split_note(note)
            return text, parse_checkpoint(text)
        except TrailDamaged as error:
            raise WitnessRefused(400, str(error)) from None

    def _checkpoint(self, text: str, note: bytes) -> Checkpoint:
        checkpoint = parse_checkpoint(text)
        key = self._logs.get(checkpoint.origin)
        if key is None:
            raise WitnessRefused(404, f"unknown log {checkpoint.origin}")
        try:
            verified(note, [key])
        except TrailDamaged as error:
            raise WitnessRefused(403, str(error)) from None
        return checkpoint

    def last(self, origin: str) -> Checkpoint:
        """The checkpoint last cosigned for that log; size 0 if none. Raises TrailDamaged."""
        note = self._files.read(_state(origin))
        if note is None:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        text, _ = verified(note, [self._logs[origin]])
        return parse_checkpoint(text)


def _state(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()


def _parse_request(request: bytes) -> tuple[int, list[bytes], bytes]:
    head, blank, note = request.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    size = lines[0].removeprefix("old ")
    hashes = [unbase64(line) for line in lines[1:]]
    path = [h for h in hashes if h is not None and len(h) == HASH_BYTES]
    sound = (
        lines[0].startswith("old ") and size.isascii() and size.isdigit() and len(size) < 20 and str(int(size)) == size
    )
    if not blank or not sound or len(path) != len(hashes) or len(path) > MAX_PROOF:
        raise WitnessRefused(400, "found no add-checkpoint request, expected c2sp.org/tlog-witness")
    return int(size), path, note


def request(log: Log, old_size: int) -> bytes:
    """The device's end: ask for the published checkpoint to be cosigned, from a witness that last saw `old_size` leaves
    (0 if unknown: it answers 409 and the size)."""
    if old_size > log.published.size:
        raise TrailDamaged("log", f"{log.published.size} leaves", f"at least {old_size}, which the witness has seen")
    path = consistency_path(old_size, log.published.size, log.node)
    lines = [f"old {old_size}", *(b64encode(hashed).decode() for hashed in path)]
    return ("\n".join(lines) + "\n\n").encode() + log.published_note


def cosigned(note: bytes, response: bytes, key: Key, witnesses: tuple[Key, ...]) -> bytes:
    """The checkpoint with the witness's lines; those of unknown keys are left out. Raises TrailDamaged if none is known."""
    verified_checkpoint(note, key)
    known = {(w.name, w.id) for w in witnesses}
    _, signatures = split_note(note + response)
    lines = (note + response).decode().rpartition("\n\n")[2].splitlines()
    own = len(note.decode().rpartition("\n\n")[2].splitlines())
    kept = [
        line for i, (line, s) in enumerate(zip(lines, signatures, strict=True)) if i < own or (s.name, s.id) in known
    ]
    whole = note + "".join(f"{line}\n" for line in kept[own:]).encode()
    verified(whole, witnesses)
    return whole
