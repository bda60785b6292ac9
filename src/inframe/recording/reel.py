"""One part of a recording, opened anywhere by its index: for people who scrub, where a replay reads front to back.

Only of whole parts: the one that is being written has no index yet, and one that was cut off gets its own by
`inframe record recover`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from google.protobuf.message import DecodeError
from mcap.data_stream import ReadDataStream
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, Message, Schema, Statistics
from mcap.summary import Summary

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.errors import ConfigError
from inframe.core.types import Pixels
from inframe.recording import schema
from inframe.recording.events import Packet, Said
from inframe.recording.read import MAX_CHUNK, MAX_RECORD, TORN, Health, Read, Recording, inside, open_recording, parser
from inframe.recording.video import Decoder, is_key

BEFORE_NS = 5 * NS_PER_S // 2
"""There is a key frame each second of frames, more than one in this time unless the camera lost half of them."""
AFTER_NS = NS_PER_S
MOST_MARKS = 500
_HEAD = 1 + 8  # a record's opcode and length


@dataclass
class Moment:
    """One frame of a recording, and what was made of it."""

    packet: Packet
    pixels: Pixels
    decision: schema.Decision | None
    """None: not in this part."""
    said: dict[str, Said] = field(default_factory=dict)
    """The newest that the display had been told of each model."""


class Reel:
    """Use it as a context manager. Raises ConfigError for what is no whole recording."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recording: Recording = open_recording(path)
        self._file: BinaryIO = path.open("rb")
        try:
            self._summary = self._index()
            self.start_ns, self.end_ns = self._first_ns(), self._statistics.message_end_time
            """Wall clock: of the first frame, and of the last message."""
        except BaseException:
            self._file.close()
            raise

    def _index(self) -> Summary:
        try:
            found = SeekingReader(self._file, record_size_limit=MAX_RECORD).get_summary()
        except TORN:
            found = None
        if found is None or found.statistics is None or not found.chunk_indexes:
            expected = "a part that is whole: this one is being written, or was cut off"
            raise ConfigError(self.path, "index", "none", expected)
        self._statistics: Statistics = found.statistics
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _first_ns(self) -> int:
        """Not that of the first message: a status may be of long before."""
        topic = f"/{self.recording.device.display}"
        video = {number for number, one in self._summary.channels.items() if one.topic == topic}
        for index in sorted(self._summary.chunk_indexes, key=lambda one: one.chunk_start_offset):
            if video & index.message_index_offsets.keys():
                records = self._chunk(index.chunk_start_offset, index.chunk_length)
                return min(one.log_time for one in records if isinstance(one, Message) and one.channel_id in video)
        return self._statistics.message_start_time

    def about(self) -> dict[str, Any]:
        """What it is, for a page; times in ms from its beginning."""
        device, counts = self.recording.device, self._statistics.channel_message_counts
        topics = {channel.topic: counts.get(number, 0) for number, channel in self._summary.channels.items()}
        stream = device.streams[device.display]
        return {
            "device": device.device,
            "start_ns": self.start_ns,
            "length_ms": (self.end_ns - self.start_ns) // NS_PER_MS,
            "frames": topics.get(f"/{device.display}", 0),
            "decisions": topics.get(schema.DECISION, 0),
            "fps": stream.fps,
            "width": stream.width,
            "height": stream.height,
            "codec": self.recording.metadata.get("codec"),
            "models": {name: sha[:16] for name, sha in json.loads(self.recording.metadata["models"]).items() if sha},
            "marks": self._marks(),
        }

    def _marks(self) -> list[dict[str, Any]]:
        """Where alerts began and ended; only those chunks are read that hold one."""
        channels = {number for number, one in self._summary.channels.items() if one.topic == schema.ALERTS}
        marks: list[dict[str, Any]] = []
        for index in self._summary.chunk_indexes:
            if not channels & index.message_index_offsets.keys():
                continue
            for record in self._chunk(index.chunk_start_offset, index.chunk_length):
                if isinstance(record, Message) and record.channel_id in channels and len(marks) < MOST_MARKS:
                    said = schema.FOXGLOVE["foxglove.Log"].FromString(record.data)
                    at = (record.log_time - self.start_ns) // NS_PER_MS
                    began = not said.message.startswith(schema.OVER)
                    marks.append({"at_ms": at, "key": said.name, "text": said.message, "began": began})
        return sorted(marks, key=lambda one: int(one["at_ms"]))

    def moment(self, at_ms: float) -> Moment | None:
        """The last frame not after that time, with what was made of it; None where there is none. Raises ConfigError."""
        at = self.start_ns + int(at_ms * NS_PER_MS)
        events = list(self.events(at - BEFORE_NS, at + AFTER_NS))
        captured = at - self.recording.wall_minus_monotonic_ns
        packets = [one for one in events if isinstance(one, Packet)]
        wanted = [one for one in packets if one.captured_ns <= captured] or packets[:1]
        if not wanted:
            return None
        pixels = self._decode(wanted)
        return None if pixels is None else self._with(wanted[-1], pixels, events)

    def beside(self, moment: Moment) -> Moment:
        """The same frame as a replay, whose file this is, saw it. Raises ConfigError."""
        at = moment.packet.captured_ns + self.recording.wall_minus_monotonic_ns
        return self._with(moment.packet, moment.pixels, list(self.events(at - BEFORE_NS, at + AFTER_NS)))

    def _with(self, packet: Packet, pixels: Pixels, events: list[Read]) -> Moment:
        moment, known = Moment(packet, pixels, None), dict[str, int]()
        for one in events:
            if isinstance(one, schema.Decision) and 0 < one.seq <= packet.seq:
                if one.flags:
                    known.clear()  # as the gate forgets
                known |= {model: told.seq for model, told in one.told.items() if isinstance(told, schema.Ran)}
                if one.seq == packet.seq:
                    moment.decision = one
        if moment.decision is not None:
            newest = (one for one in events if isinstance(one, Said) and known.get(one.model) == one.seq)
            moment.said = {one.model: one for one in newest}
        return moment

    def _decode(self, packets: list[Packet]) -> Pixels | None:
        """The last of them; from the newest key frame on, which needs no other."""
        first = max((i for i, one in enumerate(packets) if is_key(one.data)), default=0)
        stream = self.recording.device.streams[self.recording.device.display]
        decoder, pixels = Decoder(stream.width, stream.height), None
        for one in packets[first:]:
            pixels = decoder.decode(one.data)
        return pixels

    def events(self, begin_ns: int, end_ns: int) -> Iterator[Read]:
        """What lies in the chunks that reach into this time (wall clock), in the order of the file."""
        yield from parser(self.path, self.recording).events(self._records(begin_ns, end_ns))

    def _records(self, begin_ns: int, end_ns: int) -> Iterator[Schema | Channel | Message]:
        yield from self._summary.schemas.values()
        yield from self._summary.channels.values()
        for index in sorted(self._summary.chunk_indexes, key=lambda one: one.chunk_start_offset):
            if index.message_start_time <= end_ns and index.message_end_time >= begin_ns:
                for one in self._chunk(index.chunk_start_offset, index.chunk_length):
                    if isinstance(one, Message):
                        yield one

    def _chunk(self, offset: int, length: int) -> list[Schema | Channel | Message]:
        """Raises ConfigError: here a damaged chunk is all that was asked for."""
        health = Health()
        try:
            if length > MAX_CHUNK:
                raise ValueError(f"{length} bytes")
            self._file.seek(offset + _HEAD)
            found = inside(Chunk.read(ReadDataStream(self._file)), health)
        except (*TORN, DecodeError) as error:
            raise ConfigError(self.path, "chunk", error, "a whole one") from None
        if health.damaged:
            raise ConfigError(self.path, "chunk", "a damaged one", "a whole one")
        return found
