"""The board: one small shared memory where each process posts how it is doing, and where faults and controls are read.

Each process writes its own row and no other; the controls are written by whichever screen or console a person uses. A cell
is one aligned 64-bit word, so that it is read either old or new. Nothing here is waited for.
"""

import math
import mmap
import os
import struct
from collections.abc import Mapping
from enum import IntEnum

from inframe.core.events import EVENT_INDEX
from inframe.core.types import Audio, Controls

COUNTERS = 28
_ROW = 1 + COUNTERS
_CONTROLS = struct.Struct("<dqqqq")
_WORD = 8
_SHOWN = 5  # the word that says which place of each worker is shown
END, NEXT = 1, 2
"""To end the procedure; to end it and begin the next one."""
SHOWN = 0xFF  # its bits that say so; see `places`
_FIRST_ROW = 8  # the controls have the words before it


class Count(IntEnum):
    """The columns of a process's row that only count up (or hold the newest value)."""

    FRAMES = 0
    """capture: published; worker: runs; display: shown; recorder: frames safely written; screens: shown."""
    DROPPED = 1
    """capture: thrown away for a newer one; recorder: records that came too fast; screens: skipped."""
    MISSED = 2
    """display: on the screen after the deadline, or never."""
    SHOW = 3
    HOLD = 4
    WITHHOLD = 5
    IN_TIME = 6
    """display: frames for which every due model's result was there in time."""
    OVER_BUDGET = 7
    """worker: runs that took longer than budget_ms."""
    INVALID = 8
    FAILED = 9
    CORRUPT = 10
    RECONNECTS = 11
    READY_NS = 12
    """When the process was set up."""
    FIRST_NS = 13
    """display: when the first frame was handed to the screen; worker: when the first result was done; capture: when the first
    frame was captured."""
    FIRST_OVERLAY_NS = 14
    MODE = 15
    VERDICT = 16
    SEQ = 17
    """The newest frame handled."""
    LATENCY_NS = 18
    """display: capture to hand-off of the newest frame."""
    PORT = 19
    """web screen: where it listens."""
    COMMAND = 20
    """screens: what the person asked for, see END and NEXT; 0: nothing."""
    AUDIBLE = 21
    """display: the priority that should sound now."""
    EVENTS = 22
    """recorder: the newest of what the parent told that is safely written."""
    TAKEN = 23
    """recording: the newest record that is in its file."""
    STOOD_IN = 24
    """display: frames on trial for which the model before the candidate stood in."""
    CLOCK_OFFSET_NS = 25
    """sensor: the device's clock minus the source's."""
    CLOCK_DRIFT_PPB = 26
    """sensor: how much faster the source's clock runs."""
    CLOCK_UNCERTAIN_NS = 27
    """sensor: how far off the mapping of the two may be."""


