"""What the children of these tests run: `module:function` targets that write one JSON answer to the pipe "out"."""

import ctypes
import gc
import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inframe.core.errors import ConfigError, DeviceFault
from inframe.machine import kernel
from inframe.machine.child import ChildContext


def answer(ctx: ChildContext, value: object) -> None:
    os.write(ctx.fds["out"], json.dumps(value).encode() + b"\n")


def error_of(act: Callable[[], Any]) -> str:
    """The name of what `act` raises, "" for nothing."""
    try:
        act()
    except OSError as error:
        return os.strerror(error.errno or 0)
    except MemoryError:
        return "MemoryError"
    return ""


def _open(family: int, kind: int = socket.SOCK_STREAM) -> str:
    return error_of(lambda: socket.socket(family, kind).close())


def _raw(number: int, *words: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(word) for word in words))
    return os.strerror(ctypes.get_errno()) if result == -1 else ""


def wait(ctx: ChildContext) -> None:
    answer(ctx, "up")
    ctx.stop.wait()


def wait_deaf(ctx: ChildContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer(ctx, "up")
    select.poll().poll()


def about(ctx: ChildContext) -> None:
    answer(
        ctx,
        {
            "comm": Path("/proc/self/comm").read_text().strip(),
            "session": os.getsid(0) == os.getpid(),
            "threads": os.environ["OMP_NUM_THREADS"],
            "telemetry": os.environ["ORT_DISABLE_TELEMETRY"],
            "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "args": dict(ctx.args),
            "name": ctx.name,
            "argv": sys.argv[1:],
        },
    )


def fail(ctx: ChildContext) -> None:
    kinds: dict[str, Exception] = {
        "fault": DeviceFault("camera unplugged"),
        "config": ConfigError("device.yaml", "fps", 0, "more than 0"),
        "other": ZeroDivisionError("two\nlines"),
        "memory": MemoryError(),
    }
    raise kinds[ctx.args["kind"]]


def partition(ctx: ChildContext) -> None:
    """Lock down with a library's thread already running; what came of it."""
    go = threading.Event()
    started = threading.Thread(target=go.wait, daemon=True)
    started.start()
    gave_up = ctx.lock_down(gc_off=True)
    tids = kernel.threads()
    fields = ("VmLck", "NoNewPrivs", "Seccomp", "Threads")
    answer(
        ctx,
        {
            "gave_up": {one.what: one.why for one in gave_up},
            "policies": [os.sched_getscheduler(tid) for tid in tids],
            "priorities": [os.sched_getparam(tid).sched_priority for tid in tids],
            "cores": [sorted(os.sched_getaffinity(tid)) for tid in tids],
            "status": {name: kernel.status_of("self", name) for name in fields},
            "oom": int(Path("/proc/self/oom_score_adj").read_text()),
            "held": [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()],
            "slack_ns": int(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)),
            "gc": gc.isenabled(),
            "frozen": gc.get_freeze_count(),
            "mapped_later": error_of(lambda: mmap.mmap(-1, 64 << 20).close()),
        },
    )
    go.set()


def memory(ctx: ChildContext) -> None:
    """Allocate past the limit; map a memory file of twice the limit; start a thread."""
    gave_up = ctx.lock_down()
    size = int(ctx.args["bytes"])
    fd = os.memfd_create("shared")
    os.ftruncate(fd, size)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    answer(
        ctx,
        {
            "gave_up": {one.what: one.why for one in gave_up},
            "allocate": error_of(lambda: bytearray(size)),
            "map_shared": error_of(lambda: mmap.mmap(fd, size).close()),
            "allocate_little": error_of(lambda: bytearray(1 << 20)),
        },
    )


def lock_down_only(ctx: ChildContext) -> None:
    answer(ctx, {one.what: one.why for one in ctx.lock_down()})


def closed(ctx: ChildContext) -> None:
    """Every way out that the filter must close, before and after lock-down, from threads and grandchildren too."""
    unix = ctx.args["unix"]

    def dial() -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(unix)

    found: dict[str, Any] = {"dial_before": error_of(dial)}
    go, in_thread = threading.Event(), []

    def dial_later() -> None:
        go.wait()
        in_thread.append(error_of(dial))

    thread = threading.Thread(target=dial_later)
    thread.start()
    ctx.lock_down()
    go.set()
    thread.join()
    found["dial_after"], found["dial_in_old_thread"] = error_of(dial), in_thread[0]
    found["families"] = sorted({_open(family) for family in range(64) if family != socket.AF_UNIX})
    found["udp"] = _open(socket.AF_INET, socket.SOCK_DGRAM)
    found["unix"] = _open(socket.AF_UNIX)
    found["pair"] = error_of(socket.socketpair)
    ring = (ctypes.c_char * 256)()
    found["io_uring_setup"] = _raw(425, 4, ctypes.addressof(ring))
    arm = os.uname().machine == "aarch64"
    found["ptrace"] = _raw(117 if arm else 101, 0, 0, 0, 0)
    found["unshare"] = _raw(97 if arm else 272, 0x10000000)
    found["pidfd_getfd"] = _raw(438, os.pidfd_open(os.getppid()), 0, 0)
    found["clone_newuser"] = _raw(220 if arm else 56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    code = "import socket\ntry: socket.socket()\nexcept OSError as e: print(e.errno)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found["grandchild"] = run.stdout.strip()
    answer(ctx, found)


def serve(ctx: ChildContext) -> None:
    """Accept one connection on the listening socket that the parent passed on."""
    gave_up = ctx.lock_down()
    with socket.socket(fileno=ctx.fds["listening"]) as listening:
        listening.listen()
        answer(ctx, {"gave_up": {one.what: one.why for one in gave_up}, "inet": _open(socket.AF_INET)})
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"page")


