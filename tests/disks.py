"""Disks in memory, on which the power can be cut. No test in here.

The worst that POSIX allows is assumed: until `sync`, any 512-byte sectors of what was written may or may not be on the
medium, whatever their order, and a grown file may have its new length with zeros inside; until `sync_folder`, each change of
a name may or may not be there. `Loss` names the corners of that: one for each way in which file systems have lost data.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

SECTOR = 512
PAGE = 4096


class Loss(Enum):
    """What a cut does to what was not synced."""

    DROPPED = "unsynced dropped"
    KEPT = "all kept"
    REORDERED = "reordered"
    TORN_512 = "torn at 512 B"
    TORN_4096 = "torn at 4 KiB"
    ENTRY_LOST = "directory entry lost"


class PowerCutError(Exception):
    """The machine is off."""


@dataclass
class Inode:
    """A file's bytes: those seen by the running system, and those on the medium."""

    live: bytes = b""
    safe: bytes = b""

    def survivor(self, rng: random.Random) -> bytes:
        """What is found after the cut."""
        if self.live == self.safe:
            return self.live
        least = len(self.safe) if self.live.startswith(self.safe) else 0  # what is safe, an append does not touch
        size = len(self.live) if rng.random() < 0.7 else rng.choice((least, rng.randint(least, len(self.live))))
        share = rng.choice((0.0, 0.5, 0.9, 1.0))
        found = bytearray(size)
        for at in range(0, size, SECTOR):
            source = self.live if rng.random() < share else self.safe
            part = source[at : min(at + SECTOR, size)]
            found[at : at + len(part)] = part
        return bytes(found)

    def torn(self, rng: random.Random, unit: int) -> bytes:
        """Each unit of what was not safe is new, old or zeros; the length is the new one, or ends within what is new."""
        if self.live == self.safe:
            return self.live
        size = rng.choice((len(self.live), rng.randint(min(len(self.safe), len(self.live)), len(self.live))))
        found = bytearray(size)
        for at in range(0, size, unit):
            part = rng.choice((self.live, self.safe))[at : min(at + unit, size)]
            found[at : at + len(part)] = part
        return bytes(found)


