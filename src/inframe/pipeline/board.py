"""The board: one small shared memory where each process posts how it is doing, and where faults and controls are read.

Each process writes its own row and no other; the controls are written by whichever screen or console a person uses. A cell
is one aligned 64-bit word, so that it is read either old or new. Nothing here is waited for.
"""

import mmap
import os
from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from inframe.core.events import EVENT_INDEX
from inframe.core.types import Audio, Controls

COUNTERS = 24
HISTOGRAM = 1000
HISTOGRAM_STEP_NS = 100_000
_ROW = 3 + COUNTERS + len(EVENT_INDEX)
_CONTROLS = 8


class Count(IntEnum):
    """The columns of a process's row that only count up (or hold the newest value)."""

    FRAMES = 0
    """capture: published; worker: runs; display: shown; recorder: records written; screens: shown."""
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
    """display: when the first frame was handed to the screen; worker: when the first result was done."""
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
    """screens: 1 when the person asked to end the run."""


class Board:
    """`names` fixes the rows' order: parent and children get the same list. Any process may read all of it."""

    def __init__(self, fd: int, names: tuple[str, ...]) -> None:
        self._map = mmap.mmap(fd, board_bytes(len(names)), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        words = np.frombuffer(self._map, np.int64)
        self._rows: NDArray[np.int64] = words[: len(names) * _ROW].reshape(len(names), _ROW)
        self._controls = words[len(names) * _ROW :][:_CONTROLS]
        self._opacity = self._controls[:1].view(np.float64)
        self._histogram: NDArray[np.int64] = words[len(names) * _ROW + _CONTROLS :]
        self.names = names
        self._index = {name: i for i, name in enumerate(names)}

    def row(self, name: str) -> "Row":
        """The row of one process, to write (by itself) or to read."""
        return Row(self._rows[self._index[name]])

    def faults(self) -> dict[str, int]:
        """Events that some process has raised and not cleared: name -> since when, ns (the earliest)."""
        since = self._rows[:, 3 + COUNTERS :]
        if not since.any():
            return {}
        return {name: int(column[column > 0].min()) for name, i in EVENT_INDEX.items() if (column := since[:, i]).any()}

    def controls(self) -> Controls:
        """What people have set."""
        c = self._controls
        return Controls(float(self._opacity[0]), bool(c[1]), int(c[2]), Audio(int(c[3])), int(c[4]))

    def set_controls(self, controls: Controls) -> None:
        """Replace the controls; word by word, which is enough since they do not depend on each other."""
        self._opacity[0] = controls.opacity
        self._controls[1:5] = controls.overlay_on, controls.acknowledged_ns, controls.audio, controls.audio_until_ns

    def add_latency(self, ns: int) -> None:
        """Count one frame's capture-to-hand-off time. Only `display` calls this."""
        self._histogram[min(max(ns // HISTOGRAM_STEP_NS, 0), HISTOGRAM - 1)] += 1

    def latencies_ms(self) -> NDArray[np.int64]:
        """How many frames took 0.0 to 0.1 ms, 0.1 to 0.2 ms, … (the last bin: 99.9 ms and longer), (1000,) int64."""
        return self._histogram.copy()


class Row:
    """One process's cells."""

    __slots__ = ("_cells",)

    def __init__(self, cells: NDArray[np.int64]) -> None:
        self._cells = cells

    def beat(self, now_ns: int) -> None:
        """I am alive and at work."""
        self._cells[0] = now_ns

    @property
    def heartbeat_ns(self) -> int:
        """When it last said so; 0: not yet."""
        return int(self._cells[0])

    def add(self, count: Count, n: int = 1) -> None:
        """Count up."""
        self._cells[3 + count] += n

    def set(self, count: Count, value: int) -> None:
        """Hold the newest value."""
        self._cells[3 + count] = value

    def get(self, count: Count) -> int:
        """Read a cell."""
        return int(self._cells[3 + count])

    def raise_fault(self, event: str, now_ns: int) -> None:
        """The event's condition holds, since `now_ns` if it did not already."""
        cell = 3 + COUNTERS + EVENT_INDEX[event]
        if self._cells[cell] == 0:
            self._cells[cell] = max(now_ns, 1)

    def clear_fault(self, event: str) -> None:
        """The event's condition is over."""
        self._cells[3 + COUNTERS + EVENT_INDEX[event]] = 0

    def clear(self) -> None:
        """Forget what a process that has died said of itself: its faults, and that it is ready. Its counts go on."""
        self._cells[3 + COUNTERS :] = 0
        self._cells[3 + Count.READY_NS] = 0

    def set_faults(self, present: Mapping[str, bool], now_ns: int) -> None:
        """Raise and clear several at once."""
        for event, is_present in present.items():
            if is_present:
                self.raise_fault(event, now_ns)
            else:
                self.clear_fault(event)


def board_bytes(rows: int) -> int:
    """The size of a board's memory."""
    return 8 * (rows * _ROW + _CONTROLS + HISTOGRAM)


def create_board(rows: int) -> int:
    """A new board's memory: a file descriptor that the parent keeps and all processes inherit."""
    fd = os.memfd_create("inframe:board", os.MFD_CLOEXEC)
    os.ftruncate(fd, board_bytes(rows))
    return fd
