"""What the parent tells the recorder: starts, deaths, what processes had to say. Rare, never on the frame path, hence text."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from inframe.core.errors import one_line
from inframe.pipeline.ring import Header, RingReader, RingWriter

SLOTS = 256
BYTES = 4096 - 2 * 192
MAX_VALUE = 512
MODEL_LOADED = "MODEL_LOADED"
"""The name of what a worker says when it has loaded a model: in `data` its name, its file's sha256, its slot, its engine."""


class Happened(NamedTuple):
    """One thing that happened to the device."""

    kind: str
    """A kind of the trail's events: START, STOP, FAULT, CONFIG …"""
    at_ns: int
    name: str
    text: str = ""
    who: str = ""
    """The process that it happened to."""
    data: Mapping[str, str] = {}
    again: bool = False
    """Told before, to a recorder that is no more: known, but not to be recorded twice."""


def write(ring: RingWriter, happened: Happened) -> None:
    """Publish it; texts too long are cut, data that is too much is left out."""
    data = {key: one_line(value, MAX_VALUE) for key, value in happened.data.items()}
    whole = happened._replace(text=one_line(happened.text, MAX_VALUE), data=data)
    raw = json.dumps(whole).encode()
    if len(raw) > BYTES:
        raw = json.dumps(whole._replace(data={"left_out": f"{len(data)} values"})).encode()
    ring.begin()[: len(raw)] = np.frombuffer(raw, np.uint8)
    ring.commit(Header(0, size=len(raw)))


class HappenedReader:
    """The recorder's end."""

    def __init__(self, reader: RingReader, last: int = 0) -> None:
        self._reader = reader
        self.last = last
        self.lost = 0
        """Overwritten before they were read, or damaged."""

    def take(self) -> list[Happened]:
        """All that is new, oldest first."""
        newest = self._reader.newest()
        first = max(self.last + 1, newest - self._reader.slots + 2)
        found = [self._read(seq) for seq in range(first, newest + 1)]
        if newest > self.last:
            self.lost += first - self.last - 1 + found.count(None)
            self.last = newest
        return [one for one in found if one is not None]

    def _read(self, seq: int) -> Happened | None:
        header = self._reader.header(seq)
        raw = bytes(self._reader.payload(seq)[: header.size]) if header else b""
        try:
            return Happened(*json.loads(raw)) if self._reader.holds(seq) else None
        except (ValueError, TypeError):
            return None
