"""A procedure as MCAP files: one after the other, each complete in itself once it is closed, each readable as far as it goes
when it is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcap.writer import CompressionType, Writer

from inframe.core.clock import NS_PER_S
from inframe.core.config import Device
from inframe.core.events import EVENTS
from inframe.core.types import Priority
from inframe.recording import schema
from inframe.recording.events import Packet, Picture, Said, pack
from inframe.recording.storage import Sink, part_path
from inframe.recording.video import Encoder

CHUNK_BYTES = 4 << 20
CHUNK_NS = NS_PER_S
"""A chunk is closed after so many bytes or so long, and the file synced after so long: what a crash, or a power cut, costs at
most."""
_LEVELS = {Priority.NONE: "INFO", Priority.LOW: "INFO", Priority.MEDIUM: "WARNING", Priority.HIGH: "ERROR"}

Event = Picture | Packet | Said | schema.Samples | schema.Decision | schema.Status | schema.Session | schema.Gap


@dataclass(frozen=True, slots=True)
class Settings:
    """What all parts of a procedure have in common."""

    folder: Path
    name: str
    """How its files' names begin."""
    device: Device
    metadata: Mapping[str, str]
    """The file's metadata `inframe`; see docs/recording.md."""
    wall_minus_monotonic_ns: int
    key: bytes | None = None
    """The procedure's key; None: not sealed."""

    @property
    def rotate_ns(self) -> int:
        """How long a part is."""
        config = self.device.recording
        return int(config.rotate_minutes * 60 * NS_PER_S) if config is not None else 1 << 62


@dataclass
class Part:
    """One open file and its channels."""

    sink: Sink
    writer: Writer
    channels: dict[str, int]
    encoder: Encoder
    began_ns: int
    synced_ns: int
    open_bytes: int = 0
    """In the chunk that is being filled."""
    sequence: dict[str, int] = field(default_factory=dict)


