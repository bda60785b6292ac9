"""Records on their way to the disk: a full or broken disk is announced and retried, a torn line is one line."""

import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.record import Recorder, RecordReader
from inframe.pipeline.ring import RingReader
from tests.pipeline.records import SLOTS, Records


class Desk:
    """A recorder with its ring, its row and a clock."""

    def __init__(self, path: Path) -> None:
        self.path, self.records, self.clock = path, Records(), ManualClock()
        self.board = Board(create_board(1), ("recorder",))
        self.row = self.board.row("recorder")
        self.recorder = self.start()

    def start(self) -> Recorder:
        reader = RecordReader(RingReader(self.records.fd), self.row.get(Count.SEQ))
        return Recorder(self.path, reader, self.row, self.clock)

    def step(self, new: int = 0, ns: int = NS_PER_S // 10) -> None:
        self.records.write(new)
        self.clock.advance(ns)
        self.recorder.step()

    def lines(self) -> list[Any]:
        """The file's lines; a torn one as text."""
        return [parsed(text) for text in self.path.read_text("utf-8").split("\n") if text]


def parsed(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found["n"] if isinstance(found, dict) and "n" in found else found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "new" / "folder" / "r.jsonl")
    yield made
    made.recorder.close()
    os.close(made.records.fd)


def test_records_are_lines_of_a_file_in_a_folder_that_is_made(desk: Desk) -> None:
    desk.step()
    assert not desk.path.exists()
    desk.step(3)
    desk.step(2)
    assert desk.lines() == [1, 2, 3, 4, 5]
    assert desk.path.read_bytes().endswith(b"\n")
    assert (desk.row.get(Count.FRAMES), desk.row.get(Count.DROPPED)) == (5, 0)
    assert desk.row.heartbeat_ns == desk.clock.now()
    assert desk.board.faults() == {}


def test_records_that_came_too_fast_are_a_gap_and_an_alert_for_a_while(desk: Desk) -> None:
    desk.step(1)
    desk.step(3 * SLOTS)
    lines = desk.lines()
    assert lines[0] == 1
    assert lines[1] == {"gap": 3 * SLOTS - (SLOTS - 1), "at_ns": desk.clock.now()}
    assert lines[2:] == list(range(lines[2], 3 * SLOTS + 2))
    assert "RECORDER_BEHIND" in desk.board.faults()
    desk.step(1, ns=2 * NS_PER_S)
    assert desk.board.faults() == {}


def failing(monkeypatch: pytest.MonkeyPatch, number: int, after: int) -> None:
    """From now on the disk takes `after` bytes of each write and then fails so."""
    write = os.write

    def fail(fd: int, data: bytes) -> int:
        if after:
            return write(fd, data[:after])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("inframe.pipeline.record.os.write", fail)


@pytest.mark.parametrize("number", [28, 122, 27, 5])  # no space, quota, file too large; input/output error
@pytest.mark.parametrize("after", [0, 5])
def test_a_disk_that_fails_is_announced_and_retried(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, after: int
) -> None:
    desk.step(2)
    with monkeypatch.context() as patch:
        failing(patch, number, after)
        desk.step(3)
        desk.step(2)
        since = desk.board.faults()["DISK_FULL"]
        desk.step(1)
        assert desk.board.faults() == {"DISK_FULL": since}
        assert desk.row.heartbeat_ns == desk.clock.now()
        assert desk.row.get(Count.DROPPED) == 6
    desk.step(2)
    assert desk.board.faults() == {}
    assert [one for one in desk.lines() if not isinstance(one, str)] == [
        1,
        2,
        {"gap": 6, "at_ns": desk.clock.now()},
        9,
        10,
    ]
    assert (desk.row.get(Count.FRAMES), desk.row.get(Count.DROPPED)) == (4, 6)


def test_a_folder_that_can_not_be_made_is_retried(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "folder" / "r.jsonl")
    (tmp_path / "folder").write_text("in the way")
    desk.step(2)
    assert list(desk.board.faults()) == ["DISK_FULL"]
    (tmp_path / "folder").unlink()
    desk.step(1)
    assert desk.board.faults() == {}
    assert desk.lines() == [{"gap": 2, "at_ns": desk.clock.now()}, 3]


@pytest.mark.parametrize(("number", "anew"), [(28, False), (5, True)])
def test_a_broken_file_is_opened_anew_and_a_full_one_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, anew: bool
) -> None:
    desk.step(1)
    with monkeypatch.context() as patch:
        failing(patch, number, 0)
        desk.step(1)
    desk.path.rename(desk.path.with_name("away"))
    desk.step(1)
    assert desk.path.exists() == anew


def test_a_gap_is_written_even_when_nothing_new_comes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing(patch, 28, 0)
        desk.step(2)
    desk.step()
    assert desk.lines() == [{"gap": 2, "at_ns": desk.clock.now()}]


def test_after_a_kill_the_next_line_is_on_a_line_of_its_own(desk: Desk) -> None:
    desk.step(2)
    with desk.path.open("ab") as file:
        file.write(b'{"n": 3, "half a')  # and then it was killed
    desk.recorder.close()
    desk.recorder = desk.start()
    desk.step(2)
    assert desk.lines() == [1, 2, '{"n": 3, "half a', 3, 4]


def test_a_recorder_that_starts_again_writes_nothing_twice_and_knows_of_no_gap(desk: Desk) -> None:
    desk.step(2 * SLOTS)
    kept = desk.lines()
    desk.recorder.close()
    desk.recorder = desk.start()
    desk.step()
    desk.step(2)
    assert desk.lines() == [*kept, 2 * SLOTS + 1, 2 * SLOTS + 2]


def test_what_was_written_is_on_the_disk_once_a_second_and_at_the_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fdatasync

    def fdatasync(fd: int) -> None:
        synced.append(desk.clock.now())
        sync(fd)

    monkeypatch.setattr("inframe.pipeline.record.os.fdatasync", fdatasync)
    begin = desk.clock.now()
    for _ in range(25):
        desk.step(1)
    assert [(ns - begin) // (NS_PER_S // 10) for ns in synced] == [10, 20]
    desk.recorder.close()
    assert len(synced) == 3
    desk.recorder.close()
    assert len(synced) == 3


def test_closing_never_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.step(1)

    def fail(fd: int) -> None:
        raise OSError(5, "broken")

    monkeypatch.setattr("inframe.pipeline.record.os.fdatasync", fail)
    desk.recorder.close()


def in_a_child(body: Callable[[], object]) -> int:
    """The exit code of a fork that does this: 0, or 1 where it raised."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_real_limit_on_the_files_size_costs_lines_and_not_the_recorder(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.jsonl")

    def body() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (25, resource.RLIM_INFINITY))
        desk.step(3)  # {"n":1} and a line's end: 8 bytes each
        assert desk.board.faults() == {}
        desk.step(2)
        assert list(desk.board.faults()) == ["DISK_FULL"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        desk.step(1)
        assert desk.board.faults() == {}

    assert in_a_child(body) == 0
    lines = desk.lines()
    assert lines[:3] == [1, 2, 3]
    assert lines[-1] == 6
    assert lines[-2]["gap"] == 2
