"""`sensor`, one process per stream of samples: talks to the sensor, puts its samples on the device's clock, says what they are
worth, writes them into their ring. Capture's role for what is not a picture.

A broken source or a hung driver can end this process and nothing else: it is started again, and the ring goes on. Nobody waits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Block, EndOfStream, Sensor
from inframe.core.samples import NO_TIME, Quality
from inframe.core.sensor import SensorBase, period_ns
from inframe.drivers.sensors import is_recorded, open_sensor
from inframe.machine.child import ChildContext
from inframe.pipeline import start
from inframe.pipeline.artefacts import Judge
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.clockfit import ClockFit
from inframe.pipeline.samplering import SampleWriter

READ_TIMEOUT_S = 0.05
RECONNECT_NS = (NS_PER_S // 10, NS_PER_S // 5, NS_PER_S // 2, NS_PER_S)
STEPPED_SHOWN_NS = 5 * NS_PER_S
POST_NS = NS_PER_S // 10
"""How often the board is told of the source's clock."""


def main(ctx: ChildContext) -> None:
    """The process's life: until the recording ends or the parent says stop. Raises ConfigError for a source that can't fit."""
    device = Device.model_validate(ctx.args["device"])
    sensor = device.sensors[str(ctx.args["stream"])]
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    sensing = Sensing(sensor, SampleWriter(ctx.fds["ring"]), board.row(ctx.name), MonotonicClock())
    start.ready(ctx, sensing.row, sensing.clock, gc_off=True)
    shown = board.row(f"capture.{device.display}")
    _keep_going(ctx, sensing, lambda: _first_frame(ctx, sensing, shown) if is_recorded(sensor) else sensing.clock.now())


def _first_frame(ctx: ChildContext, sensing: "Sensing", capture: Row) -> int:
    """When the first frame of the displayed stream was captured: a recording of samples begins with that of the picture."""
    while not (began := capture.get(Count.FIRST_NS)) and not ctx.stop.wait(0.005):
        sensing.row.beat(sensing.clock.now())
    return began


def _keep_going(ctx: ChildContext, sensing: "Sensing", begin: Callable[[], int]) -> None:
    """Open the sensor, use it until it is lost, wait a little longer each time, open it again."""
    losses, told, began = 0, "", begin()
    while not ctx.stop.is_set():
        try:
            source = open_sensor(sensing.sensor, sensing.clock, began)
            try:
                while not ctx.stop.is_set():
                    losses = 0 if sensing.step(source) else losses
            finally:
                source.close()
        except EndOfStream:
            _outlive(ctx, sensing)
            return
        except (DeviceFault, ConfigError) as fault:
            if isinstance(fault, ConfigError) and is_recorded(sensing.sensor):
                raise
            # A sensor that is plugged in in the middle of a procedure and does not fit is a sensor that is not there: no end.
            if str(fault) != told:
                told = str(fault)
                start.note(ctx, "sensor lost", fault)
            sensing.row.add(Count.RECONNECTS)
            until = sensing.clock.now() + RECONNECT_NS[min(losses, len(RECONNECT_NS) - 1)]
            losses += 1
            while sensing.clock.now() < until and not ctx.stop.wait(0.05):
                sensing.row.beat(sensing.clock.now())


def _outlive(ctx: ChildContext, sensing: "Sensing") -> None:
    """At the end of a recording: its samples grow old, and so absent, as those of any sensor that falls silent."""
    while not ctx.stop.wait(READ_TIMEOUT_S):
        sensing.row.beat(sensing.clock.now())


@dataclass
class Sensing:
    """Moves samples from a sensor into its ring."""

    sensor: SensorBase
    writer: SampleWriter
    row: Row
    clock: Clock
    fit: ClockFit = field(default_factory=ClockFit)
    _judge: Judge = field(init=False)
    _stepped: int = 0
    _stepped_ns: int = 0
    _posted_ns: int = 0

    def __post_init__(self) -> None:
        self._judge = Judge(self.sensor)
        self._latency_ns, self._period_ns = int(self.sensor.latency_ms * NS_PER_MS), period_ns(self.sensor)

    def step(self, source: Sensor) -> bool:
        """Wait for samples and publish them; False if none came. Raises what `Sensor.read` raises."""
        block = source.read(READ_TIMEOUT_S)
        now = self.clock.now()
        self.row.beat(now)
        if now - self._posted_ns >= POST_NS:
            self._post(now)
        if block is None:
            return False
        self.take(block)
        return True

    def take(self, block: Block) -> None:
        """Publish these samples; those whose time can't be right are left out, and counted."""
        written = 0
        for i, (timed, values) in enumerate(zip(self._timed(block), block.values, strict=True)):
            if timed is None or timed[0] <= self.writer.captured_ns - self._period_ns // 2:
                self.row.add(Count.DROPPED)
                continue
            captured, uncertain, is_known = timed
            moved = max(
                0, self.writer.captured_ns + 1 - captured
            )  # what is known of the clock has changed: time goes on
            if moved and block.captured_ns is not None:
                self.row.add(Count.DROPPED)
                continue
            quality = self._judge.of(captured, values)
            if not is_known and quality is Quality.OK:
                quality = Quality.CALIBRATING
            source = block.source_ns[i] if block.source_ns is not None else NO_TIME
            self.writer.write(captured + moved, source, uncertain + moved, quality, values)
            written += 1
        self.row.add(Count.FRAMES, written)
        self.row.set(Count.SEQ, self.writer.seq - 1)
        self.row.set(Count.LATENCY_NS, self.clock.now() - self.writer.captured_ns)

    def _timed(self, block: Block) -> Iterator[tuple[int, int, bool] | None]:
        """Of each sample when it was measured, device clock, how far off that may be, and whether it can be believed; None where
        its time can't be right."""
        count, stamps = len(block.values), block.source_ns
        if block.captured_ns is not None:
            yield from ((ns, block.uncertain_ns, True) for ns in block.captured_ns)
        elif stamps is None:  # of samples that arrived together without times the last one is the newest
            first = block.arrived_ns - self._latency_ns - (count - 1) * self._period_ns
            yield from ((first + i * self._period_ns, self._period_ns, True) for i in range(count))
        elif all(a < b for a, b in pairwise(stamps)) and self.fit.heard(stamps[-1], block.arrived_ns):
            uncertain, is_known = self.fit.uncertain_ns, self.fit.is_known  # the last one had the least delay
            yield from ((self.fit.at(s) - self._latency_ns, uncertain, is_known) for s in stamps)
        else:
            for stamp in stamps:
                is_right = self.fit.heard(stamp, block.arrived_ns)
                captured = self.fit.at(stamp) - self._latency_ns if is_right else 0
                yield (captured, self.fit.uncertain_ns, self.fit.is_known) if is_right else None

    def _post(self, now: int) -> None:
        fit, row, self._posted_ns = self.fit, self.row, now
        row.set(Count.CLOCK_OFFSET_NS, fit.offset_ns)
        row.set(Count.CLOCK_DRIFT_PPB, round(fit.drift_ppm * 1000))
        row.set(Count.CLOCK_UNCERTAIN_NS, fit.uncertain_ns)
        if fit.stepped > self._stepped:
            self._stepped, self._stepped_ns = fit.stepped, now
        shown = bool(self._stepped_ns) and now - self._stepped_ns < STEPPED_SHOWN_NS
        row.set_faults({"SENSOR_CLOCK_STEPPED": shown}, now)
