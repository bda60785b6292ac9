"""`display`: the process that owns the deadline, the gate, the overlay and the screen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from inframe.core.clock import NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device, ModelConfig
from inframe.core.types import (
    Controls,
    Decision,
    Frame,
    Missed,
    NoSignal,
    Pixels,
    Result,
    Results,
    Verdict,
)
from inframe.machine.child import ChildContext
from inframe.pipeline import loop, places, record, ring, start
from inframe.pipeline.alerts import audible
from inframe.pipeline.align import aligner_of
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.decide import Plan, due, make_plan
from inframe.pipeline.insets import Insets
from inframe.pipeline.overlay import Overlay
from inframe.pipeline.palette import look
from inframe.pipeline.readings import Readings
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.samplering import SampleReader
from inframe.pipeline.surroundings import Aside
from inframe.pipeline.tipmarks import TipMarks
from inframe.pipeline.watched import Watched

FAULT_SHOWN_NS = NS_PER_S
"""A fault that lasts one frame is posted for this long, so that the slowest reader of the board sees it."""


def main(ctx: ChildContext) -> None:
    """The process's life."""
    import cv2

    cv2.setNumThreads(1)
    device = Device.model_validate(ctx.args["device"])
    clock, stream = MonotonicClock(), device.streams[device.display]
    models = {name: device.models[name] for name in ctx.args["models"]}
    labels = {name: tuple(model.labels) for name, model in models.items()}
    plan, board, frames = (
        make_plan(device, labels),
        Board(ctx.fds["board"], tuple(ctx.args["rows"])),
        RingReader(ctx.fds["frames"]),
    )
    readers = [places.readers(ctx.fds, models, place) for place in places.places_of(device)]
    shown = tuple(fd for key, fd in ctx.fds.items() if key.startswith("shown."))  # who must know at once
    records_ring = RingWriter(ctx.fds["records"], shown)
    records = record.RecordWriter(records_ring, record.fields_of(device))
    notes = RingWriter(ctx.fds["status"], ()) if "status" in ctx.fds else None
    status = Watched(board, notes, lambda: records_ring.seq)
    journal = BoardJournal(board.row(ctx.name), plan, records, _all(frames, readers), clock, board.controls)

    def wait(until_ns: int) -> bool:
        return ring.wait(ctx.fds["wake"], until_ns, clock)

    incoming = _incoming(ctx, device, frames, wait, journal, status)
    wakes = tuple(fd for key, fd in sorted(ctx.fds.items()) if key.startswith("wake."))
    screen = RingWriter(ctx.fds["screen"], wakes)
    surface = RingSurface(
        overlay_of(device, labels, _asides(ctx, device)),
        screen,
        (stream.width, stream.height),
        incoming,
        clock,
        journal.draw_failed,
    )
    surface.warm_up()
    waited = loop.awaited(models, device.deadline_ns)
    results = loop.ModelResults(plan, readers[0], clock, wait, waited, places.is_up(board, device))
    if device.candidate is not None:
        results = places.PlacedResults(
            plan,
            readers[0],
            clock,
            wait,
            waited,
            places.is_up(board, device),
            board=board,
            places=(readers[0], readers[1]),
            model_bits=places.model_bits(device),
            changed=records.turn,
            stood_in=lambda: journal.row.add(Count.STOOD_IN),
            unsigned=surface.overlay.say_unsigned,
        )
    if ctx.args["own_core"]:
        results.redraw = surface.redraw
    sensors = _sensors(ctx, device)
    start.ready(ctx, journal.row, clock, gc_off=True)
    loop.run(incoming, results, plan, status, surface, journal, journal, sensors)


def _sensors(ctx: ChildContext, device: Device) -> loop.Sensors:
    rings = {name: SampleReader(ctx.fds[f"samples.{name}"]) for name in device.sensors}
    return aligner_of(device.sensors, rings) if rings else loop.NO_SENSORS


def _all(frames: RingReader, results: list[dict[str, RingReader]]) -> list[RingReader]:
    return [frames, *(reader for side in results for reader in side.values())]


