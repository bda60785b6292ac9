"""What the loop reads of the rest of the device, with a note of each change for whoever wants to run the loop again: rare, and so
nearly free, where a copy in each frame's record would not be.
"""

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict

import numpy as np

from inframe.core.types import Controls
from inframe.pipeline.board import Board
from inframe.pipeline.ring import Header, RingReader, RingWriter

SLOTS = 64
NOTE_BYTES = 4096 - 2 * 192


class Watched:
    """A loop.Status over the board. Each change is published before the frame that it holds for is decided; the note's `tag` is
    the number of that frame's record."""

    def __init__(self, board: Board, notes: RingWriter | None, next_record: Callable[[], int]) -> None:
        self._board, self._notes, self._next_record = board, notes, next_record
        self._faults: Set[str] = frozenset()
        self._controls: Controls | None = None

    def began(self, start_ns: int, last: int) -> None:
        """The loop begins at `start_ns` with an empty memory, behind frame `last`."""
        self._publish({"start_ns": start_ns, "last": last})
        self._controls = None  # say it anew

    def faults(self) -> Mapping[str, int]:
        """See loop.Status."""
        found = self._board.faults()
        if found.keys() != self._faults:
            self._faults = frozenset(found)
            self._changed()
        return found

    def controls(self) -> Controls:
        """See loop.Status."""
        found = self._board.controls()
        if found is not self._controls:
            self._controls = found
            self._changed()
        return found

    def _changed(self) -> None:
        if self._controls is not None:
            self._publish({"faults": sorted(self._faults), **asdict(self._controls)})

    def _publish(self, note: Mapping[str, object]) -> None:
        if self._notes is not None:
            data = json.dumps(note).encode()[:NOTE_BYTES]
            self._notes.begin()[: len(data)] = np.frombuffer(data, np.uint8)
            self._notes.commit(Header(0, self._next_record(), size=len(data)))


class WatchedReader:
    """The notes that are new, oldest first, each with the number of the record that it holds from."""

    def __init__(self, ring: RingReader) -> None:
        self._ring, self._last = ring, 0

    def take(self) -> list[tuple[int, dict[str, object]]]:
        """What was overwritten meanwhile is left out: sixty-four changes within one look."""
        newest = self._ring.newest()
        taken = []
        for seq in range(max(self._last + 1, newest - self._ring.slots + 2), newest + 1):
            header = self._ring.header(seq)
            data = bytes(self._ring.payload(seq)[: header.size]) if header else b""
            if header is not None and self._ring.holds(seq):
                taken.append((header.tag, json.loads(data)))
        self._last = newest
        return taken
