"""Records on their way from the display: what they say, and that none is lost without being counted."""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.config import Device
from inframe.core.events import EVENTS
from inframe.core.types import (
    Alert,
    Decision,
    Finding,
    FrameFlag,
    Masks,
    Missed,
    MissedReason,
    Mode,
    NoSignal,
    Presence,
    Priority,
    Result,
    Run,
    Steps,
    Verdict,
)
from inframe.pipeline.decide import make_plan
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from tests.pipeline import script
from tests.pipeline.records import FIELDS, SLOTS, Records, frame


@pytest.fixture
def records() -> Iterator[Records]:
    made = Records()
    yield made
    os.close(made.fd)


# --- what a record says ----------------------------------------------------------------------------------------------

NEAR = Finding("near", "NEAR", Priority.MEDIUM, 70, 0.123456789)
DECISION = Decision(
    Verdict.HOLD,
    Mode.DEGRADED,
    (NEAR,),
    (
        Alert("near", "NEAR", Priority.MEDIUM, Presence.ACKNOWLEDGED, 60),
        Alert("AI_LATE", "AI LATE", Priority.MEDIUM, Presence.LATCHED, 60),
    ),
    (),
    33,
)
FRAME = replace(frame(7), flags=FrameFlag.CORRUPT | FrameFlag.FROZEN)
RESULTS: dict[str, Result | Missed] = {
    "a": Result("a", 6, 900, Masks(np.zeros((1, 1), np.uint8)), Steps(1, 2, 3, 4)),
    "b": Missed("b", 7, MissedReason.INVALID),
}
WHOLE = Shown(
    7,
    FRAME.captured_ns,
    FRAME.deadline_ns,
    1020,
    33,
    FRAME.flags,
    Verdict.HOLD,
    Mode.DEGRADED,
    {"a": Run(6, Steps(1, 2, 3, 4)), "b": MissedReason.INVALID},
    (NEAR,),
    {"AI_LATE": Presence.LATCHED, "near": Presence.ACKNOWLEDGED},
)


def test_the_record_of_a_frame_comes_back_as_it_was(records: Records) -> None:
    records.writer.write(FRAME, RESULTS, DECISION, 1020)
    assert records.reader.take() == [WHOLE]
    assert (WHOLE.is_own("a"), WHOLE.is_own("b"), WHOLE.is_own("c")) == (False, False, False)
    assert WHOLE._replace(seq=6).is_own("a")


def test_nothing_of_one_record_is_left_in_the_next(records: Records) -> None:
    plain = Decision(Verdict.SHOW, Mode.NOMINAL, (), (), ())
    for _ in range(SLOTS + 1):
        records.writer.write(FRAME, RESULTS, DECISION, 1020)
        records.writer.write(frame(8), {}, plain, 1030)
        first, second = records.reader.take()
        assert first == WHOLE
        assert (second.findings, second.alerts, second.flags) == ((), {}, FrameFlag.NONE)
        assert second.runs == {"a": MissedReason.NOT_DUE, "b": MissedReason.NOT_DUE}


def test_the_record_of_a_picture_without_a_frame(records: Records) -> None:
    records.writer.write(NoSignal("endoscope", 500, 900), {}, DECISION, 910)
    (record,) = records.reader.take()
    assert (record.seq, record.captured_ns, record.shown_ns, record.runs) == (0, 500, 910, {})
    assert (record.verdict, record.mode, record.findings) == (Verdict.HOLD, Mode.DEGRADED, (NEAR,))


def test_the_fields_of_a_device_are_those_that_its_decisions_can_name() -> None:
    values = {
        "device": "test",
        "streams": {name: {"camera": "synthetic", "width": 64, "height": 48, "fps": 30} for name in ("e", "room")},
        "display": "e",
        "models": {"a": script.model(stream="e"), "b": script.model(stream="room"), "c": script.model(stream="e")},
        "rules": {
            name: {"model": model, "when": {"kind": "area", "labels": ["x"], "above": 0.1}, "text": name.upper()}
            for name, model in (("r", "c"), ("t", "a"))
        },
    }
    device = Device.model_validate(values)
    fields = fields_of(device)
    plan = make_plan(device, dict.fromkeys(device.models, ("x", "y", "z")))
    assert fields.models == tuple(model.name for model in plan.models) == ("a", "c")
    assert [name for name, _, _ in fields.rules] == [rule.name for rule in plan.rules] == ["r", "t"]
    assert set(plan.alerts) <= set(fields.alerts)
    assert {event.name for event in EVENTS.values() if event.priority > Priority.NONE} <= set(fields.alerts)


@given(st.binary(min_size=FIELDS.layout.size, max_size=FIELDS.layout.size))
@settings(max_examples=300, deadline=None)
def test_no_bytes_crash_a_reader_and_what_they_say_fits_the_trail(data: bytes) -> None:
    """The payload of a slot has no checksum."""
    record = RecordReader.__new__(RecordReader)
    record._fields, record._layout = FIELDS, FIELDS.layout
    said = record._parse(data)
    if said is not None:
        assert 0 <= int(said.flags) <= 7
        assert max(said[:5]) < 1 << 62


@pytest.mark.parametrize(("at", "value"), [(5, 8), (6, 0), (6, 4), (7, 4), (-1, b"\x04\0\0\0"), (0, -1), (1, 1 << 62)])
def test_a_record_that_means_nothing_is_lost_and_counted(records: Records, at: int, value: object) -> None:
    records.writer.write(FRAME, RESULTS, DECISION, 1020)
    payload = records.ring.payloads[1]
    numbers = list(FIELDS.layout.unpack(bytes(payload[: FIELDS.layout.size])))
    numbers[at] = value
    payload[: FIELDS.layout.size] = np.frombuffer(FIELDS.layout.pack(*numbers), np.uint8)
    assert records.reader.take() == []
    assert records.reader.lost == 1


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
    for at in records.ring._ring.ends[2]:  # both headers of the second one: at the front and at the back of its slot
        os.pwrite(records.fd, b"\xee" * 4, at.start + 8)
    assert records.take() == [1, 3, 4]
    assert records.reader.lost == 1


def test_a_follower_that_starts_again_goes_on_where_the_one_before_was(records: Records) -> None:
    records.write(3)
    records.take()
    records.write(2)
    second = RecordReader(RingReader(records.fd), FIELDS, records.reader.last)
    assert [record.seq for record in second.take()] == [4, 5]
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
