"""A filter that lets through only the calls of its list: for a process that computes and talks through two pipes, and does
nothing else. What is not on it answers EPERM, and anything of another architecture ends the process.

The filters of seccomp.py deny what nobody needs; this one is for code that is expected to be taken over by what it reads.
"""

import errno
import os

from inframe.machine import kernel
from inframe.machine.seccomp import (
    ALLOW,
    ERRNO,
    JUMP_ANY_BIT,
    JUMP_EQUAL,
    LOAD,
    RETURN,
    Instruction,
    prologue,
    set_filter,
)

PROT_EXEC = 4
F_GETFD, F_GETFL = 1, 3
_ARG0 = 16

# Call: (number on x86_64, on aarch64; None: it doesn't exist there).
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # the pipes and the sealed memory, which are open already
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "lseek": (8, 62),
    "close": (3, 57),
    "fstat": (5, 80),
    "newfstatat": (262, 79),  # what glibc asks of a descriptor; by path it sees an empty root
    "poll": (7, None),
    "ppoll": (271, 73),
    # memory; mmap and mprotect are below
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # its own threads' waiting, its own signals' handling, time, chance
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
WITHOUT_EXEC: dict[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed where the memory will not be executable: no new code, once the libraries are loaded."""
FCNTL = (72, 25)
"""Allowed to ask, not to change."""


def program(family: str) -> list[Instruction]:
    """The filter. `family`: "x86_64" or "aarch64"."""
    column = tuple(kernel.MACHINES).index(family)
    denied: Instruction = (RETURN, 0, 0, ERRNO | errno.EPERM)
    allow: Instruction = (RETURN, 0, 0, ALLOW)
    code = prologue(family)
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            code += [(JUMP_EQUAL, 0, 1, number), allow]
    for pair in WITHOUT_EXEC.values():
        body: list[Instruction] = [(LOAD, 0, 0, _ARG0 + 8 * 2), (JUMP_ANY_BIT, 0, 1, PROT_EXEC), denied, allow]
        code += [(JUMP_EQUAL, 0, len(body), pair[column]), *body]
    body = [(LOAD, 0, 0, _ARG0 + 8), (JUMP_EQUAL, 1, 0, F_GETFD), (JUMP_EQUAL, 0, 1, F_GETFL), allow, denied]
    code += [(JUMP_EQUAL, 0, len(body), FCNTL[column]), *body]
    return [*code, denied]


def install() -> None:
    """Nothing but ALLOWED from here on, for good. Raises OSError."""
    kernel.machine()  # raises where this processor is not known
    set_filter(program(os.uname().machine))
