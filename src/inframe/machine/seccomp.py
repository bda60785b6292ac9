"""System-call filters (seccomp, classic BPF, assembled here): who may reach a network, and what nobody needs.

A filter sees the number and the six register arguments of a call, not what pointers point to. So the domain of
socket() can be checked here, while the address of connect() can't: for a camera on IP, connect() is handed to the
parent (broker.py). `program` is pure, so that tests can run it, for either processor, through an interpreter of their
own.

Sources: linux/seccomp.h, linux/audit.h, linux/filter.h, seccomp(2); numbers from asm/unistd_64.h and
asm-generic/unistd.h.
"""

import ctypes
import errno
import os
from typing import Literal

from inframe.machine import kernel

Network = Literal["none", "loopback", "camera", "box", "any"]
NETWORKS: tuple[Network, ...] = ("none", "loopback", "camera", "box", "any")
"""none: AF_UNIX only. loopback: the same, plus serving a listening socket that the parent opened on loopback and
passed on; the address of bind() can't be filtered, so the child is not let to open one. camera: TCP to the configured
address only. box: none, for a process that closes another one in: what takes files and networks away is not denied
to it. any: the one process that may talk beyond this machine."""

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_TYPE_MASK, IPPROTO_TCP, MSG_FASTOPEN = 1, 0xF, 6, 0x20000000
X32_BIT = 0x40000000
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET

KILL_PROCESS, ERRNO, USER_NOTIF, ALLOW = 0x80000000, 0x00050000, 0x7FC00000, 0x7FFF0000
SET_MODE_FILTER, GET_ACTION_AVAIL = 1, 2
TSYNC, NEW_LISTENER, TSYNC_ESRCH = 1, 8, 16

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NR, _ARCH, _ARG0 = 0, 4, 16  # offsets in struct seccomp_data; little-endian, so an argument's low word comes first

