"""What every process of the table does when its set-up is done."""

import os

from inframe.core.clock import Clock
from inframe.core.errors import one_line
from inframe.machine.child import ChildContext
from inframe.pipeline.board import Count, Row

NOTE_BYTES = 512  # below PIPE_BUF: a note is written whole or not at all
LOADED = "loaded "
"""How the note begins by which a worker says which model it has loaded: its SHA-256, its slot and its engine follow."""
_REAL_TIME = ("real-time priority", "own cores", "locked memory")


def note(ctx: ChildContext, what: str, why: object) -> None:
    """Tell the parent something for the end of the run; dropped when it does not read."""
    text = f"{ctx.name}\t{what}\t{one_line(why, 300)}"
    try:
        os.write(ctx.fds["notes"], text.encode()[: NOTE_BYTES - 1] + b"\n")
    except BlockingIOError:
        return


def ready(ctx: ChildContext, row: Row, clock: Clock, *, gc_off: bool = False) -> None:
    """Lock the process down, tell the parent what the operating system refused, and post that it is ready."""
    gave_up = ctx.lock_down(gc_off=gc_off)
    row.set_faults({"UNPARTITIONED": any(one.what in _REAL_TIME for one in gave_up)}, clock.now())
    for one in gave_up:
        note(ctx, f"not granted: {one.what}", one.why)
    row.beat(clock.now())
    row.set(Count.READY_NS, clock.now())
