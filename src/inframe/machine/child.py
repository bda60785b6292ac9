"""The first code of every child process: `python -m inframe.machine.child NAME DESCRIPTOR`.

It imports little, because a restarted process is waited for. It ties itself to the parent, closes the network, and only
then imports what it was asked to run.
"""

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from inframe.core.errors import InframeError, one_line
from inframe.machine import kernel
from inframe.machine.partition import GaveUp, Partition, apply, begin

FAULT = 70
"""Exit code of an error nobody caught (EX_SOFTWARE). An InframeError has its own; 0 means that it has finished."""
PARENT_GONE = 71
SELECT_LIMIT = 1024
STOPPED = 128 + signal.SIGTERM
"""Ended because it was told to. Not 0: whoever but the parent sends SIGTERM gets a restart, not an end."""

# Set before anything can start a thread pool; a row's args may ask for more under "threads".
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Stop:
    """Set by SIGTERM: end in an orderly way. Looks like threading.Event, and can be polled beside other descriptors."""

    def __init__(self) -> None:
        # Not threading.Event: its lock, taken by the loop when the signal arrives, would be waited for by the handler.
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set = False

    def fileno(self) -> int:
        """Readable once it is set."""
        return self._fd

    def set(self) -> None:
        self._is_set = True
        os.eventfd_write(self._fd, 1)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set, `timeout_s` at most; whether it is set."""
        if not self._is_set:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.poll(None if timeout_s is None else max(0.0, timeout_s * 1000))
        return self._is_set


@dataclass(frozen=True, slots=True)
class ChildContext:
    """What a target is called with: `def target(ctx: ChildContext) -> None`.

    It sets itself up (imports, model, warm-up), calls `lock_down`, then loops until `stop`. Returning means finished,
    and it is not started again. `lock_down(gc_off=True)` also leaves the cycle collector off; it returns what did not
    stand.
    """

    name: str
    args: Mapping[str, Any]
    fds: Mapping[str, int]
    stop: Stop
    lock_down: Callable[..., tuple[GaveUp, ...]]


def main(arguments: list[str]) -> int:
    """Run the row in descriptor `arguments[1]`; the exit code."""
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; some container runtimes send it to everyone
    row = _read_row(int(arguments[1]))
    # Read and set in this order: a parent that died before prctl has already handed us on to another
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != row["parent"]:
        return PARENT_GONE
    kernel.prctl(kernel.PR_SET_NAME, f"inframe:{row['name']}".encode())
    _set_environment(row["args"])
    partition = Partition.from_json(row["partition"])
    _ordinary_scheduling(partition)
    gave_up = begin(partition, row["broker"])

    def lock_down(*, gc_off: bool = False) -> tuple[GaveUp, ...]:
        return (*gave_up, *apply(partition, gc_off=gc_off))

    context = ChildContext(row["name"], row["args"], row["fds"], stop, lock_down)
    return _run(row["target"], context)


def _read_row(fd: int) -> dict[str, Any]:
    with open(fd, "rb") as file:
        row: dict[str, Any] = json.loads(file.read())
    low = {fd: _low(fd) for fd in set(row["fds"].values())}
    row["fds"] = {key: low[fd] for key, fd in row["fds"].items()}
    return row


def _low(fd: int) -> int:
    """The descriptor under a low number: select() takes none from 1024 on, and the parent may have that many open."""
    if fd < SELECT_LIMIT:
        return fd
    lower = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return lower


def _set_environment(args: Mapping[str, Any]) -> None:
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(args.get("threads", 1))


def _ordinary_scheduling(partition: Partition) -> None:
    """Set up at ordinary priority wherever there is room, even when the parent itself is real-time or on one core."""
    with suppress(OSError):  # an unprivileged process that was started idle stays so
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):  # those cores are not ours: apply() says so
        os.sched_setaffinity(0, os.sched_getaffinity(0) | partition.cores)


def _run(target: str, context: ChildContext) -> int:
    try:
        module, _, function = target.partition(":")
        gc.disable()  # what imports make stays: looking through it again and again takes a tenth of the start
        run = getattr(importlib.import_module(module), function)
        gc.enable()
        run(context)
    except InframeError as error:
        return _complain(context.name, error, error.exit_code)
    except Exception as error:  # noqa: BLE001  # the outermost frame: whatever it is becomes one line and an exit code
        return _complain(context.name, error, FAULT)
    return STOPPED if context.stop.is_set() else 0


def _complain(name: str, error: Exception, exit_code: int) -> int:
    if os.environ.get("INFRAME_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if isinstance(error, InframeError):  # one line already, and whole: it ends with what was expected
        sys.stderr.write(f"inframe: {name}: {error}\n")
        return exit_code
    where = ""
    if (trace := error.__traceback__) is not None:
        while trace.tb_next is not None:
            trace = trace.tb_next
        where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"  # noqa: PTH119  # pathlib may fail here too
    sys.stderr.write(f"inframe: {name}: {type(error).__name__}: {one_line(error)}{where}\n")
    return exit_code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Past the interpreter's teardown: native libraries' exit handlers crash there often enough, and a crash after the
    # work is done would read as a death. What must be closed, the target has closed.
    os._exit(code)
