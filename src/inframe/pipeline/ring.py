"""The one way in which data crosses processes: slots of shared memory, preallocated, written once, read in place.

A ring has one writer and any number of readers. The writer never waits for a reader: a slow reader finds its slot
overwritten, and *knows*. Each slot carries its header twice, before and after the payload, each with a checksum:

    | header | payload … | header |        both say sequence n: the payload is frame n, whole
                                           both say 0: it is being written
                                           they differ: torn, nothing is read
                                           one fails its checksum: memory was damaged, the other one serves, and it is counted

The payload itself has no checksum (a CRC of 1280x720x3 costs 0.6 ms and more); readers map it read-only, so that no reader's
fault can damage it.

The memory is an anonymous file (memfd): it has no name, so that nothing is left behind however the processes end, and its
size is sealed, so that nobody can cut it under a reader. Readers are woken through one eventfd per reading process; an
eventfd that the parent holds outlives each of its users, so that a restarted process goes on where the old one died.
"""

import fcntl
import mmap
import os
import platform
import select
import struct
import threading
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S, Clock

MAGIC = 0x32474E52_4D524649  # "IFRMRNG2"
_PREFIX = struct.Struct("<QQQ")  # magic, slots, payload bytes
_NOTE_WORDS = (8, 16)  # where the newest sequence number stands, in words of 64 bits
_SLOTS_AT = 4096
_BODY = struct.Struct("<QQqqqIIII")  # Header's fields; its CRC-32 follows
_HEADER = struct.Struct("<QQqqqIIII4x")
_CRC_RESIDUE = 0x2144DF1C
"""The CRC-32 of anything that ends with its own CRC-32, little-endian."""
_HEADER_BYTES = 128
_KEEPS_ORDER = platform.machine() == "x86_64"


class Header(NamedTuple):
    """What a slot says of its payload. Which fields mean something depends on what the ring carries."""

    seq: int
    """The ring's own sequence number, from 1."""
    tag: int = 0
    """The frame's sequence number."""
    captured_ns: int = 0
    published_ns: int = 0
    source_ns: int = 0
    flags: int = 0
    dropped: int = 0
    kind: int = 0
    size: int = 0
    """Bytes of the payload in use."""


def _pack(header: Header, seq: int) -> bytes:
    """The header's bytes with `seq` filled in."""
    body = _BODY.pack(seq, *header[1:])
    return body + zlib.crc32(body).to_bytes(4, "little")


def _unpack(raw: bytes) -> Header | None:
    """The header, or None if its checksum is wrong."""
    return Header._make(_HEADER.unpack(raw)) if zlib.crc32(raw) == _CRC_RESIDUE else None


_BEING_WRITTEN = _pack(Header(0), 0)


