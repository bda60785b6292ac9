"""The power is cut at every write of a writer's life: the log always opens, verifies, holds all that was acknowledged, and
says that something is missing."""

import random

import pytest

from inframe.trail.counter import FileCounter
from inframe.trail.leaf import decode
from inframe.trail.note import signed
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf
from inframe.trail.verify import verify
from inframe.trail.write import CLOSED, Writer
from tests.disks import Memory, PowerCutError
from tests.trail.made import KEY, SIGNER, WITNESS, Clock, event

SEEDS = 4
"""States of the medium tried for each cut."""


def base() -> dict[str, bytes]:
    """A log with 250 leaves, published once in between, closed."""
    memory = Memory()
    w = Writer(memory, [SIGNER], Clock())
    for i in range(249):
        w.append(event(w.header(i), n=str(i)))
        if i == 100:
            w.publish()
    w.close()
    return memory.contents()


def live(disk: Memory, counter: FileCounter, acknowledged: list[str]) -> None:
    """A writer's life: over a bundle's end, a publication, a witness, a pruning, a close, another start."""
    w = Writer(disk, [SIGNER], Clock(), counter)
    waiting: list[str] = []

    def add(count: int, size: int = 1) -> None:
        for _ in range(count):
            waiting.append(f"w{len(acknowledged) + len(waiting)}")
            w.append(event(w.header(0), n=waiting[-1], pad="x" * size))

    def commit() -> None:
        w.commit()
        acknowledged.extend(waiting)
        waiting.clear()

    add(3)
    commit()
    add(2, 1500)  # several sectors
    commit()
    add(4)
    commit()
    note = w.publish()
    w.keep_witnessed(signed(note.decode().rpartition("\n\n")[0] + "\n", [SIGNER, WITNESS], 5), [WITNESS.key])
    w.anchor()
    add(5)
    commit()
    w.prune(256, "test", "test")
    add(1, 700)
    commit()
    w.close()
    again = Writer(disk, [SIGNER], Clock(), counter)
    again.append(event(again.header(0), n="last"))
    again.commit()
    acknowledged.append("last")
    again.close()


def leaves(disk: Memory) -> list[str]:
    """What each leaf of the writer's life says."""
    made = [decode(entry) for _, entry in Log(disk, KEY).entries()]
    pads = [leaf.events[0].data.get("pad", "") for leaf in made if isinstance(leaf, EventLeaf)]
    assert all(set(pad) <= {"x"} for pad in pads), "a leaf with a hole in it was taken for whole"
    return [leaf.events[0].data.get("n", leaf.events[0].name) for leaf in made if isinstance(leaf, EventLeaf)]


def count_operations() -> int:
    disk = Memory.of(base())
    live(disk, FileCounter(Memory()), [])
    return disk.operations


BASE = base()
OPERATIONS = count_operations()


def check(disk: Memory, counter: FileCounter, acknowledged: list[str]) -> None:
    before = verify(disk, KEY)
    assert all("no signature covers" in d.found for d in before.damages), before.damages
    w = Writer(disk, [SIGNER], Clock(), counter)
    w.close()
    report = verify(disk, KEY, counter=counter.read(), witnesses=[WITNESS.key])
    assert report.damages == []
    assert all(gap.name in ("TORN", "NOT_CLOSED") for _, gap in report.gaps), "the counter cried wolf"
    told = leaves(disk)
    kept = [name for name in told if name in set(acknowledged)]
    pruned = acknowledged[: len(acknowledged) - len(kept)]
    assert kept == acknowledged[len(pruned) :], "an acknowledged leaf is missing"
    assert not pruned or Log(disk, KEY).minimum() == 256, "leaves are missing, and nothing was pruned"
    assert len(told) == len(set(told) - {CLOSED, "NOT_CLOSED", "TORN", "OPENED"}) + sum(
        told.count(name) for name in (CLOSED, "NOT_CLOSED", "TORN", "OPENED")
    ), "a leaf came twice"
    unfinished = told.count("OPENED") + len(report.gaps) >= told.count(CLOSED) - 1
    assert unfinished, "a stop without a start or gap"


@pytest.mark.parametrize("block", range(8))
def test_power_cut_at_every_write(block: int) -> None:
    torn = closed = 0
    for cut in range(block, OPERATIONS, 8):
        for seed in range(SEEDS):
            disk, counter, acknowledged = Memory.of(BASE, budget=cut), FileCounter(Memory()), list[str]()
            with pytest.raises(PowerCutError):
                live(disk, counter, acknowledged)
            found = disk.after_cut(random.Random(1000 * cut + seed))
            torn += bool(verify(found, KEY).damages)
            closed += Log(found, KEY).size > 0
            check(found, counter, acknowledged)
    assert closed
    assert torn or block  # in the first block at least, some cut did tear the tail


def test_a_cut_while_repairing() -> None:
    """Cut again, while the torn tail of a first cut is being repaired: the tear is not forgotten."""
    rng = random.Random(1)
    tried = 0
    for cut in range(OPERATIONS):
        disk, counts, acknowledged = Memory.of(BASE, budget=cut), Memory(), list[str]()
        with pytest.raises(PowerCutError):
            live(disk, FileCounter(counts), acknowledged)
        found = disk.after_cut(rng)
        if not verify(found, KEY).damages:
            continue
        for second in range(12):
            again, counter = Memory.of(found.contents(), budget=second), FileCounter(Memory.of(counts.contents()))
            try:
                Writer(again, [SIGNER], Clock(), counter).close()
            except PowerCutError:
                again = again.after_cut(rng)
            check(again, counter, acknowledged)
            assert "TORN" in leaves(again)
            tried += 1
    assert tried


def test_a_new_log_survives_a_cut_at_every_write() -> None:
    for cut in range(40):
        for seed in range(SEEDS):
            disk = Memory(budget=cut)
            acknowledged: list[str] = []
            try:
                w = Writer(disk, [SIGNER], Clock())
                w.append(event(w.header(0), n="first"))
                w.commit()
                acknowledged.append("first")
                w.close()
            except PowerCutError:
                disk = disk.after_cut(random.Random(seed))
            Writer(Memory.of(disk.contents()), [SIGNER], Clock())
            again = Memory.of(disk.contents())
            Writer(again, [SIGNER], Clock()).close()
            assert verify(again, KEY).damages == []
            assert [name for name in leaves(again) if name == "first"] >= acknowledged
