"""`guard`: the process that keeps the box of a running device, and does nothing else. It sleeps until the display has shown a
frame, looks at what that frame's record says, and has the box be still before the next one: at real-time priority, since what
else runs on its core must not decide how soon.

It starts the box when the picture is first well, once: what a box has read of one patient is gone with it, and another one is for
another procedure. It is the box's parent, so that a box whose guard is gone is gone too.
"""

from inframe.assistant.box import Closed
from inframe.assistant.guard import Guard
from inframe.core.clock import NS_PER_MS, Clock, MonotonicClock
from inframe.core.config import Device
from inframe.core.types import Mode
from inframe.machine.child import ChildContext
from inframe.machine.walls import Limits
from inframe.pipeline import ring, start
from inframe.pipeline.board import Board, Count
from inframe.pipeline.mode import HARMLESS
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader

LOOK_NS = 50 * NS_PER_MS
SILENT_NS = 300 * NS_PER_MS
"""No record for so long: the display is gone, or the camera is."""


class State:
    """What the newest record says of the device."""

    def __init__(
        self, device: Device, records: RingReader, board: Board, critical: frozenset[str], clock: Clock
    ) -> None:
        self._records = RecordReader(records, fields_of(device), records.newest())
        self._board, self._critical, self._clock = board, critical, clock
        self._last: Shown | None = None
        self._last_ns = 0

    def look(self) -> tuple[Mode, bool]:
        """The mode, never better than DEGRADED while the display is silent or a process is away; and whether a critical finding is
        present."""
        now = self._clock.now()
        if taken := self._records.take():
            self._last, self._last_ns = taken[-1], now
        if self._last is None or now - self._last_ns > SILENT_NS:
            return Mode.VIDEO_ONLY, False
        mode = self._last.mode
        if self._board.faults().keys() - HARMLESS:
            mode = max(mode, Mode.DEGRADED)
        return mode, any(finding.rule in self._critical for finding in self._last.findings)


def main(ctx: ChildContext) -> None:
    """The process's life. Raises DeviceFault where the box can't be started."""
    device, clock = Device.model_validate(ctx.args["device"]), MonotonicClock()
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    row = board.row(ctx.name)
    state = State(device, RingReader(ctx.fds["records"]), board, frozenset(ctx.args["critical"]), clock)

    def wait() -> None:
        ring.wait(ctx.fds["wake"], clock.now() + LOOK_NS, clock)
        row.beat(clock.now())

    row.beat(clock.now())
    while state.look() != (Mode.NOMINAL, False):
        if ctx.stop.is_set():
            return
        wait()
    # before this process is real-time: its children would be as well
    limits = Limits(ctx.args["memory_mb"], frozenset(ctx.args["cores"]))
    box = Closed((ctx.fds["requests"], ctx.fds["answers"]), ctx.fds["model"], limits, context=ctx.args["context"])
    guard = Guard(box, clock)
    start.ready(ctx, row, clock, gc_off=True)
    row.set(Count.SEQ, box.pid)
    try:
        while not ctx.stop.is_set() and box.is_alive():
            mode, is_critical = state.look()
            guard.step(mode, is_critical=is_critical)
            wait()
    finally:
        box.close()
