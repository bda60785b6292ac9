"""The writer: what lies on disk after what, read back by our reader, our verifier and the independent one."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from inframe.core.errors import DeviceFault
from inframe.trail.against import verify_range
from inframe.trail.counter import FileCounter
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk
from inframe.trail.leaf import decode
from inframe.trail.note import verified, verified_checkpoint
from inframe.trail.prove import prove
from inframe.trail.read import Log
from inframe.trail.records import EventKind, EventLeaf, EventRecord, FrameLeaf
from inframe.trail.tail import MAGIC
from inframe.trail.tiles import entries_path, tile_path, width_at
from inframe.trail.verify import verify
from inframe.trail.write import CLOSED, Writer
from tests.disks import Memory
from tests.trail import independent_verifier as other
from tests.trail.made import KEY, PQ_SIGNER, SIGNER, Clock, event, leaf, seconds


def writer(disk: Memory | Disk, **more: object) -> Writer:
    return Writer(disk, [SIGNER], Clock(), **more)  # type: ignore[arg-type]


def fill(w: Writer, count: int, each: int = 16) -> None:
    """Small leaves, some at a time."""
    for i in range(count):
        w.append(event(w.header(i), n=str(i)))
        if i % each == each - 1:
            w.commit()
    w.commit()


def names(log: Log) -> list[str]:
    """Each leaf's first event."""
    found = []
    for _, entry in log.entries():
        made = decode(entry)
        found.append(made.events[0].data.get("n") or made.events[0].name if isinstance(made, EventLeaf) else "frames")
    return found


@pytest.mark.parametrize(
    ("index", "path"),
    [(0, "tile/0/000"), (999, "tile/0/999"), (1000, "tile/0/x001/000"), (1234067, "tile/0/x001/x234/067")],
)
def test_tile_paths_of_the_specification(index: int, path: str) -> None:
    assert tile_path(0, index) == path
    assert tile_path(0, index, 7) == f"{path}.p/7"
    assert entries_path(index) == path.replace("/0/", "/entries/", 1)


