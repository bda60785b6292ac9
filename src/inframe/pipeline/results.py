"""A model's output as bytes in a ring slot, and back: what they are, then arrays one after the other."""

import math
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import ModelConfig
from inframe.core.errors import ConfigError
from inframe.core.inputs import MAX_INPUTS
from inframe.core.samples import Quality, Taken
from inframe.core.types import WHOLE, Boxes, Heat, Masks, Missed, MissedReason, Output, Region, Result, Scores, Steps
from inframe.pipeline.ring import Header, RingReader, RingWriter

_MISSED, _MASKS, _BOXES, _SCORES, _HEAT = range(5)
_ABOUT = struct.Struct("<2Q4qd4d")
"""Before the arrays: the two sizes of their shapes, the moments of Steps, a heat map's score, the region."""
_ABOUT_BYTES = _ABOUT.size
_TAKEN = struct.Struct("<4q")
"""Behind the arrays, for each value that the model took of a sensor; how many there are is `dropped` of the slot's header."""
_REASONS = {reason.value: reason for reason in MissedReason}


def capacity(arrays_bytes: int) -> int:
    """The payload bytes that a ring needs for outputs whose arrays take at most `arrays_bytes`."""
    return _ABOUT_BYTES + arrays_bytes


def bound(model: ModelConfig) -> int:
    """The payload bytes of a model's ring, known before the model is: one float32 a pixel of what it gets, or of what the
    integrator's function says that it returns; 64 KiB at least."""
    sizes = [model.preprocess.size, getattr(model.decode, "size", None) or (0, 0)]
    return capacity(max(1 << 16, *(width * height * 4 for width, height in sizes)) + _TAKEN.size * len(model.inputs))


def must_fit(name: str, model: ModelConfig, arrays_bytes: int) -> None:
    """Raises ConfigError for the model `name` whose outputs, as its decoder knows by now, are larger than its ring."""
    room = bound(model) - _TAKEN.size * len(model.inputs)
    if capacity(arrays_bytes) > room:
        width, height = model.preprocess.size
        expected = f"at most {room - capacity(0):,}, one float32 a pixel of its input of {width}x{height}"
        raise ConfigError(model.file, f"models.{name}.decode", f"outputs of {arrays_bytes:,} bytes", expected)


def write(
    ring: RingWriter,
    tag: int,
    captured_ns: int,
    output: Output | MissedReason,
    steps: Steps,
    now_ns: int,
    taken: tuple[Taken, ...] = (),
) -> None:
    """Publish what a model says of the frame `tag`, having taken so much of sensors."""
    ring.begin()
    kind, a, b, score, region, arrays = _parts(output)
    moments = (steps.started, steps.preprocessed, steps.inferred, steps.decoded)
    at = ring.put(0, memoryview(_ABOUT.pack(a, b, *moments, score, *region)))
    for array in arrays:
        at = ring.put(at, array.data if array.flags.c_contiguous else np.ascontiguousarray(array).data)
    for one in taken:
        at = ring.put(at, memoryview(_TAKEN.pack(one.upto, one.seq, one.age_ns, 0 if one.why is None else one.why)))
    reason = output.value if isinstance(output, MissedReason) else 0
    ring.commit(Header(0, tag, captured_ns, now_ns, 0, reason, len(taken), kind, at))


_Parts = tuple[int, int, int, float, Region, tuple[NDArray[np.generic], ...]]


def _parts(output: Output | MissedReason) -> _Parts:
    match output:
        case Masks(classes, region):
            return _MASKS, *classes.shape, 0.0, region, (classes,)
        case Boxes(boxes, scores, classes):
            return _BOXES, len(boxes), 0, 0.0, WHOLE, (boxes, scores, classes)
        case Scores(scores):
            return _SCORES, len(scores), 0, 0.0, WHOLE, (scores,)
        case Heat(heat, score, region):
            return _HEAT, *heat.shape, score, region, (heat,)
        case _:
            return _MISSED, 0, 0, 0.0, WHOLE, ()


def read_newest(ring: RingReader, model: str, labels: int, upto: int | None = None) -> Result | Missed | None:
    """The newest output, or the newest of a frame not behind `upto`, its arrays copied out of the ring; None if there is none, or
    it was overwritten meanwhile.

    What does not read as an output of `labels` labels is INVALID: the payload has no checksum, and its writer may be wrong.
    """
    header = ring.latest()
    while header is not None and upto is not None and header.tag > upto:  # the model is ahead of a picture that waited
        header = ring.header(header.seq - 1)
    return read(ring, header, model, labels) if header is not None else None


def read(ring: RingReader, header: Header, model: str, labels: int) -> Result | Missed | None:
    """The output of the slot with this header; as `read_newest`."""
    seq, kind = header.tag, header.kind
    data = ring.take(header)
    if data is None:
        return None
    if kind == _MISSED:
        return Missed(model, seq, _REASONS.get(header.flags, MissedReason.INVALID))
    if not _ABOUT_BYTES <= len(data) == header.size:
        return Missed(model, seq, MissedReason.INVALID)
    data, used = _split(header, data)
    if used is None:
        return Missed(model, seq, MissedReason.INVALID)
    a, b, started, preprocessed, inferred, decoded, score, *region = _ABOUT.unpack_from(data)
    decode = _DECODE.get(kind)
    output = decode(data, (a, b), score, region, labels) if decode is not None else None
    if output is None:
        return Missed(model, seq, MissedReason.INVALID)
    return Result(model, seq, header.captured_ns, output, Steps(started, preprocessed, inferred, decoded), used)


