"""A recording, read front to back in the order in which it was written: whole, or cut off anywhere.

The order of the file is the order of cause and effect: a frame lies before what models said of it, and that before the decision
that was made from it (see `process.Tap`). No index is needed, so that a file without its end reads like any other.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from pydantic import ValidationError
from zstandard import ZstdError, frame_content_size

from inframe.core.config import Device
from inframe.core.errors import ConfigError, one_line
from inframe.recording import schema
from inframe.recording.events import Map, Packet, Said, unpack
from inframe.recording.storage import open_part, parts_after

MAX_RECORD = 1 << 30
MAX_CHUNK = 256 << 20
"""Decompressed. Ours have 4 MiB, and one message more."""
TORN = (McapError, struct.error, ZstdError, ValueError, OverflowError, MemoryError)
"""What the reader of damaged bytes may raise, besides ConfigError from the seal."""

Read = Packet | Said | schema.Samples | schema.Decision | schema.Status | schema.Session | schema.Gap
Record = Schema | Channel | Message | Metadata


@dataclass
class Health:
    """What was found to be wrong while reading."""

    cut: list[str] = field(default_factory=list)
    """The parts that end before their end."""
    damaged: int = 0
    """Chunks that do not verify; the messages in them are lost."""
    chunks: int = 0


def records(stream: BinaryIO, name: str, health: Health) -> Iterator[Record]:
    """The records of one part, as far as they go; damaged chunks are left out."""
    source = StreamReader(stream, emit_chunks=True, record_size_limit=MAX_RECORD).records
    while True:
        try:
            record = next(source, None)
        except ConfigError:  # a sealed segment that does not open: of what follows nothing can be trusted
            record = None
            health.cut.append(name)
        except TORN:
            record = None
            health.cut.append(name)
        if record is None:
            return
        if isinstance(record, Chunk):
            health.chunks += 1
            yield from inside(record, health)
        elif isinstance(record, Schema | Channel | Metadata):
            yield record


def inside(chunk: Chunk, health: Health) -> list[Schema | Channel | Message]:
    """The records of a chunk; none of one that does not verify, which is counted."""
    try:
        # A frame's own word for its size would be believed, whatever the chunk says.
        size = frame_content_size(chunk.data) if chunk.compression == "zstd" else len(chunk.data)
        known = chunk.compression in ("zstd", "")
        if known and max(size, chunk.uncompressed_size) <= MAX_CHUNK:
            inside = breakup_chunk(chunk, validate_crc=True)
            return [one for one in inside if isinstance(one, Schema | Channel | Message)]
    except TORN:
        pass  # counted below
    health.damaged += 1
    return []


@dataclass
class Recording:
    """The parts of one procedure from `paths[0]` on."""

    paths: list[Path]
    metadata: dict[str, str]
    device: Device
    """As it ran: resolved, without secrets."""
    key: Path | None
    health: Health = field(default_factory=Health)

    @property
    def wall_minus_monotonic_ns(self) -> int:
        """From the device clock to the time of day."""
        return int(self.metadata["wall_minus_monotonic_ns"])

    @property
    def is_lossless(self) -> bool:
        """Whether the frames are those that the models saw, bit for bit."""
        return self.metadata["codec"] == "lossless"

    def read(self) -> Iterator[Read]:
        """All events in order. Raises ConfigError for a message that means nothing."""
        for path in self.paths:
            stream, is_whole = open_part(path, self.key)
            cut = len(self.health.cut)
            with stream:
                yield from parser(path, self).events(records(stream, path.name, self.health))
            if not is_whole and len(self.health.cut) == cut:
                self.health.cut.append(path.name)


def parser(path: Path, recording: Recording) -> "_Parser":
    """For the records of one of its parts."""
    return _Parser(path, recording.wall_minus_monotonic_ns)


def open_recording(path: Path, key: Path | None = None) -> Recording:
    """The recording that begins with the part `path`. Raises ConfigError."""
    stream, _ = open_part(path, key)
    with stream:
        metadata = _metadata(path, stream)
    found = metadata.get("format")
    if found != schema.FORMAT:
        raise ConfigError(path, "format", found or "no metadata named inframe", schema.FORMAT)
    try:
        device = Device.model_validate_json(metadata["device"])
        int(metadata["wall_minus_monotonic_ns"])
        json.loads(metadata["models"])
    except (KeyError, ValueError) as error:
        raise ConfigError(path, "metadata", one_line(error), "what `inframe run` writes") from None
    return Recording(parts_after(path), metadata, device, key)


def _metadata(path: Path, stream: BinaryIO) -> dict[str, str]:
    health = Health()
    for record in records(stream, path.name, health):
        if isinstance(record, Metadata) and record.name == schema.METADATA:
            return dict(record.metadata)
        if isinstance(record, Message):
            break
    if health.cut:
        raise ConfigError(path, "recording", "no MCAP file, or one cut off before its first chunk", "an MCAP file")
    return {}


class _Parser:
    """From one part's records to events."""

    def __init__(self, path: Path, offset_ns: int) -> None:
        self._path, self._offset = path, offset_ns
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}
        self._maps: dict[str, Map] = {}

    def events(self, found: Iterator[Record]) -> Iterator[Read]:
        for record in found:
            match record:
                case Schema():
                    self._schemas[record.id] = record.name
                case Channel():
                    self._channels[record.id] = record.topic, self._schemas.get(record.schema_id, "")
                case Message() if record.channel_id in self._channels:
                    topic, name = self._channels[record.channel_id]
                    try:
                        event = self._event(topic, name, record)
                    except (ValidationError, ValueError, DecodeError) as error:
                        raise ConfigError(self._path, topic, one_line(error), f"a message of {name}") from None
                    if event is not None:
                        yield event

    def _event(self, topic: str, name: str, message: Message) -> Read | None:
        if name == "foxglove.CompressedVideo":
            video = schema.FOXGLOVE[name].FromString(message.data)
            return Packet(message.sequence, message.log_time - self._offset, bytes(video.data))
        if name == "foxglove.RawImage":
            image = schema.FOXGLOVE[name].FromString(message.data)
            self._maps[topic.split("/")[1]] = Map(image.width, image.height, image.encoding, bytes(image.data))
            return None
        kind = schema.OWN.get(name)
        if kind is None:
            return None
        own = kind.model_validate_json(message.data)
        if isinstance(own, schema.Result):
            return unpack(own, self._maps.pop(own.model, None))
        if isinstance(own, schema.Samples | schema.Decision | schema.Status | schema.Session | schema.Gap):
            return own
        return None
