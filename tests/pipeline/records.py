"""Both ends of a small ring of records."""

import json

from inframe.pipeline import ring
from inframe.pipeline.record import LINE_BYTES, RecordReader, RecordWriter
from inframe.pipeline.ring import RingReader, RingWriter

SLOTS = 8


class Records:
    """Both ends of a small ring of records."""

    def __init__(self) -> None:
        self.fd = ring.create("records", SLOTS, LINE_BYTES)
        self.ring = RingWriter(self.fd, ())
        self.writer, self.reader = RecordWriter(self.ring), RecordReader(RingReader(self.fd))
        self.written = 0

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            self.written += 1
            self.writer.write({"n": self.written})

    def take(self) -> list[int]:
        return [json.loads(data)["n"] for data in self.reader.take()]