class Board:
    """`names` fixes the rows' order: parent and children get the same list. Any process may read all of it.

    In words of 64 bits: the controls, then a row of counters for each process, then a row of faults for each.
    """

    def __init__(self, fd: int, names: tuple[str, ...]) -> None:
        self._map = mmap.mmap(fd, board_bytes(len(names)), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._words = memoryview(self._map).cast("q")
        self.names = names
        self._rows = {name: _FIRST_ROW + i * _ROW for i, name in enumerate(names)}
        self._faults = _FIRST_ROW + len(names) * _ROW
        self._no_faults = bytes(len(names) * len(EVENT_INDEX) * _WORD)
        self._known_controls = (b"", Controls())

    def row(self, name: str) -> "Row":
        """The row of one process, to write (by itself) or to read."""
        faults = self._faults + self.names.index(name) * len(EVENT_INDEX)
        return Row(self._words[self._rows[name] :][:_ROW], self._words[faults:][: len(EVENT_INDEX)])

    def faults(self) -> dict[str, int]:
        """Events that some process has raised and not cleared: name -> since when, ns (the earliest)."""
        at = self._faults * _WORD
        if self._map[at : at + len(self._no_faults)] == self._no_faults:
            return {}
        present: dict[str, int] = {}
        for name, i in EVENT_INDEX.items():
            since = [ns for ns in self._words[self._faults + i :: len(EVENT_INDEX)] if ns]
            if since:
                present[name] = min(since)
        return present

    def shown(self) -> int:
        """Which place of each worker is shown and which may stand in, a bit for each; see `places`."""
        return self._words[_SHOWN]

    def set_shown(self, word: int) -> None:
        """Show these places from the next frame on. The parent's alone to call."""
        self._words[_SHOWN] = word

    def controls(self) -> Controls:
        """What people have set."""
        raw = self._map[: _CONTROLS.size]
        if raw != self._known_controls[0]:
            self._known_controls = raw, _controls(raw)
        return self._known_controls[1]

    def set_controls(self, controls: Controls) -> None:
        """Replace the controls; a reader may see some of them a moment earlier, which is harmless: none depends on another."""
        c = controls
        raw = _CONTROLS.pack(c.opacity, c.overlay_on, c.acknowledged_ns, c.audio, c.audio_until_ns)
        self._map[: _CONTROLS.size] = raw


def _controls(raw: bytes) -> Controls:
    """Any process may write them: what makes no sense is left at its default."""
    opacity, overlay_on, acknowledged, audio, until = _CONTROLS.unpack(raw)
    opacity = min(max(opacity, 0.0), 1.0) if math.isfinite(opacity) else Controls().opacity
    return Controls(opacity, bool(overlay_on), acknowledged, Audio(audio) if audio in iter(Audio) else Audio.ON, until)


class Row:
    """One process's cells."""

    __slots__ = ("_cells", "_faults")

    def __init__(self, cells: "memoryview[int]", faults: "memoryview[int]") -> None:
        self._cells, self._faults = cells, faults

    def beat(self, now_ns: int) -> None:
        """I am alive and at work."""
        self._cells[0] = now_ns

    @property
    def heartbeat_ns(self) -> int:
        """When it last said so; 0: not yet."""
        return self._cells[0]

    def add(self, count: Count, n: int = 1) -> None:
        """Count up."""
        self._cells[1 + count] += n

    def set(self, count: Count, value: int) -> None:
        """Hold the newest value."""
        self._cells[1 + count] = value

    def get(self, count: Count) -> int:
        """Read a cell."""
        return self._cells[1 + count]

    def raise_fault(self, event: str, now_ns: int) -> None:
        """The event's condition holds, since `now_ns` if it did not already."""
        if self._faults[EVENT_INDEX[event]] == 0:
            self._faults[EVENT_INDEX[event]] = max(now_ns, 1)

    def clear_fault(self, event: str) -> None:
        """The event's condition is over."""
        self._faults[EVENT_INDEX[event]] = 0

    def clear(self) -> None:
        """Forget what a process that has died said of itself: its faults, that it is ready, what it last decided. Its counts
        go on."""
        self._cells[1 + Count.READY_NS] = self._cells[1 + Count.VERDICT] = 0
        for i in range(len(self._faults)):
            self._faults[i] = 0

    def set_faults(self, present: Mapping[str, bool], now_ns: int) -> None:
        """Raise and clear several at once."""
        for event, is_present in present.items():
            if is_present:
                self.raise_fault(event, now_ns)
            else:
                self.clear_fault(event)


def board_bytes(rows: int) -> int:
    """The size of a board's memory."""
    return _WORD * (_FIRST_ROW + rows * (_ROW + len(EVENT_INDEX)))


def create_board(rows: int) -> int:
    """A new board's memory: a file descriptor that the parent keeps and all processes inherit."""
    fd = os.memfd_create("inframe:board", os.MFD_CLOEXEC)
    os.ftruncate(fd, board_bytes(rows))
    return fd
