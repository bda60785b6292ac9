"""The recorder's disk: full, slow, broken, damaged or in use. Nothing waits for it, nothing is lost without a gap."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inframe.core.clock import NS_PER_S
from inframe.core.errors import ConfigError
from inframe.pipeline.board import Count
from inframe.recorder import store as stores
from inframe.trail.home import Home
from inframe.trail.records import EventKind, EventLeaf, EventRecord
from tests.recorder.desk import PROCEDURE, SALT, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "trail")


def seqs(desk: Desk) -> list[int]:
    return [frame.seq for frame in desk.frames()]


def gaps(desk: Desk) -> list[str]:
    return [event.name for event in desk.events() if event.kind is EventKind.GAP]


def failing(patch: pytest.MonkeyPatch, number: int, after: int) -> None:
    """From now on the disk takes `after` bytes of each write and then fails so."""
    write = os.write

    def fail(fd: int, data: bytes) -> int:
        if after and len(data) > after:
            return write(fd, data[:after])
        raise OSError(number, os.strerror(number))

    patch.setattr("inframe.trail.files.os.write", fail)


@pytest.mark.parametrize("number", [28, 122, 27, 5])  # no space, quota, file too large; input/output error
@pytest.mark.parametrize("after", [0, 700])
def test_a_disk_that_fails_is_announced_and_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, after: int
) -> None:
    desk.second()
    with monkeypatch.context() as patch:
        failing(patch, number, after)
        for _ in range(3):
            desk.second()
            assert "DISK_FULL" in desk.board.faults()
        assert desk.row.heartbeat_ns == desk.clock.now()
        assert desk.row.get(Count.FRAMES) == 30, "what is not safe is not counted"
    desk.second()
    assert "DISK_FULL" not in desk.board.faults()
    desk.close()
    assert seqs(desk) == list(range(1, 151))
    assert gaps(desk) == ["TORN" if after else "NOT_CLOSED"]
    (resumed,) = desk.events("RESUMED")
    assert os.strerror(number) in resumed.data["why"]
    assert (desk.row.get(Count.FRAMES), desk.row.get(Count.DROPPED)) == (150, 0)


def test_a_fsync_that_fails_is_a_failure(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.second()
    with monkeypatch.context() as patch:

        def fail(_fd: int) -> None:
            raise OSError(5, "broken")

        patch.setattr("inframe.trail.files.os.fsync", fail)
        desk.second()
        assert "DISK_FULL" in desk.board.faults()
    desk.second()
    assert seqs(desk)[-30:] == list(range(61, 91)), (
        "all of it, some perhaps twice: nobody can say what reached the disk"
    )
    assert set(seqs(desk)) == set(range(1, 91))


def test_what_does_not_fit_into_memory_is_a_gap_with_its_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.second()
    monkeypatch.setattr(stores, "MAX_WAITING", 5_000)
    with monkeypatch.context() as patch:
        failing(patch, 28, 0)
        for _ in range(6):
            desk.second()
    desk.write()
    desk.second()
    desk.close()
    found = seqs(desk)
    (gap,) = desk.events("DROPPED")
    assert int(gap.data["frames"]) == 240 - len(found) == desk.row.get(Count.DROPPED) > 0
    assert int(gap.data["from_ns"]) < int(gap.data["to_ns"])
    assert gaps(desk) == ["NOT_CLOSED", "DROPPED"]
    assert found[:30] == list(range(1, 31))
    assert found[-30:] == list(range(211, 241))
    assert desk.row.get(Count.SEQ) == 240, "a recorder started now would not look for what was dropped"


def test_while_something_is_dropped_it_is_announced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MAX_WAITING", 10)
    desk.second()
    assert "RECORDER_BEHIND" in desk.board.faults()


def test_a_folder_that_can_not_be_made_is_retried(tmp_path: Path) -> None:
    (tmp_path / "trail").write_text("in the way")
    desk = Desk(tmp_path / "trail")
    desk.second()
    assert "DISK_FULL" in desk.board.faults()
    (tmp_path / "trail").unlink()
    desk.second()
    assert "DISK_FULL" not in desk.board.faults()
    assert seqs(desk) == list(range(1, 61))


def test_a_log_that_is_gone_is_begun_anew(desk: Desk) -> None:
    """Somebody has deleted it under the recorder, with its key: the next write fails, and the one after it goes on."""
    desk.second()
    (desk.home.folder / "log" / "tail").unlink()
    (desk.home.folder / "log" / "checkpoint").unlink()
    desk.second()
    assert "DISK_FULL" in desk.board.faults()
    desk.second()
    assert seqs(desk) == list(range(31, 91))


def test_a_trail_that_another_process_writes_is_waited_for(desk: Desk, tmp_path: Path) -> None:
    desk.kill()
    other = Home(tmp_path / "trail")
    writer = other.open(other.signers("other"), desk.now)
    desk.begin()
    desk.second()
    assert "another process writes" in desk.store.health.failing
    writer.close()
    writer.let_go()
    desk.second()
    assert seqs(desk) == list(range(1, 61))


def test_a_damaged_log_is_kept_and_another_one_begun(desk: Desk) -> None:
    for _ in range(3):
        desk.second()
    desk.kill()
    tail = desk.home.folder / "log" / "tail"
    data = bytearray(tail.read_bytes())
    data[200] ^= 1
    tail.write_bytes(bytes(data))
    desk.begin()
    desk.second()
    assert tail.read_bytes() == bytes(data)
    assert [path.name for path in desk.home.logs()] == ["log", "log-2"]
    assert "TRAIL_DAMAGED" in desk.board.faults()
    (gap,) = desk.events("DAMAGED")
    assert "tail" in gap.data["damage"]
    assert gap.data["checkpoint"].startswith(desk.key.name)
    assert seqs(desk) == list(range(91, 121))
    assert (desk.home.folder / "log-2" / "checkpoint").read_text().startswith(f"{desk.key.name}/2\n")


@pytest.mark.parametrize("text", ["", "nonsense", "PRIVATE+KEY+a+00000000+AAAA", "a" * 5000])
def test_a_key_file_without_a_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    desk = Desk(tmp_path)
    desk.write()
    with pytest.raises(ConfigError, match="no key of a trail") as caught:
        desk.recorder.step()
    assert len(text) < 10 or text not in str(caught.value)


def test_the_key_is_private_and_made_once(desk: Desk) -> None:
    desk.second()
    key = desk.home.key_file
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert desk.key.name.startswith("theatre-7.")
    desk.kill()
    desk.begin()
    desk.second()
    assert key.read_bytes() == before


def test_a_post_quantum_key_signs_what_is_published(tmp_path: Path) -> None:
    desk = Desk(tmp_path, trail={"folder": str(tmp_path), "post_quantum": True})
    desk.second()
    desk.close()
    assert [key.scheme.name for key in desk.home.public_keys()] == ["ED25519", "ML_DSA_44"]
    assert len((tmp_path / "log" / "checkpoint").read_bytes()) > 2420


def test_what_others_want_recorded_is_taken_over_once(desk: Desk) -> None:
    desk.second()
    desk.home.ask(EventRecord(EventKind.EXPORT, 0, "EXPORT", "taken out", "ann", {"to": "x.zip"}))
    (desk.home.folder / "inbox" / "a.json").write_text(
        '{"kind": "STOP", "name": "", "text": "", "who": "", "data": {}}'
    )
    (desk.home.folder / "inbox" / "b.json").write_text("[" * 5000)
    (desk.home.folder / "inbox" / "c.json").write_text("x" * 10_000)
    desk.second()
    desk.second()
    (event,) = desk.events("EXPORT")
    assert (event.kind, event.text, event.who, dict(event.data)) == (
        EventKind.EXPORT,
        "taken out",
        "ann",
        {"to": "x.zip"},
    )
    assert list((desk.home.folder / "inbox").iterdir()) == []
    assert not [leaf for leaf in desk.leaves() if isinstance(leaf, EventLeaf) and leaf.events[0].name == ""]


def test_the_salt_is_the_procedures_for_every_recorder_of_it(desk: Desk) -> None:
    desk.second()
    desk.kill()
    desk.begin()
    desk.second()
    assert desk.home.salts().get(PROCEDURE) == SALT


# --- the thread ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk whose fsync does not come back before this is set."""
    released, fsync = threading.Event(), os.fsync

    def wait(fd: int) -> None:
        released.wait()
        fsync(fd)

    monkeypatch.setattr("inframe.trail.files.os.fsync", wait)
    yield released
    released.set()


