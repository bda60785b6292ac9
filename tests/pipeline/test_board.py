"""The board: each row its own writer, faults with the moment they began, controls; read by other processes as it is written."""

import math
import os
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.core.events import EVENTS
from inframe.core.types import Audio, Controls
from inframe.pipeline.board import Board, Count, board_bytes, create_board

NAMES = ("device", "display", "worker.w")


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_board(len(NAMES))
    yield fd
    os.close(fd)


def test_a_new_board_is_empty(memory: int) -> None:
    board = Board(memory, NAMES)
    for name in NAMES:
        row = board.row(name)
        assert row.heartbeat_ns == 0
        assert [row.get(count) for count in Count] == [0] * len(Count)
    assert board.faults() == {}


def test_every_cell_is_its_own(memory: int) -> None:
    """What is written to one cell is read there, from another mapping, and nowhere else."""
    board, other = Board(memory, NAMES), Board(memory, NAMES)
    values = {(name, count): 1000 * i + count + 1 for i, name in enumerate(NAMES) for count in Count}
    for (name, count), value in values.items():
        board.row(name).set(count, value)
    for i, name in enumerate(NAMES):
        board.row(name).beat(-i)
    for i, name in enumerate(NAMES):
        for j, event in enumerate(EVENTS):
            board.row(name).raise_fault(event, 10_000 + 100 * i + j)
    assert {key: other.row(key[0]).get(key[1]) for key in values} == values
    assert [other.row(name).heartbeat_ns for name in NAMES] == [0, -1, -2]
    assert other.faults() == {event: 10_000 + j for j, event in enumerate(EVENTS)}
    assert os.fstat(memory).st_size == board_bytes(len(NAMES))


def test_counts_add_up_and_values_are_replaced(memory: int) -> None:
    row = Board(memory, NAMES).row("display")
    row.add(Count.FRAMES)
    row.add(Count.FRAMES, 41)
    row.set(Count.SEQ, 7)
    row.set(Count.SEQ, 2**62)
    assert (row.get(Count.FRAMES), row.get(Count.SEQ)) == (42, 2**62)


def test_a_fault_keeps_the_moment_it_began_until_it_is_cleared(memory: int) -> None:
    board = Board(memory, NAMES)
    row = board.row("display")
    row.raise_fault("DISK_FULL", 50)
    row.raise_fault("DISK_FULL", 90)
    assert board.faults() == {"DISK_FULL": 50}
    row.clear_fault("DISK_FULL")
    assert board.faults() == {}
    row.raise_fault("DISK_FULL", 90)
    assert board.faults() == {"DISK_FULL": 90}


def test_of_several_processes_the_earliest_counts_and_each_clears_its_own(memory: int) -> None:
    board = Board(memory, NAMES)
    for name, ns in zip(NAMES, (30, 10, 20), strict=True):
        board.row(name).raise_fault("RING_CORRUPT", ns)
    assert board.faults() == {"RING_CORRUPT": 10}
    board.row("display").clear_fault("RING_CORRUPT")
    assert board.faults() == {"RING_CORRUPT": 20}


def test_a_fault_at_the_very_start_of_time_is_a_fault(memory: int) -> None:
    board = Board(memory, NAMES)
    board.row("display").raise_fault("DISK_FULL", 0)
    assert list(board.faults()) == ["DISK_FULL"]


def test_several_at_once(memory: int) -> None:
    board = Board(memory, NAMES)
    row = board.row("display")
    row.raise_fault("RING_CORRUPT", 5)
    row.raise_fault("DISK_FULL", 5)
    row.set_faults({"RING_CORRUPT": False, "DISK_FULL": True, "AI_LATE": True}, 9)
    assert board.faults() == {"DISK_FULL": 5, "AI_LATE": 9}


def test_a_process_that_died_takes_its_words_with_it_and_leaves_its_counts(memory: int) -> None:
    board = Board(memory, NAMES)
    row, neighbour = board.row("display"), board.row("worker.w")
    for one in (row, neighbour):
        one.set(Count.READY_NS, 5)
        one.add(Count.FRAMES, 3)
        one.raise_fault("RING_CORRUPT", 5)
        one.beat(8)
    row.clear()
    assert (row.get(Count.READY_NS), row.get(Count.FRAMES), row.heartbeat_ns) == (0, 3, 8)
    assert neighbour.get(Count.READY_NS) == 5
    assert board.faults() == {"RING_CORRUPT": 5}
    neighbour.clear_fault("RING_CORRUPT")
    assert board.faults() == {}


def test_a_process_that_is_not_in_the_table_has_no_row(memory: int) -> None:
    with pytest.raises((KeyError, ValueError)):
        Board(memory, NAMES).row("other")


controls = st.builds(
    Controls,
    opacity=st.floats(0, 1),
    overlay_on=st.booleans(),
    acknowledged_ns=st.integers(0, 2**62),
    audio=st.sampled_from(Audio),
    audio_until_ns=st.integers(0, 2**62),
)


@given(st.lists(controls, min_size=1, max_size=4))
def test_controls_are_read_as_they_were_set(settings: list[Controls]) -> None:
    fd = create_board(len(NAMES))
    try:
        board, other = Board(fd, NAMES), Board(fd, NAMES)
        for one in settings:
            board.set_controls(one)
            assert board.controls() == other.controls() == one
        assert other.faults() == {}
        for name in NAMES:
            assert other.row(name).heartbeat_ns == 0
            assert not any(other.row(name).get(count) for count in Count)
    finally:
        os.close(fd)


@pytest.mark.parametrize(("opacity", "read"), [(math.nan, 0.35), (math.inf, 0.35), (-1.0, 0.0), (7.0, 1.0), (0.2, 0.2)])
def test_an_opacity_that_makes_no_sense(opacity: float, read: float, memory: int) -> None:
    board = Board(memory, NAMES)
    board.set_controls(Controls(opacity=opacity))
    assert board.controls() == Controls(opacity=read)


def test_an_audio_state_that_nobody_knows_is_on(memory: int) -> None:
    board = Board(memory, NAMES)
    board.set_controls(Controls(audio=cast("Audio", 99), audio_until_ns=7))
    assert board.controls() == Controls(audio=Audio.ON, audio_until_ns=7)


def test_across_processes_a_cell_is_read_old_or_new(memory: int) -> None:
    """A real process counts up in its row; this one never sees a step back, nor a change in another row."""
    last = 200_000
    child = os.fork()
    if child == 0:
        row = Board(memory, NAMES).row("worker.w")
        for value in range(1, last + 1):
            row.set(Count.SEQ, value << 20)
        os._exit(0)
    board, seen = Board(memory, NAMES), [0]
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        seen.append(board.row("worker.w").get(Count.SEQ))
    assert seen == sorted(seen)
    assert all(value % (1 << 20) == 0 for value in seen)
    assert board.row("worker.w").get(Count.SEQ) == last << 20
    assert board.row("display").get(Count.SEQ) == 0