def test_widths_of_the_specification() -> None:
    """ "A tree of size 70,000 …", tlog-tiles, "Partial Tiles"."""
    assert [width_at(70_000, 0, i) for i in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [width_at(70_000, level, 0) for level in range(4)] == [256, 256, 1, 0]
    assert width_at(70_000, 1, 1) == 17
    assert [width_at(256, level, 0) for level in range(3)] == [256, 1, 0]


@pytest.mark.parametrize("count", [0, 1, 5, 254, 255, 256, 300, 511, 700])
def test_written_is_read_and_verified_by_both(count: int, tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    w = Writer(disk, [SIGNER, PQ_SIGNER], Clock())
    fill(w, count)
    w.close()
    report = verify(disk, KEY, also=[PQ_SIGNER.key])
    assert report.damages == []
    assert (report.size, report.leaves, report.events, report.gaps) == (count + 1, count + 1, count + 1, [])
    assert names(Log(disk, KEY)) == [str(i) for i in range(count)] + [CLOSED]
    assert other.verify_log(tmp_path, KEY.text()) == (count + 1, Log(disk, KEY).checkpoint.root)


def test_frames_on_disk_cost_at_most_130_bytes(tmp_path: Path) -> None:
    disk, clock = Disk(tmp_path), Clock()
    w = Writer(disk, [SIGNER], clock)
    for made in seconds(clock, random.Random(2), w.header, 512):
        w.append(made)
    w.publish()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) / (512 * 60) <= 130
    report = verify(disk, KEY)
    assert (report.damages, report.frames) == ([], 512 * 60)


def test_a_tree_of_three_levels(tmp_path: Path) -> None:
    """65,536 leaves fill a tile of level 1."""
    memory = Memory()
    w = writer(memory)
    stub = event(w.header(0))
    for _ in range(65_700 // 300):
        for _ in range(300):
            w.append(stub)
        w.commit()
    w.publish()
    for path, data in memory.contents().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    assert other.verify_log(tmp_path, KEY.text())[0] == 65_700
    assert {path for path in memory.contents() if path.startswith(("tile/1", "tile/2"))} == {
        "tile/1/000",
        "tile/2/000.p/1",
    }
    again = Writer(Disk(tmp_path), [SIGNER], Clock())
    fill(again, 400)
    again.close()
    assert other.verify_log(tmp_path, KEY.text())[0] == 65_700 + 1 + 400 + 1
    assert verify_range(Disk(tmp_path), KEY, 65_000, 66_000).damages == []


def test_the_tail_is_readable_before_it_is_published() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 300)
    log = Log(memory, KEY)
    assert (log.published.size, log.size) == (256, 300)
    assert names(log) == [str(i) for i in range(300)]
    assert verified_checkpoint(w.publish(), KEY) == replace(log.checkpoint)
    assert verify(memory, KEY).damages == []


def test_partial_tiles_stay_until_the_full_ones_are_there() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 3)
    w.publish()
    fill(w, 4)
    w.publish()
    assert {"tile/0/000.p/3", "tile/0/000.p/7", "tile/entries/000.p/3"} <= set(memory.contents())
    assert verify(memory, KEY).damages == []
    fill(w, 300)
    assert set(memory.contents()) == {"checkpoint", "tail", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"}


def test_going_on_after_a_close_leaves_no_gap() -> None:
    memory = Memory()
    for _ in range(5):
        w = writer(memory)
        fill(w, 120)
        w.close()
    report = verify(memory, KEY)
    assert (report.damages, report.gaps, report.size) == ([], [], 605)


def test_a_log_that_was_not_closed_gets_a_gap() -> None:
    memory = Memory()
    fill(writer(memory), 10)
    writer(memory).close()
    report = verify(memory, KEY)
    assert [(leaf, gap.name) for leaf, gap in report.gaps] == [(10, "NOT_CLOSED")]
    assert report.gaps[0][1].data["boot"] == bytes(range(16)).hex()


def test_a_torn_tail_becomes_a_gap_that_holds_the_torn_bytes() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 10)
    safe = memory.contents()["tail"]
    fill(w, 3)
    torn = memory.contents()["tail"][len(safe) : -40]
    memory.names_["tail"].live = safe + torn
    assert [d.place for d in verify(memory, KEY).damages] == [f"tail: byte {len(safe)} (behind leaf 9)"]
    writer(memory).close()
    report = verify(memory, KEY)
    [(leaf, gap)] = report.gaps
    assert (report.damages, leaf, gap.name, gap.payload) == ([], 10, "TORN", torn)
    assert (gap.data["leaves"], gap.data["bytes"]) == ("3", str(len(torn)))


def test_a_batch_with_a_hole_is_torn_even_if_its_checkpoint_is_there() -> None:
    """The disk wrote the last sector of a batch, and not one before it."""
    memory = Memory()
    w = writer(memory)
    fill(w, 10)
    safe = len(memory.contents()["tail"])
    w.append(event(w.header(0), n="big", pad="x" * 3000))
    w.commit()
    tail = memory.contents()["tail"]
    memory.names_["tail"].live = tail[: safe + 1024] + bytes(512) + tail[safe + 1536 :]
    writer(memory).close()
    assert names(Log(memory, KEY)) == [*map(str, range(10)), "TORN", CLOSED]
    assert verify(memory, KEY).damages == []


def test_a_log_whose_tiles_do_not_give_the_signed_root_does_not_open() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 255)
    w.close()
    fill(writer(memory), 0)
    memory.names_["tile/1/000.p/1"].live = bytes(32)
    with pytest.raises(TrailDamaged, match="another root hash"):
        Log(memory, KEY)


def test_changed_bytes_that_were_safe_are_not_repaired_away() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 64)
    tail = memory.contents()["tail"]
    memory.names_["tail"].live = tail[:100] + bytes([tail[100] ^ 1]) + tail[101:]
    with pytest.raises(TrailDamaged, match="what was safely written"):
        writer(memory)


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    Writer(disk, [SIGNER], Clock())
    with pytest.raises(DeviceFault, match="another process"):
        Writer(Disk(tmp_path), [SIGNER], Clock())
    disk.unlock()
    Writer(Disk(tmp_path), [SIGNER], Clock())


