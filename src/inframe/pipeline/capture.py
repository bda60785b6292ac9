"""`capture`, one process per stream: talks to the camera, decodes, writes each frame straight into its ring slot.

A broken bitstream or a hung driver can end this process and never the picture loop: it is started again, and the ring goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inframe.core.budgets import RECORDING_START_NS
from inframe.core.clock import NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device, FileStream, Stream
from inframe.core.errors import DeviceFault
from inframe.core.ports import Camera, EndOfStream, Shot
from inframe.core.types import FrameFlag, Pixels
from inframe.drivers.cameras import open_camera
from inframe.machine.child import ChildContext
from inframe.pipeline import start
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.ring import Header, RingWriter

READ_TIMEOUT_S = 0.05
RECONNECT_NS = (NS_PER_S // 10, NS_PER_S // 5, NS_PER_S // 2, NS_PER_S)


def main(ctx: ChildContext) -> None:
    """The process's life: until the recording ends or the parent says stop. Raises ConfigError for a camera that can't fit."""
    device = Device.model_validate(ctx.args["device"])
    name = str(ctx.args["stream"])
    stream = device.streams[name]
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    writer = RingWriter(ctx.fds["ring"], tuple(fd for key, fd in sorted(ctx.fds.items()) if key.startswith("wake.")))
    views = [p[: stream.height * stream.width * 3].reshape(stream.height, stream.width, 3) for p in writer.payloads]
    capture = Capture(stream, writer, views, board.row(ctx.name), MonotonicClock())
    start.ready(ctx, capture.row, capture.clock)
    if isinstance(stream, FileStream) and stream.pace == "fast":
        capture.follow = board.row("display")
        readers = [board.row(name) for name in ctx.args["readers"]]
    else:
        readers = [board.row("display")]
    if not isinstance(stream, FileStream):  # a recording can be opened meanwhile, a live camera would pile up pictures
        _wait_until_ready(ctx, readers, capture)

    def until_ready() -> None:
        _wait_until_ready(ctx, readers, capture)
        if ctx.args.get("recording") and capture.writer.seq == 1:
            _wait_for_recording(ctx, board.row(ctx.args["recording"]), capture)

    _keep_going(ctx, stream, capture, until_ready)


def _keep_going(ctx: ChildContext, stream: Stream, capture: "Capture", until_ready: Callable[[], None]) -> None:
    """Open the camera, use it until it is lost, wait a little longer each time, open it again. `until_ready` waits, once, for
    those who are to see the first frame."""
    losses, told, first = 0, "", True
    while not ctx.stop.is_set():
        try:
            camera = open_camera(stream, capture.clock, capture.rehearse)
            try:
                if first:
                    until_ready()
                first = False
                while not ctx.stop.is_set():
                    losses = 0 if capture.step(camera) else losses
            finally:
                camera.close()
        except EndOfStream:
            return
        except DeviceFault as fault:
            if str(fault) != told:
                told = str(fault)
                start.note(ctx, "camera lost", fault)
            capture.row.add(Count.RECONNECTS)
            until = capture.clock.now() + RECONNECT_NS[min(losses, len(RECONNECT_NS) - 1)]
            losses += 1
            while capture.clock.now() < until and not ctx.stop.wait(0.05):
                capture.row.beat(capture.clock.now())


def _wait_until_ready(ctx: ChildContext, readers: list[Row], capture: "Capture") -> None:
    """A procedure starts when it can be seen: no frame is captured before there is a display. The models may come later; only
    a recording that is played as fast as possible waits for them too, so that its first frame counts."""
    while not all(row.get(Count.READY_NS) for row in readers) and not ctx.stop.wait(0.005):
        capture.row.beat(capture.clock.now())


def _wait_for_recording(ctx: ChildContext, row: Row, capture: "Capture") -> None:
    """A recording that lacks the beginning can't be replayed: it may have a moment to open its file. Not more than that."""
    until = capture.clock.now() + RECORDING_START_NS
    while not row.get(Count.READY_NS) and capture.clock.now() < until and not ctx.stop.wait(0.005):
        capture.row.beat(capture.clock.now())


@dataclass
class Capture:
    """Moves one frame at a time from a camera into the ring."""

    stream: Stream
    writer: RingWriter
    views: list[Pixels]
    row: Row
    clock: Clock
    follow: Row | None = None
    """With a recording played as fast as possible: the display, which must have handled a frame before the next one comes."""

    def step(self, camera: Camera) -> bool:
        """Wait for one frame and publish it; False if none came. Raises what `Camera.read` raises."""
        self.writer.begin()
        shot = camera.read(self.views[self.writer.slot], READ_TIMEOUT_S)
        now = self.clock.now()
        self.row.beat(now)
        if shot is None:
            return False
        seq = self._publish(shot, now)
        if self.follow is not None:
            self._until_handled(seq)
        return True

    def rehearse(self) -> None:
        """Shortly before a frame: walk the way that it will go, so that it is in the caches."""
        row = self.row
        row.beat(self.clock.now())
        row.add(Count.FRAMES, 0)
        row.set(Count.SEQ, row.get(Count.SEQ))
        self.writer.rehearse()

    def _publish(self, shot: Shot, now: int) -> int:
        """Published last: who is woken by it waits until this process, of higher priority, is done."""
        row, seq = self.row, self.writer.seq
        row.add(Count.FRAMES)
        row.set(Count.SEQ, seq)
        if not row.get(Count.FIRST_NS):  # recordings of samples begin with it
            row.set(Count.FIRST_NS, shot.captured_ns)
        row.set(Count.LATENCY_NS, now - shot.captured_ns)
        if shot.dropped:
            row.add(Count.DROPPED, shot.dropped)
        if shot.flags & FrameFlag.CORRUPT:
            row.add(Count.CORRUPT)
        header = Header(0, seq, shot.captured_ns, now, shot.source_ns or 0, int(shot.flags), shot.dropped)
        return self.writer.commit(header)

    def _until_handled(self, seq: int) -> None:
        import time  # only here: recordings played as fast as possible have no real-time clock to keep

        while self.follow is not None and self.follow.get(Count.SEQ) < seq:
            time.sleep(0.0002)
            self.row.beat(self.clock.now())
            if self.row.heartbeat_ns - self.follow.heartbeat_ns > NS_PER_S:
                return  # the display is gone; it will find the newest frame when it is back
