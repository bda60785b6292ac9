"""Makes a whole file of what can be read of a damaged one: all chunks but the one that was being written, and those that do not
verify.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcap.records import Channel, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from inframe.core.errors import ConfigError
from inframe.recording import schema
from inframe.recording.read import Health, records
from inframe.recording.seal import read_device_key, unwrap
from inframe.recording.storage import Sink, is_sealed, key_of, open_part
from inframe.recording.write import CHUNK_BYTES


@dataclass
class Recovered:
    """What became of a file."""

    file: str
    messages: int = 0
    chunks: int = 0
    damaged_chunks: int = 0
    was_cut: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def recover(path: Path, out: Path, device_key: Path | None) -> Recovered:
    """Write the new file `out` from what `path` still holds; sealed as it was. Raises ConfigError, OSError."""
    stream, is_whole = open_part(path, device_key)
    health, report = Health(), Recovered(str(out))
    with stream:
        try:
            sink = Sink(
                out, unwrap(key_of(path), read_device_key(device_key)) if is_sealed(stream) and device_key else None
            )
        except OSError as error:
            raise ConfigError(out, "--out", error.strerror or error, "a name that is free") from None
        try:
            writer = Writer(sink, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)  # type: ignore[arg-type]  # a stream
            writer.start(profile="", library=schema.FORMAT)
            copy = Copy(writer)
            for record in records(stream, path.name, health):
                copy.add(record)
            writer.finish()
            sink.finish()
        finally:
            sink.close()
    if not copy.messages:
        out.unlink()
        raise ConfigError(path, "recording", "nothing that can be read", "an MCAP file with one whole chunk at least")
    report.messages, report.chunks, report.damaged_chunks = copy.messages, health.chunks, health.damaged
    report.was_cut = bool(health.cut) or not is_whole
    return report


class Copy:
    """Records from one file into a writer, which numbers schemas and channels anew. A file says them again at its end."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._schemas: dict[int, int] = {0: 0}
        self._channels: dict[int, int] = {}
        self.messages = 0

    def add(self, record: Schema | Channel | Message | Metadata) -> None:
        match record:
            case Schema() if record.id not in self._schemas:
                self._schemas[record.id] = self._writer.register_schema(record.name, record.encoding, record.data)
            case Channel() if record.id not in self._channels and record.schema_id in self._schemas:
                self._channels[record.id] = self._writer.register_channel(
                    record.topic, record.message_encoding, self._schemas[record.schema_id], record.metadata
                )
            case Message() if record.channel_id in self._channels:
                channel = self._channels[record.channel_id]
                self._writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
                self.messages += 1
            case Metadata():
                self._writer.add_metadata(record.name, record.metadata)
            case _:
                pass
