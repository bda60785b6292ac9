"""The walls of a box: what a process gives up, for good, before it reads anything that could take it over.

Each wall stands or is reported. Only the last, the list of allowed calls, must stand: without it nothing is run in the box.
As root all of them are there; an ordinary user has all but its own user id, where the kernel lets it make user namespaces.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inframe.machine import allowlist, kernel, landlock

NOBODY = 65534
MIB = 1 << 20
NEW_USER, NEW_NET, NEW_IPC, NEW_UTS, NEW_MOUNT, NEW_CGROUP = (
    0x10000000,
    0x40000000,
    0x08000000,
    0x04000000,
    0x00020000,
    0x02000000,
)
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_SET_DUMPABLE = 24, 47, 4, 4
LAST_CAPABILITY = 63
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522
EMPTY_ROOT = "/proc/self/fdinfo"
"""A folder that holds nothing but this process's own descriptors' numbers, and in which nothing can be made."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a box may use."""

    memory_mb: int = 512
    """Address space beyond what is mapped when it is closed, MiB."""
    cores: frozenset[int] = frozenset()
    """Empty: those it has."""
    is_idle: bool = True
    """Only the time that nobody else wants. False where nothing else is on its cores."""


@dataclass(frozen=True, slots=True)
class Wall:
    """One wall: whether it stands."""

    name: str
    stands: bool
    why: str = ""
    """What the kernel said, where it does not."""


class NoBox(OSError):
    """The wall without which nothing may run does not stand."""


def close_in(limits: Limits, keep: Iterable[int]) -> tuple[Wall, ...]:
    """Build all walls around this process. `keep`: the descriptors that stay open. Everything that it will need must be imported
    and mapped. Raises NoBox."""
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("no new privileges", lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)),
        ("scheduling", lambda: _schedule(limits)),
        ("background cores", lambda: os.sched_setaffinity(0, limits.cores or os.sched_getaffinity(0))),
        ("first to go when memory runs out", _first_to_go),
        ("limits", lambda: _limit(limits)),
        ("open files", lambda: _close_all_but(frozenset(keep))),
        ("own user", _become_nobody),
        ("own network, IPC and user namespaces", _unshare),
        ("empty root", _leave_the_files),
        ("no capabilities", _drop_capabilities),
        ("no core dumps, no tracing", lambda: kernel.prctl(PR_SET_DUMPABLE, 0)),
        ("Landlock", landlock.restrict),
    )
    walls = [_built(name, step) for name, step in steps]
    last = _built("system calls", allowlist.install)
    if not last.stands:
        raise NoBox(1, f"system calls can't be limited: {last.why}")
    return (*walls, last)


def _built(name: str, step: Callable[[], object]) -> Wall:
    try:
        step()
    except (OSError, ValueError) as error:  # ValueError: a limit above the hard one
        return Wall(name, False, getattr(error, "strerror", None) or str(error))
    return Wall(name, True)


def _schedule(limits: Limits) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE if limits.is_idle else os.SCHED_OTHER, os.sched_param(0))


def _first_to_go() -> None:
    Path("/proc/self/oom_score_adj").write_text("1000\n", encoding="ascii")


def _limit(limits: Limits) -> None:
    """Address space and not only data: in here nothing is shared but a sealed file, so all of it counts."""
    mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGESIZE")
    ceilings = {
        resource.RLIMIT_AS: mapped + limits.memory_mb * MIB,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: 0,
    }
    for what, ceiling in ceilings.items():
        resource.setrlimit(what, (ceiling, ceiling))


def _close_all_but(keep: frozenset[int]) -> None:
    """The standard streams too, unless kept: they become the null device, so that no new descriptor takes their numbers."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in {0, 1, 2} - keep:
        os.dup2(null, fd)
    for entry in list(Path("/proc/self/fd").iterdir()):
        if (fd := int(entry.name)) > 2 and fd not in keep:
            with suppress(OSError):  # the listing's own
                os.close(fd)


def _become_nobody() -> None:
    if os.geteuid() != 0:
        return  # an ordinary user is one already
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # forgotten with the old user


def _unshare() -> None:
    kernel.unshare(NEW_USER | NEW_NET | NEW_IPC | NEW_UTS | NEW_MOUNT | NEW_CGROUP)


def _leave_the_files() -> None:
    os.chroot(EMPTY_ROOT)
    os.chdir("/")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _drop_capabilities() -> None:
    for capability in range(LAST_CAPABILITY + 1):
        with suppress(OSError):  # beyond the kernel's last; or not ours to drop, and then not ours to have
            kernel.prctl(PR_CAPBSET_DROP, capability)
    kernel.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header, nothing = _Header(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    kernel.syscall(_CAPSET[os.uname().machine], ctypes.byref(header), ctypes.byref(nothing))
