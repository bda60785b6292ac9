"""`screen`, one process per screen of the device file: takes pictures as they left the gate to a driver, which may be slow."""

from collections.abc import Callable

from inframe.core.clock import NS_PER_MS, Clock, MonotonicClock
from inframe.core.config import Device
from inframe.core.types import Pixels
from inframe.drivers.screens import open_screen
from inframe.drivers.screens.commands import CommandScreen, Wish, obey
from inframe.machine.child import ChildContext
from inframe.pipeline import ring, start
from inframe.pipeline.board import END, Board, Count, Row
from inframe.pipeline.palette import BLACK, WHITE
from inframe.pipeline.ring import RingReader
from inframe.pipeline.text import Lettering, Style, stamp

IDLE_NS = 50 * NS_PER_MS
STALE_NS = 500 * NS_PER_MS
STALE_TEXT = "PICTURE STOPPED"
BEHIND = 1
"""A screen that is so many slots short of being overtaken skips to the newest picture."""


def main(ctx: ChildContext) -> None:
    """The process's life. Raises DeviceFault when the driver can't go on."""
    device = Device.model_validate(ctx.args["device"])
    stream = device.streams[device.display]
    config = device.screens[int(ctx.args["screen"])]
    driver = open_screen(config, stream.width, stream.height, stream.fps, title=device.device)
    try:
        show(ctx, device, driver)
    finally:
        driver.close()


def show(
    ctx: ChildContext, device: Device, driver: CommandScreen, each: Callable[[int], None] = lambda _: None
) -> None:
    """Show what there is until told to stop. `each` is called after each look, with the time in ns."""
    stream, clock = device.streams[device.display], MonotonicClock()
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    screen = ScreenFeed(
        driver, RingReader(ctx.fds["frames"]), (stream.height, stream.width), board, board.row(ctx.name), clock
    )
    screen.row.set(Count.PORT, getattr(driver, "port", 0))
    start.ready(ctx, screen.row, clock)
    while not ctx.stop.is_set():
        screen.row.beat(clock.now())
        if ring.wait(ctx.fds["wake"], clock.now() + IDLE_NS, clock):
            screen.step(ctx.stop.is_set)
        screen.check(clock.now())
        screen.listen(clock.now())
        each(clock.now())
    screen.step(lambda: False)  # what was shown before the end belongs into a file too


class ScreenFeed:
    """Every picture in order while the driver keeps up, else the newest."""

    def __init__(
        self, driver: CommandScreen, reader: RingReader, shape: tuple[int, int], board: Board, row: Row, clock: Clock
    ) -> None:
        height, width = shape
        self._driver, self._reader, self._board, self.row, self._clock = driver, reader, board, row, clock
        self._views: list[Pixels] = [p[: height * width * 3].reshape(height, width, 3) for p in reader.payloads]
        self._last = row.get(Count.SEQ)
        self._shown_ns, self._stale = clock.now(), False

    def step(self, stopping: Callable[[], bool]) -> None:
        """Show what is new."""
        while not stopping():
            newest = self._reader.newest()
            if newest <= self._last:
                return
            seq = self._last + 1
            if newest - seq > self._reader.slots - 1 - BEHIND:
                self.row.add(Count.DROPPED, newest - seq)
                seq = newest
            self._last = seq
            self.row.set(Count.SEQ, seq)
            header = self._reader.header(seq)
            if header is None:
                self.row.add(Count.DROPPED)
                continue
            self.row.beat(self._clock.now())
            self._driver.show(self._views[seq % self._reader.slots], header.tag, header.published_ns)
            self._shown_ns, self._stale = self._clock.now(), False
            self.row.add(Count.FRAMES)

    def check(self, now_ns: int) -> None:
        """A screen must not go on showing an old picture as if it were live: when the display is away, it says so, once."""
        if self._stale or not self._last or now_ns - self._shown_ns < STALE_NS:
            return
        self._stale = True
        picture = self._views[self._last % self._reader.slots] // 3
        height, width, _ = picture.shape
        plate = Lettering(max(11, height // 42)).plate(
            STALE_TEXT, Style(BLACK, WHITE, opacity=1.0, scale=2.0, weight=800)
        )
        stamp(picture, plate, (width - plate.width) // 2, (height - plate.height) // 2)
        self._driver.show(picture, 0, now_ns)

    def listen(self, now_ns: int) -> None:
        """Do what people asked for at this screen."""
        for command in self._driver.poll():
            if command.wish is Wish.QUIT:
                self.row.set(Count.COMMAND, END)
            else:
                self._board.set_controls(obey(self._board.controls(), command, now_ns))
