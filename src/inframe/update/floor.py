"""The rollback floor: for each bundle's name the largest counter that was ever committed here. It never decreases.

A file is safe against every mirror and every careless release, and not against an older copy of the disk. With a TPM's counter
(drivers/tpm_counter.py) each rise counts up, and the file says at which count it was written: an older copy of it says less.
Neither is safe against a program that may write both; that is for measured boot.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from inframe.trail.files import Files, put
from inframe.update.sealed import refused, sealed, unsealed

PATH = "floor"


class Floor(Protocol):
    """Keeps its value without power."""

    def read(self) -> dict[str, int]:
        """By name of bundle; a name that is not there has the floor 0. Raises UpdateError where it is damaged or lost."""
        ...

    def begin(self) -> None:
        """Begin with 0 for all, on a device that has no status. Raises UpdateError where there is more than that already."""
        ...

    def raise_to(self, counters: Mapping[str, int]) -> None:
        """Durably raise each name to its counter; those that are higher already stay."""
        ...


class FileFloor:
    """A floor in a file."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self) -> dict[str, int]:
        """The floor. Raises UpdateError."""
        raw = self._files.read(PATH)
        if raw is None:
            raise refused(PATH, "file", "none", "the floor that this device had")
        return _checked(unsealed(PATH, "floor", raw))

    def begin(self) -> None:
        """Write the first floor. Raises UpdateError."""
        if self._files.read(PATH) is None:
            put(self._files, PATH, sealed("floor", {}))
        elif self.read():
            raise refused(PATH, "content", "a floor, without a status", "the status that it belongs to")

    def raise_to(self, counters: Mapping[str, int]) -> None:
        """Raise it, durably."""
        before = self.read()
        after = before | {name: max(counter, before.get(name, 0)) for name, counter in counters.items()}
        if after != before:
            put(self._files, PATH, sealed("floor", after))


class Counter(Protocol):
    """Counts up, never down, and keeps its value without power. Both raise DeviceFault where it fails."""

    def read(self) -> int:
        """The present value."""
        ...

    def increment(self) -> int:
        """Add one, durably; returns the new value."""
        ...


class CountedFloor:
    """A floor in a file, with the count at which it was written. The file first, then the count: a power cut in between leaves a
    file that is one ahead, and is finished at the next reading."""

    def __init__(self, files: Files, counter: Counter) -> None:
        self._files, self._counter = files, counter

    def read(self) -> dict[str, int]:
        """The floor. Raises UpdateError also where the file is an older one than the counter knows of, DeviceFault."""
        raw = self._files.read(PATH)
        if raw is None:
            raise refused(PATH, "file", "none", "the floor that this device had")
        content = unsealed(PATH, "floor", raw)
        written, floor = content.get(_COUNT), content.get("floor")
        if type(written) is not int or not isinstance(floor, dict):
            raise refused(PATH, "content", "a floor without a counter", "one that was written with update.counter")
        count = self._counter.read()
        if written == count + 1:
            count = self._counter.increment()
        if written != count:
            raise refused(PATH, _COUNT, written, f"{count}, the counter's value: it is a copy of another time")
        return _checked(floor)

    def begin(self) -> None:
        """Write the first floor. Raises UpdateError, DeviceFault."""
        if self._files.read(PATH) is None:
            self._write({})
        elif self.read():
            raise refused(PATH, "content", "a floor, without a status", "the status that it belongs to")

    def raise_to(self, counters: Mapping[str, int]) -> None:
        """Raise it, durably."""
        before = self.read()
        after = before | {name: max(counter, before.get(name, 0)) for name, counter in counters.items()}
        if after != before:
            self._write(after)

    def _write(self, floor: dict[str, int]) -> None:
        count = self._counter.read() + 1
        put(self._files, PATH, sealed("floor", {_COUNT: count, "floor": floor}))
        self._counter.increment()


_COUNT = "count"


def _checked(content: dict[str, Any]) -> dict[str, int]:
    for name, counter in content.items():
        if type(counter) is not int or counter < 0:
            raise refused(PATH, name, counter, "a whole number")
    return content


def below(counters: Mapping[str, int], floor: Mapping[str, int]) -> list[str]:
    """The names whose counter is below the floor."""
    return [name for name, counter in sorted(counters.items()) if counter < floor.get(name, 0)]