def _split(header: Header, data: bytes) -> tuple[bytes, tuple[Taken, ...] | None]:
    """The payload without what was taken of sensors, and that; None where it can't be."""
    if not header.dropped:
        return data, ()
    end = len(data) - _TAKEN.size * header.dropped
    if header.dropped > MAX_INPUTS or end < _ABOUT_BYTES:
        return data, None
    rows = list(_TAKEN.iter_unpack(data[end:]))
    if not all(0 <= why <= max(Quality) for *_, why in rows):
        return data, None
    return data[:end], tuple(Taken(upto, seq, age, Quality(why) if why else None) for upto, seq, age, why in rows)


def taken(ring: RingReader, header: Header) -> tuple[Taken, ...]:
    """What the model took of sensors for the run of which the slot speaks, also where it says that there is no output."""
    data = ring.take(header)
    return _split(header, data)[1] or () if data is not None and len(data) == header.size else ()


_CANONICAL, _REGION = struct.Struct("<4Id"), struct.Struct("<4d")


def canonical(header: Header, payload: NDArray[np.uint8]) -> bytes:
    """A model's output as the bytes whose digest is recorded: kind, both sizes, length of what follows and score (uint32 and
    float64, little-endian), then the region where there is one, and the arrays. Equal for equal outputs, whenever and wherever
    they were made."""
    a, b, _, _, _, _, score, *region = _ABOUT.unpack_from(payload.data)
    body = _REGION.pack(*region) if header.kind in (_MASKS, _HEAT) else b""
    body += payload[_ABOUT_BYTES : header.size - _TAKEN.size * header.dropped].tobytes()
    head = _CANONICAL.pack(header.kind, a, b, len(body), score)
    return head + body


def moments(ring: RingReader, header: Header) -> Steps | None:
    """When the steps of the run ended of which the slot speaks, also where it says that there is no output."""
    data = ring.take(header)
    if data is None or len(data) < _ABOUT_BYTES:
        return None
    return Steps(*_ABOUT.unpack_from(data)[2:6])


def _masks(data: bytes, shape: tuple[int, int], _score: float, region: list[float], labels: int) -> Masks | None:
    if not _fits(data, shape, region, 1):
        return None
    classes = np.ndarray(shape, np.uint8, data, _ABOUT_BYTES)
    return Masks(classes, tuple(region)) if np.maximum.reduce(classes, axis=None) < labels else None  # type: ignore[arg-type]  # four, by _ABOUT


def _heat(data: bytes, shape: tuple[int, int], score: float, region: list[float], _labels: int) -> Heat | None:
    if not (_fits(data, shape, region, 4) and math.isfinite(score)):
        return None
    heat = np.ndarray(shape, np.float32, data, _ABOUT_BYTES)
    return Heat(heat, score, tuple(region)) if np.isfinite(heat).all() else None  # type: ignore[arg-type]  # four, by _ABOUT


def _fits(data: bytes, shape: tuple[int, int], region: list[float], pixel_bytes: int) -> bool:
    x0, y0, x1, y1 = region
    return shape[0] * shape[1] * pixel_bytes == len(data) - _ABOUT_BYTES > 0 and 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


def _boxes(data: bytes, shape: tuple[int, int], _score: float, _region: list[float], labels: int) -> Boxes | None:
    count = shape[0]
    if 24 * count != len(data) - _ABOUT_BYTES:
        return None
    corners, scores, classes = np.split(np.frombuffer(data, np.uint8, offset=_ABOUT_BYTES), [16 * count, 20 * count])
    boxes = Boxes(corners.view(np.float32).reshape(count, 4), scores.view(np.float32), classes.view(np.int32))
    sound = np.isfinite(boxes.boxes).all() and np.isfinite(boxes.scores).all()
    in_frame = ((boxes.boxes >= 0) & (boxes.boxes <= 1)).all()
    return boxes if sound and in_frame and ((boxes.classes >= 0) & (boxes.classes < labels)).all() else None


def _scores(data: bytes, shape: tuple[int, int], _score: float, _region: list[float], labels: int) -> Scores | None:
    if not 1 <= shape[0] <= labels or 4 * shape[0] != len(data) - _ABOUT_BYTES:
        return None
    scores = np.ndarray(shape[:1], np.float32, data, _ABOUT_BYTES)
    return Scores(scores) if np.isfinite(scores).all() else None


_DECODE: dict[int, Callable[[bytes, tuple[int, int], float, list[float], int], Output | None]] = {
    _MASKS: _masks,
    _BOXES: _boxes,
    _SCORES: _scores,
    _HEAT: _heat,
}
