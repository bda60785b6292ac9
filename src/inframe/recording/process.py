"""`recording`: writes the raw video and all that was made of it into an MCAP file. A process of its own, so that an encoder or a
disk that is too slow for the video holds up neither the trail nor anything else: what it can't keep is left out and counted.
"""

from pathlib import Path
from queue import Empty, Queue, SimpleQueue
from threading import Thread

import numpy as np

from inframe.core.clock import NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import DeviceFault
from inframe.core.types import Pixels
from inframe.machine.child import ChildContext
from inframe.pipeline import places, start
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.record import RecordReader, fields_of
from inframe.pipeline.rest import period_of, rest
from inframe.pipeline.ring import RingReader
from inframe.pipeline.samplering import SampleReader
from inframe.pipeline.watched import WatchedReader
from inframe.recording.about import about, wall_minus_monotonic
from inframe.recording.events import Picture
from inframe.recording.seal import procedure_key, read_device_key
from inframe.recording.storage import KEY
from inframe.recording.tap import Mark, Missing, Tap
from inframe.recording.write import Event, RecordingWriter, Settings, texts

BACKLOG_BYTES = 96 << 20
BACKLOG = (6, 48)
"""So many frames may wait for the encoder, at least and at most: what they take in memory decides."""
RETRY_NS = 2 * NS_PER_S
SHOWN_NS = 2 * NS_PER_S
IDLE_S = 0.5
STOP_S = 2.0


def main(ctx: ChildContext) -> None:
    """The process's life."""
    device = Device.model_validate(ctx.args["device"])
    clock, board = MonotonicClock(), Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    row, stream = board.row(ctx.name), device.streams[device.display]
    buffers = _buffers(stream.height, stream.width)
    events: Queue[Event | Mark | None] = Queue()
    writer = RecordingWriter(_settings(device, ctx.args["started"], ctx.args["procedure"]), texts(device))
    keeper = Keeper(writer, events, buffers, row, clock)
    tap = _tap(ctx, device, board, buffers, events)
    thread = Thread(target=keeper.run, daemon=True)
    thread.start()
    start.ready(ctx, row, clock)
    while rest(tap.records, period_of(stream), clock, ctx.stop.wait):
        _look(tap, keeper, row, clock)
    _look(tap, keeper, row, clock)
    events.put(None)
    thread.join(STOP_S)


def _tap(
    ctx: ChildContext,
    device: Device,
    board: Board,
    buffers: SimpleQueue[Pixels],
    events: "Queue[Event | Mark | None]",
) -> Tap:
    row, stream = board.row(ctx.name), device.streams[device.display]
    models = {name: model for name, model in device.models.items() if model.stream == device.display}
    others = places.readers(ctx.fds, models, places.B) if device.candidate is not None else {}
    return Tap(
        frames=RingReader(ctx.fds["frames"]),
        outputs={name: (RingReader(ctx.fds[f"results.{name}"]), len(model.labels)) for name, model in models.items()},
        records=RecordReader(RingReader(ctx.fds["records"]), fields_of(device), row.get(Count.TAKEN)),
        watched=WatchedReader(RingReader(ctx.fds["status"])),
        workers={f"worker.{w}": board.row(f"worker.{w}") for w in sorted({m.worker for m in models.values()})},
        shape=(stream.height, stream.width),
        buffers=buffers,
        clock=MonotonicClock(),
        put=events.put,
        last=row.get(Count.SEQ),
        others=others,
        model_bits=places.model_bits(device),
        sensors={name: SampleReader(ctx.fds[f"samples.{name}"]) for name in device.sensors},
    )


def _look(tap: Tap, keeper: "Keeper", row: Row, clock: Clock) -> None:
    if keeper.failed is not None:
        raise DeviceFault(f"recording: {keeper.failed}") from keeper.failed
    complete = tap.step()
    now = clock.now()
    if not complete:
        keeper.behind_ns = now
    row.set_faults({"RECORDER_BEHIND": bool(keeper.behind_ns) and now - keeper.behind_ns < SHOWN_NS}, now)
    row.beat(now)


def _buffers(height: int, width: int) -> SimpleQueue[Pixels]:
    least, most = BACKLOG
    buffers: SimpleQueue[Pixels] = SimpleQueue()
    for _ in range(min(most, max(least, BACKLOG_BYTES // (height * width * 3)))):
        buffers.put(np.empty((height, width, 3), np.uint8))
    return buffers


def _settings(device: Device, started: str, procedure: str) -> Settings:
    config = device.recording
    if config is None:
        raise RuntimeError("a device that does not record")
    folder, key, offset = Path(config.folder), None, wall_minus_monotonic()
    name = f"{started}-{procedure[:8]}"
    if config.encrypt is not None:
        folder.mkdir(parents=True, exist_ok=True)
        key = procedure_key(folder / f"{name}{KEY}", read_device_key(Path(config.encrypt)))
    return Settings(folder, name, device, about(device, procedure, offset), offset, key)


class Keeper:
    """The thread that encodes and writes. A full or broken disk is a fault that it raises and retries, never an end."""

    def __init__(
        self,
        writer: RecordingWriter,
        events: "Queue[Event | Mark | None]",
        buffers: SimpleQueue[Pixels],
        row: Row,
        clock: Clock,
    ) -> None:
        self._writer, self._events, self._buffers, self._row, self._clock = writer, events, buffers, row, clock
        self.failed: Exception | None = None
        self.behind_ns = 0
        self._retry_ns = 0
        self._lost = Missing()
        """Not in the file, and not told in it yet."""
        self._open = Missing()
        """What is in the chunk that is being filled."""
        self._mark = Mark(row.get(Count.SEQ), row.get(Count.TAKEN))

    def run(self) -> None:
        """Until None comes."""
        try:
            while True:
                try:
                    event = self._events.get(timeout=IDLE_S)
                except Empty:
                    self._guarded(None)
                    continue
                if event is None:
                    self._writer.close()
                    self._post()
                    return
                self.take(event)
        except Exception as error:  # noqa: BLE001  # a thread's error is seen by nobody: the process ends for it
            self.failed = error

    def take(self, event: Event | Mark) -> None:
        """Write one event, or count it as lost."""
        if isinstance(event, Mark):
            self._mark = event
            return
        self._guarded(event)
        if isinstance(event, Picture):
            self._buffers.put(event.pixels)

    def _guarded(self, event: Event | None) -> None:
        now = self._clock.now()
        self._open.event(event)
        if now < self._retry_ns:
            self._lose(now)
            return
        gap = self._lost.told(now) if event is not None else None
        try:
            if gap is not None:
                self._writer.take(gap, now)
            if self._writer.take(event, now):
                self._post()
            self._row.clear_fault("DISK_FULL")
        except OSError:
            self._row.raise_fault("DISK_FULL", now)
            self._retry_ns = now + RETRY_NS
            if gap is not None:  # still untold
                self._lost.add(Missing(gap.frames, gap.first, gap.last, gap.results, gap.decisions, gap.samples or 0))
            self._lose(now)

    def _post(self) -> None:
        """What has been handed over is not lost with this process: the next one goes on behind it."""
        self._row.add(Count.FRAMES, self._open.frames)
        self._row.set(Count.SEQ, self._mark.frame)
        self._row.set(Count.TAKEN, self._mark.record)
        self._open = Missing()

    def _lose(self, now_ns: int) -> None:
        """The event, and with an open chunk all that was in it."""
        if self._open.frames:
            self._row.add(Count.DROPPED, self._open.frames)
            self.behind_ns = now_ns
        self._lost.add(self._open)
        self._open = Missing()
