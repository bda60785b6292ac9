"""What the kernel knows of the device's processes: core, scheduling class, memory. Read from /proc when somebody asks."""

import os
from dataclasses import dataclass
from pathlib import Path

CLASSES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
"""Linux's scheduling policies, by their number (sched(7))."""
_MODULE = b"inframe.machine.child"
_PAGE = os.sysconf("SC_PAGESIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Seen:
    """One running process of the table."""

    pid: int
    core: int
    """The one that it last ran on."""
    cores: str
    """Those that it may run on, as the kernel lists them."""
    scheduling: str
    priority: int
    """Real-time priority; 0: none."""
    memory_mb: float
    """Resident, with what it shares."""
    locked_mb: float
    cpu_s: float
    """Processor time since its start."""


def siblings(parent: int | None = None) -> dict[str, Seen]:
    """The processes of the device whose parent is ours, by name."""
    parent = os.getppid() if parent is None else parent
    found: dict[str, Seen] = {}
    for task in _children(parent):
        named = _look(task)
        if named is not None:
            found[named[0]] = named[1]
    return found


def _children(parent: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{parent}/task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text("ascii").split()]
    except OSError:
        return []


def _look(pid: int) -> tuple[str, Seen] | None:
    proc = Path(f"/proc/{pid}")
    try:
        words = (proc / "cmdline").read_bytes().split(b"\0")
        name = words[words.index(_MODULE) + 1].decode()
        stat = (proc / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        status = dict(
            line.split(":", 1) for line in (proc / "status").read_text("utf-8", "replace").splitlines() if ":" in line
        )
    except (OSError, ValueError, IndexError):  # it has just ended, or is something else
        return None
    seen = Seen(
        pid=pid,
        core=int(stat[36]),
        cores=status.get("Cpus_allowed_list", "").strip(),
        scheduling=CLASSES.get(int(stat[38]), stat[38]),
        priority=int(stat[37]),
        memory_mb=round(int(stat[21]) * _PAGE / 1e6, 1),
        locked_mb=round(int(status.get("VmLck", "0 kB").split()[0]) / 1000, 1),
        cpu_s=round((int(stat[11]) + int(stat[12])) / _TICKS, 1),
    )
    return name, seen
