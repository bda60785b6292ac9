"""The rollback floor with a counter that nobody can turn back: an older copy of the disk is refused, and no cut makes it stuck."""

from collections.abc import Callable

import pytest

from inframe.core.errors import UpdateError
from inframe.drivers.tpm_counter import TpmCounter
from inframe.trail.counter import FileCounter
from inframe.update.floor import PATH, CountedFloor, Counter
from tests.disks import Loss, Memory, PowerCutError
from tests.drivers.tpm import Tpm, tpm

__all__ = ["tpm"]


FLOORS: tuple[dict[str, int], ...] = ({}, {"anatomy": 3}, {"anatomy": 3, "tools": 1}, {"anatomy": 7, "tools": 1})


def life(floor: CountedFloor) -> None:
    floor.begin()
    floor.raise_to({"anatomy": 3})
    floor.raise_to({"anatomy": 2, "tools": 1})
    floor.raise_to({"anatomy": 7})


def copies(disk: Memory, counter: Counter) -> None:
    """Every file that there ever was, put back later."""
    floor, seen = CountedFloor(disk, counter), list[bytes | None]()
    floor.begin()
    for count in (3, 7, 8):
        seen.append(disk.read(PATH))
        floor.raise_to({"anatomy": count})
    newest = disk.read(PATH)
    for copy in seen:
        assert copy is not None
        disk.write(PATH, copy)
        with pytest.raises(
            UpdateError, match=r"floor: count: found .*, the counter's value: it is a copy of another time"
        ):
            floor.read()
    assert newest is not None
    disk.write(PATH, newest)
    assert floor.read() == {"anatomy": 8}


def test_an_older_copy_is_refused() -> None:
    copies(Memory(), FileCounter(Memory()))


def test_an_older_copy_is_refused_by_a_tpm(tpm: Tpm) -> None:
    tpm.commission()
    counter = TpmCounter(tpm.config)
    counter.increment()
    copies(Memory(), counter)


@pytest.mark.parametrize("what", [b"", b"inframe floor 1 00\n{}"])
def test_damage_is_refused(what: bytes) -> None:
    disk = Memory()
    floor = CountedFloor(disk, FileCounter(Memory()))
    with pytest.raises(UpdateError, match="floor: file: found none, expected the floor that this device had"):
        floor.read()
    disk.write(PATH, what)
    with pytest.raises(UpdateError, match="floor: "):
        floor.read()


def test_one_of_before_there_was_a_counter_is_refused() -> None:
    from inframe.update.floor import FileFloor

    disk = Memory()
    FileFloor(disk).begin()
    with pytest.raises(
        UpdateError, match=r"found a floor without a counter, expected one that was written with update\.counter"
    ):
        CountedFloor(disk, FileCounter(Memory())).read()


def cut_at(operation: int, run: Callable[[CountedFloor], None]) -> tuple[Memory, Memory]:
    """The disk and the counter, after the power went at that operation of the disk's."""
    disk, kept = Memory(budget=operation), Memory()
    with pytest.raises(PowerCutError):
        run(CountedFloor(disk, FileCounter(kept)))
    return disk, kept


def test_a_cut_at_every_operation_leaves_the_floor_before_or_after() -> None:
    whole = Memory()
    life(CountedFloor(whole, FileCounter(Memory())))
    cases = 0
    for operation in range(whole.operations):
        disk, kept = cut_at(operation, life)
        for loss in Loss:
            for number, found in enumerate(disk.cuts(loss, operation)):
                counter = FileCounter(Memory.of(kept.contents()))
                floor = CountedFloor(found, counter)
                if found.read(PATH) is None and not counter.read():
                    floor.begin()
                before = floor.read()
                assert before in FLOORS, (operation, loss, number)
                floor.raise_to({"anatomy": 9})
                assert floor.read()["anatomy"] == 9
                cases += 1
    assert cases > 50


class CutCounter(FileCounter):
    """The power goes before its nth increment."""

    def __init__(self, files: Memory, left: int) -> None:
        super().__init__(files)
        self.left = left

    def increment(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise PowerCutError
        return super().increment()


@pytest.mark.parametrize("left", range(4))
def test_a_cut_between_the_file_and_the_counter_is_finished_at_the_next_reading(left: int) -> None:
    disk, kept = Memory(), Memory()
    with pytest.raises(PowerCutError):
        life(CountedFloor(disk, CutCounter(kept, left)))
    floor = CountedFloor(disk, FileCounter(kept))
    assert floor.read() == FLOORS[left]
    floor.raise_to({"anatomy": 9})
    assert floor.read()["anatomy"] == 9
