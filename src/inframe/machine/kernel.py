"""The few system calls that Python's standard library has no name for. Each raises OSError, as `os` does.

By ctypes, and not by a compiled extension: a wheel without native code installs on every Linux that Python 3.11 runs
on.
"""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_TIMERSLACK, PR_SET_NO_NEW_PRIVS = 1, 15, 29, 38  # linux/prctl.h
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # asm-generic/mman.h
MLOCK_ONFAULT = 1
CLOCK_UNSYNCHRONIZED = 5  # TIME_ERROR, sys/timex.h

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


@dataclass(frozen=True)
class Machine:
    """A processor family: its `AUDIT_ARCH_*` word and the numbers of the system calls made here by number."""

    audit: int
    seccomp: int
    mlock2: int
    pidfd_getfd: int = 438


MACHINES = {
    "x86_64": Machine(audit=0xC000003E, seccomp=317, mlock2=325),
    "aarch64": Machine(audit=0xC00000B7, seccomp=277, mlock2=284),
}


def machine() -> Machine:
    """This processor's table. A 32-bit interpreter on a 64-bit kernel has other numbers, so it counts as unknown."""
    found = MACHINES.get(os.uname().machine) if ctypes.sizeof(ctypes.c_void_p) == 8 else None
    if found is None:
        raise OSError(38, f"system calls of a {os.uname().machine} machine are not known here (x86_64, aarch64 are)")
    return found


def _checked(result: int) -> int:
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def prctl(option: int, value: int | bytes) -> None:
    # The kernel reads five longs and refuses some options unless the unused ones are 0: ctypes would leave rubbish
    # there.
    word = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(ctypes.c_int(option), word, zero, zero, zero))


def mlockall(flags: int) -> None:
    _checked(_libc.mlockall(ctypes.c_int(flags)))


def seccomp(operation: int, flags: int, argument: object) -> int:
    """seccomp(2); `argument` is a ctypes pointer. With NEW_LISTENER the answer is the listener's descriptor."""
    return _checked(
        _libc.syscall(ctypes.c_long(machine().seccomp), ctypes.c_ulong(operation), ctypes.c_ulong(flags), argument)
    )


def syscall(number: int, *arguments: object) -> int:
    """A call by its number; integers are passed as longs, anything else as ctypes takes it."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


def unshare(flags: int) -> None:
    """unshare(2), which `os` has from Python 3.12 on."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate, in this process, of the descriptor `fd` of another (Linux 5.6)."""
    words = [ctypes.c_long(word) for word in (machine().pidfd_getfd, pidfd, fd, 0)]
    return _checked(_libc.syscall(*words))


def can_lock_beyond(limit: int) -> bool:
    """Whether this process may lock more than `limit` bytes, tried on address space that is reserved and never touched.

    Tried, because the effective capability in /proc/self/status says yes inside a user namespace where the kernel says
    no.
    """
    size = limit + 2 * os.sysconf("SC_PAGESIZE")
    none_private_anonymous = (0, 0x22 | 0x4000, -1, 0)  # PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE
    address = _libc.mmap(None, size, *none_private_anonymous)
    if address in (None, ctypes.c_void_p(-1).value):
        return False
    try:
        words = (
            ctypes.c_long(machine().mlock2),
            ctypes.c_void_p(address),
            ctypes.c_size_t(size),
            ctypes.c_int(MLOCK_ONFAULT),
        )
        return int(_libc.syscall(*words)) == 0
    finally:
        _libc.munmap(address, size)


def threads(pid: int | str = "self") -> set[int]:
    """The thread ids of a process, native libraries' threads included. Raises ProcessLookupError where it is gone."""
    try:
        return {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()}
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


def status_of(pid: int | str, field: str) -> str:
    """One field of /proc/PID/status. Raises OSError where the process is gone, KeyError where there is no such
    field."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    raise KeyError(field)


def read_text(path: str | Path) -> str | None:
    """A small kernel file's text, stripped; None where it is absent or not ours to read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def real_time_runtime_us() -> int | None:
    """`cpu.rt_runtime_us` of our own cgroup: 0 means that FIFO is refused there, None that the kernel keeps no such
    account.

    Only cgroup v1 kernels built with RT_GROUP_SCHED have it; a fresh group starts at 0 (kernel:
    scheduler/sched-rt-group).
    """
    for line in (read_text("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" not in controllers.split(","):
            continue
        for mount in (controllers, "cpu"):
            text = read_text(f"/sys/fs/cgroup/{mount}{path.rstrip('/')}/cpu.rt_runtime_us")
            if text is not None:
                return int(text)
    return None


def clock_state() -> int | None:
    """The kernel's word on the wall clock, adjtimex(2) without changing it; None where it gives none."""
    timex = ctypes.create_string_buffer(512)  # struct timex is 208 bytes; modes 0, its first field, only asks
    state = int(_libc.adjtimex(timex))
    return None if state < 0 else state