def test_a_full_disk_loses_nothing_that_is_still_waiting() -> None:
    class Full(Memory):
        full = False

        def append(self, path: str, data: bytes) -> None:
            if self.full:
                super().append(path, data[: len(data) // 2])
                raise OSError(28, "no space")
            super().append(path, data)

    memory = Full()
    w = writer(memory)
    fill(w, 5)
    memory.full = True
    w.append(event(w.header(0), n="waiting"))
    with pytest.raises(OSError, match="no space"):
        w.commit()
    with pytest.raises(RuntimeError, match="open it anew"):
        w.commit()
    memory.full = False
    again = writer(memory, waiting=w.waiting)
    again.close()
    assert names(Log(memory, KEY)) == [*map(str, range(5)), "TORN", "waiting", CLOSED]
    assert verify(memory, KEY).damages == []


def test_a_leaf_too_long_for_an_entry_becomes_two() -> None:
    memory = Memory()
    w = writer(memory)
    w.append(leaf(w.header(1), random.Random(1), 900))
    w.close()
    parts = [made for _, entry in Log(memory, KEY).entries() if isinstance(made := decode(entry), FrameLeaf)]
    assert [len(made.frames) for made in parts] == [450, 450]
    assert parts[1].header.first_ns == parts[1].frames[0].shown_ns


def test_the_counter_exposes_an_older_copy() -> None:
    memory, counter = Memory(), FileCounter(Memory())
    w = writer(memory, counter=counter)
    fill(w, 20)
    w.close()
    old = memory.contents()
    assert verify(memory, KEY, counter=counter.read()).damages == []
    again = writer(memory, counter=counter)
    fill(again, 5)
    again.anchor()
    fill(again, 5)
    again.close()
    assert verify(memory, KEY, counter=counter.read()).gaps == []
    rolled_back = Memory.of(old)
    [damage] = verify(rolled_back, KEY, counter=counter.read()).damages
    assert "leaf 21" in damage.place
    assert "counter 2" in damage.found  # opened, closed
    writer(rolled_back, counter=counter).close()
    assert [gap.name for _, gap in verify(rolled_back, KEY, counter=counter.read()).gaps] == ["ROLLED_BACK"]


def test_the_end_of_a_closed_log_is_missed_however_short() -> None:
    """A copy from before the last start, put back: what a crash leaves never looks like it."""
    memory, counter = Memory(), FileCounter(Memory())
    writer(memory, counter=counter).close()
    old = memory.contents()
    writer(memory, counter=counter).close()
    back = Memory.of(old)
    assert verify(back, KEY, counter=counter.read()).damages != []
    writer(back, counter=counter).close()
    assert [gap.name for _, gap in verify(back, KEY, counter=counter.read()).gaps] == ["ROLLED_BACK"]
    writer(memory, counter=counter).close()  # the one that was taken away comes back
    assert [gap.name for _, gap in verify(memory, KEY, counter=counter.read()).gaps] == ["ROLLED_BACK"]


class Broken(FileCounter):
    """A counter that fails in one call."""

    def __init__(self, call: str) -> None:
        super().__init__(Memory())
        self.call = call

    def read(self) -> int:
        return self._fail() if self.call == "read" else super().read()

    def increment(self) -> int:
        return self._fail() if self.call == "increment" else super().increment()

    def _fail(self) -> int:
        raise DeviceFault("no TPM")


@pytest.mark.parametrize("call", ["read", "increment"])
def test_a_broken_counter_is_said_and_does_not_stop_the_log(call: str) -> None:
    memory, counter = Memory(), Broken(call)
    w = writer(memory, counter=counter)
    fill(w, 20)
    w.close()
    [(_, gap)] = verify(memory, KEY).gaps
    assert (gap.name, dict(gap.data)) == ("NO_COUNTER", {"why": "no TPM"})
    counter.call = ""
    writer(memory, counter=counter).close()
    report = verify(memory, KEY, counter=counter.read())
    assert (report.damages, len(report.gaps)) == ([], 1)


def test_a_counter_that_could_not_follow_its_leaf_is_made_up_for() -> None:
    """The power went between the leaf and the step."""
    memory, counter = Memory(), FileCounter(Memory())
    w = writer(memory, counter=counter)
    fill(w, 5)
    step, counter.increment = counter.increment, counter.read  # type: ignore[method-assign]
    w.close()
    counter.increment = step  # type: ignore[method-assign]
    assert verify(memory, KEY, counter=counter.read()).damages == []
    writer(memory, counter=counter).close()
    report = verify(memory, KEY, counter=counter.read())
    assert (report.damages, report.gaps) == ([], [])


def test_a_log_begins_at_any_count_and_says_at_which() -> None:
    """A TPM's new counter begins behind the highest that it ever had."""
    memory, counter = Memory(), FileCounter(Memory.of({"counter": b"4000"}))
    writer(memory, counter=counter).close()
    report = verify(memory, KEY, counter=counter.read())
    assert (report.damages, report.gaps) == ([], [])
    opened = decode(Log(memory, KEY).entry(0))
    assert isinstance(opened, EventLeaf)
    assert (opened.events[0].name, dict(opened.events[0].data)) == ("OPENED", {"counter": "4000", "log": "0"})
    assert opened.header.counter == 4001


def test_pruning_deletes_what_lies_wholly_before_and_says_so() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 1100)
    w.prune(600, "older than a year", "retention")
    fill(w, 30)
    w.close()
    left = set(memory.contents())
    assert not {entries_path(0), entries_path(1), tile_path(0, 0), tile_path(0, 1)} & left
    assert {entries_path(2), tile_path(0, 2), "minimum"} <= left
    report = verify(memory, KEY)
    assert (report.damages, report.minimum, report.size, report.leaves) == ([], 600, 1132, 1132 - 512)
    log = Log(memory, KEY)
    assert names(log)[0] == "512"
    assert prove(log, 700).check(KEY) == log.checkpoint
    memory.names_["minimum"].live = b"1000\n"
    assert [d.place for d in verify(memory, KEY).damages] == ["minimum"]
    del memory.names_[entries_path(2)]
    memory.names_["minimum"].live = b"600\n"
    assert any(d.place == entries_path(2) for d in verify(memory, KEY).damages)


def test_verification_resumes() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 600)
    w.publish()
    first = verify(memory, KEY)
    assert first.resume.size == 512
    fill(w, 600)
    w.close()
    seen: list[tuple[int, int]] = []
    second = verify(memory, KEY, resume=first.resume, progress=lambda done, total: seen.append((done, total)))
    assert (second.damages, second.leaves, second.size) == ([], 1201 - 512, 1201)
    assert seen[-1] == (1201, 1201)
    wrong = replace(first.resume, peaks=(bytes(32), *first.resume.peaks[1:]))
    assert verify(memory, KEY, resume=wrong).damages


def test_a_range_verifies_without_the_rest() -> None:
    memory = Memory()
    w = writer(memory)
    fill(w, 900)
    assert verify_range(memory, KEY, 300, 310).leaves == 10
    assert verify_range(memory, KEY, 700, 900).damages == []
    memory.names_["tile/entries/001"].live = memory.contents()["tile/entries/001"].replace(b"\x03300", b"\x03301")
    assert "leaf 300" in verify_range(memory, KEY, 290, 310).damages[0].place
    assert verify_range(memory, KEY, 512, 900).damages == []


def test_every_event_kind_is_kept() -> None:
    memory = Memory()
    w = writer(memory)
    made = tuple(EventRecord(kind, 5, kind.name, "text", "who", {"k": "v"}, b"bytes") for kind in EventKind)
    w.append(EventLeaf(w.header(5), made))
    w.commit()
    assert decode(Log(memory, KEY).entry(0)).events == made  # type: ignore[union-attr]


def test_the_head_of_a_tail_is_what_the_format_says() -> None:
    memory = Memory()
    writer(memory)
    assert memory.contents()["tail"] == MAGIC + bytes(8)
    assert verified(memory.contents()["checkpoint"], [KEY])[0].splitlines()[1] == "0"
