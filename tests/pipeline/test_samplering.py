"""The ring of samples: what was not written whole, or is no longer there, never reads as good."""

import mmap
import os
import random

import pytest

from inframe.core.samples import NO_TIME, Quality
from inframe.pipeline import ring as frame_ring
from inframe.pipeline.samplering import SampleReader, SampleWriter, create, slots_for
from tests.pipeline.sensing import fill, ring, sensor

SLOTS = 16


def test_what_was_written_is_read() -> None:
    writer, reader = ring(SLOTS, 2)
    assert reader.newest() == 0
    assert reader.row(0) is None
    assert writer.write(10, NO_TIME, 3, Quality.SATURATED, (1.5, float("nan"))) == 1
    assert reader.newest() == 1
    sample = reader.row(1)
    assert sample is not None
    assert sample[:5] == (1, 10, NO_TIME, 3, Quality.SATURATED)
    assert sample.values[0] == 1.5
    assert sample.values[1] != sample.values[1]


def test_what_is_overwritten_is_no_longer_there() -> None:
    writer, reader = ring(SLOTS)
    fill(writer, list(range(1, 41)))
    assert reader.newest() == 40
    assert [reader.row(seq) is not None for seq in range(1, 42)] == [False] * 24 + [True] * 16 + [False]


def test_time_must_grow() -> None:
    writer, _ = ring(SLOTS)
    writer.write(10, 0, 0, Quality.OK, (1.0,))
    with pytest.raises(RuntimeError, match="captured at 10, not after 10"):
        writer.write(10, 0, 0, Quality.OK, (1.0,))


def test_a_row_torn_anywhere_is_not_read() -> None:
    """Every mixture of two rows: the writer was killed, or is at it, after any number of bytes."""
    fd = create("samples", SLOTS, 3)
    writer, reader = SampleWriter(fd), SampleReader(fd)
    memory = mmap.mmap(fd, os.fstat(fd).st_size)
    for seq in range(1, SLOTS + 2):
        before = bytes(memory)
        writer.write(seq * 100, seq, seq, Quality(seq % 3), (seq, -seq, 1 / seq))
    after = bytes(memory)
    changed = [i for i in range(4096, len(after)) if before[i] != after[i]]
    assert len(changed) > 20
    for cut in range(changed[0], changed[-1] + 1):
        memory[:] = after[:cut] + before[cut:]
        for seq in (1, SLOTS + 1):  # the same slot
            found = reader.row(seq)
            whole = before if seq == 1 else after
            assert found is None or memory[4096:] == whole[4096:]
        memory[:] = before[:cut] + after[cut:]
        assert reader.row(SLOTS + 1) is None or memory[4096:] == after[4096:]


def test_damage_is_never_read_and_never_fatal() -> None:
    fd = create("samples", SLOTS, 1)
    writer, reader = SampleWriter(fd), SampleReader(fd)
    memory = mmap.mmap(fd, os.fstat(fd).st_size)
    written = {}
    for seq in range(1, 60):
        writer.write(seq * 100, 0, 0, Quality.OK, (float(seq),))
        written[seq] = float(seq)
    rng, whole = random.Random(1), bytes(memory)
    for _ in range(2000):
        at = rng.choice((rng.randrange(64, 144), rng.randrange(4096, len(memory))))
        memory[at] ^= 1 << rng.randrange(8)
        newest = reader.newest()
        assert newest == 0 or reader.row(newest) is not None
        for seq in (newest, newest - 1, rng.randrange(80)):
            row = reader.row(seq)
            assert row is None or row.values == (written[seq],)
        if rng.random() < 0.2:
            memory[:] = whole
    assert reader.corrupt > 0


def test_a_writer_made_anew_goes_on_behind_the_newest_whole_row() -> None:
    fd = create("samples", SLOTS, 1)
    first = SampleWriter(fd)
    fill(first, list(range(1, 21)))
    memory = mmap.mmap(fd, os.fstat(fd).st_size)
    at = 4096 + 20 % SLOTS * (48 + 8)
    memory[at + 8] ^= 1  # the newest is torn
    second = SampleWriter(fd)
    assert (second.seq, second.captured_ns) == (20, 19)
    reader = SampleReader(frame_ring.read_only(fd))
    assert reader.newest() == 19
    second.write(30, 0, 0, Quality.OK, (7.0,))
    assert reader.newest() == 20


def test_a_file_that_is_no_ring_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not a ring of samples"):
        SampleReader(frame_ring.create("frames", 4, 100))


def test_a_ring_keeps_seconds() -> None:
    assert slots_for(sensor(rate_hz=1000)) == 4000
    assert slots_for(sensor(rate_hz=1)) == 256
