"""What passes through a recording, besides the messages of `schema`: frames, and what models said of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.samples import Quality, Taken
from inframe.core.types import Boxes, Heat, Masks, MissedReason, Output, Pixels, Scores, Steps
from inframe.recording import schema


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it was captured."""

    seq: int
    captured_ns: int
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame as it lies in the file: one access unit."""

    seq: int
    captured_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said of a frame, and when."""

    model: str
    seq: int
    captured_ns: int
    arrived_ns: int
    steps: Steps
    output: Output | MissedReason
    taken: tuple[Taken, ...] = ()
    """Of sensors, in the order of the model's inputs."""


@dataclass(frozen=True, slots=True)
class Map:
    """The picture of a `Said` that is one."""

    width: int
    height: int
    encoding: str
    data: bytes


_ENCODINGS = {"masks": ("mono8", np.uint8), "heat": ("32FC1", np.float32)}


def pack(said: Said) -> tuple[schema.Result, Map | None]:
    """As messages."""
    match said.output:
        case Masks(classes, region):
            return _result(said, kind="masks", region=region), _map("masks", classes)
        case Heat(heat, score, region):
            return _result(said, kind="heat", region=region, score=score), _map("heat", heat)
        case Boxes(boxes, scores, classes):
            lists = {"boxes": boxes.tolist(), "scores": scores.tolist(), "classes": classes.tolist()}
            return _result(said, kind="boxes", **lists), None
        case Scores(scores):
            return _result(said, kind="scores", scores=scores.tolist()), None
        case MissedReason() as reason:
            return _result(said, kind="missed", reason=reason.name), None


def _result(said: Said, **more: Any) -> schema.Result:
    steps = (said.steps.started, said.steps.preprocessed, said.steps.inferred, said.steps.decoded)
    taken = [
        schema.Took(upto=t.upto, seq=t.seq, age_ns=t.age_ns, why=None if t.why is None else t.why.name)
        for t in said.taken
    ]
    return schema.Result(
        model=said.model,
        seq=said.seq,
        captured_ns=said.captured_ns,
        arrived_ns=said.arrived_ns,
        steps_ns=steps,
        taken=taken or None,
        **more,
    )


def _map(kind: str, array: NDArray[np.generic]) -> Map:
    height, width = array.shape
    encoding, dtype = _ENCODINGS[kind]
    return Map(width, height, encoding, np.ascontiguousarray(array, dtype).tobytes())


def unpack(result: schema.Result, picture: Map | None) -> Said:
    """Back again. Raises ValueError for messages that do not fit together."""
    return Said(
        result.model,
        result.seq,
        result.captured_ns,
        result.arrived_ns,
        Steps(*result.steps_ns),
        _output(result, picture),
        tuple(_taken(one) for one in result.taken or ()),
    )


def _taken(one: schema.Took) -> Taken:
    if one.why is not None and one.why not in Quality.__members__:
        raise ValueError(f"quality {one.why!r}")
    return Taken(one.upto, one.seq, one.age_ns, None if one.why is None else Quality[one.why])


def _output(result: schema.Result, picture: Map | None) -> Output | MissedReason:
    if result.kind == "missed":
        if result.reason is None or result.reason not in MissedReason.__members__:
            raise ValueError(f"reason {result.reason!r}")
        return MissedReason[result.reason]
    if result.kind in _ENCODINGS:
        encoding, dtype = _ENCODINGS[result.kind]
        size = np.dtype(dtype).itemsize
        if (
            picture is None
            or picture.encoding != encoding
            or len(picture.data) != picture.width * picture.height * size
        ):
            raise ValueError(f"{result.kind} without its picture")
        array = np.frombuffer(picture.data, dtype).reshape(picture.height, picture.width)
        if result.region is None:
            raise ValueError("no region")
        if result.kind == "masks":
            return Masks(array.astype(np.uint8, copy=False), result.region)
        return Heat(array.astype(np.float32, copy=False), float(result.score or 0.0), result.region)
    scores = np.array(result.scores or [], np.float32)
    if result.kind == "scores":
        return Scores(scores)
    boxes = np.array(result.boxes or [], np.float32).reshape(-1, 4)
    classes = np.array(result.classes or [], np.int32)
    if not len(boxes) == len(scores) == len(classes):
        raise ValueError("boxes, scores and classes of different lengths")
    return Boxes(boxes, scores, classes)
