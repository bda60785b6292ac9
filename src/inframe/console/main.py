"""The process `console`: the feed of pictures in its main thread, the server in another. It may be killed at any moment."""

import os
from collections.abc import Callable
from pathlib import Path
from socket import socket

from inframe.console.app import make_app
from inframe.console.desk import Desk
from inframe.console.door import Guard
from inframe.console.follow import Follower
from inframe.console.live import Live
from inframe.console.people import read_people
from inframe.console.serve import Serving, make_server
from inframe.console.sessions import Sessions, local_session
from inframe.core.clock import MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import Pixels
from inframe.core.web import DEMO, WebScreen
from inframe.machine.child import ChildContext
from inframe.pipeline import screen, start
from inframe.pipeline.board import Board
from inframe.pipeline.happened import HappenedReader
from inframe.pipeline.record import RecordReader, fields_of
from inframe.pipeline.ring import RingReader


def main(ctx: ChildContext) -> None:
    """The process's life. Raises ConfigError for a file of users or a certificate that can't be used."""
    import cv2

    cv2.setNumThreads(1)
    device = Device.model_validate(ctx.args["device"])
    config = device.screens[int(ctx.args["screen"])]
    if not isinstance(config, WebScreen):
        raise TypeError("a console for a screen that is no page")
    desk, listener = make_desk(ctx, device, config)
    try:
        server = make_server(make_app(desk), config)
        server.config.load()
    except OSError as error:
        raise ConfigError(ctx.name, "tls", error.strerror or error, "a certificate and its key, in PEM files") from None
    serving = Serving(server, desk.live, listener)
    serving.start()
    try:
        screen.show(ctx, device, desk.live, _each(desk, serving))
    finally:
        desk.live.close()
        serving.stop()


def make_desk(ctx: ChildContext, device: Device, config: WebScreen) -> tuple[Desk, socket]:
    """All that the routes work with, and the socket that the parent has opened. Raises ConfigError."""
    clock, board = MonotonicClock(), Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    records = RingReader(ctx.fds["records"])
    # what was before this process is not told again; a few seconds of it are history for the charts
    first = max(0, records.newest() - records.slots // 2)
    follower = Follower(
        device, board, RecordReader(records, fields_of(device), first), HappenedReader(RingReader(ctx.fds["happened"]))
    )
    listener = socket(fileno=ctx.fds["listener"])
    stream = device.streams[device.display]
    raw = raw_pixels(RingReader(ctx.fds["raw"]), stream.height, stream.width)

    def state(now_ns: int) -> dict[str, object]:
        return {**follower.state(now_ns), "samples": follower.fresh()}

    live = Live(listener, stream.width, stream.height, raw, state)
    people = read_people(Path(config.users)) if config.users is not None else {}
    local = local_session(clock.now()) if config.users is None else None
    # a cookie belongs to a host, not to a port: two devices on one machine must not overwrite each other's
    cookie = f"{'__Host-' if config.tls is not None else ''}inframe-{live.port}"
    guard = Guard(Sessions(), local, clock, cookie)

    def note(what: str, why: object) -> None:
        start.note(ctx, what, why)

    desk = Desk(device, config, ctx.name, board, clock, live, follower, people, guard, note, _is_demo())
    return desk, listener


def _is_demo() -> bool:
    return os.environ.get(DEMO) == "1"


def _each(desk: Desk, serving: Serving) -> Callable[[int], None]:
    def each(now_ns: int) -> None:
        desk.follower.look()
        desk.live.post(now_ns)
        if not serving.is_alive:
            raise DeviceFault(f"the page's server has ended: {serving.failed or 'without a word'}")

    return each


def raw_pixels(ring: RingReader, height: int, width: int) -> Callable[[int], Pixels | None]:
    """The captured pixels of a frame, as long as its slot was not used again."""

    def of(seq: int) -> Pixels | None:
        if not seq or ring.header(seq) is None:
            return None
        return ring.payload(seq)[: height * width * 3].reshape(height, width, 3)

    return of
