"""The tail: the leaves since the last full bundle, in one file that only grows until its 256 leaves are published as tiles.

    b"inframe trail tail 1\\n" | start: uint64 BE, a multiple of 256
    batch*   = (uint16 BE length > 0 | entry)*  uint16 0 | uint16 BE length | signed checkpoint that covers all up to here

One batch is written with one `append` and made durable with one `sync`. Rejected: a new partial bundle for every second, as
the tiles format alone would ask: it writes each second again 128 times on average, which wears flash out.
"""

from dataclasses import dataclass, field

from inframe.trail.errors import TrailDamaged
from inframe.trail.note import Checkpoint, Key, verified_checkpoint
from inframe.trail.tiles import WIDTH, framed
from inframe.trail.tree import Frontier, leaf_hash

PATH = "tail"
MAGIC = b"inframe trail tail 1\n"
HEAD_BYTES = len(MAGIC) + 8


def head(start: int) -> bytes:
    """An empty tail whose first leaf will be `start`."""
    return MAGIC + start.to_bytes(8, "big")


def batch(entries: list[bytes], note: bytes) -> bytes:
    """What one commit adds."""
    return b"".join(map(framed, entries)) + b"\x00\x00" + framed(note)


@dataclass(slots=True)
class Tail:
    """A tail file, as far as signed checkpoints vouch for it."""

    start: int
    entries: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    note: bytes | None = None
    checkpoint: Checkpoint | None = None
    """The last good one in the file; it covers all entries here."""
    good: int = HEAD_BYTES
    """Up to this byte the file is good."""
    torn: bytes = b""
    """What follows: bytes that no checkpoint covers."""
    bad_notes: list[int] = field(default_factory=list)
    """Bytes at which a checkpoint stands that does not verify, though a later one covers its entries."""

    @property
    def size(self) -> int:
        """The size of the tree that ends here."""
        return self.start + len(self.entries)


def start_of(data: bytes) -> int:
    """The index of the tail's first leaf. Raises TrailDamaged."""
    start = int.from_bytes(data[len(MAGIC) : HEAD_BYTES], "big")
    if len(data) < HEAD_BYTES or not data.startswith(MAGIC) or start % WIDTH:
        raise TrailDamaged(f"{PATH}: byte 0", repr(data[:HEAD_BYTES]), "the head of a tail")
    return start


def scan(data: bytes, key: Key, frontier: Frontier) -> Tail:
    """Read a tail; `frontier` is that of the leaves before it. A damaged end is not an error: it is `torn`."""
    tail = Tail(start_of(data))
    grown = frontier.copy()
    entries: list[tuple[bytes, bytes]] = []
    notes: list[int] = []
    at = HEAD_BYTES
    while (part := _part(data, at)) is not None:
        is_note, content, end = part
        if is_note:
            checkpoint = _checkpoint(content, key)
            if checkpoint is not None and (checkpoint.size, checkpoint.root) == (grown.size, grown.root()):
                tail.entries, tail.hashes = [e for e, _ in entries], [h for _, h in entries]
                tail.note, tail.checkpoint, tail.good = content, checkpoint, end
                tail.bad_notes += notes
                notes = []
            else:
                notes.append(at)
        elif len(entries) == WIDTH:
            break
        else:
            hashed = leaf_hash(content)
            entries.append((content, hashed))
            grown.push(hashed)
        at = end
    tail.torn = data[tail.good :]
    return tail


def _part(data: bytes, at: int) -> tuple[bool, bytes, int] | None:
    """The entry or note at that byte and where it ends; None where there is no whole one."""
    size = int.from_bytes(data[at : at + 2], "big")
    is_note = size == 0
    if is_note:
        at += 2
        size = int.from_bytes(data[at : at + 2], "big")
    end = at + 2 + size
    if size == 0 or end > len(data):
        return None
    return is_note, data[at + 2 : end], end


def _checkpoint(note: bytes, key: Key) -> Checkpoint | None:
    try:
        return verified_checkpoint(note, key)
    except TrailDamaged:
        return None


def signed_within(torn: bytes, key: Key) -> int:
    """How many checkpoints signed by `key` lie in bytes that do not verify. A crash leaves at most one: only one batch is
    ever on its way to the disk. More mean that bytes changed which had been safe."""
    found, at = 0, 0
    mark = key.name.encode() + b"\n"
    while (at := torn.find(mark, at)) >= 0:
        length = int.from_bytes(torn[max(0, at - 2) : at], "big")
        found += _checkpoint(torn[at : at + length], key) is not None
        at += 1
    return found


def whole_entries(torn: bytes) -> int:
    """How many entries can still be told apart in bytes that do not verify."""
    count, at = 0, 0
    while (part := _part(torn, at)) is not None:
        count += not part[0]
        at = part[2]
    return count
