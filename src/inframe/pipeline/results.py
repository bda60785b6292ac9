"""A model's output as bytes in a ring slot, and back: arrays one after the other, their shapes in the header."""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import ModelConfig
from inframe.core.errors import ConfigError
from inframe.core.types import Boxes, Heat, Masks, Missed, MissedReason, Output, Region, Result, Scores, Steps
from inframe.pipeline.ring import Header, RingReader, RingWriter

_MISSED, _MASKS, _BOXES, _SCORES, _HEAT = range(5)
_REGION = struct.Struct("<4d")
_REGION_BYTES = _REGION.size
Bytes = NDArray[np.uint8]


def capacity(arrays_bytes: int) -> int:
    """The payload bytes that a ring needs for outputs whose arrays take at most `arrays_bytes`."""
    return _REGION_BYTES + arrays_bytes


def bound(model: ModelConfig) -> int:
    """The payload bytes of a model's ring, known before the model is: one float32 a pixel of what it gets, or of what the
    integrator's function says that it returns; 64 KiB at least."""
    sizes = [model.preprocess.size, getattr(model.decode, "size", None) or (0, 0)]
    return capacity(max(1 << 16, *(width * height * 4 for width, height in sizes)))


def must_fit(name: str, model: ModelConfig, arrays_bytes: int) -> None:
    """Raises ConfigError for the model `name` whose outputs, as its decoder knows by now, are larger than its ring."""
    if capacity(arrays_bytes) > bound(model):
        width, height = model.preprocess.size
        expected = f"at most {bound(model) - capacity(0):,}, one float32 a pixel of its input of {width}x{height}"
        raise ConfigError(model.file, f"models.{name}.decode", f"outputs of {arrays_bytes:,} bytes", expected)


def write(
    ring: RingWriter, tag: int, captured_ns: int, output: Output | MissedReason, steps: Steps, now_ns: int
) -> None:
    """Publish what a model says of the frame `tag`."""
    payload = ring.begin()
    kind, dims, size, value = _encode(payload, output)
    reason = output.value if isinstance(output, MissedReason) else 0
    times = (steps.started, steps.preprocessed, steps.inferred, steps.decoded)
    ring.commit(
        Header(0, tag, captured_ns, now_ns, kind=kind, flags=reason, dims=dims, size=size, times=times, value=value)
    )


def _encode(payload: Bytes, output: Output | MissedReason) -> tuple[int, tuple[int, ...], int, float]:
    match output:
        case Masks(classes, region):
            return _MASKS, _dims(*classes.shape), _put(payload, region, classes), 0.0
        case Boxes(boxes, scores, classes):
            return _BOXES, _dims(len(boxes)), _put(payload, None, boxes, scores, classes), 0.0
        case Scores(scores):
            return _SCORES, _dims(len(scores)), _put(payload, None, scores), 0.0
        case Heat(heat, score, region):
            return _HEAT, _dims(*heat.shape), _put(payload, region, heat), score
        case _:
            return _MISSED, _dims(), 0, 0.0


def _dims(*shape: int) -> tuple[int, ...]:
    return (*shape, *(0,) * (6 - len(shape)))


def _put(payload: Bytes, region: Region | None, *arrays: NDArray[np.generic]) -> int:
    at = 0
    if region is not None:
        _REGION.pack_into(payload.data, 0, *region)
        at = _REGION_BYTES
    for array in arrays:
        payload[at : at + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        at += array.nbytes
    return at


def read_newest(ring: RingReader, model: str, labels: int) -> Result | Missed | None:
    """The newest output, its arrays copied out of the ring; None if there is none, or it was overwritten meanwhile.

    What does not read as an output of `labels` labels is INVALID: the payload has no checksum, and its writer may be wrong.
    """
    header = ring.latest()
    return read(ring, header, model, labels) if header is not None else None


def read(ring: RingReader, header: Header, model: str, labels: int) -> Result | Missed | None:
    """The output of the slot with this header; as `read_newest`."""
    payload = ring.payload(header.seq)[: header.size].copy()
    if not ring.holds(header.seq):
        return None
    if header.kind == _MISSED:
        known = header.flags in tuple(MissedReason)
        return Missed(model, header.tag, MissedReason(header.flags) if known else MissedReason.INVALID)
    output = _decode(payload, header, labels)
    if output is None:
        return Missed(model, header.tag, MissedReason.INVALID)
    return Result(model, header.tag, header.captured_ns, output, Steps(*header.times))


_CANONICAL = struct.Struct("<4Id")


def canonical(header: Header, payload: Bytes) -> bytes:
    """A model's output as the bytes whose digest is recorded: kind, dimensions and value of its slot's header (uint32 and
    float64, little-endian), then the payload in use. Equal for equal outputs, whenever and wherever they were made."""
    kind, a, b = header.kind, *header.dims[:2]
    return _CANONICAL.pack(kind, a, b, header.size, header.value) + payload[: header.size].tobytes()


def _decode(payload: Bytes, header: Header, labels: int) -> Output | None:
    a, b = header.dims[:2]
    expected = {_MASKS: _REGION_BYTES + a * b, _BOXES: 24 * a, _SCORES: 4 * a, _HEAT: _REGION_BYTES + 4 * a * b}
    if payload.size != header.size or header.size != expected.get(header.kind):
        return None
    if header.kind == _BOXES:
        return _boxes(payload, a, labels)
    if header.kind == _SCORES:
        scores = payload.view(np.float32)
        return Scores(scores) if 1 <= a <= labels and np.isfinite(scores).all() else None
    region: Region = _REGION.unpack(payload[:_REGION_BYTES].tobytes())
    if not (a and b and 0 <= region[0] < region[2] <= 1 and 0 <= region[1] < region[3] <= 1):
        return None
    body = payload[_REGION_BYTES:]
    if header.kind == _MASKS:
        return Masks(body.reshape(a, b), region) if int(body.max()) < labels else None
    heat = body.view(np.float32).reshape(a, b)
    return Heat(heat, header.value, region) if math.isfinite(header.value) and np.isfinite(heat).all() else None


def _boxes(payload: Bytes, count: int, labels: int) -> Boxes | None:
    corners, scores, classes = np.split(payload, [16 * count, 20 * count])
    boxes = Boxes(corners.view(np.float32).reshape(count, 4), scores.view(np.float32), classes.view(np.int32))
    sound = np.isfinite(boxes.boxes).all() and np.isfinite(boxes.scores).all()
    in_frame = ((boxes.boxes >= 0) & (boxes.boxes <= 1)).all()
    return boxes if sound and in_frame and ((boxes.classes >= 0) & (boxes.classes < labels)).all() else None
