"""The one way in which samples cross processes: rows of shared memory, preallocated, written once, read in place.

As the ring of frames (`ring.py`), with one difference: a row is small, so it has one checksum over all of it, values included. A
row proves itself: whoever reads sequence number n and finds another number, or a checksum that does not fit, has nothing. So a row
that is torn, being overwritten or damaged never reads as good, on any processor, whatever the order in which its stores arrive.

    | seq | captured | source | uncertain | quality | values … | CRC-32 |

Nobody is woken: whoever needs samples looks, at the moment when it needs them.
"""

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Sequence

from inframe.core.samples import Quality, Sample
from inframe.core.sensor import SensorBase

MAGIC = 0x31474E52_53524649  # "IFRSRNG1"
_PREFIX = struct.Struct("<QQQ")  # magic, slots, channels
_NOTE_WORDS = (8, 16)  # where the newest sequence number stands, in words of 64 bits
_ROWS_AT = 4096
_HEAD = struct.Struct("<Qq")
_CRC_BYTES = 4
_CRC_RESIDUE = 0x2144DF1C
"""The CRC-32 of anything that ends with its own CRC-32, little-endian."""
KEPT_S = 4.0
LEAST = 256
"""A ring keeps so many seconds, and so many samples at least."""


def slots_for(sensor: SensorBase) -> int:
    """How many rows a stream's ring has."""
    return max(LEAST, int(KEPT_S * sensor.rate_hz))


def _body(channels: int) -> struct.Struct:
    return struct.Struct(f"<QqqqQ{channels}d")


def _stride(channels: int) -> int:
    return _body(channels).size + 8  # the checksum, and four bytes that keep the next row on a whole word


def create(name: str, slots: int, channels: int) -> int:
    """A new ring's memory: a file descriptor for the writer; `ring.read_only` makes those for readers."""
    size = _ROWS_AT + slots * _stride(channels)
    fd = os.memfd_create(f"inframe:{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    os.pwrite(fd, _PREFIX.pack(MAGIC, slots, channels), 0)
    return fd


class _Mapped:
    """A ring's memory in this process."""

    def __init__(self, fd: int, writable: bool) -> None:
        magic, self.slots, self.channels = _PREFIX.unpack(os.pread(fd, _PREFIX.size, 0))
        self.body = _body(self.channels)
        self.stride = _stride(self.channels)
        self.used = self.body.size + _CRC_BYTES
        size = _ROWS_AT + self.slots * self.stride
        if magic != MAGIC or os.fstat(fd).st_size != size:
            raise RuntimeError("not a ring of samples, or one of another version")
        self.map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))
        self.words = memoryview(self.map).cast("B")[:_ROWS_AT].cast("Q")

    def row(self, seq: int) -> Sample | None:
        """The sample of this number, if it is there, whole."""
        at = _ROWS_AT + seq % self.slots * self.stride
        raw = self.map[at : at + self.used]
        if zlib.crc32(raw) != _CRC_RESIDUE:
            return None
        found, captured, source, uncertain, quality, *values = self.body.unpack_from(raw)
        if found != seq or not seq or quality not in _QUALITIES:
            return None
        return Sample(found, captured, source, uncertain, _QUALITIES[quality], tuple(values))

    def captured(self, seq: int) -> int | None:
        """When that sample was measured: the same, for whoever searches a moment."""
        at = _ROWS_AT + seq % self.slots * self.stride
        raw = self.map[at : at + self.used]
        if zlib.crc32(raw) != _CRC_RESIDUE:
            return None
        found, captured = _HEAD.unpack_from(raw)
        return captured if found == seq != 0 else None

    def scan(self) -> int:
        """The newest sequence number by looking into every row, 0 if there is none."""
        newest = 0
        for slot in range(self.slots):
            at = _ROWS_AT + slot * self.stride
            (seq,) = struct.unpack_from("<Q", self.map, at)
            if seq > newest and seq % self.slots == slot and self.row(seq) is not None:
                newest = seq
        return newest


_QUALITIES = {int(quality): quality for quality in Quality}


class SampleWriter:
    """The one process that writes. Made anew after a restart it goes on behind the newest whole row."""

    def __init__(self, memory_fd: int) -> None:
        self._ring = _Mapped(memory_fd, writable=True)
        newest = self._ring.scan()
        self.seq = newest + 1
        """The sequence number that the next `write` publishes."""
        last = self._ring.row(newest) if newest else None
        self.captured_ns = last.captured_ns if last is not None else 0
        """When the newest sample was measured: the next one's time must be greater."""
        self._note(newest)

    def write(
        self, captured_ns: int, source_ns: int, uncertain_ns: int, quality: Quality, values: Sequence[float]
    ) -> int:
        """Publish one sample; returns its number. Raises RuntimeError for a time that does not grow."""
        if captured_ns <= self.captured_ns:
            raise RuntimeError(f"captured at {captured_ns}, not after {self.captured_ns}")
        ring, seq = self._ring, self.seq
        body = ring.body.pack(seq, captured_ns, source_ns, uncertain_ns, quality, *values)
        at = _ROWS_AT + seq % ring.slots * ring.stride
        ring.map[at : at + ring.used] = body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")
        self.seq, self.captured_ns = seq + 1, captured_ns
        self._note(seq)
        return seq

    def _note(self, seq: int) -> None:
        first, second = _NOTE_WORDS
        self._ring.words[first] = self._ring.words[second] = seq


class SampleReader:
    """A process that reads."""

    def __init__(self, memory_fd: int) -> None:
        self._ring = _Mapped(memory_fd, writable=False)
        self.slots, self.channels = self._ring.slots, self._ring.channels
        self.row, self.captured = self._ring.row, self._ring.captured
        """The sample of a number, or when it was measured; None if it is torn, damaged, not yet written or already overwritten."""
        self._words = self._ring.words
        self.corrupt = 0
        """Notes of the newest that were found to be wrong."""

    def newest(self) -> int:
        """The newest sequence number, 0 if there is none yet. It is only where to look first: a row proves itself."""
        first, second = _NOTE_WORDS
        seq = self._words[first]
        if seq == self._words[second] and (not seq or self.captured(seq) is not None):
            return seq
        seq = max(self._words[first], self._words[second])
        for candidate in (seq, seq - 1):  # just being rewritten
            if 0 < candidate < 1 << 63 and self.captured(candidate) is not None:
                return candidate
        self.corrupt += 1
        return self._ring.scan()