class RecordingWriter:
    """Writes events in the order in which they come. Raises OSError, after which the next event begins a new part."""

    def __init__(self, settings: Settings, texts: Mapping[str, tuple[str, Priority]]) -> None:
        self._settings, self._texts = settings, texts
        self._number = 0
        self._part: Part | None = None
        self._decided_ns = 0
        self._alerts: dict[str, str] = {}

    def take(self, event: Event | None, now_ns: int) -> bool:
        """Write one event (None: nothing came); whether all that was taken has now been handed to the operating system.

        `now_ns` decides when a chunk and a part are over.
        """
        try:
            before = self._part
            part = self._part_for(event, now_ns)
            if part is None:
                return True
            if event is not None:
                self._write(part, event)
            return self._flush(part, now_ns) or part is not before
        except OSError:
            self.abandon()
            raise

    def _flush(self, part: Part, now_ns: int) -> bool:
        due = now_ns - part.synced_ns >= CHUNK_NS
        if not due and part.open_bytes < CHUNK_BYTES:
            return False
        part.writer.flush()
        part.open_bytes = 0
        if due:
            part.sink.sync()
            part.synced_ns = now_ns
        return True

    def abandon(self) -> None:
        """Leave the part as it is, after an error."""
        part, self._part = self._part, None
        if part is not None:
            part.sink.close()

    def close(self) -> None:
        """Complete the part. Raises OSError."""
        part, self._part = self._part, None
        if part is not None:
            try:
                part.writer.finish()
                part.sink.finish()
            finally:
                part.sink.close()

    def _part_for(self, event: Event | None, now_ns: int) -> Part | None:
        part = self._part
        if (
            part is not None
            and isinstance(event, Picture | Packet)
            and now_ns - part.began_ns >= self._settings.rotate_ns
        ):
            self.close()  # between two frames, so that no frame's messages are torn apart more than they must
        if self._part is None and event is not None:
            self._part = self._begin(now_ns)
        return self._part

    def _begin(self, now_ns: int) -> Part:
        settings = self._settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        sealed = settings.key is not None
        while (path := part_path(settings.folder, settings.name, self._number, sealed=sealed)).exists():
            self._number += 1  # of this procedure, from before a restart
        sink = Sink(path, settings.key)
        # Chunks are closed in `_flush` alone, so that what has been handed over is known exactly.
        writer = Writer(sink, chunk_size=1 << 62, compression=CompressionType.ZSTD)  # type: ignore[arg-type]  # a stream
        writer.start(profile="", library=schema.FORMAT)
        writer.add_metadata(schema.METADATA, {**settings.metadata, "part": str(self._number)})
        self._number += 1
        stream = settings.device.streams[settings.device.display]
        config = settings.device.recording
        encoder = Encoder(config.codec if config else "lossless", stream.width, stream.height, stream.fps)
        return Part(sink, writer, register(writer, settings.device), encoder, now_ns, now_ns)

    def _write(self, part: Part, event: Event) -> None:
        match event:
            case Picture(seq, captured_ns, pixels):
                self._packet(part, Packet(seq, captured_ns, part.encoder.encode(pixels)))
            case Packet():
                self._packet(part, event)
            case Said():
                self._said(part, event)
            case schema.Samples():
                self._own(part, f"/{event.stream}/samples", event, event.captured_ns[-1], event.first)
            case schema.Decision():
                self._decision(part, event)
            case schema.Status():
                self._own(part, schema.STATUS, event, self._decided_ns)
            case schema.Session():
                self._own(part, schema.SESSION, event, event.start_ns)
            case schema.Gap():
                self._own(part, schema.GAP, event, event.at_ns)

    def _packet(self, part: Part, packet: Packet) -> None:
        topic = f"/{self._settings.device.display}"
        data = schema.foxglove(
            "foxglove.CompressedVideo",
            self._wall(packet.captured_ns),
            frame_id=self._settings.device.display,
            data=packet.data,
            format="h264",
        )
        self._add(part, topic, packet.captured_ns, data, packet.seq)

    def _said(self, part: Part, said: Said) -> None:
        result, picture = pack(said)
        if picture is not None:
            bytes_a_row = len(picture.data) // picture.height
            data = schema.foxglove(
                "foxglove.RawImage",
                self._wall(said.captured_ns),
                frame_id=self._settings.device.display,
                width=picture.width,
                height=picture.height,
                encoding=picture.encoding,
                step=bytes_a_row,
                data=picture.data,
            )
            self._add(part, f"/{said.model}/map", said.arrived_ns, data, said.seq)
        self._own(part, f"/{said.model}/result", result, said.arrived_ns, said.seq)

    def _decision(self, part: Part, decision: schema.Decision) -> None:
        # Readers sort by log_time: a decision comes after all that it was made from, and after the decision before.
        told = [ran.steps_ns[3] + 1 for ran in decision.told.values() if isinstance(ran, schema.Ran)]
        self._decided_ns = max(decision.shown_ns or decision.deadline_ns, self._decided_ns + 1, *told)
        self._own(part, schema.DECISION, decision, self._decided_ns, decision.seq)
        self._tell(part, decision.alerts)

    def _tell(self, part: Part, alerts: Mapping[str, str]) -> None:
        for key in sorted(alerts.keys() ^ self._alerts.keys()):
            text, priority = self._texts.get(key, (key, Priority.LOW))
            level = schema.LEVELS[_LEVELS[priority]] if key in alerts else schema.LEVELS["INFO"]
            message = text if key in alerts else f"{schema.OVER}{text}"
            data = schema.foxglove("foxglove.Log", self._wall(self._decided_ns), level=level, message=message, name=key)
            self._add(part, schema.ALERTS, self._decided_ns, data)
        self._alerts = dict(alerts)

    def _own(self, part: Part, topic: str, message: schema.Own, at_ns: int, sequence: int | None = None) -> None:
        self._add(part, topic, at_ns, message.model_dump_json(exclude_none=True).encode(), sequence)

    def _add(self, part: Part, topic: str, at_ns: int, data: bytes, sequence: int | None = None) -> None:
        if sequence is None:
            sequence = part.sequence[topic] = part.sequence.get(topic, 0) + 1
        wall = self._wall(at_ns)
        part.open_bytes += len(data)
        part.writer.add_message(part.channels[topic], wall, data, wall, sequence & 0xFFFFFFFF)

    def _wall(self, ns: int) -> int:
        return max(0, ns + self._settings.wall_minus_monotonic_ns)


def register(writer: Writer, device: Device) -> dict[str, int]:
    """The channels of a device's recording, by topic."""
    models = [name for name, model in device.models.items() if model.stream == device.display]
    topics = {f"/{device.display}": "foxglove.CompressedVideo", schema.ALERTS: "foxglove.Log"}
    topics |= {f"/{name}/map": "foxglove.RawImage" for name in models}
    topics |= {f"/{name}/result": "inframe.Result" for name in models}
    topics |= {f"/{name}/samples": "inframe.Samples" for name in device.sensors}
    own = {"Decision": schema.DECISION, "Status": schema.STATUS, "Session": schema.SESSION, "Gap": schema.GAP}
    topics |= {topic: f"inframe.{name}" for name, topic in own.items()}
    ids: dict[str, int] = {}
    for name in dict.fromkeys(topics.values()):
        encoding, data = schema.described(name)
        ids[name] = writer.register_schema(name, encoding, data)
    encodings = {name: "json" if name.startswith("inframe.") else "protobuf" for name in ids}
    return {topic: writer.register_channel(topic, encodings[name], ids[name]) for topic, name in topics.items()}


def texts(device: Device) -> dict[str, tuple[str, Priority]]:
    """What alerts say, and how urgently, by rule or event name."""
    rules = {name: (rule.text, Priority[rule.priority.upper()]) for name, rule in device.rules.items()}
    return {**{event.name: (event.text, event.priority) for event in EVENTS.values()}, **rules}
