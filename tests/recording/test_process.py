"""The process: what a slow encoder or a full disk costs is counted and told, and nothing waits for it."""

import errno
from pathlib import Path
from queue import Queue, SimpleQueue

import numpy as np
import pytest

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.errors import ConfigError
from inframe.core.types import Pixels
from inframe.pipeline.board import Board, Count, Row, create_board
from inframe.recording import schema, storage
from inframe.recording.events import Packet, Picture, Said
from inframe.recording.process import RETRY_NS, Keeper
from inframe.recording.read import open_recording
from inframe.recording.tap import Mark
from inframe.recording.write import Event, RecordingWriter, Settings, texts
from tests.recording.procedures import HEIGHT, WIDTH, Procedure, device


@pytest.fixture
def row() -> Row:
    return Board(create_board(1), ("recording",)).row("recording")


class Kept:
    """A keeper over a folder, fed by hand."""

    def __init__(self, folder: Path, row: Row) -> None:
        from inframe.recording.about import about

        file = device(folder)
        self.folder = folder / "recordings"
        settings = Settings(self.folder, "p", file, about(file, "p", 0), 0)
        self.clock = ManualClock()
        self.buffers: SimpleQueue[Pixels] = SimpleQueue()
        self.events: Queue[Event | Mark | None] = Queue()
        self.writer = RecordingWriter(settings, texts(file))
        self.keeper = Keeper(self.writer, self.events, self.buffers, row, self.clock)
        self.seq = 0

    def picture(self) -> None:
        self.seq += 1
        self.clock.advance(NS_PER_S // 30)
        self.keeper.take(Picture(self.seq, self.clock.now(), np.full((HEIGHT, WIDTH, 3), self.seq, np.uint8)))


def read(path: Path) -> list[object]:
    return list(open_recording(path).read())


def test_a_full_disk_is_told_retried_and_leaves_a_gap(
    tmp_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path, row)
    for _ in range(40):
        kept.picture()
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(self: storage.Sink, data: bytes) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(storage.Sink, "_put", refuse)
        for _ in range(70):
            kept.picture()
    lost = row.get(Count.DROPPED)
    assert lost > 70, "and what was in the open chunk"
    kept.clock.advance(RETRY_NS)
    for _ in range(10):
        kept.picture()
    kept.events.put(None)
    kept.keeper.run()
    assert row.get(Count.FRAMES) == 120 - lost
    parts = sorted(kept.folder.glob("*.mcap"))
    frames = [e.seq for part in parts for e in contents(part) if isinstance(e, Packet)]
    assert frames == [*range(1, 111 - lost), *range(111, 121)]
    gap = next(event for event in contents(parts[-1]) if isinstance(event, schema.Gap))
    assert (gap.frames, gap.first, gap.last) == (lost, 111 - lost, 110)
    assert kept.buffers.qsize() == 120, "each buffer comes back, written or not"


def contents(path: Path) -> list[object]:
    """Of this part alone."""
    try:
        recording = open_recording(path)
    except ConfigError:
        return []
    recording.paths = [path]
    return list(recording.read())


def test_the_fault_stands_while_the_disk_is_full(tmp_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(create_board(1), ("recording",))
    kept = Kept(tmp_path, board.row("recording"))
    with monkeypatch.context() as patched:
        patched.setattr(storage.Sink, "sync", lambda self: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        for _ in range(60):
            kept.picture()
        assert "DISK_FULL" in board.faults()
    kept.clock.advance(RETRY_NS)
    kept.picture()
    assert board.faults() == {}


def test_what_stays_unwritten_for_a_second_is_synced_even_when_nothing_comes(tmp_path: Path, row: Row) -> None:
    kept = Kept(tmp_path, row)
    kept.picture()
    (path,) = kept.folder.glob("*.mcap")
    before = path.stat().st_size
    kept.clock.advance(2 * NS_PER_S)
    assert kept.writer.take(None, kept.clock.now())
    assert path.stat().st_size > before


def test_only_what_is_in_the_file_is_said_to_be(tmp_path: Path, row: Row) -> None:
    """A recording process that is started again goes on behind that: what was in memory only is a gap, and decided anew."""
    kept = Kept(tmp_path, row)
    for number in range(1, 41):
        kept.picture()
        kept.keeper.take(Mark(kept.seq, 100 + number))
    (path,) = kept.folder.glob("*.mcap")
    copy = tmp_path / "copy.mcap"
    copy.write_bytes(path.read_bytes())  # what a kill would leave
    written = [event.seq for event in read(copy) if isinstance(event, Packet)]
    assert 0 < len(written) < 40
    assert row.get(Count.SEQ) in (written[-1] - 1, written[-1])  # the mark behind the newest is not in yet
    assert row.get(Count.TAKEN) == row.get(Count.SEQ) + 100


def test_the_thread_ends_with_a_whole_file(tmp_path: Path, row: Row) -> None:
    kept = Kept(tmp_path, row)
    for event in Procedure(device(tmp_path), seed=2, frames=30, calm=True).run().events:
        kept.events.put(event)
    kept.events.put(None)
    kept.keeper.run()
    assert kept.keeper.failed is None
    (path,) = kept.folder.glob("*.mcap")
    recording = open_recording(path)
    assert len(list(recording.read())) > 90
    assert recording.health.cut == []


def test_frames_that_find_no_buffer_are_a_gap_and_the_rest_goes_on(tmp_path: Path) -> None:
    events = Procedure(device(tmp_path), seed=4, frames=50, calm=True, backlog=20).run().events
    assert [e.seq for e in events if isinstance(e, Picture)] == list(range(1, 21))
    gaps = [e for e in events if isinstance(e, schema.Gap)]
    assert sum(gap.frames for gap in gaps) == 30
    assert sum(isinstance(e, schema.Decision) for e in events) == 50
    assert sum(isinstance(e, Said) for e in events) == 75


def test_causes_come_before_their_effects(tmp_path: Path) -> None:
    for seed in (0, 2, 5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        frames: set[int] = set()
        said: set[tuple[str, int]] = set()
        for event in Procedure(device(folder), seed).run().events:
            if isinstance(event, Picture):
                frames.add(event.seq)
            elif isinstance(event, Said):
                assert event.seq in frames
                said.add((event.model, event.seq))
            elif isinstance(event, schema.Decision):
                assert not event.seq or event.seq in frames
                assert all((n, r.seq) in said for n, r in event.told.items() if isinstance(r, schema.Ran))
