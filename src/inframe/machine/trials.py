"""What `inframe doctor` has a child process try: the very requests that a device's processes make, at their place in
it."""

import errno
import json
import os
import socket
import time
from collections.abc import Callable

from inframe.machine.child import ChildContext

SLEEP_NS = 1_000_000
ALLOWED, OTHER = ("127.0.0.1", 1), ("127.0.0.1", 2)
"""Where the camera trial may connect to, and where not. Nothing needs to listen: the two ways to fail differ."""


def main(ctx: ChildContext) -> None:
    """Lock down, then try; writes one JSON object to the pipe named "answer"."""
    gave_up = ctx.lock_down(gc_off=True)
    answer = {
        "gave_up": [[one.what, one.why] for one in gave_up],
        "late_ns": lateness(int(ctx.args["wakeups"])),
        "inet": _error(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
        "allowed": _connect(ALLOWED),
        "other": _connect(OTHER),
    }
    with os.fdopen(ctx.fds["answer"], "w", encoding="ascii") as pipe:
        json.dump(answer, pipe)


def lateness(wakeups: int) -> list[int]:
    """How much later than asked each of `wakeups` sleeps of 1 ms ended, ns, sorted (after cyclictest)."""
    late = []
    for _ in range(wakeups):
        due = time.monotonic_ns() + SLEEP_NS
        time.sleep(SLEEP_NS / 1e9)
        late.append(max(0, time.monotonic_ns() - due))
    return sorted(late)


def _connect(where: tuple[str, int]) -> str:
    def connect() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            one.connect(where)

    return _error(connect)


def _error(act: Callable[[], None]) -> str:
    """The error's name, "" for none."""
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return ""
