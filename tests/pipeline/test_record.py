"""Records on their way from the display: what they say, and that none is lost without being counted."""

import json
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.types import (
    Alert,
    Decision,
    Finding,
    Frame,
    FrameFlag,
    Masks,
    Missed,
    MissedReason,
    Mode,
    NoSignal,
    Presence,
    Priority,
    Result,
    Steps,
    Verdict,
)
from inframe.pipeline.record import LINE_BYTES, RecordReader, line
from inframe.pipeline.ring import RingReader
from tests.pipeline.records import SLOTS, Records

PIXELS = np.zeros((2, 2, 3), np.uint8)


@pytest.fixture
def records() -> Iterator[Records]:
    made = Records()
    yield made
    os.close(made.fd)


# --- what a record says ----------------------------------------------------------------------------------------------


def decision(alerts: int = 1) -> Decision:
    return Decision(
        Verdict.HOLD,
        Mode.DEGRADED,
        (Finding("near", "NEAR", Priority.MEDIUM, 70, 0.123456789),),
        tuple(Alert(f"AI_LATE{i or ''}", "AI LATE", Priority.MEDIUM, Presence.LATCHED, 60) for i in range(alerts)),
        (),
        33,
    )


FRAME = Frame("endoscope", 7, 1000, 1033, PIXELS, FrameFlag.CORRUPT | FrameFlag.FROZEN)
RESULTS: dict[str, Result | Missed] = {
    "a": Result("a", 6, 900, Masks(np.zeros((1, 1), np.uint8)), Steps(1, 2, 3, 4)),
    "b": Missed("b", 7, MissedReason.INVALID),
}


def test_the_record_of_a_frame() -> None:
    assert line(FRAME, RESULTS, decision(), 1020) == {
        "stream": "endoscope",
        "shown_ns": 1020,
        "seq": 7,
        "captured_ns": 1000,
        "deadline_ns": 1033,
        "flags": 3,
        "results": {"a": {"seq": 6, "steps_ns": [1, 2, 3, 4]}, "b": "INVALID"},
        "verdict": "HOLD",
        "mode": "DEGRADED",
        "age_ns": 33,
        "findings": [{"rule": "near", "value": 0.123457, "since_ns": 70}],
        "alerts": {"AI_LATE": "LATCHED"},
    }


def test_the_record_of_a_picture_without_a_frame() -> None:
    record = line(NoSignal("endoscope", 500, 900), {}, decision(), 910)
    assert {key: record[key] for key in ("stream", "shown_ns", "verdict", "mode")} == {
        "stream": "endoscope",
        "shown_ns": 910,
        "verdict": "HOLD",
        "mode": "DEGRADED",
    }
    assert not {"seq", "captured_ns", "results"} & set(record)


def test_a_record_is_written_whole(records: Records) -> None:
    record = line(FRAME, RESULTS, decision(), 1020)
    records.writer.write(record)
    assert [json.loads(data) for data in records.reader.take()] == [record]


def test_a_record_that_is_too_long_keeps_what_must_not_be_lost_and_says_so(records: Records) -> None:
    record = line(FRAME, RESULTS, decision(alerts=300), 1020)
    records.writer.write(record)
    (data,) = records.reader.take()
    assert len(data) <= LINE_BYTES
    cut = json.loads(data)
    assert cut.pop("cut") is True
    assert cut == {key: value for key, value in record.items() if key not in ("findings", "alerts", "results")}


def test_the_longest_record_that_fits_is_not_cut(records: Records) -> None:
    room = LINE_BYTES - len(json.dumps({"findings": ""}, separators=(",", ":")))
    for extra, cut in ((0, False), (1, True)):
        records.writer.write({"findings": "x" * (room + extra)})
        (data,) = records.reader.take()
        assert ("cut" in json.loads(data)) == cut


# --- following them --------------------------------------------------------------------------------------------------


def test_they_come_in_order_and_once(records: Records) -> None:
    assert records.take() == []
    records.write(3)
    assert records.take() == [1, 2, 3]
    assert records.take() == []
    records.write(2)
    assert records.take() == [4, 5]
    assert records.reader.lost == 0


def test_who_is_overtaken_knows_how_much_was_lost(records: Records) -> None:
    records.write(3 * SLOTS)
    kept = records.take()
    assert kept == list(range(3 * SLOTS - SLOTS + 2, 3 * SLOTS + 1))
    assert records.reader.lost == 3 * SLOTS - len(kept)


def test_a_damaged_record_is_counted_and_the_others_come(records: Records) -> None:
    records.write(4)
    for raw in range(2):  # both headers of the second one: at the front and at the back of its slot
        memory = os.pread(records.fd, 1 << 20, 0)
        at = [i for i in range(len(memory) - 8) if memory[i : i + 8] == (2).to_bytes(8, "little") and i >= 4096][raw]
        os.pwrite(records.fd, b"\xee" * 4, at + 8)
    assert records.take() == [1, 3, 4]
    assert records.reader.lost == 1


def test_a_follower_that_starts_again_goes_on_where_the_one_before_was(records: Records) -> None:
    records.write(3)
    records.take()
    records.write(2)
    second = RecordReader(RingReader(records.fd), records.reader.last)
    assert [json.loads(data)["n"] for data in second.take()] == [4, 5]
    assert second.lost == 0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 3 * SLOTS), max_size=20), st.booleans())
def test_taken_and_lost_are_all(bursts: list[int], being_written: bool) -> None:
    """However many come between two looks: in order, each at most once, and what is missing is what is counted as lost."""
    records = Records()
    try:
        taken: list[int] = []
        for burst in bursts:
            records.write(burst)
            if being_written:
                records.ring.begin()
            before = len(taken)
            taken += records.take()
            assert len(taken) - before >= min(burst, SLOTS - 1)
        assert taken == sorted(set(taken))
        assert len(taken) + records.reader.lost == records.written
    finally:
        os.close(records.fd)
