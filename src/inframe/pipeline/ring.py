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

MAGIC = 0x31474E52_4D524649  # "IFRMRNG1"
_PREFIX = struct.Struct("<QQQ")  # magic, slots, payload bytes
_HEAD = struct.Struct("<QI")  # newest sequence number, CRC-32
_HEAD_AT = (64, 128)
_SLOTS_AT = 4096
_HEADER = struct.Struct("<QQqqqIIII6I4qdI")
_BODY = struct.Struct("<QQqqqIIII6I4qd")  # the same without its CRC-32
_HEADER_BYTES = 192
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
    dims: tuple[int, ...] = (0,) * 6
    times: tuple[int, ...] = (0,) * 4
    value: float = 0.0


def _pack(header: Header, seq: int) -> bytes:
    """The header's bytes with `seq` filled in."""
    body = _BODY.pack(seq, *header[1:9], *header.dims, *header.times, header.value)
    return body + zlib.crc32(body).to_bytes(4, "little")


def _unpack(raw: bytes) -> Header | None:
    """The header, or None if its checksum is wrong."""
    if zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        return None
    v = _BODY.unpack_from(raw)
    return Header(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9:15], v[15:19], v[19])


def _note(raw: bytes) -> int | None:
    if raw == _NO_NOTE:
        return 0
    seq, crc = _HEAD.unpack(raw)
    return int(seq) if zlib.crc32(raw[:8]) == crc else None


_NO_NOTE = bytes(_HEAD.size)
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
        self.memory: NDArray[np.uint8] = np.frombuffer(self.map, np.uint8)
        self.ends = [(self.layout.front(slot), self.layout.back(slot)) for slot in range(slots)]
        starts = [front + _HEADER_BYTES for front, _ in self.ends]
        self.payloads: list[NDArray[np.uint8]] = [self.memory[at : at + payload] for at in starts]
        """Each slot's payload, (payload bytes,) uint8; sequence number n is in slot n % slots."""

    def scan(self) -> int:
        """The newest sequence number by looking into every slot, 0 if there is none."""
        seqs = {header.seq for slot in range(self.layout.slots) for header in map(_unpack, self.pair(slot)) if header}
        return max((seq for seq in seqs if self.header(seq)[0]), default=0)

    def pair(self, seq: int) -> tuple[bytes, bytes]:
        """The two headers of the slot of `seq`, as bytes."""
        front, back = self.ends[seq % self.layout.slots]
        return self.map[front : front + _HEADER.size], self.map[back : back + _HEADER.size]

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

    def notes(self) -> tuple[int | None, ...]:
        """The newest sequence number as the writer noted it, twice; None where a note is damaged, 0 before the first."""
        first, second = (
            self.map[_HEAD_AT[0] : _HEAD_AT[0] + _HEAD.size],
            self.map[_HEAD_AT[1] : _HEAD_AT[1] + _HEAD.size],
        )
        seq = _note(first)
        return seq, seq if first == second else _note(second)


class RingWriter:
    """The one process that writes. Made anew after a restart it goes on behind the newest whole slot."""

    def __init__(self, memory_fd: int, wakes: tuple[int, ...]) -> None:
        self._ring = _Mapped(memory_fd, writable=True)
        self._wakes = wakes
        self._fence = threading.Lock()
        self._ends = (0, 0)
        self._note = b""
        self.payloads = self._ring.payloads
        self.seq = self._ring.scan() + 1
        """The sequence number that the next `commit` publishes."""

    @property
    def slot(self) -> int:
        """The index of the slot that the next `commit` publishes."""
        return self.seq % self._ring.layout.slots

    def begin(self) -> NDArray[np.uint8]:
        """Mark the next slot as being written and return its payload, (payload bytes,) uint8.

        What can be made ready for `commit` is made ready here: that one stands between a frame and its reader.
        """
        slot = self.slot
        self._ends = self._ring.ends[slot]
        self._write_headers(_BEING_WRITTEN)
        self._barrier()
        self._note = _HEAD.pack(self.seq, zlib.crc32(self.seq.to_bytes(8, "little")))
        return self.payloads[slot]

    def commit(self, header: Header) -> int:
        """Publish the slot begun, wake the readers, return its sequence number (`header.seq` is filled in here)."""
        seq, memory, note = self.seq, self._ring.map, self._note
        raw = _pack(header, seq)
        self._barrier()
        self._write_headers(raw)
        self._barrier()
        for at in _HEAD_AT:
            memory[at : at + _HEAD.size] = note
        self.seq = seq + 1
        for fd in self._wakes:
            os.eventfd_write(fd, 1)
        return seq

    def _write_headers(self, raw: bytes) -> None:
        memory, (front, back) = self._ring.map, self._ends
        memory[back : back + _HEADER.size] = raw
        memory[front : front + _HEADER.size] = raw

    def _barrier(self) -> None:
        """Stores before stay before stores after. x86 keeps them in order by itself; on Arm it takes a release followed by
        an acquire, which two rounds of a lock are. Python has no fence, and a system call promises none."""
        if not _KEEPS_ORDER:
            for _ in range(2):
                with self._fence:
                    pass


class RingReader:
    """A process that reads. `corrupt` counts damaged headers that it met."""

    def __init__(self, memory_fd: int) -> None:
        self._ring = _Mapped(memory_fd, writable=False)
        self.payloads = self._ring.payloads
        self.corrupt = 0

    def newest(self) -> int:
        """The newest sequence number, 0 if there is none yet."""
        notes = self._ring.notes()
        if None in notes and None in self._ring.notes():
            self.corrupt += 1  # seen twice: damage, not a note just being rewritten
        seq = next((note for note in notes if note is not None), None)
        if seq == 0 or (seq is not None and self._ring.header(seq)[0]):
            return seq
        return self._ring.scan()

    def latest(self) -> Header | None:
        """The newest slot's header, None if there is none yet: `newest` and `header` in one look, for the frame path."""
        memory, (first, second) = self._ring.map, _HEAD_AT
        note = memory[first : first + _HEAD.size]
        if note == memory[second : second + _HEAD.size]:
            seq = int.from_bytes(note[:8], "little")
            raw, other = self._ring.pair(seq)
            header = _unpack(raw) if raw == other else None
            if header is not None and header.seq == seq != 0:
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
        return self.payloads[seq % self._ring.layout.slots]

    def holds(self, seq: int) -> bool:
        """Whether what was read of `seq` before this call was not overwritten: the writer has not come round to its slot."""
        notes = self._ring.notes()
        if notes[0] is not None and notes[0] == notes[1]:
            return seq <= notes[0] < seq + self._ring.layout.slots - 1
        return self.header(seq) is not None

    @property
    def slots(self) -> int:
        """How many slots the ring has."""
        return self._ring.layout.slots