def _incoming(
    ctx: ChildContext,
    device: Device,
    frames: RingReader,
    wait: loop.Wait,
    journal: "BoardJournal",
    status: Watched,
) -> loop.Incoming:
    stream = device.streams[device.display]
    return loop.Incoming(
        stream=device.display,
        ring=frames,
        views=_views(frames.payloads, (stream.width, stream.height)),
        period_ns=int(NS_PER_S / stream.fps),
        deadline_ns=device.deadline_ns,
        stall_ns=loop.stall_after(stream),
        frozen_ns=loop.frozen_after(stream),
        clock=journal.clock,
        wait=wait,
        stopping=ctx.stop.is_set,
        skipped=journal.skipped,
        idle=lambda: journal.beat(None, None),
        look_ns=loop.look_after(device.deadline_ns, ctx.args["own_core"])
        if ctx.args["woken_by"] == "results"
        else None,
        last=journal.row.get(Count.SEQ),
        began=status.began,
    )


def _views(payloads: list[Pixels], size: tuple[int, int]) -> list[Pixels]:
    width, height = size
    return [payload[: height * width * 3].reshape(height, width, 3) for payload in payloads]


def _asides(ctx: ChildContext, device: Device) -> dict[str, Aside]:
    """The streams whose pictures are drawn into the displayed one."""
    found = {}
    for name in {inset.stream for inset in device.overlay.insets.values()}:
        reader, stream = RingReader(ctx.fds[f"aside.{name}"]), device.streams[name]
        found[name] = Aside(reader, _views(reader.payloads, (stream.width, stream.height)))
    return found


def overlay_of(
    device: Device, labels: Mapping[str, tuple[str, ...]], asides: Mapping[str, Aside] | None = None
) -> Overlay:
    """The overlay for the display's stream, as the device file wants it drawn; `asides`: the streams of its insets."""
    stream = device.streams[device.display]
    models = {name: device.models[name] for name in labels if device.models[name].stream == device.display}
    looks = {name: look(labels[name], model.colours, _full_scale(model)) for name, model in models.items()}
    texts, watermark = [rule.text for rule in device.rules.values()], device.overlay.watermark
    scored = any(model.decode.kind not in ("segmentation", "heat") for model in models.values())
    return Overlay(
        device.device,
        looks,
        stream.width,
        stream.height,
        texts=texts,
        watermark=watermark,
        unsigned=bool(device.unsigned),
        scored=scored,
        readings=partial(Readings, device) if device.sensors else None,
        tips=partial(TipMarks, device) if device.tools else None,
        insets=partial(Insets, device, asides) if asides else None,
    )


def _full_scale(model: ModelConfig) -> float:
    return model.decode.full_scale if model.decode.kind == "heat" else 1.0


def in_time(plan: Plan, said: Result | Missed, seq: int) -> bool:
    """Whether a model has said of frame `seq` what it had to say in time."""
    return (
        said.seq == seq if due(plan, said.model, seq) and isinstance(said, Result) else not due(plan, said.model, seq)
    )


@dataclass
class RingSurface:
    """Draws into the next slot of the screen ring and publishes it: that is the hand-off to whatever screens there are."""

    overlay: Overlay
    writer: RingWriter
    size: tuple[int, int]
    incoming: loop.Incoming
    clock: Clock
    failed: Callable[[], None]
    """Called when the overlay could not be drawn."""
    views: list[Pixels] = field(init=False)
    _laid: int = 0
    """The frame that the slot begun holds already."""
    _drawn: tuple[Decision, Controls, int, int] | None = None
    """What was drawn last: the decision, the controls, and the moments of drawing and capture."""

    def __post_init__(self) -> None:
        self.views = _views(self.writer.payloads, self.size)
        self._scratch = np.empty((self.size[1], self.size[0], 3), np.uint8)

    def lay(self, frame: Frame) -> None:
        """See loop.Surface."""
        self.writer.begin()
        np.copyto(self.views[self.writer.slot], frame.pixels)
        self._laid = frame.seq

    def show(self, frame: Frame | NoSignal, decision: Decision, controls: Controls) -> int:
        """See loop.Surface."""
        self.writer.begin()
        into = self.views[self.writer.slot]
        if isinstance(frame, NoSignal):
            self.overlay.card(into, decision, frame, controls)
            now = self.clock.now()
            self.writer.commit(Header(0, 0, frame.since_ns, now))
            return now
        verdict = self._draw(into, frame, decision, controls)
        if not self.incoming.still(frame):
            return 0
        now = self.clock.now()
        self.writer.commit(Header(0, frame.seq, frame.captured_ns, now, 0, 0, 0, verdict))
        self.writer.begin()  # the next one: now it delays nobody
        return now

    def redraw(self, frame: Frame) -> None:
        """What was drawn last, onto this frame and where nobody sees it: see loop.ModelResults."""
        if self._drawn is not None:
            decision, controls, now_ns, captured_ns = self._drawn
            self.overlay.draw_over(self._scratch, frame.pixels, decision, controls, now_ns, captured_ns)
            self.writer.rehearse()

    def _draw(self, into: Pixels, frame: Frame, decision: Decision, controls: Controls) -> Verdict:
        """Returns what was really drawn."""
        if self._laid != frame.seq:
            self.lay(frame)
        self._laid, self._drawn, now = 0, None, self.clock.now()
        try:
            self.overlay.draw_over(into, frame.pixels, decision, controls, now, frame.captured_ns)
        except Exception:  # noqa: BLE001  # whatever slipped through every check of a result costs its overlay, never the picture
            self.failed()
            plain = replace(decision, verdict=Verdict.WITHHOLD, findings=(), shown=(), age_ns=0)
            self.overlay.draw(into, frame.pixels, plain, controls, self.clock.now())
            return Verdict.WITHHOLD
        self._drawn = decision, controls, now, frame.captured_ns
        return decision.verdict

    def warm_up(self) -> None:
        """Touch every slot once, so that no page is touched for the first time at a deadline."""
        for view in (*self.views, self._scratch):
            view.fill(0)