def test_a_disk_that_hangs_holds_nobody_up_and_is_announced(desk: Desk, stuck: threading.Event) -> None:
    desk.store.start()
    for _ in range(5 * 30):
        desk.frame()
    assert "DISK_SLOW" in desk.board.faults()
    assert desk.row.heartbeat_ns == desk.clock.now()
    assert desk.row.get(Count.FRAMES) == 0
    stuck.set()
    desk.recorder.close()
    assert desk.store.stop(60.0)
    assert seqs(desk) == list(range(1, 151))
    assert gaps(desk) == []
    assert desk.row.get(Count.FRAMES) == 150


def test_stopping_does_not_wait_for_ever(desk: Desk, stuck: threading.Event) -> None:
    desk.store.start()
    desk.frame()
    desk.recorder.close()
    assert not desk.store.stop(0.01)
    stuck.set()


def test_a_full_disk_does_not_keep_the_thread_from_ending(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 28, 0)
    desk.store.start()
    desk.frame()
    desk.recorder.close()
    assert not desk.store.stop(60.0)
    assert not desk.store._thread.is_alive()


def test_slow_is_only_what_takes_long(desk: Desk) -> None:
    desk.store.health.busy_since_ns = desk.clock.now()
    desk.clock.advance(2 * NS_PER_S)
    desk.recorder.step()
    assert "DISK_SLOW" not in desk.board.faults()
    desk.clock.advance(1)
    desk.recorder.step()
    assert "DISK_SLOW" in desk.board.faults()
