"""The Merkle tree of RFC 6962 section 2.1 (SHA-256): hashing, inclusion and consistency. No I/O.

A complete subtree of 2**level leaves is named by (level, index): it covers leaves index*2**level .. (index+1)*2**level.
Whoever calls supplies `node`, which looks such a subtree's hash up, in tiles or in memory.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""(level, index) -> hash of that complete subtree."""


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962 section 2.1: a leaf is hashed behind a zero byte, so that it can't be passed off as an inner node."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1: an inner node is hashed behind a one byte."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of a complete subtree from its 2**k hashes, all of one level."""
    row = list(hashes)
    if not row or len(row) & (len(row) - 1):
        raise RuntimeError(f"{len(row)} hashes are no complete subtree")
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


class Frontier:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first; all that is needed to go on."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(peaks):
            raise RuntimeError(f"{len(peaks)} subtrees for a tree of {size} leaves")
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, one for each bit of `size`, largest first."""
        return tuple(self._peaks)

    def copy(self) -> "Frontier":
        """Another one that grows on its own."""
        return Frontier(self.size, self._peaks)

    def push(self, hashed: bytes, level: int = 0) -> None:
        """Append a leaf's hash, or that of a complete subtree of 2**level leaves, where the size allows it."""
        if self.size & ((1 << level) - 1):
            raise RuntimeError(f"a subtree of level {level} does not fit at {self.size}")
        grown = self.size >> level
        while grown & 1:
            hashed = node_hash(self._peaks.pop(), hashed)
            grown >>= 1
        self._peaks.append(hashed)
        self.size += 1 << level

    def root(self) -> bytes:
        """The root hash of the tree of `size` leaves, 32 bytes."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def peaks_of(size: int) -> list[tuple[int, int]]:
    """The complete subtrees (level, index) that make up a tree of `size` leaves, largest first."""
    found, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def frontier_of(size: int, node: Node) -> Frontier:
    """The right edge of the tree's first `size` leaves."""
    return Frontier(size, [node(level, index) for level, index in peaks_of(size)])


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def subtree_root(start: int, end: int, node: Node) -> bytes:
    """MTH(D[start:end]) of RFC 6962 for a range that its splitting makes (start is a multiple of the range's power of two)."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(size)
    return node_hash(subtree_root(start, middle, node), subtree_root(middle, end, node))


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, from the leaf's sibling up."""
    if not 0 <= index < size:
        raise RuntimeError(f"no leaf {index} in a tree of {size}")
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(subtree_root(middle, end, node))
            end = middle
        else:
            path.append(subtree_root(start, middle, node))
            start = middle
    return path[::-1]


def consistency_path(old: int, new: int, node: Node) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2; empty for old = 0 and old = new (as tlog-witness asks)."""
    if not 0 <= old <= new:
        raise RuntimeError(f"no tree of {old} within one of {new}")
    if old in (0, new):
        return []
    path, start, end, whole = [], 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(subtree_root(middle, end, node))
            end = middle
        else:
            path.append(subtree_root(start, middle, node))
            start, whole = middle, False
    if not whole:
        path.append(subtree_root(start, end, node))
    return path[::-1]


def root_by_inclusion(index: int, size: int, hashed: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that `path` leads to (RFC 9162 section 2.1.3.2), or None where the path's length does not fit."""
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, hashed
    for step in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = node_hash(step, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, step)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree of `new` leaves begins with that of `old` (RFC 9162 section 2.1.4.2)."""
    if not 0 <= old <= new or (old in (0, new) and path):
        return False
    if old == 0:
        return old_root == EMPTY_ROOT
    if old == new:
        return old_root == new_root
    steps = list(path) if old & (old - 1) else [old_root, *path]
    if not steps:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, step)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