@dataclass
class BoardJournal:
    """Counts on the board, records into the ring, and beats."""

    row: Row
    plan: Plan
    records: record.RecordWriter
    readers: list[RingReader]
    clock: Clock
    controls: Callable[[], Controls] = Controls
    _corrupt: int = 0
    _corrupt_ns: int = 0
    _late_ns: int = 0
    _undrawn_ns: int = 0

    def note(self, frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> None:
        """See loop.Journal."""
        now = self.clock.now()
        row = self.row
        row.set(Count.MODE, int(decision.mode))
        if shown_ns:  # the first verdict after a restart says that the picture is back
            row.set(Count.VERDICT, int(decision.verdict))
        row.set(Count.AUDIBLE, int(audible(decision.alerts, self.controls(), now)))
        if isinstance(frame, Frame):
            self._count(frame, results, decision, shown_ns)
        self._damage(now)
        self.records.write(frame, results, decision, shown_ns)

    def _count(self, frame: Frame, results: Results, decision: Decision, shown_ns: int) -> None:
        row = self.row
        row.set(Count.SEQ, frame.seq)
        if not shown_ns:
            self.skipped(1)
            return
        row.add(Count.FRAMES)
        row.add(
            {Verdict.SHOW: Count.SHOW, Verdict.HOLD: Count.HOLD, Verdict.WITHHOLD: Count.WITHHOLD}[decision.verdict]
        )
        if results and all(in_time(self.plan, result, frame.seq) for result in results.values()):
            row.add(Count.IN_TIME)
        row.set(Count.LATENCY_NS, shown_ns - frame.captured_ns)
        if shown_ns > frame.deadline_ns:
            row.add(Count.MISSED)
            self._late_ns = shown_ns
        for count, first in (
            (Count.FIRST_NS, True),
            (Count.FIRST_OVERLAY_NS, decision.verdict is Verdict.SHOW and results),
        ):
            if first and row.get(count) == 0:
                row.set(count, shown_ns)

    def skipped(self, frames: int) -> None:
        """See loop.Journal."""
        self.row.add(Count.MISSED, frames)
        self._late_ns = self.clock.now()

    def draw_failed(self) -> None:
        """An overlay could not be drawn: its results are to blame."""
        self._undrawn_ns = self.clock.now()

    def _damage(self, now: int) -> None:
        corrupt = sum(reader.corrupt for reader in self.readers)
        if corrupt > self._corrupt:
            self._corrupt, self._corrupt_ns = corrupt, now
        present = {"RING_CORRUPT": self._corrupt_ns, "DEADLINE_MISSED": self._late_ns, "AI_INVALID": self._undrawn_ns}
        self.row.set_faults({event: bool(at) and now - at < FAULT_SHOWN_NS for event, at in present.items()}, now)

    def beat(self, frame: Frame | NoSignal | None, decision: Decision | None) -> None:  # noqa: ARG002  # loop.Island's
        """See loop.Island. The heartbeat is on the board, where the parent and a safety island's driver read it."""
        self.row.beat(self.clock.now())
