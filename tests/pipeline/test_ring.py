"""The ring: torn, overwritten and damaged slots never read as good."""

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.clock import MonotonicClock
from inframe.pipeline import ring
from inframe.pipeline.ring import Header, RingReader, RingWriter

SLOTS, PAYLOAD = 4, 600


@pytest.fixture
def memory() -> Iterator[int]:
    fd = ring.create("test", SLOTS, PAYLOAD)
    yield fd
    os.close(fd)


def publish(writer: RingWriter, value: int) -> int:
    writer.begin().fill(value % 256)
    return writer.commit(Header(0, tag=value, captured_ns=value * 10))


def scribble(fd: int, at: int, data: bytes) -> None:
    os.pwrite(fd, data, at)


def test_what_is_written_is_read(memory: int) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    assert reader.newest() == 0
    assert reader.header(0) is None
    for value in range(1, 3 * SLOTS):
        seq = publish(writer, value)
        assert reader.newest() == seq == value
        header = reader.header(seq)
        assert header is not None
        assert (header.seq, header.tag, header.captured_ns) == (value, value, 10 * value)
        assert (reader.payload(seq) == value % 256).all()
        assert reader.holds(seq)
        assert reader.header(seq - SLOTS) is None
    assert reader.corrupt == 0


def test_what_is_let_go_is_there_when_it_is_looked_at_again(memory: int) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    for value in (1, 2):
        seq = publish(writer, value)
        reader.let_go()
        assert (reader.payload(seq) == value).all()
        assert reader.header(seq) is not None


def test_a_header_keeps_every_field(memory: int) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    full = Header(0, 2**63, -5, 6, 7, 8, 9, 10, 11)
    writer.begin()
    seq = writer.commit(full)
    assert reader.header(seq) == full._replace(seq=seq)


def test_a_slot_being_written_is_not_read(memory: int) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    for value in range(1, SLOTS + 1):
        publish(writer, value)
    assert reader.header(1) is not None
    assert not reader.holds(1)  # the writer may come at any moment
    assert reader.holds(2)
    writer.begin()
    assert reader.header(1) is None
    assert not reader.holds(1)
    assert reader.newest() == SLOTS
    assert reader.corrupt == 0


def test_a_writer_that_died_while_writing_is_followed_by_one_that_goes_on(memory: int) -> None:
    reader = RingReader(ring.read_only(memory))
    first = RingWriter(memory, ())
    for value in range(1, 7):
        publish(first, value)
    first.begin()[:100] = 99  # and then it was killed
    second = RingWriter(memory, ())
    assert second.seq == 7
    assert publish(second, 7) == 7
    header = reader.header(7)
    assert header is not None
    assert (reader.payload(7) == 7).all()


def test_a_writer_killed_before_it_noted_its_slot_does_not_make_an_old_one_hold(memory: int) -> None:
    reader, first = RingReader(ring.read_only(memory)), RingWriter(memory, ())
    for value in range(1, 7):
        publish(first, value)
    notes = reader._ring.notes()
    publish(first, 7)
    first._ring.words[8] = first._ring.words[16] = notes[0]  # killed with both headers written and neither note
    second = RingWriter(memory, ())
    assert second.seq == 8
    second.begin().fill(99)  # the slot of 4
    assert not reader.holds(4)
    assert reader.newest() == 7


def test_more_than_a_slot_holds_is_refused(memory: int) -> None:
    writer = RingWriter(memory, ())
    writer.begin()
    with pytest.raises(RuntimeError, match="601 bytes for a slot of 600"):
        writer.put(1, memoryview(bytes(600)))


def test_readers_can_not_write(memory: int) -> None:
    reader = RingReader(ring.read_only(memory))
    with pytest.raises(ValueError, match="read-only"):
        reader.payloads[0][0] = 1


def test_nobody_can_cut_the_memory(memory: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 4096)


@pytest.mark.parametrize("end", ["front", "back"])
def test_one_damaged_header_is_survived_and_counted(memory: int, end: str) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    publish(writer, 1)
    seq = publish(writer, 2)
    at = getattr(writer._ring.layout, end)(seq)
    scribble(memory, at + 3, b"\xff\x00\xff")
    header = reader.header(seq)
    assert header is not None
    assert header.tag == 2
    assert reader.corrupt == 1