# Call: (number on x86_64, on aarch64; None: it doesn't exist there). All answer EPERM, which is what a container or a
# hardened kernel answers too, so libraries are used to it and go on without.
DENIED: dict[str, tuple[int | None, int | None]] = {
    # does what socket() and connect() do, past this filter (and libraries fall back to plain calls)
    "io_uring_setup": (425, 425),
    # reach into another process: take its memory or its sockets
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # run code in the kernel, or replace it
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "iopl": (172, None),
    "ioperm": (173, None),
    # stop the kernel at a chosen point of a copy: the usual help of an exploit
    "userfaultfd": (323, 282),
    # see other files than those this process was given
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "unshare": (272, 97),
    # keys of other programs
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # the machine as a whole: its clock, its swap, its power
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
}
CLOSES_IN = ("unshare", "chroot")
"""What the walls of a box are built with; see `walls`."""
# Calls whose arguments decide, or whose answer depends on the network.
CHECKED: dict[str, tuple[int, int]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "clone": (56, 220),
    "clone3": (435, 435),
}

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, k: one struct sock_filter."""


def program(network: Network, family: str) -> list[Instruction]:
    """The filter that a process of `network` starts under. `family`: "x86_64" or "aarch64"."""
    column = tuple(kernel.MACHINES).index(family)
    code = prologue(family)
    for name, numbers in DENIED.items():
        if network == "box" and name in CLOSES_IN:
            continue
        if (number := numbers[column]) is not None:
            code += _when(number, [_deny(errno.EPERM)])
    code += _when(CHECKED["clone"][column], [_load(0), *_deny_any_bit(NEW_NAMESPACES, errno.EPERM), _answer(ALLOW)])
    # clone3 has its flags in memory, out of our sight. ENOSYS, as libraries then use clone.
    code += _when(CHECKED["clone3"][column], [_deny(errno.ENOSYS)])
    code += _when(CHECKED["socket"][column], _sockets(network))
    if network == "camera":
        code += _camera(column)
    return [*code, _answer(ALLOW)]


def no_connect_program(family: str) -> list[Instruction]:
    """The filter added at lock-down: a window system was connected to before, and nothing new is after. Without it
    AF_UNIX still leads to programs that have a network: the name-service and resolver daemons, a container engine's
    socket."""
    column = tuple(kernel.MACHINES).index(family)
    return [*prologue(family), *_when(CHECKED["connect"][column], [_deny(errno.EACCES)]), _answer(ALLOW)]


def prologue(family: str) -> list[Instruction]:
    """Numbers mean something else to a 32-bit call on the same machine: those end the process. x32 doesn't exist
    here."""
    code = [
        (LOAD, 0, 0, _ARCH),
        (JUMP_EQUAL, 1, 0, kernel.MACHINES[family].audit),
        _answer(KILL_PROCESS),
        (LOAD, 0, 0, _NR),
    ]
    if family == "x86_64":
        code += [(JUMP_AT_LEAST, 0, 1, X32_BIT), _deny(errno.ENOSYS)]
    return code


def _sockets(network: Network) -> list[Instruction]:
    # EAFNOSUPPORT, what a kernel built without that protocol answers: every library has a way on from there.
    if network != "camera":
        domains = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK) if network == "any" else (AF_UNIX,)
        return [_load(0), *_only(domains, errno.EAFNOSUPPORT), _answer(ALLOW)]
    stream = [_load(1), (AND, 0, 0, SOCK_TYPE_MASK), *_only((SOCK_STREAM,), errno.EACCES)]
    tcp = [_load(2), *_only((0, IPPROTO_TCP), errno.EACCES)]
    return [_load(0), *_only((AF_INET, AF_INET6), errno.EAFNOSUPPORT), *stream, *tcp, _answer(ALLOW)]


def _camera(column: int) -> list[Instruction]:
    code = _when(CHECKED["connect"][column], [_answer(USER_NOTIF)])
    for name in ("bind", "listen"):
        code += _when(CHECKED[name][column], [_deny(errno.EACCES)])
    for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):  # MSG_FASTOPEN connects to wherever it likes
        code += _when(CHECKED[name][column], [_load(flags), *_deny_any_bit(MSG_FASTOPEN, errno.EACCES), _answer(ALLOW)])
    return code


def _answer(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _deny(error: int) -> Instruction:
    return _answer(ERRNO | error)


def _load(argument: int) -> Instruction:
    return (LOAD, 0, 0, _ARG0 + 8 * argument)


def _when(number: int, body: list[Instruction]) -> list[Instruction]:
    """`body`, which always ends in an answer, for the call `number`, which is in the accumulator."""
    return [(JUMP_EQUAL, 0, len(body), number), *body]


def _only(values: tuple[int, ...], error: int) -> list[Instruction]:
    """Go on if the accumulator is one of `values`, else answer `error`."""
    n = len(values)
    return [*((JUMP_EQUAL, n - i, 0, value) for i, value in enumerate(values)), _deny(error)]


def _deny_any_bit(bits: int, error: int) -> list[Instruction]:
    return [(JUMP_ANY_BIT, 0, 1, bits), _deny(error)]


class _SockFilter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


def _family() -> str:
    kernel.machine()  # raises where this processor is not known
    return os.uname().machine


def set_filter(code: list[Instruction], flags: int = 0) -> int:
    """Put this process and all its threads under `code`. Raises OSError."""
    filters = (_SockFilter * len(code))(*(_SockFilter(*instruction) for instruction in code))
    argument = _SockFprog(len(code), ctypes.cast(filters, ctypes.POINTER(_SockFilter)))
    # TSYNC: libraries may have started threads, and a filter is a thread's own
    result = kernel.seccomp(SET_MODE_FILTER, TSYNC | flags, ctypes.byref(argument))
    if result > 0 and not flags & NEW_LISTENER:
        raise OSError(errno.ESRCH, f"thread {result} has a filter of its own")
    return result


def available(action: int) -> bool:
    """Whether this kernel knows a filter's `action` (ERRNO, USER_NOTIF)."""
    try:
        kernel.seccomp(GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(action)))
    except OSError:
        return False
    return True


def install(network: Network, broker: int | None = None) -> str | None:
    """Start this process, all its threads and its later children under the filter of `network`, for good.

    Returns why the network is more closed than asked for (a camera without a broker has none), or None. `broker` is a
    descriptor of an AF_UNIX socket; it is closed. Raises OSError where the kernel takes no filter.
    """
    if network != "camera":
        set_filter(program(network, _family()), 0)
        return None
    if broker is None:
        why = "no broker was given"
    else:
        try:
            _set_camera_filter(broker)
            return None
        except OSError as error:
            why = f"connect() can't be handed to the parent, which takes Linux 5.9 ({error.strerror})"
    set_filter(program("none", _family()), 0)
    return f"the camera can't be reached: {why}"


def _set_camera_filter(broker: int) -> None:
    import socket

    with socket.socket(fileno=broker) as channel:
        listener = set_filter(program("camera", _family()), NEW_LISTENER | TSYNC_ESRCH)
        try:
            socket.send_fds(channel, [b"L"], [listener])
        finally:
            # Kept here, it would let this process answer its own questions; and while nobody holds it, connect() is
            # refused.
            os.close(listener)


def close_connections(network: Network) -> None:
    """From now on connect() is refused, for the networks that need none. Raises OSError where the kernel takes no
    filter."""
    if network in ("none", "loopback", "box"):
        set_filter(no_connect_program(_family()), 0)
