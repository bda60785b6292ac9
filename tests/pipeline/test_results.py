"""Outputs through a ring: what a worker wrote is what the display reads, or nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inframe.core.config import ModelConfig
from inframe.core.types import Boxes, Heat, Masks, Missed, MissedReason, Output, Result, Scores, Steps
from inframe.pipeline import results, ring
from inframe.pipeline.ring import RingReader, RingWriter
from tests.pipeline.model_files import configure

STEPS = Steps(10, 20, 30, 40)
BYTES = 4096


@contextmanager
def pair(payload: int = BYTES) -> Iterator[tuple[RingWriter, RingReader]]:
    fd = ring.create("results", 4, results.capacity(payload))
    shown = ring.read_only(fd)
    try:
        yield RingWriter(fd, ()), RingReader(shown)
    finally:
        os.close(fd)
        os.close(shown)


def floats(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(seed: int, high: int, *shape: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, high, shape)


seeds, sides = st.integers(0, 2**32), st.integers(1, 30)
spans = st.tuples(st.floats(0, 0.5), st.floats(0.6, 1))
regions = st.builds(lambda x, y: (x[0], y[0], x[1], y[1]), spans, spans)
masks = st.builds(lambda s, h, w, r: Masks(whole(s, 256, h, w).astype(np.uint8), r), seeds, sides, sides, regions)
boxes = st.builds(
    lambda s, n: Boxes(
        np.random.default_rng(s).random((n, 4), np.float32), floats(s, n), whole(s, 80, n).astype(np.int32)
    ),
    seeds,
    st.integers(0, 100),
)
scores = st.builds(lambda s, n: Scores(floats(s, n)), seeds, st.integers(1, 256))
heats = st.builds(lambda s, h, w, v, r: Heat(floats(s, h, w), v, r), seeds, sides, sides, st.floats(-9, 9), regions)
outputs: st.SearchStrategy[Output] = st.one_of(masks, boxes, scores, heats)


def arrays_of(output: Output) -> list[NDArray[np.generic]]:
    match output:
        case Masks(classes):
            return [classes]
        case Boxes(boxes, scores, classes):
            return [boxes, scores, classes]
        case Scores(scores):
            return [scores]
        case Heat(heat):
            return [heat]


def same(a: Output, b: Output) -> None:
    assert type(a) is type(b)
    for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert np.array_equal(x, y)
    if isinstance(a, Masks | Heat) and isinstance(b, Masks | Heat):
        assert a.region == b.region
    if isinstance(a, Heat) and isinstance(b, Heat):
        assert a.score == b.score


@settings(max_examples=100, deadline=None)
@given(st.lists(outputs, min_size=1, max_size=6))
def test_every_kind_of_output_comes_out_as_it_went_in(said: list[Output]) -> None:
    with pair() as (writer, reader):
        for tag, output in enumerate(said, 7):
            results.write(writer, tag, 100 + tag, output, STEPS, 200)
            read = results.read_newest(reader, "m", 1000)
            assert isinstance(read, Result)
            assert (read.model, read.seq, read.captured_ns, read.steps) == ("m", tag, 100 + tag, STEPS)
            same(read.output, output)


def test_numbers_that_are_not_side_by_side() -> None:
    with pair() as (writer, reader):
        results.write(writer, 1, 1, Scores(floats(1, 20)[::2]), STEPS, 2)
        read = results.read_newest(reader, "m", 256)
        assert isinstance(read, Result)
        same(read.output, Scores(floats(1, 20)[::2]))


def test_arrays_that_are_not_in_one_piece() -> None:
    grid = whole(1, 9, 12, 10).astype(np.uint8)
    with pair() as (writer, reader):
        results.write(writer, 1, 1, Masks(grid[::2, ::-3]), STEPS, 2)
        read = results.read_newest(reader, "m", 256)
        assert isinstance(read, Result)
        assert isinstance(read.output, Masks)
        assert np.array_equal(read.output.classes, grid[::2, ::-3])


@pytest.mark.parametrize("reason", list(MissedReason))
def test_why_there_is_none_comes_through_too(reason: MissedReason) -> None:
    with pair() as (writer, reader):
        results.write(writer, 5, 1, reason, STEPS, 2)
        assert results.read_newest(reader, "m", 256) == Missed("m", 5, reason)


def test_nothing_was_said_yet() -> None:
    with pair() as (_, reader):
        assert results.read_newest(reader, "m", 256) is None


def test_what_was_read_is_the_readers_own() -> None:
    with pair() as (writer, reader):
        results.write(writer, 1, 1, Masks(np.full((3, 3), 5, np.uint8)), STEPS, 2)
        read = results.read_newest(reader, "m", 256)
        for tag in range(2, 9):
            results.write(writer, tag, 1, Masks(np.full((3, 3), 9, np.uint8)), STEPS, 2)
        assert isinstance(read, Result)
        assert isinstance(read.output, Masks)
        assert (read.output.classes == 5).all()


def test_a_slot_that_is_overwritten_while_it_is_read_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    with pair() as (writer, reader):
        results.write(writer, 1, 1, Masks(np.ones((3, 3), np.uint8)), STEPS, 2)
        take = reader.take

        def overtaken(header: ring.Header) -> bytes | None:
            for _ in range(4):  # the writer comes round once while this reader is about to read
                writer.begin()
                writer.commit(ring.Header(0, tag=9))
            return take(header)

        monkeypatch.setattr(reader, "take", overtaken)
        assert results.read_newest(reader, "m", 256) is None


def test_a_half_written_result_is_none_and_the_one_before_stays() -> None:
    with pair() as (writer, reader):
        results.write(writer, 1, 1, Scores(floats(1, 3)), STEPS, 2)
        writer.begin().fill(255)  # and then the worker was killed
        read = results.read_newest(reader, "m", 256)
        assert isinstance(read, Result)
        assert read.seq == 1


@pytest.mark.parametrize(
    ("changes", "largest"),
    [
        ({"preprocess": {"size": [640, 480]}}, 640 * 480 * 4),
        ({"preprocess": {"size": [16, 16]}}, 1 << 16),
        (
            {"decode": {"kind": "function", "function": "a:b", "returns": "heat", "size": [500, 400]}},
            500 * 400 * 4,
        ),
        ({"decode": {"kind": "function", "function": "a:b", "returns": "detection"}}, 1 << 16),
    ],
)
def test_the_ring_holds_the_largest_output(changes: dict[str, object], largest: int) -> None:
    config: ModelConfig = configure(**changes)
    assert results.bound(config) == results.capacity(largest)


WRONG = {
    "a region of NaN": Masks(np.ones((3, 3), np.uint8), (float("nan"), 0.0, 1.0, 1.0)),
    "a region outside the frame": Masks(np.ones((3, 3), np.uint8), (0.0, 0.0, 1e300, 1.0)),
    "an impossible label": Masks(np.full((3, 3), 4, np.uint8)),
    "boxes of NaN": Boxes(np.full((2, 4), np.nan, np.float32), floats(1, 2), np.zeros(2, np.int32)),
    "a box of an impossible label": Boxes(np.zeros((2, 4), np.float32), floats(1, 2), np.array([0, 4], np.int32)),
    "a box that leaves the frame": Boxes(np.full((1, 4), 1.5, np.float32), floats(1, 1), np.zeros(1, np.int32)),
    "a score of infinity": Scores(np.array([0.0, np.inf, 0.0], np.float32)),
    "more scores than labels": Scores(np.zeros(5, np.float32)),
    "heat of NaN": Heat(np.full((2, 2), np.nan, np.float32), 0.0),
    "a heat's score of NaN": Heat(np.zeros((2, 2), np.float32), float("nan")),
}


@pytest.mark.parametrize("output", WRONG.values(), ids=WRONG.keys())
def test_what_no_output_of_the_model_can_be_is_invalid(output: Masks | Boxes | Scores | Heat) -> None:
    """A slot's payload has no checksum: whatever it holds, the display gets an output that it can draw, or Missed."""
    with pair() as (writer, reader):
        results.write(writer, 7, 1, output, STEPS, 2)
        assert results.read_newest(reader, "m", 4) == Missed("m", 7, MissedReason.INVALID)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 300))