def test_two_damaged_headers_are_no_frame(memory: int) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    publish(writer, 1)
    seq = publish(writer, 2)
    for at in (writer._ring.layout.front(seq), writer._ring.layout.back(seq)):
        scribble(memory, at, b"garbage")
    assert reader.header(seq) is None
    assert reader.newest() == 1


def test_damaged_notes_of_the_newest_are_found_again_by_looking(memory: int) -> None:
    writer, reader = RingWriter(memory, ()), RingReader(ring.read_only(memory))
    for value in range(1, 6):
        publish(writer, value)
    scribble(memory, 64, b"\x77" * 80)
    assert reader.newest() == 5
    assert reader.corrupt > 0
    publish(writer, 6)
    assert reader.newest() == 6


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_damage_anywhere_never_reads_as_another_frame(seed: int, wounds: int) -> None:
    """Whatever bytes of headers and notes are overwritten: what reads as frame n is frame n, or nothing."""
    rng = random.Random(seed)
    fd = ring.create("test", SLOTS, PAYLOAD)
    shown = ring.read_only(fd)
    try:
        writer, reader = RingWriter(fd, ()), RingReader(shown)
        for value in range(1, rng.randint(2, 12)):
            publish(writer, value)
        layout = writer._ring.layout
        places = [64, 128, *(layout.front(s) for s in range(SLOTS)), *(layout.back(s) for s in range(SLOTS))]
        for _ in range(wounds):
            scribble(fd, rng.choice(places) + rng.randrange(ring._HEADER.size), rng.randbytes(rng.randint(1, 8)))
        newest = reader.newest()
        for seq in range(writer.seq + SLOTS):
            header = reader.header(seq)
            if header is not None:
                assert header.seq == header.tag == seq
                assert (reader.payload(seq) == seq % 256).all()
        assert newest < writer.seq
    finally:
        os.close(fd)
        os.close(shown)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["publish", "begin", "restart", "read"]), min_size=1, max_size=60))
def test_any_order_of_writing_dying_and_reading(steps: list[str]) -> None:
    """Against a simple model: the newest committed SLOTS frames are there, but the one whose slot is being written."""
    fd = ring.create("test", SLOTS, PAYLOAD)
    shown = ring.read_only(fd)
    try:
        writer, reader = RingWriter(fd, ()), RingReader(shown)
        done, begun = 0, False
        for step in steps:
            match step:
                case "publish":
                    done, begun = publish(writer, done + 1), False
                case "begin":
                    writer.begin().fill(255)
                    begun = True
                case "restart":
                    writer = RingWriter(fd, ())
                case _:
                    pass
            oldest = max(1, done - SLOTS + (2 if begun else 1))
            assert reader.newest() == done
            assert [seq for seq in range(1, done + 2) if reader.header(seq)] == list(range(oldest, done + 1))
        assert reader.corrupt == 0
    finally:
        os.close(fd)
        os.close(shown)


def test_a_reader_is_woken_and_wake_ups_come_together(memory: int) -> None:
    wake, clock = ring.wake_fd(), MonotonicClock()
    writer = RingWriter(memory, (wake,))
    assert not ring.wait(wake, clock.now(), clock)
    publish(writer, 1)
    publish(writer, 2)
    assert ring.wait(wake, clock.now() + 10**9, clock)
    assert not ring.wait(wake, clock.now(), clock)
    os.close(wake)


def test_across_processes_every_frame_is_whole() -> None:
    """A real writer process at full speed against a reader: nothing that is read as frame n ever has other pixels."""
    fd = ring.create("test", SLOTS, 1 << 16)
    child = os.fork()
    if child == 0:
        writer = RingWriter(fd, ())
        for value in range(1, 3001):
            publish(writer, value)
        os._exit(0)
    reader, good, torn = RingReader(ring.read_only(fd)), 0, 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        seq = reader.newest()
        header = reader.header(seq)
        pixels = reader.payload(seq).copy()
        if header is None or not reader.holds(seq):
            torn += 1
            continue
        good += 1
        assert (pixels == header.tag % 256).all()
    os.close(fd)
    assert good > 0
