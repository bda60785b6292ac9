"""Paths and contents of C2SP tlog-tiles (c2sp.org/tlog-tiles): Merkle tiles 256 hashes wide and entry bundles."""

from collections.abc import Sequence

from inframe.trail.errors import TrailDamaged
from inframe.trail.tree import HASH_BYTES

WIDTH = 256
"""Hashes in a full tile, entries in a full bundle: subtrees of height 8."""
HEIGHT = 8
MAX_ENTRY = 0xFFFF
"""An entry's length is a uint16."""


def _number(index: int) -> str:
    """1234067 -> x001/x234/067."""
    text = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        text = f"x{index % 1000:03d}/{text}"
    return text


def _path(kind: str, index: int, width: int) -> str:
    if not 1 <= width <= WIDTH or index < 0:
        raise RuntimeError(f"no tile {index} of width {width}")
    return f"tile/{kind}/{_number(index)}" + (f".p/{width}" if width < WIDTH else "")


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Where the tile of that level (0: leaf hashes) and index lies; `width` < 256 names a partial one."""
    return _path(str(level), index, width)


def entries_path(index: int, width: int = WIDTH) -> str:
    """Where the bundle with entries 256*index … lies."""
    return _path("entries", index, width)


def width_at(size: int, level: int, index: int) -> int:
    """How wide that tile is in a tree of `size` leaves: 0 (absent) … 256."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - WIDTH * index))


def framed(entry: bytes) -> bytes:
    """An entry as it stands in a bundle: its length, big-endian uint16, then its bytes."""
    return len(entry).to_bytes(2, "big") + entry


def split_bundle(data: bytes, width: int, place: str) -> list[bytes]:
    """The `width` entries of a bundle. Raises TrailDamaged where it holds fewer, more, or a cut one."""
    entries, at = [], 0
    for i in range(width):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise TrailDamaged(f"{place}: entry {i}", f"{len(data) - at} bytes left", "a whole entry")
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data):
        raise TrailDamaged(place, f"{len(data) - at} bytes behind the last entry", "none")
    return entries


def split_tile(data: bytes, width: int, place: str) -> list[bytes]:
    """The `width` hashes of a tile. Raises TrailDamaged where its length is another one."""
    if len(data) != width * HASH_BYTES:
        raise TrailDamaged(place, f"{len(data)} bytes", f"{width} hashes of {HASH_BYTES}")
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def bundle(entries: Sequence[bytes]) -> bytes:
    """The content of an entry bundle."""
    return b"".join(map(framed, entries))
