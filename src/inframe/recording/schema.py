"""What the messages of a recording are: Foxglove's public schemas where one fits, our own, in JSON, where none does.

    topic                schema                      one for each
    /STREAM              foxglove.CompressedVideo    frame of the displayed stream, as it was captured
    /MODEL/map           foxglove.RawImage           output that is a picture: classes (mono8) or scores (32FC1)
    /MODEL/result        inframe.Result              output, or why there is none
    /SENSOR/samples      inframe.Samples             look at a stream of samples: those that were new
    /decision            inframe.Decision            frame that the display handled, or NO SIGNAL card
    /status              inframe.Status              change of the faults and controls that the display saw
    /session             inframe.Session             life of the display's loop, of a worker
    /gap                 inframe.Gap                 place where something could not be recorded
    /alerts              foxglove.Log                alert that began or ended

`log_time` and Foxglove's time stamps are wall clock (ns since 1970), so that any player shows the time of day: device clock +
`wall_minus_monotonic_ns` of the file's metadata `inframe`, one number for the whole recording. Our own messages are on the device
clock. The `sequence` of a video message is the frame's.
"""

import json
from typing import Annotated, Any, Literal, Self

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from pydantic import BaseModel, ConfigDict, Field, model_validator

from inframe.core.clock import NS_PER_S
from inframe.core.samples import Quality
from inframe.core.types import Audio, Controls, Mode, Verdict

FORMAT = "inframe recording 1"
METADATA = "inframe"
DECISION, STATUS, SESSION, GAP, ALERTS = "/decision", "/status", "/session", "/gap", "/alerts"
OVER = "over: "
"""How the message of an alert begins that has ended."""

_Int = Annotated[int, Field(ge=0, lt=1 << 63)]


class Own(BaseModel):
    """The base of our own messages. Times: ns, device clock."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Took(Own):
    """A value of a sensor that a model was given."""

    upto: _Int = Field(description="the newest sample that was there when the worker looked")
    seq: _Int = Field(description="the newest one in the value, or the one that says why there was none")
    age_ns: int
    why: str | None = Field(None, description="a Quality: why there was no value")


class Result(Own):
    """What one model said of one frame. A `masks` or `heat` has its picture in the message before, on /MODEL/map."""

    model: str
    seq: _Int
    captured_ns: _Int
    arrived_ns: _Int = Field(description="when the display could have it")
    steps_ns: tuple[_Int, _Int, _Int, _Int] = Field(description="started, preprocessed, inferred, decoded")
    kind: Literal["missed", "masks", "boxes", "scores", "heat"]
    reason: str | None = Field(None, description="missed: why, a MissedReason")
    region: tuple[float, float, float, float] | None = Field(None, description="masks, heat: the part of the frame")
    score: float | None = Field(None, description="heat: its one number")
    boxes: list[tuple[float, float, float, float]] | None = None
    scores: list[float] | None = None
    classes: list[int] | None = None
    taken: list[Took] | None = Field(None, description="of sensors, in the order of the model's inputs")


class Samples(Own):
    """Samples of one stream, one number behind the other; what is not a number is null."""

    stream: str
    first: _Int = Field(description="the number of the first one")
    captured_ns: list[_Int]
    source_ns: list[int | None] = Field(description="on the source's own clock")
    uncertain_ns: list[_Int]
    quality: list[Annotated[int, Field(ge=0, le=max(Quality))]]
    values: list[list[float | None]]

    @model_validator(mode="after")
    def _alike(self) -> Self:
        lists = (self.source_ns, self.uncertain_ns, self.quality, self.values)
        if any(len(one) != len(self.captured_ns) for one in lists) or len({len(row) for row in self.values}) > 1:
            raise ValueError("lists of different lengths")
        return self


class Known(Own):
    """What the display knew of one stream of samples."""

    upto: _Int = Field(description="the newest sample that was there when it looked")
    seq: _Int = Field(description="the newest one in the value, or the one that says why there is none")
    age_ns: int
    uncertain_ns: _Int = 0
    why: str | None = Field(None, description="a Quality: why there is no value")
    values: list[float] | None = None


class Ran(Own):
    """What the display was told of a model: which frame's result, and when its steps ended."""

    seq: _Int
    steps_ns: tuple[_Int, _Int, _Int, _Int]


class Found(Own):
    """A finding."""

    rule: str
    value: float
    since_ns: _Int