@dataclass(frozen=True, slots=True)
class _Layout:
    slots: int
    payload: int

    @property
    def stride(self) -> int:
        return -(-(2 * _HEADER_BYTES + self.payload) // 4096) * 4096

    @property
    def total(self) -> int:
        return _SLOTS_AT + self.slots * self.stride

    def front(self, seq: int) -> int:
        return _SLOTS_AT + (seq % self.slots) * self.stride

    def back(self, seq: int) -> int:
        return self.front(seq) + self.stride - _HEADER_BYTES


def create(name: str, slots: int, payload_bytes: int) -> int:
    """A new ring's memory: a file descriptor that the parent keeps and hands to the writer. See `read_only` for readers."""
    layout = _Layout(slots, payload_bytes)
    fd = os.memfd_create(f"inframe:{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, layout.total)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    os.pwrite(fd, _PREFIX.pack(MAGIC, slots, payload_bytes), 0)
    for slot in range(slots):
        os.pwrite(fd, _BEING_WRITTEN, layout.front(slot))
        os.pwrite(fd, _BEING_WRITTEN, layout.back(slot))
    return fd


def read_only(fd: int) -> int:
    """A second descriptor of the same memory, through which it can only be read."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def wake_fd() -> int:
    """An eventfd for one reading process."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def wait(fd: int, until_ns: int, clock: Clock) -> bool:
    """Sleep until woken through `fd` (True) or until the moment `until_ns` (False). Pending wake-ups are used up together.

    select() rather than poll(): its time-out is in microseconds, not milliseconds.
    """
    left = (until_ns - clock.now()) / NS_PER_S
    ready, _, _ = select.select([fd], [], [], max(left, 0.0))
    if not ready:
        return False
    try:
        os.eventfd_read(fd)
    except BlockingIOError:
        return False
    return True


class _Mapped:
    """A ring's memory in this process."""

    def __init__(self, fd: int, writable: bool) -> None:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        magic, slots, payload = _PREFIX.unpack(os.pread(fd, _PREFIX.size, 0))
        self.layout = _Layout(slots, payload)
        if magic != MAGIC or os.fstat(fd).st_size != self.layout.total:
            raise RuntimeError("not a ring, or one of another version")
        self.map = mmap.mmap(fd, self.layout.total, mmap.MAP_SHARED, prot)
        self.words = memoryview(self.map).cast("Q")
        self.memory: NDArray[np.uint8] = np.frombuffer(self.map, np.uint8)
        at = [(self.layout.back(slot), self.layout.front(slot)) for slot in range(slots)]
        self.ends = [(slice(b, b + _HEADER.size), slice(f, f + _HEADER.size)) for b, f in at]
        """Where each slot's two headers stand, in the order of writing: the back one first."""
        self.starts = [front + _HEADER_BYTES for _, front in at]
        self.payloads: list[NDArray[np.uint8]] = [self.memory[at : at + payload] for at in self.starts]
        """Each slot's payload, (payload bytes,) uint8; sequence number n is in slot n % slots."""

    def scan(self) -> int:
        """The newest sequence number by looking into every slot, 0 if there is none."""
        seqs = {header.seq for slot in range(self.layout.slots) for header in map(_unpack, self.pair(slot)) if header}
        return max((seq for seq in seqs if self.header(seq)[0]), default=0)

    def pair(self, seq: int) -> tuple[bytes, bytes]:
        """The two headers of the slot of `seq`, as bytes."""
        back, front = self.ends[seq % self.layout.slots]
        return self.map[front], self.map[back]

    def header(self, seq: int) -> tuple[Header | None, bool]:
        """The header of `seq` if its slot holds that payload, whole; and whether one of the two was damaged."""
        raw, other = self.pair(seq)
        header = _unpack(raw)
        if raw == other and header is not None:
            return (header if header.seq == seq != 0 else None), False
        second = _unpack(other)
        if header is not None and second is not None:
            return None, False  # two sound ones that differ: being written
        survivor = header or second
        return (survivor if survivor is not None and survivor.seq == seq != 0 else None), True

    def notes(self) -> tuple[int, int]:
        """The newest sequence number as the writer noted it, first in one place and then in another; 0 before the first."""
        first, second = _NOTE_WORDS
        return self.words[first], self.words[second]


class _Place(NamedTuple):
    """Where a commit goes: the ring's memory, or a stand-in to rehearse it."""

    map: mmap.mmap
    words: "memoryview[int]"
    ends: list[tuple[slice, slice]]
    wakes: tuple[int, ...]


def _publish(place: _Place, seq: int, header: Header) -> None:
    """It stands between a frame and its reader, and runs when other code has filled the caches: hence in one piece."""
    memory, words, ends, wakes = place
    body = _BODY.pack(seq, *header[1:])
    back, front = ends[seq % len(ends)]
    if not _KEEPS_ORDER:
        _barrier()
    memory[back] = memory[front] = body + zlib.crc32(body).to_bytes(4, "little")
    if not _KEEPS_ORDER:
        _barrier()
    first, second = _NOTE_WORDS
    words[first] = words[second] = seq
    for fd in wakes:
        os.eventfd_write(fd, 1)


def _barrier() -> None:
    """Stores before stay before stores after. x86 keeps them in order by itself; on Arm it takes a release followed by
    an acquire, which two rounds of a lock are. Python has no fence, and a system call promises none."""
    for _ in range(2):
        with _FENCE:
            pass


_FENCE = threading.Lock()


class RingWriter:
    """The one process that writes. Made anew after a restart it goes on behind the newest whole slot."""

    def __init__(self, memory_fd: int, wakes: tuple[int, ...]) -> None:
        ring = _Mapped(memory_fd, writable=True)
        self._ring = ring
        self._place = _Place(ring.map, ring.words, ring.ends, wakes)
        self._stand_in: _Place | None = None
        self._begun = 0
        self._starts = ring.starts
        self.payloads = ring.payloads
        self.seq = ring.scan() + 1
        """The sequence number that the next `commit` publishes."""
        first, second = _NOTE_WORDS
        ring.words[first] = ring.words[second] = self.seq - 1  # one that was killed may have left them behind

    @property
    def slot(self) -> int:
        """The index of the slot that the next `commit` publishes."""
        return self.seq % len(self.payloads)

    def begin(self) -> NDArray[np.uint8]:
        """Mark the next slot as being written and return its payload, (payload bytes,) uint8. Once is enough: it may be
        called long before, where it delays nobody, and again."""
        slot = self.seq % len(self.payloads)
        if self._begun != self.seq:
            self._begun = self.seq
            memory, (back, front) = self._place.map, self._place.ends[slot]
            memory[back] = memory[front] = _BEING_WRITTEN
            if not _KEEPS_ORDER:
                _barrier()
        return self.payloads[slot]

    def put(self, at: int, data: memoryview) -> int:
        """Write C-contiguous `data` into the slot begun, `at` bytes behind its beginning; returns where it ends."""
        start = self._starts[self.seq % len(self._starts)] + at
        if at + data.nbytes > self._ring.layout.payload:
            raise RuntimeError(f"{at + data.nbytes} bytes for a slot of {self._ring.layout.payload}")
        self._place.map[start : start + data.nbytes] = data
        return at + data.nbytes

    def commit(self, header: Header) -> int:
        """Publish the slot begun, wake the readers, return its sequence number (`header.seq` is filled in here)."""
        seq = self.seq
        _publish(self._place, seq, header)
        self.seq = seq + 1
        return seq

    def rehearse(self) -> None:
        """Walk through `commit` on a stand-in. Code that has not run for a frame period has left the caches: a commit after
        5 ms of sleep takes 10 times as long as one right after another. Whoever waits for a known moment rehearses shortly
        before it."""
        if self._stand_in is None:
            scratch, wake = mmap.mmap(-1, mmap.PAGESIZE), wake_fd()
            ends = [(slice(1024, 1024 + _HEADER.size), slice(2048, 2048 + _HEADER.size))] * len(self.payloads)
            self._stand_in = _Place(scratch, memoryview(scratch).cast("Q"), ends, (wake,))
        _publish(self._stand_in, self.seq, Header(0, self.seq, 0, 0, 0, 0, 0, 0, 0))


class RingReader:
    """A process that reads. `corrupt` counts what it met that was damaged: headers, and notes of the newest."""

    def __init__(self, memory_fd: int) -> None:
        self._ring = _Mapped(memory_fd, writable=False)
        self._map, self._words, self._ends = self._ring.map, self._ring.words, self._ring.ends
        self._starts = self._ring.starts
        self.payloads = self._ring.payloads
        self.slots = self._ring.layout.slots
        """How many slots the ring has."""
        self.corrupt = 0

    def let_go(self) -> None:
        """Take what was looked at out of this process's resident memory; it is mapped again when it is looked at."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def newest(self) -> int:
        """The newest sequence number, 0 if there is none yet."""
        notes = self._ring.notes()
        for seq in sorted(set(notes), reverse=True):
            if seq and self._ring.header(seq)[0]:
                break
        else:
            seq = self._ring.scan() if any(notes) else 0
        if not 0 <= notes[0] - notes[1] <= 1 or seq not in notes:
            self.corrupt += notes == self._ring.notes()  # seen twice: damage, not a note just being rewritten
        return seq

    def latest(self) -> Header | None:
        """The newest slot's header, None if there is none yet: `newest` and `header` in one look, for the frame path."""
        first, second = _NOTE_WORDS
        seq = self._words[first]
        if seq == self._words[second]:
            back, front = self._ends[seq % self.slots]
            raw = self._map[front]
            if raw == self._map[back] and zlib.crc32(raw) == _CRC_RESIDUE:
                header = Header._make(_HEADER.unpack(raw))
                if header.seq == seq != 0:
                    return header
        return self.header(self.newest())  # the careful way, which also counts what is damaged

    def header(self, seq: int) -> Header | None:
        """The header of `seq`, or None if that slot is torn, damaged, not yet written or already overwritten."""
        header, damaged = self._ring.header(seq)
        if damaged:  # or just being rewritten: look again
            header, damaged = self._ring.header(seq)
            self.corrupt += damaged
        return header

    def payload(self, seq: int) -> NDArray[np.uint8]:
        """The slot of `seq`, (payload bytes,) uint8, read-only. After use ask `holds`: a slow reader may have been overtaken."""
        return self.payloads[seq % self.slots]

    def take(self, header: Header) -> bytes | None:
        """A copy of what the slot has in use, shorter than its header says if that is more than a slot has; None if it was
        overwritten meanwhile."""
        start = self._starts[header.seq % self.slots]
        data = self._map[start : start + min(header.size, self._ring.layout.payload)]
        return data if self.holds(header.seq) else None

    def holds(self, seq: int) -> bool:
        """Whether what was read of `seq` before this call was not overwritten: the writer has not come round to its slot."""
        first, second = _NOTE_WORDS
        newest = self._words[first]
        if newest == self._words[second]:
            return seq <= newest < seq + self.slots - 1
        return self.header(seq) is not None
