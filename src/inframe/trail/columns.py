"""The bytes below a leaf: varints, texts and columns of integers. Each value has exactly one encoding; any other is refused."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inframe.trail.errors import TrailDamaged

Ints = NDArray[np.int64]
MAX_TEXT = 4096
_U64 = (1 << 64) - 1
_LIMIT = 1 << 63
_NATIVE = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


@lru_cache(256)
def _constant(count: int, value: int) -> Ints:
    """Read-only, since shared: a leaf has a dozen constant columns, mostly the same."""
    column = np.full(count, value, np.int64)
    column.flags.writeable = False
    return column


class Out:
    """Collects an encoding."""

    def __init__(self) -> None:
        self.data = bytearray()

    def varint(self, value: int) -> None:
        """0 <= value < 2**64, seven bits a byte, low ones first, the high bit says that more follow (LEB128)."""
        while value > 0x7F:
            self.data.append(value & 0x7F | 0x80)
            value >>= 7
        self.data.append(value)

    def signed(self, value: int) -> None:
        """-2**63 <= value < 2**63, zigzag: 0, -1, 1, -2 … as 0, 1, 2, 3 …"""
        self.varint(value << 1 if value >= 0 else (-value << 1) - 1)

    def text(self, value: str) -> None:
        """UTF-8 behind its length; at most 4096 bytes, longer ones are cut."""
        raw = value.encode(errors="replace")[:MAX_TEXT].decode(errors="ignore").encode()
        self.varint(len(raw))
        self.data += raw

    def column(self, values: Ints) -> None:
        """(n,) int64, n >= 1: the smallest, then the bytes that the largest difference needs (0..8), then the differences
        in so many bytes each, little-endian. A constant column has none."""
        base = int(values.min())
        above = values.view(np.uint64) - np.uint64(base & _U64)
        width = (int(above.max()).bit_length() + 7) // 8
        self.signed(base)
        self.data.append(width)
        if width:
            self.data += above.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()

    def delta(self, values: Ints) -> None:
        """(n,) int64: the first, then the column of the steps from each to the next."""
        self.signed(int(values[0]))
        if len(values) > 1:
            self.column(values[1:] - values[:-1])


class In:
    """Reads an encoding; raises TrailDamaged, whose place is the byte, at the first that is not one."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at
        self.low = self.high = 0

    def fail(self, found: object, expected: str) -> TrailDamaged:
        """An error that names the present byte."""
        return TrailDamaged(f"byte {self.at} of {len(self.data)}", found, expected)

    def raw(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise self.fail(f"{len(self.data) - self.at} bytes left", f"{count}")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def varint(self, limit: int = _U64) -> int:
        """A number of at most `limit`."""
        data, at, value, shift = self.data, self.at, 0, 0
        if at < len(data) and data[at] < 0x80 and data[at] <= limit:  # most are one byte long
            self.at += 1
            return data[at]
        while True:
            if at >= len(data) or shift > 63:
                raise self.fail("an endless number", "a varint")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        if value > limit or (byte == 0 and shift):
            raise self.fail(value, f"a number of at most {limit} in its shortest form")
        self.at = at
        return value

    def signed(self) -> int:
        """A signed number."""
        value = self.varint()
        return value >> 1 if not value & 1 else -((value + 1) >> 1)

    def text(self) -> str:
        """A text."""
        raw = self.raw(self.varint(MAX_TEXT))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fail(raw, "UTF-8") from None

    def column(self, count: int) -> Ints:
        """(count,) int64, count >= 1. `low` and `high` are then its smallest and largest value."""
        base = self.signed()
        width = self.data[self.at] if self.at < len(self.data) else 9
        start = self.at + 1
        self.at = start + count * width
        if width == 0:
            self.low = self.high = base
            return _constant(count, base)
        if width > 8 or self.at > len(self.data):
            raise self.fail(f"a column {width} bytes wide", f"one of 0 to 8 with {count} rows")
        if (native := _NATIVE.get(width)) is not None:
            above = np.frombuffer(self.data, native, count, start).astype(np.uint64)
        else:
            wide = np.zeros((count, 8), np.uint8)
            wide[:, :width] = np.frombuffer(self.data, np.uint8, count * width, start).reshape(count, width)
            above = wide.view("<u8").ravel()
        top = int(np.maximum.reduce(above))
        self.low, self.high = base, base + top
        if int(np.minimum.reduce(above)) or top >> 8 * (width - 1) == 0 or self.high >= _LIMIT:
            raise self.fail("a wasteful column", "the smallest base and width")
        above += np.uint64(base & _U64)
        return above.view(np.int64)

    def within(self, name: str, low: int, high: int) -> None:
        """The column just read must keep within these limits."""
        if self.low < low or self.high > high:
            raise self.fail(f"{name} {self.low} … {self.high}", f"{low} to {high}")

    def delta(self, count: int) -> Ints:
        """(count,) int64, count >= 1."""
        values = np.empty(count, np.int64)
        values[0] = self.signed()
        if count > 1:
            values[1:] = self.column(count - 1)
        return np.add.accumulate(values)

    def end(self) -> None:
        """All must have been read."""
        if self.at != len(self.data):
            raise self.fail(f"{len(self.data) - self.at} more bytes", "the end")
