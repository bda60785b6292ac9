"""The assistant beside a running device: what its guard sees of the device, at each tick of whoever runs it."""

from collections.abc import Callable

from inframe.assistant.guard import Guard
from inframe.core.types import Mode
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.pipeline.mode import HARMLESS
from inframe.procedure import Follower


def mode_of(running: Running) -> Mode:
    """The mode as the assistant must take it: the display's, and never better than DEGRADED while it has shown nothing or anything
    is broken, the display itself for one."""
    display = running.board.row("display")
    mode = Mode(min(display.get(Count.MODE), max(Mode)))
    is_well = display.get(Count.READY_NS) and display.get(Count.FRAMES) and not running.board.faults().keys() - HARMLESS
    return mode if is_well else max(mode, Mode.DEGRADED)


def guarding(guard: Guard) -> Callable[[Running, Follower], None]:
    """A tick for `procedure.run`, which calls it a hundred times a second."""

    def tick(running: Running, _follower: Follower) -> None:
        guard.step(mode_of(running))

    return tick