@dataclass
class Memory:
    """`Files` in memory. `budget`: operations until the power goes; None: never."""

    names_: dict[str, Inode] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {""})
    budget: int | None = None
    safe_names: dict[str, Inode] = field(default_factory=dict)
    safe_folders: set[str] = field(default_factory=lambda: {""})
    pending: list[tuple[str, str, str]] = field(default_factory=list)
    """Changes of names not yet safe: (what, old, new)."""
    operations: int = 0

    @classmethod
    def of(cls, contents: dict[str, bytes], budget: int | None = None) -> "Memory":
        """A disk with these files, all safe."""
        disk = cls(budget=budget)
        for path, data in contents.items():
            inode = Inode(data, data)
            disk.names_[path] = disk.safe_names[path] = inode
            parts = path.split("/")[:-1]
            for i in range(len(parts)):
                disk.folders.add("/".join(parts[: i + 1]))
        disk.safe_folders = set(disk.folders)
        return disk

    def contents(self) -> dict[str, bytes]:
        """All files as the running system sees them."""
        return {path: inode.live for path, inode in self.names_.items()}

    def _tick(self) -> None:
        self.operations += 1
        if self.budget is not None and self.operations > self.budget:
            raise PowerCutError

    def after_cut(self, rng: random.Random) -> "Memory":
        """The disk as the next start finds it."""
        share = rng.choice((0.0, 0.5, 1.0))
        return self._after([one for one in self.pending if rng.random() < share], lambda inode: inode.survivor(rng))

    def cuts(self, loss: Loss, seed: int, times: int = 2) -> Iterator["Memory"]:
        """The disks that the next start may find after a loss of that kind; `times`: of those that chance has a hand in."""
        rng = random.Random(f"{loss.name} {seed}")
        if loss is Loss.DROPPED:
            yield self._after([], lambda inode: inode.safe)
        elif loss is Loss.KEPT:
            yield self._after(self.pending, lambda inode: inode.live)
        elif loss is Loss.ENTRY_LOST:
            for lost in range(len(self.pending)):
                yield self._after(self.pending[:lost] + self.pending[lost + 1 :], lambda inode: inode.live)
        else:
            for _ in range(times):
                if loss is Loss.REORDERED:
                    some = [one for one in self.pending if rng.random() < 0.5]
                    yield self._after(some, lambda inode: rng.choice((inode.live, inode.safe)))
                else:
                    unit = SECTOR if loss is Loss.TORN_512 else PAGE
                    yield self._after(self.pending, partial(Inode.torn, rng=rng, unit=unit))

    def _after(self, survived: list[tuple[str, str, str]], read: Callable[[Inode], bytes]) -> "Memory":
        """The disk with those changes of names, and of each file what `read` says is left of it."""
        names, folders = dict(self.safe_names), set(self.safe_folders)
        for what, old, new in survived:
            if what == "folder":
                folders.add(old)
            elif what == "unfolder":
                folders.discard(old)
            elif what == "create":
                names.setdefault(old, self._made[old])
            elif what == "remove":
                names.pop(old, None)
            elif what == "link":
                names[old] = self._renamed[new, old]
            elif (inode := self._renamed[(old, new)]) is not None:
                names.pop(old, None)
                names[new] = inode
        found = {path: read(inode) for path, inode in names.items()}
        return Memory.of({path: data for path, data in found.items() if path.rpartition("/")[0] in folders})

    def __post_init__(self) -> None:
        self._made: dict[str, Inode] = {}
        self._renamed: dict[tuple[str, str], Inode] = {}

    # --- Files -------------------------------------------------------------------------------------------------------

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass

    def read(self, path: str) -> bytes | None:
        inode = self.names_.get(path)
        return None if inode is None else inode.live

    def read_part(self, path: str, start: int, length: int) -> bytes:
        return (self.read(path) or b"")[start : start + length]

    def size(self, path: str) -> int | None:
        inode = self.names_.get(path)
        return None if inode is None else len(inode.live)

    def names(self, path: str) -> list[str]:
        before = f"{path}/" if path else ""
        everything = [*self.names_, *self.folders - {""}]
        return sorted({p[len(before) :].split("/")[0] for p in everything if p.startswith(before) and p != path})

    def make_folder(self, path: str) -> None:
        self._tick()
        if path not in self.folders:
            self.folders.add(path)
            self.pending.append(("folder", path, ""))

    def write(self, path: str, data: bytes) -> None:
        self._tick()
        assert path.rpartition("/")[0] in self.folders, path
        if path not in self.names_:
            self.names_[path] = self._made[path] = Inode()
            self.pending.append(("create", path, ""))
        self.names_[path].live = data

    def append(self, path: str, data: bytes) -> None:
        self._tick()
        self.names_[path].live += data

    def truncate(self, path: str, size: int) -> None:
        self._tick()
        self.names_[path].live = self.names_[path].live[:size]

    def sync(self, path: str) -> None:
        self._tick()
        self.names_[path].safe = self.names_[path].live

    def rename(self, old: str, new: str) -> None:
        self._tick()
        self._renamed[old, new] = self.names_[new] = self.names_.pop(old)
        if old.rpartition("/")[0] == new.rpartition("/")[0]:
            self.pending.append(("rename", old, new))
        else:  # two folders: either's change may be there without the other's
            self.pending += [("link", new, old), ("remove", old, "")]

    def sync_folder(self, path: str) -> None:
        self._tick()
        kept = []
        for what, old, new in self.pending:
            if old.rpartition("/")[0] != path:
                kept.append((what, old, new))
            elif what == "folder":
                self.safe_folders.add(old)
            elif what == "unfolder":
                self.safe_folders.discard(old)
            elif what == "create":
                self.safe_names[old] = self._made[old]
            elif what == "remove":
                self.safe_names.pop(old, None)
            elif what == "link":
                self.safe_names[old] = self._renamed[new, old]
            else:
                self.safe_names.pop(old, None)
                self.safe_names[new] = self._renamed[old, new]
        self.pending = kept

    def remove(self, path: str) -> None:
        self._tick()
        del self.names_[path]
        self.pending.append(("remove", path, ""))

    def remove_folder(self, path: str) -> None:
        self._tick()
        self.folders.discard(path)
        self.pending.append(("unfolder", path, ""))