class Decision(Own):
    """What was decided on one frame, and what it was decided from. `seq` 0: there was no frame; `captured_ns` says since when, and
    `deadline_ns` is the moment of the card."""

    seq: _Int
    captured_ns: _Int
    deadline_ns: _Int
    shown_ns: _Int = Field(description="0: overwritten while it was drawn, never shown")
    age_ns: _Int
    flags: _Int
    verdict: str = Field(pattern=f"^({'|'.join(Verdict.__members__)})$")
    mode: str = Field(pattern=f"^({'|'.join(Mode.__members__)})$")
    told: dict[str, Ran | str] = Field(description="by model: its result, or the MissedReason")
    findings: list[Found]
    alerts: dict[str, str] = Field(description="presence by rule or event name; those that are OFF are left out")
    samples: dict[str, Known] | None = Field(None, description="by stream of samples")


class Status(Own):
    """What the display saw of the rest of the device, from the next decision on."""

    faults: list[str]
    opacity: float
    overlay_on: bool
    acknowledged_ns: _Int
    audio: int
    audio_until_ns: _Int

    @property
    def controls(self) -> Controls:
        """As `decide` takes them."""
        return Controls(self.opacity, self.overlay_on, self.acknowledged_ns, Audio(self.audio), self.audio_until_ns)


class Session(Own):
    """A process began: the display's loop, whose memory was empty and which went on behind frame `last`; a worker, whose models'
    states were zero."""

    process: str
    start_ns: _Int
    last: _Int = 0


class Gap(Own):
    """What could not be recorded: the encoder or the disk was too slow, or this process was away."""

    at_ns: _Int
    frames: _Int = 0
    first: _Int = Field(0, description="the first of these frames")
    last: _Int = Field(0, description="the last of these frames")
    results: _Int = 0
    decisions: _Int = 0
    samples: _Int | None = None


OWN: dict[str, type[Own]] = {f"inframe.{c.__name__}": c for c in (Result, Decision, Status, Session, Gap, Samples)}

# --- Foxglove's, in protobuf -----------------------------------------------------------------------------------------
# Field numbers and types: https://github.com/foxglove/foxglove-sdk, schemas/proto. Built here, as their package brings all
# ninety of them.

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {"string": 9, "bytes": 12, "fixed32": 7, "time": 11, "level": 14}
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "CompressedVideo": (
        ("timestamp", 1, "time"),
        ("frame_id", 2, "string"),
        ("data", 3, "bytes"),
        ("format", 4, "string"),
    ),
    "RawImage": (
        ("timestamp", 1, "time"),
        ("frame_id", 7, "string"),
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("encoding", 4, "string"),
        ("step", 5, "fixed32"),
        ("data", 6, "bytes"),
    ),
    "Log": (
        ("timestamp", 1, "time"),
        ("level", 2, "level"),
        ("message", 3, "string"),
        ("name", 4, "string"),
        ("file", 5, "string"),
        ("line", 6, "fixed32"),
    ),
}
LEVELS = {"DEBUG": 1, "INFO": 2, "WARNING": 3, "ERROR": 4, "FATAL": 5}


def _file(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=f"foxglove/{name}.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    message = file.message_type.add(name=name)
    for field, number, kind in _MESSAGES[name]:
        types = {"time": ".google.protobuf.Timestamp", "level": ".foxglove.Log.Level"}
        message.field.add(
            name=field, number=number, label=_FIELD.LABEL_OPTIONAL, type=_TYPES[kind], type_name=types.get(kind)
        )
    if name == "Log":
        levels = message.enum_type.add(name="Level")
        for level, number in {"UNKNOWN": 0, **LEVELS}.items():
            levels.value.add(name=level, number=number)
    return file


def _classes() -> tuple[dict[str, Any], dict[str, bytes]]:
    pool, classes, schemas = descriptor_pool.DescriptorPool(), {}, {}
    stamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
    pool.Add(stamp)
    for name in _MESSAGES:
        file = _file(name)
        pool.Add(file)
        classes[f"foxglove.{name}"] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}"))
        schemas[f"foxglove.{name}"] = descriptor_pb2.FileDescriptorSet(file=[stamp, file]).SerializeToString()
    return classes, schemas


FOXGLOVE, FOXGLOVE_SCHEMAS = _classes()
"""The message classes and their schemas (a FileDescriptorSet each), by name."""


def foxglove(schema: str, wall_ns: int, /, **fields: Any) -> bytes:
    """A message of Foxglove's, serialised."""
    message = FOXGLOVE[schema](**fields)
    message.timestamp.seconds, message.timestamp.nanos = divmod(wall_ns, NS_PER_S)
    return bytes(message.SerializeToString())


def described(name: str) -> tuple[str, bytes]:
    """A schema as it lies in the file: its encoding and its bytes."""
    if name in FOXGLOVE_SCHEMAS:
        return "protobuf", FOXGLOVE_SCHEMAS[name]
    return "jsonschema", json.dumps(OWN[name].model_json_schema()).encode()
