"""`screen`, one process per screen of the device file: takes frames as they left the gate to a driver, which may be slow."""

from inframe.core.clock import NS_PER_MS, MonotonicClock
from inframe.core.config import Device
from inframe.drivers.screens import open_screen
from inframe.machine.child import ChildContext
from inframe.pipeline import ring
from inframe.pipeline.board import Board, Count
from inframe.pipeline.ring import RingReader

IDLE_NS = 50 * NS_PER_MS


def main(ctx: ChildContext) -> None:
    """The process's life. Raises DeviceFault when the driver can't go on."""
    raise NotImplementedError(Device, open_screen, Board, Count, RingReader, ring, IDLE_NS, MonotonicClock)
