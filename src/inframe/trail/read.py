"""A trail as it lies on disk: checkpoint, tiles, bundles and tail, and the hash of any subtree. Needs the public key only."""

from collections.abc import Iterator

from inframe.trail import tail as tails
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files
from inframe.trail.note import Checkpoint, Key, verified_checkpoint
from inframe.trail.tiles import HEIGHT, WIDTH, entries_path, split_bundle, split_tile, tile_path, width_at
from inframe.trail.tree import HASH_BYTES, Frontier, fold, frontier_of, inclusion_path, root_by_inclusion, subtree_root

CHECKPOINT = "checkpoint"
MINIMUM = "minimum"
WITNESSED = "witnessed"
_CACHE = 256
_TRIES = 20


def stored_tile(files: Files, level: int, index: int, width: int) -> list[bytes]:
    """The first `width` hashes of a tile on disk; from the full tile where the partial one is no longer there."""
    if not width:
        return []
    path = tile_path(level, index, width)
    if (data := files.read(path)) is None and (full := files.read(tile_path(level, index))) is not None:
        data = full[: HASH_BYTES * width]
    if data is None:
        raise TrailDamaged(path, "no such file", "a tile")
    return split_tile(data, width, path)


def stored_bundle(files: Files, index: int, width: int) -> list[bytes]:
    """The first `width` entries of a bundle on disk, likewise."""
    path = entries_path(index, width)
    if (data := files.read(path)) is not None:
        return split_bundle(data, width, path)
    if (data := files.read(entries_path(index))) is not None:
        return split_bundle(data, WIDTH, entries_path(index))[:width]
    raise TrailDamaged(path, "no such file", "a bundle")


class Log:
    """The trail at the moment of opening. Raises TrailDamaged where checkpoint or tail can't be read or contradict each
    other. A writer may go on meanwhile: the tail's entries are held in memory, and tiles never change."""

    def __init__(self, files: Files, key: Key) -> None:
        self.files = files
        self.key = key
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self.size = 0
        for left in reversed(range(_TRIES)):
            self.published_note, raw = self._raw()
            self.published = verified_checkpoint(self.published_note, key)
            start = tails.start_of(raw)
            if start <= self.published.size <= start + WIDTH:
                break
            if not left:  # else a writer has just moved on between the two reads
                raise TrailDamaged(CHECKPOINT, f"size {self.published.size}", f"one fitting a tail from leaf {start}")
        self.tail = tails.scan(raw, key, frontier_of(start, self.node))
        self.note, self.checkpoint = self._newest()
        self._tiles.clear()
        self.size = self.checkpoint.size

    def _raw(self) -> tuple[bytes, bytes]:
        found = [self.files.read(path) for path in (CHECKPOINT, tails.PATH)]
        if found[0] is None or found[1] is None:
            raise TrailDamaged(CHECKPOINT if found[0] is None else tails.PATH, "no such file", "a trail")
        return found[0], found[1]

    def _newest(self) -> tuple[bytes, Checkpoint]:
        """The tail's checkpoint or the published one, whichever is newer; they must agree."""
        tail, published = self.tail, self.published
        if tail.size < published.size:
            raise TrailDamaged(
                tails.PATH, f"the end at leaf {tail.size}", f"{published.size} leaves, as the checkpoint says"
            )
        frontier = frontier_of(tail.start, self.node)
        for hashed in tail.hashes[: published.size - tail.start]:
            frontier.push(hashed)
        if frontier.root() != published.root:
            raise TrailDamaged(
                f"{CHECKPOINT}: leaf 0 to {published.size}", "another root hash", "that of the leaves on disk"
            )
        if tail.note is None or tail.checkpoint is None:
            return self.published_note, published
        return tail.note, tail.checkpoint

    def tile(self, level: int, index: int) -> list[bytes]:
        """The hashes of a tile, as many as the tree has: from disk, and beyond what is published from the tail."""
        if (cached := self._tiles.get((level, index))) is not None:
            return cached
        hashes = stored_tile(self.files, level, index, width_at(self.published.size, level, index))
        for position in range(WIDTH * index + len(hashes), WIDTH * index + width_at(self.size, level, index)):
            hashes.append(
                self.tail.hashes[position - self.tail.start] if level == 0 else fold(self.tile(level - 1, position))
            )
        if len(self._tiles) >= _CACHE:
            self._tiles.clear()
        self._tiles[level, index] = hashes
        return hashes

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree of 2**level leaves. Raises TrailDamaged where its tile is missing (or pruned)."""
        height, inner = divmod(level, HEIGHT)
        first = index << inner
        row = self.tile(height, first // WIDTH)[first % WIDTH :][: 1 << inner]
        if len(row) != 1 << inner:
            raise TrailDamaged(tile_path(height, first // WIDTH), f"{len(row)} hashes", f"{1 << inner} more")
        return fold(row)

    def bundle_path(self, index: int) -> list[bytes]:
        """The proof that bundle `index` is in the tree whose leaves are the bundles' roots."""
        return inclusion_path(index, -(-self.size // WIDTH), self._bundle_node)

    def is_under_root(self, index: int, root: bytes, path: list[bytes]) -> bool:
        """Whether a bundle with that root is the log's bundle `index`."""
        return root_by_inclusion(index, -(-self.size // WIDTH), root, path) == self.checkpoint.root

    def _bundle_node(self, level: int, index: int) -> bytes:
        if (index + 1) << level + HEIGHT <= self.size:
            return self.node(level + HEIGHT, index)
        return subtree_root(index << level + HEIGHT, self.size, self.node)  # with the last bundle, not yet full

    def frontier(self, size: int) -> Frontier:
        """The right edge of the first `size` leaves."""
        return frontier_of(size, self.node)

    def bundle(self, index: int) -> list[bytes]:
        """The entries of a bundle, as many as the tree has. Raises TrailDamaged; does not check their hashes."""
        if WIDTH * index >= self.tail.start:
            return self.tail.entries
        return stored_bundle(self.files, index, WIDTH)

    def entry(self, index: int) -> bytes:
        """The bytes of leaf `index`."""
        if not 0 <= index < self.size:
            raise RuntimeError(f"no leaf {index} among {self.size}")
        return self.bundle(index // WIDTH)[index % WIDTH]

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Leaves start … end-1 with their indexes, bundle by bundle; those pruned are left out."""
        end = self.size if end is None else min(end, self.size)
        start = max(start, self.minimum() // WIDTH * WIDTH)
        for index in range(start // WIDTH, -(-end // WIDTH)):
            for at, entry in enumerate(self.bundle(index), WIDTH * index):
                if start <= at < end:
                    yield at, entry

    def minimum(self) -> int:
        """Leaves before this one have been pruned, or may have been. Raises TrailDamaged."""
        raw = self.files.read(MINIMUM)
        if raw is None:
            return 0
        text = raw.decode("ascii", "replace")
        if not (
            text.endswith("\n")
            and len(text) < 21
            and text[:-1].isdigit()
            and f"{int(text)}\n" == text
            and int(text) <= self.size
        ):
            raise TrailDamaged(MINIMUM, repr(text), f"a number up to {self.size}")
        return int(text)
