"""OpenIGTLink's messages, for a sensor and a camera. Our own reader: a library's client is a thread that reaches wherever it likes,
and one TCP connection to one address is what the system-call filter permits.

Source: the protocol's specification, version 1 to 3, openigtlink.org (openigtlink/OpenIGTLink, Documents/Protocol).

    header   version u16 | type 12 bytes | device name 20 bytes | time stamp u64 | body's size u64 | CRC-64 u64 | body
    body     of version 3: u16 size of what precedes the content …

Big-endian throughout.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S
from inframe.core.errors import DeviceFault

CONNECT_S = 1.0
MAX_BODY = 64 << 20
_HEADER = struct.Struct(">H12s20sQQQ")
_EXTENDED = struct.Struct(">HHII")
_POLYNOMIAL = 0x42F0E1EBA9EA3693  # CRC-64 of ECMA-182


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte << 56
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc >> 63 else crc << 1) & (1 << 64) - 1
        rows.append(crc)
    return tuple(rows)


_CRC = _table()
_ROWS = np.array(_CRC, np.uint64)
_LANES = 2048
"""A picture's checksum is worked out in so many parts at once: one byte after the other takes Python 0.1 s for 640x480."""


def crc64(data: bytes) -> int:
    """The checksum of a body."""
    if len(data) >= 8 * _LANES:
        return _crc64_of_many(data)
    crc = 0
    for byte in data:
        crc = _CRC[crc >> 56 ^ byte] ^ crc << 8 & (1 << 64) - 1
    return crc


def _crc64_of_many(data: bytes) -> int:
    """The same: it begins at 0, so zeros before the data change nothing, and is linear, so that parts can be put together."""
    size = -(-len(data) // _LANES)
    parts = np.zeros(_LANES * size, np.uint8)
    parts[len(parts) - len(data) :] = np.frombuffer(data, np.uint8)
    crc = np.zeros(_LANES, np.uint64)
    for column in np.ascontiguousarray(parts.reshape(_LANES, size).T):
        crc = _ROWS[(crc >> np.uint64(56)).astype(np.uint8) ^ column] ^ crc << np.uint64(8)
    for behind in _zeros_behind(size):
        crc = _apply(behind, crc[::2]) ^ crc[1::2]
    return int(crc[0])


@lru_cache(maxsize=8)
def _zeros_behind(size: int) -> list[NDArray[np.uint64]]:
    """What 1, 2, 4 … times `size` zero bytes behind the data make of a checksum: by each of its 8 bytes, (8, 256)."""
    table = np.arange(256, dtype=np.uint64) << np.arange(0, 64, 8, dtype=np.uint64)[:, None]
    for _ in range(size):
        table = _ROWS[(table >> np.uint64(56)).astype(np.uint8)] ^ table << np.uint64(8)
    tables = [table]
    while len(tables) < _LANES.bit_length() - 1:
        tables.append(_apply(tables[-1], tables[-1]))
    return tables


def _apply(table: NDArray[np.uint64], crc: NDArray[np.uint64]) -> NDArray[np.uint64]:
    changed = np.zeros_like(crc)
    for i, row in enumerate(table):
        changed ^= row[(crc >> np.uint64(8 * i)).astype(np.uint8)]
    return changed


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a server."""

    kind: str
    device: str
    stamp_ns: int
    """The sender's clock; 0: it has none."""
    content: bytes


class Messages:
    """Bytes in, messages out; no I/O. Raises DeviceFault for what is not OpenIGTLink."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._data = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are now whole. What is larger than `largest` bytes is passed over."""
        self._data += data
        found: list[Message] = []
        while True:
            skipped = min(self._skip, len(self._data))
            del self._data[:skipped]
            self._skip -= skipped
            if self._skip or len(self._data) < _HEADER.size:
                return found
            version, kind, device, stamp, size, crc = _HEADER.unpack_from(self._data)
            if not 1 <= version <= 3 or size > MAX_BODY:
                raise DeviceFault(f"not OpenIGTLink: version {version}, {size} bytes")
            if size > self._largest:
                self._skip = _HEADER.size + size
                continue
            if len(self._data) < _HEADER.size + size:
                return found
            body = bytes(self._data[_HEADER.size : _HEADER.size + size])
            del self._data[: _HEADER.size + size]
            if crc64(body) != crc:
                raise DeviceFault(f"a message of the type {_text(kind)} whose checksum does not fit")
            content = _content(body) if version == 3 else body
            found.append(Message(_text(kind), _text(device), _nanoseconds(stamp), content))


def _content(body: bytes) -> bytes:
    """Version 3: without the extended header and the metadata behind the content."""
    if len(body) < _EXTENDED.size:
        return b""
    size, head, meta, _ = _EXTENDED.unpack_from(body)
    return body[size : len(body) - head - meta]


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _nanoseconds(stamp: int) -> int:
    """Seconds, and 2^-32 of them."""
    return (stamp >> 32) * NS_PER_S + ((stamp & 0xFFFFFFFF) * NS_PER_S >> 32)