def _hello(where: tuple[Any, ...], timeout: float | None, family: int = socket.AF_INET) -> str:
    """What the listener says, or the error; and in any case the socket blocks as before."""
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(timeout)
        try:
            one.connect(where)
            found = one.recv(16).decode()
        except OSError as error:
            found = os.strerror(error.errno or 0)
        return found if os.get_blocking(one.fileno()) == (timeout is None) else f"{found}, and its mode changed"


def camera(ctx: ChildContext) -> None:
    """The allowed address in each way that a library may connect; then everything else."""
    port, other, dead = ctx.args["port"], ctx.args["other"], ctx.args["dead"]
    found: dict[str, Any] = {"gave_up": {one.what: one.why for one in ctx.lock_down()}}
    here = ("127.0.0.1", port)
    found["blocking"], found["timeout"] = _hello(here, None), _hello(here, 5.0)
    from_thread: list[str] = []
    thread = threading.Thread(target=lambda: from_thread.append(_hello(here, None)))
    thread.start()
    thread.join()
    found["thread"] = from_thread[0]
    with socket.socket() as one:
        one.connect(here)
        found["again"] = [error_of(lambda: one.connect(here)), os.get_blocking(one.fileno())]
    with socket.socket() as one:
        one.setblocking(False)
        started = one.connect_ex(here)
        found["nonblocking"] = os.strerror(started)
        select.select([], [one], [])
        found["nonblocking_result"] = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    found["dead"], found["dead_timeout"] = _hello(("127.0.0.1", dead), None), _hello(("127.0.0.1", dead), 5.0)
    found["other_port"], found["other_address"] = _hello(("127.0.0.1", other), None), _hello(("127.0.0.2", port), None)
    found["ipv6"] = _hello(("::1", port), None, socket.AF_INET6) if ctx.args["ipv6"] else "Permission denied"
    found["udp"] = _open(socket.AF_INET, socket.SOCK_DGRAM)
    found["raw"] = _open(socket.AF_INET, socket.SOCK_RAW)
    found["mptcp"] = error_of(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close())
    found["netlink"] = _open(socket.AF_NETLINK, socket.SOCK_RAW)
    with socket.socket() as one:
        found["bind"] = error_of(lambda: one.bind(("127.0.0.1", 0)))
        found["listen"] = error_of(one.listen)
        fast_open = socket.MSG_FASTOPEN
        found["fastopen"] = error_of(lambda: one.sendto(b"x", fast_open, ("127.0.0.1", other)))
        found["fastopen_msg"] = error_of(lambda: one.sendmsg([b"x"], [], fast_open, ("127.0.0.1", other)))
        found["bad_pointer"] = _raw(203 if os.uname().machine == "aarch64" else 42, one.fileno(), 8, 16)
    answer(ctx, found)


def swap(ctx: ChildContext) -> None:
    """Exchange the address under connect()'s feet, as fast as this process can."""
    ctx.lock_down()
    libc = ctypes.CDLL(None, use_errno=True)
    packed = [
        b"\x02\x00" + port.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + bytes(8)
        for port in (ctx.args["port"], ctx.args["other"])
    ]
    where = ctypes.create_string_buffer(packed[0], 16)
    done = False

    def flip() -> None:
        while not done:
            for one in packed:
                ctypes.memmove(where, one, 16)

    thread = threading.Thread(target=flip)
    thread.start()
    sys.setswitchinterval(1e-5)
    results: set[str] = set()
    calls = 0
    while calls < ctx.args["times"] or not results > {"Permission denied"}:  # until both addresses were seen
        calls += 1
        with socket.socket() as one:
            one.setblocking(False)
            results.add(os.strerror(ctypes.get_errno()) if libc.connect(one.fileno(), where, 16) else "")
    done = True
    thread.join()
    answer(ctx, sorted(results))


def dial_slowly(ctx: ChildContext) -> None:
    """A blocking connect() that nobody answers."""
    ctx.lock_down()
    answer(ctx, _hello(("127.0.0.1", ctx.args["port"]), None))


def dial_when_told(ctx: ChildContext) -> None:
    """Connect only once the parent has closed its broker."""
    ctx.lock_down()
    answer(ctx, "ready")
    os.read(ctx.fds["go"], 1)
    answer(ctx, _hello(("127.0.0.1", ctx.args["port"]), None))
