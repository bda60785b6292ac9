"""Both ends of a small ring of records."""

import numpy as np

from inframe.core.types import Decision, Frame, Mode, Priority, Verdict
from inframe.pipeline import ring
from inframe.pipeline.record import Fields, RecordReader, RecordWriter
from inframe.pipeline.ring import RingReader, RingWriter

SLOTS = 8
PIXELS = np.zeros((2, 2, 3), np.uint8)
FIELDS = Fields(
    "endoscope",
    ("a", "b"),
    (("near", "NEAR", Priority.MEDIUM), ("lost", "LOST", Priority.LOW)),
    ("AI_LATE", "NO_SIGNAL", "near", "lost"),
)
PERIOD_NS = 33_000_000


def frame(seq: int) -> Frame:
    """The frame `seq` of a stream, captured at its multiple of the period."""
    return Frame("endoscope", seq, seq * PERIOD_NS, (seq + 1) * PERIOD_NS, PIXELS)


class Records:
    """Both ends of a small ring of records."""

    def __init__(self, slots: int = SLOTS, fields: Fields = FIELDS) -> None:
        self.fd = ring.create("records", slots, fields.layout.size)
        self.ring = RingWriter(self.fd, ())
        self.writer, self.reader = RecordWriter(self.ring, fields), RecordReader(RingReader(self.fd), fields)
        self.written = 0

    def write(self, count: int = 1) -> None:
        """So many frames, shown 10 ms after their capture."""
        for _ in range(count):
            self.written += 1
            one = frame(self.written)
            self.writer.write(one, {}, Decision(Verdict.SHOW, Mode.NOMINAL, (), (), ()), one.captured_ns + 10_000_000)

    def take(self) -> list[int]:
        """The numbers of those that are new."""
        return [record.seq for record in self.reader.take()]
