"""Leaves: each value back as it was, its size, and no bytes that crash the decoder or mean the same twice."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.types import Finding, FrameFlag, MissedReason, Mode, Presence, Priority, Run, Steps, Verdict
from inframe.trail.columns import In, Out
from inframe.trail.errors import TrailDamaged
from inframe.trail.leaf import _take_alert, _take_sets, decode, decode_columns, encode, peek
from inframe.trail.records import (
    EventKind,
    EventLeaf,
    EventRecord,
    FrameLeaf,
    FrameRecord,
    Header,
    Leaf,
    Model,
    Moment,
)
from tests.trail.made import BOOT, Clock, event, leaf

NS = st.integers(-(1 << 60), 1 << 60)
TEXTS = st.text(max_size=20)
DIGESTS = st.binary(min_size=32, max_size=32)
MOMENTS = st.builds(Moment, st.binary(min_size=16, max_size=16), NS, NS, TEXTS)
HEADERS = st.builds(Header, MOMENTS, NS, st.binary(min_size=16, max_size=16), st.integers(0, (1 << 64) - 1))
MODELS = st.builds(Model, TEXTS, DIGESTS, TEXTS, TEXTS, DIGESTS)
RUNS = st.one_of(
    st.sampled_from(MissedReason), st.builds(Run, st.integers(0, 1 << 60), st.builds(Steps, NS, NS, NS, NS))
)
FINDINGS = st.builds(Finding, TEXTS, TEXTS, st.sampled_from(Priority), NS, st.floats(allow_nan=False))
ALERTS = st.lists(st.tuples(TEXTS, st.sampled_from(Presence)), max_size=3).map(tuple)


def frames(models: int) -> st.SearchStrategy[FrameRecord]:
    return st.builds(
        FrameRecord,
        seq=st.integers(0, 1 << 60),
        captured_ns=NS,
        deadline_ns=NS,
        shown_ns=NS,
        verdict=st.sampled_from(Verdict),
        mode=st.sampled_from(Mode),
        runs=st.tuples(*[RUNS] * models),
        input=DIGESTS,
        output=st.one_of(DIGESTS, st.just(bytes(32))),
        flags=st.integers(0, 7).map(FrameFlag),
        dropped=st.integers(0, 1 << 60),
        age_ns=st.integers(0, 1 << 60),
        findings=st.lists(FINDINGS, max_size=3).map(tuple),
        alerts=ALERTS,
    )


@st.composite
def frame_leaves(draw: Callable[..., object]) -> Leaf:
    models = draw(st.lists(MODELS, max_size=3).map(tuple))
    made = draw(st.lists(frames(len(models)), min_size=1, max_size=6).map(tuple))  # type: ignore[arg-type]
    return FrameLeaf(draw(HEADERS), draw(TEXTS), draw(DIGESTS), models, made)  # type: ignore[arg-type]


EVENTS = st.builds(
    EventRecord,
    st.sampled_from(EventKind),
    NS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.binary(max_size=50),
)
LEAVES = st.one_of(frame_leaves(), st.builds(EventLeaf, HEADERS, st.lists(EVENTS, min_size=1, max_size=4).map(tuple)))


@settings(max_examples=150, deadline=None)
@given(LEAVES)
def test_back_as_it_was(made: Leaf) -> None:
    entry = encode(made)
    assert decode(entry) == made
    assert encode(decode(entry)) == entry
    kind, count, header = peek(entry)
    assert (count, header) == (len(made.frames if isinstance(made, FrameLeaf) else made.events), made.header)
    assert (kind == 1) == isinstance(made, FrameLeaf)


@pytest.mark.parametrize(
    ("count", "busy", "limit"), [(60, True, 124), (60, False, 108), (30, True, 130), (120, True, 124)]
)
def test_bytes_a_frame(count: int, busy: bool, limit: int) -> None:
    """Two models, two digests; busy: two findings on every frame. On disk come 34 bytes a leaf (its length, its hash)."""
    made = leaf(Header(Clock()(), 1), random.Random(1), count, busy=busy)
    assert (len(encode(made)) + 34) / count <= limit


def test_frames_that_were_not_shown_in_time_or_had_no_signal() -> None:
    made = leaf(Header(Clock()(), 1), random.Random(1), 3)
    card = replace(
        made.frames[0], seq=0, runs=(MissedReason.LATE, MissedReason.NOT_DUE), input=bytes(32), output=bytes(32)
    )
    mixed = replace(made, frames=(made.frames[0], card, made.frames[2]))
    assert decode(encode(mixed)) == mixed


def sound(entry: bytes) -> bool:
    """Whether it decodes; then it must be the only encoding of what it says."""
    try:
        found = decode(entry)
    except TrailDamaged:
        return False
    assert encode(found) == entry, "two encodings of one leaf"
    return True


def test_no_change_of_bytes_crashes_the_decoder_or_means_the_same() -> None:
    rng = random.Random(7)
    header = Header(Clock()(), 1)
    for entry in (encode(leaf(header, rng, 4)), encode(event(header, a="1", b="2"))):
        for i in range(len(entry)):
            for value in {entry[i] ^ 1, entry[i] ^ 0x80, 0, 255, rng.randrange(256)} - {entry[i]}:
                sound(entry[:i] + bytes([value]) + entry[i + 1 :])
            assert not sound(entry[:i]), "a prefix decodes"
        assert not sound(entry + b"\x00")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\x01\x01\x02\x00", b"\x01\x02\x01\x00"]))
def test_no_bytes_crash_the_decoder(data: bytes, start: bytes) -> None:
    sound(start + data)


def test_a_small_leaf_cannot_ask_for_much_memory() -> None:
    """Columns without width cost nothing in the entry; the number of frames is bounded instead."""
    entry = encode(leaf(Header(Clock()(), 1), random.Random(1), 1))
    with pytest.raises(TrailDamaged, match="1025 records"):
        decode(entry[:2] + (1025).to_bytes(2, "little") + entry[4:])


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": 4},
        {"verdict": 0},
        {"mode": 4},
        {"flags": 8},
        {"dropped": -1},
        {"age_ns": -1},
        {"runs": (9, 1)},
        {"runs": (1, -1)},
    ],
)
def test_values_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    made = leaf(Header(Clock()(), 1), random.Random(1), 3)
    entry = encode(replace(made, frames=(replace(made.frames[0], **wrong), *made.frames[1:])))  # type: ignore[arg-type]
    with pytest.raises(TrailDamaged):
        decode_columns(entry)


def test_events_that_mean_nothing_are_refused() -> None:
    made = event(Header(Clock()(), 1))
    for kind in (0, 13, 1 << 40):
        with pytest.raises(TrailDamaged):
            decode(encode(replace(made, events=(replace(made.events[0], kind=kind),))))  # type: ignore[arg-type]


def test_columns_decode_alone_as_within_a_leaf() -> None:
    made = leaf(Header(Clock()(), 1), random.Random(1), 20)
    columns = decode_columns(encode(made))
    assert columns.numbers["shown_ns"].tolist() == [frame.shown_ns for frame in made.frames]
    assert columns.runs[1].state.tolist() == [0 if isinstance(f.runs[1], Run) else f.runs[1] for f in made.frames]


@pytest.mark.parametrize(
    "values",
    [
        [0],
        [5, 5, 5],
        [-(1 << 63), (1 << 63) - 1],
        [1 << 40, 0, -1],
        [255, 0],
        [256, 0],
        [0, (1 << 24) - 1],
        [0, 1 << 24],
        [-(1 << 63)] * 2,
    ],
)
def test_columns_at_their_limits(values: list[int]) -> None:
    out = Out()
    out.column(np.array(values, np.int64))
    read = In(bytes(out.data))
    assert read.column(len(values)).tolist() == values
    assert (read.low, read.high) == (min(values), max(values))
    read.end()


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"\x00\x01\x01\x02", 2),  # the smallest is not the base
        (b"\x00\x02\x00\x00\x01\x00", 2),  # one byte would have been enough
        (b"\x00\x09" + bytes(18), 2),  # wider than a number
        (b"\x00\x01\x00", 2),  # cut
        (b"\x80\x00\x00", 1),  # a number in two bytes that fits one
        (b"\xfe" + b"\xff" * 8 + b"\x01\x01\x00\x01", 2),  # beyond 2**63
    ],
)
def test_wasteful_or_impossible_columns_are_refused(data: bytes, rows: int) -> None:
    with pytest.raises(TrailDamaged):
        In(data).column(rows)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x01a\x01\x02\x00\x01\x00\x00\x01\x01\x00",  # the set used second stands first
        b"\x02\x01a\x01\x01b\x01\x01\x02\x01\x00\x00\x00",  # the member used second stands first
        b"\x02\x01a\x01\x01a\x01\x01\x02\x00\x01\x00\x00",  # a member twice
        b"\x01\x01a\x01\x02\x01\x00\x01\x00\x00\x01\x00\x01",  # a set twice
        b"\x02\x01a\x01\x01b\x01\x01\x01\x00\x00\x00",  # a member that nobody uses
        b"\x01\x01a\x01\x02\x00\x01\x00\x00\x00",  # a set that nobody uses
        b"\x00\x01\x01\x00\x00\x00",  # a member of nothing
        b"\x00\x00\x00\x00",  # no set at all
    ],
)
def test_lists_out_of_order_are_refused(data: bytes) -> None:
    with pytest.raises(TrailDamaged):
        _take_sets(In(data), 2, _take_alert)


def test_a_list_in_order_is_taken() -> None:
    which, sets, members = _take_sets(In(b"\x01\x01a\x01\x02\x00\x01\x00\x00\x01\x00\x01"), 2, _take_alert)
    assert (which.tolist(), sets, members) == ([0, 1], [(), (0,)], [("a", 1)])


def test_what_cannot_be_written_is_our_own_mistake() -> None:
    header = Header(Moment(BOOT, 0, 0, ""), 0)
    made = leaf(header, random.Random(1), 2)
    for wrong in (
        replace(made, frames=()),
        replace(made, models=made.models[:1]),
        replace(made, config=b"short"),
        EventLeaf(header, ()),
    ):
        with pytest.raises(RuntimeError):
            encode(wrong)
