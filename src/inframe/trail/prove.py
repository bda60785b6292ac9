"""Proofs that a leaf is in the trail, as C2SP tlog-proof files (c2sp.org/tlog-proof): checked offline, without the log.

The file's `extra` line carries the leaf itself, so that one file explains a second and proves it. The specification does not
authenticate that line; the proof does, for it must lead from the leaf's hash to the signed root.
"""

import base64
from dataclasses import dataclass

from inframe.trail.errors import TrailDamaged
from inframe.trail.note import Checkpoint, Key, unbase64, verified, verified_checkpoint
from inframe.trail.read import Log
from inframe.trail.tree import HASH_BYTES, inclusion_path, leaf_hash, root_by_inclusion

FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Proof:
    """A leaf, where it stands, the hashes from it to the root, and the signed checkpoint with that root."""

    index: int
    entry: bytes
    path: tuple[bytes, ...]
    note: bytes

    def text(self) -> bytes:
        """The content of a .tlog-proof file."""
        extra = base64.b64encode(self.entry).decode()
        lines = [
            FIRST_LINE,
            f"extra {extra}",
            f"index {self.index}",
            *(base64.b64encode(h).decode() for h in self.path),
        ]
        return ("\n".join(lines) + "\n\n").encode() + self.note

    def check(self, key: Key, witnesses: tuple[Key, ...] = ()) -> Checkpoint:
        """The checkpoint that the leaf is proven to be in. Raises TrailDamaged. With `witnesses`, one must have cosigned."""
        checkpoint = verified_checkpoint(self.note, key)
        if witnesses:
            verified(self.note, witnesses)
        self.check_path(checkpoint)
        return checkpoint

    def check_path(self, checkpoint: Checkpoint) -> None:
        """That the leaf is under that checkpoint's root, whose signature has been verified. Raises TrailDamaged."""
        if root_by_inclusion(self.index, checkpoint.size, leaf_hash(self.entry), self.path) != checkpoint.root:
            raise TrailDamaged(
                f"proof of leaf {self.index}", "a path to another root", f"the root at {checkpoint.size} leaves"
            )


def prove(log: Log, index: int) -> Proof:
    """The proof of leaf `index` under the newest checkpoint."""
    return Proof(index, log.entry(index), tuple(inclusion_path(index, log.size, log.node)), log.note)


def parse_proof(data: bytes) -> Proof:
    """A .tlog-proof file, unchecked. Raises TrailDamaged where it is not one."""
    head, blank, note = data.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    entry = unbase64(lines[1][6:]) if len(lines) > 2 and lines[1].startswith("extra ") else None
    index = lines[2][6:] if len(lines) > 2 and lines[2].startswith("index ") else ""
    hashes = [unbase64(line) for line in lines[3:]]
    path = tuple([h for h in hashes if h is not None and len(h) == HASH_BYTES])
    sound = index.isascii() and index.isdigit() and len(index) < 20 and str(int(index)) == index
    if lines[0] != FIRST_LINE or not blank or entry is None or not sound or len(path) != len(hashes) or len(path) > 63:
        raise TrailDamaged("proof", f"{len(data)} bytes", "a tlog-proof with its leaf in the extra line")
    return Proof(int(index), entry, path, note)
