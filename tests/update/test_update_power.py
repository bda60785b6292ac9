"""The power is cut at every file operation of an update's life, with every loss that a file system has been seen to make, and
cut again while the next start recovers: what is active is always an old or a new release that verifies, the floor never falls,
and no move is missing from what the trail will be told.

INFRAME_CUTS=all pytest tests/update/test_update_power.py -s        every second cut (the suite takes one in SOME)
"""

import os
from dataclasses import dataclass, field

import pytest

from inframe.update.slots import Slots
from inframe.update.states import Excuse, Release, State, Told
from tests.disks import Loss, Memory, PowerCutError
from tests.update.made import FAIL, PASS, into_trial, pack, place, release, slots_on, update

ONE, TWO, THREE, BAD = (pack("anatomy", counter) for counter in (1, 2, 3, 4))
TOOLS_1, TOOLS_2 = pack("tools", 1, 700), pack("tools", 2, 700)
FIRST = release("first", ONE, TOOLS_1)
SECOND = release("second", TWO, TOOLS_2)
SOME = 1 if os.environ.get("INFRAME_CUTS") == "all" else 7


@dataclass
class Seen:
    """What had been acknowledged when the power went."""

    told: list[Told] = field(default_factory=list)
    """What is in the trail."""
    moves: int = 0
    """Moves that had returned."""
    active: Release | None = FIRST
    """What a move that had returned made active."""
    coming: Release | None = None
    """What a move that had not returned was about to make active."""
    floor: int = 1


def base() -> dict[str, bytes]:
    """A device with a committed release of two bundles."""
    disk = Memory()
    slots = slots_on(disk)
    update(slots, disk, "first", ONE, TOOLS_1)
    slots.deliver(lambda _: None)
    return disk.contents()


BASE = base()


def live(disk: Memory, seen: Seen) -> None:
    """Install, switch, commit, roll back, restore, by way of a set of two, a failed checkpoint and a second start."""
    slots = slots_on(disk)

    def made(count: int = 1) -> None:
        seen.moves += count

    def commit(after: Release) -> None:
        seen.coming = after
        slots.commit()
        seen.active, seen.coming = after, None
        seen.floor = max(seen.floor, after.counters["anatomy"])
        made()

    into_trial(slots, disk, "second", TWO, TOOLS_2)
    made(5)
    slots.deliver(seen.told.append)
    commit(SECOND)
    place(disk, BAD)
    slots.fetched(release("bad", BAD))
    slots.verify()
    slots.install()
    slots.check([PASS, FAIL])
    made(4)
    slots.close()
    slots = slots_on(disk)
    into_trial(slots, disk, "third", THREE)
    slots.roll_back("a deadline was missed")
    made(6)
    slots.deliver(seen.told.append)
    seen.coming = FIRST
    slots.restore(Excuse("authorisation 9", FIRST.digests, {"anatomy": 2, "tools": 2}))
    seen.active, seen.coming = FIRST, None
    made()
    in_shadow(slots, disk)
    made(6)
    slots.begin_trial(procedure_running=False)
    slots.tried()
    made(2)
    commit(release("third", THREE))
    slots.deliver(seen.told.append)


def in_shadow(slots: Slots, disk: Memory) -> None:
    """A release that was compared for long enough."""
    place(disk, THREE)
    slots.fetched(release("third", THREE))
    slots.verify()
    slots.install()
    slots.check([PASS])
    slots.shadow()
    slots.compared("300 results compared")


def count_operations() -> int:
    disk = Memory.of(BASE)
    live(disk, Seen())
    return disk.operations


OPERATIONS = count_operations()


def judge(disk: Memory, seen: Seen) -> None:
    """What must hold after any start."""
    slots = slots_on(disk)
    status = slots.status
    assert status.active in (seen.active, seen.coming) or (seen.coming is None and status.active == seen.active)
    assert status.active is not None
    assert slots._problem(status.active) == "", "what is active does not verify"
    assert status.shown is not None
    assert slots._problem(status.shown) == "", "what is shown does not verify"
    assert slots._floor.read()["anatomy"] >= seen.floor, "the floor fell"
    known = {(one.name, one.text) for one in (*seen.told, *status.outbox)}
    moves = [one for one in status.history[6:] if (one.name, one.text) not in known]
    assert moves == [], "a move that no trail will ever be told of"
    assert len(status.history) - 6 >= seen.moves, "an acknowledged move is forgotten"
    if status.state not in (State.NONE, State.COMMITTED, State.ROLLED_BACK):
        slots.roll_back("interrupted")
    update(slots, disk, "next", pack("anatomy", 9))  # the device is not stuck
    assert slots_on(disk).status.active == release("next", pack("anatomy", 9))


def cut_at(operation: int) -> tuple[Memory, Seen]:
    disk, seen = Memory.of(BASE, budget=operation), Seen()
    with pytest.raises(PowerCutError):
        live(disk, seen)
    return disk, seen


def second_cuts(found: Memory, seed: int) -> list[Memory]:
    """The disks after another cut at each operation of the recovery."""
    disks: list[Memory] = []
    for operation in range(1000):
        again = Memory.of(found.contents(), budget=operation)
        try:
            slots_on(again)
        except PowerCutError:
            disks += [disk for loss in Loss for disk in again.cuts(loss, 1000 * seed + operation)]
        else:
            return disks
    raise AssertionError("recovery does not end")


def cut_everywhere(block: int, blocks: int) -> dict[str, int]:
    """Every cut of this block of operations; how many cases of each kind."""
    cases = dict.fromkeys((*(loss.value for loss in Loss), "again during recovery"), 0)
    for operation in range(block, OPERATIONS, blocks):
        disk, seen = cut_at(operation)
        for loss in Loss:
            for number, found in enumerate(disk.cuts(loss, operation)):
                cases[loss.value] += 1
                judge(Memory.of(found.contents()), seen)
                if (operation + number) % SOME == 0:
                    for again in second_cuts(found, operation):
                        cases["again during recovery"] += 1
                        judge(again, seen)
    return cases


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("block", range(4))
def test_a_cut_at_every_operation(block: int) -> None:
    cases = cut_everywhere(block, 4)
    said = ", ".join(f"{count} {kind}" for kind, count in cases.items())
    print(f"\n{sum(cases.values())} cases of {OPERATIONS} operations: {said}")  # noqa: T201
    assert all(cases.values())


def test_the_very_first_start_survives_a_cut_at_every_operation() -> None:
    whole = Memory()
    update(slots_on(whole), whole, "first", ONE)
    for operation in range(whole.operations):
        disk = Memory(budget=operation)
        with pytest.raises(PowerCutError):
            update(slots_on(disk), disk, "first", ONE)
        for loss in Loss:
            for found in disk.cuts(loss, operation):
                slots = slots_on(found)
                assert slots.status.active in (None, release("first", ONE))
                if slots.status.active is not None:
                    assert slots._floor.read() == {"anatomy": 1}


def test_the_judge_can_fail() -> None:
    """A commit that is acknowledged and not there, a floor that fell, an event that nobody will tell."""
    _, seen = cut_at(OPERATIONS - 1)
    with pytest.raises(AssertionError):
        judge(Memory.of(BASE), seen)
