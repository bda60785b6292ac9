"""Who looked at which locked cases: events in a trail, which can be neither altered nor cut off without it being noticed.

REVALIDATION_LOCKED   a lock was signed                      its digest, the cases', how long the trail was
REVALIDATION_LOOKED   written before the first case is run   the lock's digest, the cases', the bundle's
REVALIDATION_DONE     the verdict                            the same, and what came of it

The trail is one of inframe's own, in a folder of the machine that revalidates; it may be witnessed like a device's.
"""

import getpass
from dataclasses import dataclass
from pathlib import Path

from inframe.core.clock import MonotonicClock
from inframe.core.errors import ConfigError, DeviceFault
from inframe.machine.kernel import clock_state
from inframe.recorder.moment import moments
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import EventKind, EventLeaf, EventRecord
from inframe.trail.verify import verify

LOCKED, LOOKED, DONE = "REVALIDATION_LOCKED", "REVALIDATION_LOOKED", "REVALIDATION_DONE"
_NAMES = (LOCKED, LOOKED, DONE)


@dataclass(frozen=True, slots=True)
class Mark:
    """How long the trail was, and what was in it: what a lock says of it."""

    log: str
    """The name under which its key signs."""
    size: int
    root: str
    """Of the Merkle tree over so many leaves, hex."""


@dataclass(frozen=True, slots=True)
class Look:
    """One of the events."""

    name: str
    wall_ns: int
    data: dict[str, str]


class Looks:
    """The trail in a folder. `may_begin`: made where there is none. Raises ConfigError, DeviceFault, TrailDamaged."""

    def __init__(self, folder: Path, *, may_begin: bool = False) -> None:
        self._home = Home(folder)
        self._now = moments(MonotonicClock(), clock_state())
        if (folder.exists() and not folder.is_dir()) or not (may_begin or self._home.logs()):
            raise ConfigError(folder, "--trail", "no trail", "the folder that `inframe cases lock` recorded in")
        if not self._home.logs():
            folder.mkdir(parents=True, exist_ok=True)
            self._write(None)
        self._log = self._verified()

    def _verified(self) -> Log:
        """The newest log, every leaf of it checked."""
        logs = self._home.logs()
        key = self._home.public_keys()[0]
        if len(logs) != 1:
            raise ConfigError(self._home.folder, "--trail", f"{len(logs)} logs", "one: a damaged one was replaced here")
        verify(Disk(logs[-1]), key).raise_if_damaged()
        return Log(Disk(logs[-1]), key)

    def mark(self) -> Mark:
        """Of the trail as it is now."""
        return Mark(self._log.key.name, self._log.size, self._log.frontier(self._log.size).root().hex())

    def holds(self, mark: Mark) -> bool:
        """Whether this is that trail, gone on."""
        if mark.log != self._log.key.name or mark.size > self._log.size:
            return False
        return self._log.frontier(mark.size).root().hex() == mark.root

    def all(self) -> list[Look]:
        """Oldest first."""
        found = []
        for _, entry in self._log.entries():
            leaf = decode(entry)
            if isinstance(leaf, EventLeaf):
                wall = leaf.header.wall_ns
                found += [Look(e.name, wall(e.at_ns), dict(e.data)) for e in leaf.events if e.name in _NAMES]
        return found

    def record(self, name: str, text: str, data: dict[str, str]) -> None:
        """Write it, safely on the disk when this returns. Raises DeviceFault while something else writes."""
        self._write(EventRecord(EventKind.UPDATE, self._now().mono_ns, name, text, _who(), data))
        self._log = self._verified()

    def _write(self, event: EventRecord | None) -> None:
        try:
            writer = self._home.go_on(self._home.signers("revalidation"), self._now)
        except OSError as error:
            raise DeviceFault(f"{self._home.folder}: the trail can't be written: {error.strerror}") from None
        try:
            if event is not None:
                writer.append(EventLeaf(writer.header(event.at_ns), (event,)))
            writer.close()
        finally:
            writer.let_go()


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return "unknown"