def test_damage_in_a_payload_is_never_an_exception(noise: bytes, at: int) -> None:
    with pair() as (writer, reader):
        results.write(
            writer, 7, 1, Boxes(np.zeros((9, 4), np.float32), np.zeros(9, np.float32), np.zeros(9, np.int32)), STEPS, 2
        )
        slot = writer.payloads[(writer.seq - 1) % len(writer.payloads)]
        slot[at : at + len(noise)] = np.frombuffer(noise, np.uint8)[: len(slot[at : at + len(noise)])]
        read = results.read_newest(reader, "m", 4)
        assert isinstance(read, Result | Missed)


@given(
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
    st.integers(0, 5000),
    st.lists(st.integers(0, 40), min_size=2, max_size=2),
)
def test_a_header_that_lies_is_never_an_exception(kind: int, flags: int, size: int, dims: list[int]) -> None:
    with pair(1000) as (writer, reader):
        writer.begin().fill(0)
        writer.put(0, memoryview(results._ABOUT.pack(*dims, 0, 0, 0, 0, 0.0, 0.0, 0.0, 1.0, 1.0)))
        writer.commit(ring.Header(0, 7, kind=kind, flags=flags, size=size))
        assert isinstance(results.read_newest(reader, "m", 4), Result | Missed)


def test_more_bytes_than_the_slot_has_are_no_output() -> None:
    with pair(1000) as (writer, reader):
        writer.begin().fill(0)
        writer.put(0, memoryview(results._ABOUT.pack(300, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 1.0, 1.0)))
        writer.commit(ring.Header(0, 7, kind=3, size=results.capacity(4 * 300)))
        assert results.read_newest(reader, "m", 1000) == Missed("m", 7, MissedReason.INVALID)
