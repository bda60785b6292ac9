"""The rollback floor: for each bundle's name the largest counter that was ever committed here. It never decreases.

A file is safe against every mirror and every careless release, and against nobody who may write this disk. A TPM's NV index
keeps it out of their reach; its driver comes with the other TPM work, in drivers/, behind this protocol.
"""

from collections.abc import Mapping
from typing import Protocol

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
        content = unsealed(PATH, "floor", raw)
        for name, counter in content.items():
            if type(counter) is not int or counter < 0:
                raise refused(PATH, name, counter, "a whole number")
        return content

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


def below(counters: Mapping[str, int], floor: Mapping[str, int]) -> list[str]:
    """The names whose counter is below the floor."""
    return [name for name, counter in sorted(counters.items()) if counter < floor.get(name, 0)]
