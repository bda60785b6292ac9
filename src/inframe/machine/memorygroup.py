"""A control group that bounds one process's memory from outside: kernel memory and what it shares included, which its own limits
don't count. Version 1 or 2 of the kernel's groups, whichever has the memory controller; where none can be made, that is said.

Memory only. A group for the processor would give a process that has idle time nothing, and with it the kernel refuses to raise
the process for the moment in which it is stopped (a group has no real-time share unless it is given one).
"""

import os
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MIB = 1 << 20


class MemoryGroup:
    """Made for one process, and gone with `close`."""

    def __init__(self, name: str, limit_mb: int, root: Path = ROOT) -> None:
        """Raises OSError where no group can be made."""
        parent, limit = _parent(root)
        _tidy(parent)
        self._folder = parent / name
        self._folder.mkdir()
        try:
            (self._folder / limit).write_text(f"{limit_mb * MIB}\n", encoding="ascii")
        except OSError:
            self.close()
            raise

    def take(self, pid: int) -> None:
        """Put a process into it; what it has used before stays where it was counted. Raises OSError."""
        (self._folder / "cgroup.procs").write_text(f"{pid}\n", encoding="ascii")

    def close(self) -> None:
        """Take it away; the kernel keeps one that is still in use."""
        with suppress(OSError):
            self._folder.rmdir()


def _parent(root: Path) -> tuple[Path, str]:
    """Where a group can be made, and the file of its limit. Raises OSError."""
    own = dict(_own_groups())
    if (root / "memory").is_dir() and "memory" in own:
        place = root / "memory" / own["memory"].lstrip("/")
        return (place if place.is_dir() else root / "memory"), "memory.limit_in_bytes"
    place = root / own.get("", "/").lstrip("/")
    for folder in (place.parent if place != root else root, root):  # not in our own: a group has groups or processes
        with suppress(OSError):
            if "memory" in (folder / "cgroup.subtree_control").read_text("ascii").split():
                return folder, "memory.max"
    raise OSError(95, "no control group for memory is open to this process")


def _tidy(parent: Path) -> None:
    """Take away what makers left behind that were killed."""
    for old in parent.glob("inframe-*-*-*"):
        if not Path(f"/proc/{old.name.split('-')[2]}").exists():
            with suppress(OSError):  # its process is still ending
                old.rmdir()


def _own_groups() -> list[tuple[str, str]]:
    """The group of this process, by controller; version 2 has the name ""."""
    lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    parts = [line.split(":", 2) for line in lines]
    return [(name, path) for _, names, path in parts for name in names.split(",")]


def put(pid: int, name: str, limit_mb: int) -> tuple[MemoryGroup | None, str]:
    """The process in a group of its own; or None, and why not."""
    try:
        group = MemoryGroup(f"inframe-{name}-{os.getpid()}-{pid}", limit_mb)
    except OSError as error:
        return None, error.strerror or str(error)
    try:
        group.take(pid)
    except OSError as error:
        group.close()
        return None, error.strerror or str(error)
    return group, ""
