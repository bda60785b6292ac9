"""What a taken-over engine would try, from inside a box. Run there by `test_box`; no test in here. Signals are number 0,
which asks for the permission and harms nobody should a wall be missing.

By system call and number (x86-64 and 64-bit Arm), since a library would stand between.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

from inframe.assistant import wire
from inframe.assistant.inside import Inmate

X86, ARM = 0, 1
FAMILY = X86 if os.uname().machine == "x86_64" else ARM
PATH, EMPTY = b"/etc/passwd\0", b"\0"
_MIB = 1 << 20

# name: (number on x86_64, on aarch64), arguments. "parent" stands for the parent's process id.
CALLS: dict[str, tuple[tuple[int, int], tuple[object, ...]]] = {
    "socket inet": ((41, 198), (2, 1, 0)),
    "socket inet6 datagram": ((41, 198), (10, 2, 0)),
    "socket unix": ((41, 198), (1, 1, 0)),
    "socket netlink": ((41, 198), (16, 3, 0)),
    "socketpair": ((53, 199), (1, 1, 0, b"\0" * 8)),
    "connect": ((42, 203), (0, b"\0" * 16, 16)),
    "bind": ((49, 200), (0, b"\0" * 16, 16)),
    "sendto": ((44, 206), (0, b"x", 1, 0, 0, 0)),
    "sendmsg": ((46, 211), (0, b"\0" * 64, 0)),
    "open": ((257, 56), (-100, PATH, 0)),
    "open own memory": ((257, 56), (-100, b"/proc/self/mem\0", 2)),
    "create": ((257, 56), (-100, b"/new\0", 0o101, 0o600)),
    "openat2": ((437, 437), (-100, PATH, b"\0" * 24, 24)),
    "unlink": ((263, 35), (-100, b"/nothing\0", 0)),
    "rename": ((316, 276), (-100, b"/nothing\0", -100, b"/nobody\0", 0)),
    "list": ((217, 61), (0, b"\0" * 64, 64)),
    "memory file": ((319, 279), (b"x\0", 0)),
    "exec": ((59, 221), (b"/bin/true\0", 0, 0)),
    "exec of a descriptor": ((322, 281), (0, EMPTY, 0, 0, 0x1000)),
    "fork": ((56, 220), (17, 0, 0, 0, 0)),
    "thread": ((56, 220), (0x3D0F00, 0, 0, 0, 0)),
    "clone3": ((435, 435), (b"\0" * 88, 88)),
    "ptrace": ((101, 117), (16, "parent", 0, 0)),
    "read another's memory": ((310, 270), ("parent", 0, 0, 0, 0, 0)),
    "write another's memory": ((311, 271), ("parent", 0, 0, 0, 0, 0)),
    "kill the parent": ((62, 129), ("parent", 0)),
    "kill all": ((62, 129), (-1, 0)),
    "signal a thread": ((234, 131), ("parent", "parent", 0)),
    "pidfd": ((434, 434), ("parent", 0)),
    "take a descriptor": ((438, 438), (0, 0, 0)),
    "priority": ((141, 140), (0, 0, -20)),
    "real time": ((144, 119), (0, 1, b"\1\0\0\0")),
    "deadline": ((314, 274), (0, b"\0" * 48, 0)),
    "other cores": ((203, 122), (0, 8, b"\xff" * 8)),
    "limits": ((302, 261), (0, 9, b"\xff" * 16, 0)),
    "prctl": ((157, 167), (4, 1, 0, 0, 0)),
    "user id": ((105, 146), (0,)),
    "capabilities": ((126, 91), (b"\0" * 8, b"\xff" * 24)),
    "namespaces": ((272, 97), (0x10000000,)),
    "join namespace": ((308, 268), (0, 0)),
    "mount": ((165, 40), (PATH, PATH, PATH, 0, 0)),
    "chroot": ((161, 51), (b"/\0",)),
    "executable memory": ((9, 222), (0, 4096, 7, 0x22, -1, 0)),
    "make memory executable": ((10, 226), (0, 4096, 5)),
    "shared memory": ((29, 194), (0, 4096, 0o1600)),
    "message queue": ((68, 186), (0, 0o1600)),
    "semaphore": ((64, 190), (0, 1, 0o1600)),
    "io_uring": ((425, 425), (8, b"\0" * 120)),
    "bpf": ((321, 280), (0, b"\0" * 64, 64)),
    "perf": ((298, 241), (b"\0" * 64, 0, -1, -1, 0)),
    "userfaultfd": ((323, 282), (0,)),
    "keys": ((250, 219), (0, -3, 0)),
    "terminal": ((16, 29), (0, 0x5412, b"x")),
    "wall clock": ((227, 112), (0, b"\0" * 16)),
    "timer": ((222, 107), (1, 0, b"\0" * 8)),
    "set descriptor flags": ((72, 25), (0, 4, 0)),
}


def try_all(inmate: Inmate) -> None:
    """Every call, the memory, the model's bytes, the file system; then what was found out, by name: "" where it worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    told = {name: _try(libc, numbers[FAMILY], arguments) for name, (numbers, arguments) in CALLS.items()}
    told["too much memory"] = _memory(2048)
    told["a little memory"] = _memory(8)
    told["write the model"] = _os(lambda: os.pwrite(inmate.model, b"x", 0)) if inmate.model >= 0 else "EPERM"
    told["stat"] = _os(lambda: Path("/etc/passwd").stat())
    told["stat proc"] = _os(lambda: Path("/proc/self").stat())
    wire.send(inmate.answers, {"tried": told})
    wire.receive(inmate.requests, None)


def spin(inmate: Inmate) -> None:
    """Uses all the time that it gets."""
    wire.send(inmate.answers, {"spinning": True})
    while True:
        pass


def babble(inmate: Inmate) -> None:
    """Answers every request with rubbish of several kinds, one after the other."""
    kinds = [b"\xff\xff\xff\x7f", b"\x04\0\0\0nope", b"\x02\0\0\0[]", b"\x05\0\0\0", b'\x0c\0\0\0{"piece": 1}']
    wire.receive(inmate.requests, None)
    os.write(inmate.answers, kinds[inmate.context])
    wire.receive(inmate.requests, None)


def _try(libc: ctypes.CDLL, number: int, arguments: tuple[object, ...]) -> str:
    words = [_word(one) for one in arguments]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *words)
    return "" if result != -1 else errno.errorcode.get(ctypes.get_errno(), "?")


_PARENT = os.getppid()


def _word(one: object) -> object:
    if one == "parent":
        return ctypes.c_long(_PARENT)
    return ctypes.c_char_p(one) if isinstance(one, bytes) else ctypes.c_long(one)  # type: ignore[arg-type]


def _memory(mib: int) -> str:
    try:
        bytearray(mib * _MIB)
    except MemoryError:
        return "ENOMEM"
    return ""


def _os(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    return ""
