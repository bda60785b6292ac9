"""`worker`: an isolated process that runs models on frames. It starts on a frame the moment it is captured, always the newest.

It may be killed at any moment: whatever it had is in the ring or lost, and the display goes on without it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.samples import Taken
from inframe.core.types import MissedReason, Output, Pixels
from inframe.machine.child import ChildContext
from inframe.pipeline import results, ring, start
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.gate import looks_at
from inframe.pipeline.given import NOTHING, Given
from inframe.pipeline.model import Model, load_of
from inframe.pipeline.places import place, ring_name
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.samplering import SampleReader
from inframe.pipeline.surroundings import Aside, Surroundings

IDLE_NS = 100 * NS_PER_MS
EARLY_NS = NS_PER_MS
"""So long before a frame is expected the worker rehearses its way, and sleeps again: what it runs first is then in the caches."""
FAILURES = 30
"""So many failed runs in a row end the process: a fresh one may have a working engine (a lost GPU, a full memory)."""


def main(ctx: ChildContext) -> None:
    """The process's life. Raises ConfigError for a model that can't run as the device file says."""
    import cv2

    cv2.setNumThreads(1)
    device = Device.model_validate(ctx.args["device"])
    clock = MonotonicClock()
    sources = {name: Source.of(device, name, ctx.fds[f"ring.{name}"]) for name in ctx.args["streams"]}
    own = int(ctx.args["place"])
    rings = {name: SampleReader(ctx.fds[f"samples.{name}"]) for name in ctx.args["sensors"]}
    asides = {name: _aside(device, name, ctx.fds[f"ring.{name}"]) for name in ctx.args["asides"]}
    jobs = [_job(device, name, sources, ctx.fds, own) for name in ctx.args["models"]]
    for job in jobs:
        job.model.warm_up(clock)
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    worker = Worker(
        jobs, list(sources.values()), board.row(ctx.name), clock, lambda what, why: start.note(ctx, what, why)
    )
    worker.surroundings = Surroundings(device, rings, asides) if any(job.model.takes for job in jobs) else None
    bit = int(ctx.args["bit"])
    worker.is_shown = lambda: place(board.shown(), bit) == own
    for job in jobs:
        start.note(ctx, f"{start.LOADED}{job.name}", f"{job.model.sha256} {job.model.slot} {job.model.engine.name}")
    start.ready(ctx, worker.row, clock)
    while not ctx.stop.is_set():
        worker.row.beat(clock.now())
        if ring.wait(ctx.fds["wake"], worker.next_look(clock.now()), clock):
            worker.step()
        else:
            worker.rehearse()


@dataclass
class Source:
    """One stream's ring as this worker reads it."""

    name: str
    reader: RingReader
    views: list[Pixels]
    period_ns: int
    last: int = 0
    last_ns: int = 0

    @staticmethod
    def of(device: Device, name: str, fd: int) -> "Source":
        """The stream `name` from the ring in `fd`."""
        stream, reader = device.streams[name], RingReader(fd)
        views = [p[: stream.height * stream.width * 3].reshape(stream.height, stream.width, 3) for p in reader.payloads]
        return Source(name, reader, views, int(NS_PER_S / stream.fps))


def _aside(device: Device, name: str, fd: int) -> Aside:
    """A stream that is looked at beside another one's frames."""
    source = Source.of(device, name, fd)
    return Aside(source.reader, source.views)


@dataclass
class Job:
    """One model, the stream it looks at, and where its results go."""

    name: str
    model: Model
    source: Source
    writer: RingWriter
    every: int
    budget_ns: int
    required: bool
    wake: int | None = None
    """What wakes the display, but only while this place of the worker is shown; None: `writer` wakes it."""


def _job(device: Device, name: str, sources: dict[str, Source], fds: Mapping[str, int], own: int) -> Job:
    config = device.models[name]
    if name in device.unsigned and not device.allow_unsigned:  # `resolve` said so before; this is what runs the model
        raise ConfigError(config.file, "allow_unsigned", "false", "a signed bundle")
    model, wake = load_of(device, name, fds.get(f"bundle.{name}")), fds["wake.display"]
    shown, placed = config.stream == device.display, device.candidate is not None
    writer = RingWriter(fds[ring_name(name, own)], (wake,) if shown and not placed else ())
    results.must_fit(name, config, model.capacity)
    budget_ns, source = int(config.budget_ms * NS_PER_MS), sources[config.stream]
    own_wake = wake if shown and placed else None
    return Job(name, model, source, writer, config.every, budget_ns, config.required, own_wake)


class Worker:
    """Runs the due models on the newest frame of each stream, those that the picture depends on first."""

    def __init__(
        self,
        jobs: list[Job],
        sources: list[Source],
        row: Row,
        clock: Clock,
        tell: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._tell, self._told = tell, ""
        self.jobs = sorted(jobs, key=lambda job: not job.required)
        self.sources = sources
        self.row = row
        self.clock = clock
        self._failures = 0
        self.is_shown: Callable[[], bool] = lambda: True
        self.surroundings: Surroundings | None = None
        self._said: dict[str, tuple[int, Output | MissedReason]] = {}
        """What each model said last, and of which frame."""

    def step(self) -> None:
        """Look at each stream once. Raises DeviceFault after too many failures in a row."""
        for source in self.sources:
            header = source.reader.latest()
            if header is None or header.seq <= source.last:
                continue
            passed = range(source.last + 1, header.seq + 1) if source.last else (header.seq,)
            source.last, source.last_ns = header.seq, header.captured_ns
            for job in self.jobs:
                if job.source is source and any(looks_at(job.every, seq) for seq in passed):
                    self._run(job, header)

    def next_look(self, now_ns: int) -> int:
        """When to rehearse, if no frame comes before."""
        expected = [source.last_ns + source.period_ns - EARLY_NS for source in self.sources if source.last]
        return min([now_ns + IDLE_NS, *(moment for moment in expected if moment > now_ns)])

    def rehearse(self) -> None:
        """Walk the way of a frame and of a result, without either."""
        for source in self.sources:
            source.reader.latest()
        for job in self.jobs:
            job.source.reader.holds(job.source.last)
            job.writer.rehearse()

    def _run(self, job: Job, header: Header) -> None:
        seq = header.seq
        pixels = job.source.views[seq % job.source.reader.slots]
        given, taken = self._given(job, header)
        output, steps = job.model.run(pixels, self.clock, given)
        # overtaken while reading: the pixels may have been of two frames
        if not (job.source.reader.holds(seq) and self._still(job)):
            output = MissedReason.LATE
        self._said[job.name] = seq, output
        if isinstance(output, MissedReason) and job.model.last_fault != self._told:
            self._told = job.model.last_fault
            self._tell(f"model {job.name}: {output.name}", self._told)
        now = self.clock.now()
        results.write(job.writer, seq, header.captured_ns, output, steps, now, taken)
        if job.wake is not None and self.is_shown():  # published first, then asked: see `places`
            os.eventfd_write(job.wake, 1)
        job.writer.begin()  # the next one: now it delays nobody
        self._count(output, steps.decoded - steps.started > job.budget_ns, seq, now)

    def _given(self, job: Job, header: Header) -> tuple[Given, tuple[Taken, ...]]:
        """What the model is given beside the frame. Another model's arrays are its own until its next run, which comes later."""
        if self.surroundings is None or not job.model.takes:
            return NOTHING, ()

        def said(name: str) -> Output | MissedReason | None:
            seq, output = self._said.get(name, (0, MissedReason.LATE))
            return output if seq == header.seq else None

        return self.surroundings.of(job.name, header.captured_ns, said)

    def _still(self, job: Job) -> bool:
        return self.surroundings is None or not job.model.takes or self.surroundings.still(job.name)

    def _count(self, output: object, over_budget: bool, seq: int, now: int) -> None:
        row = self.row
        row.add(Count.FRAMES)
        row.set(Count.SEQ, seq)
        row.beat(now)
        if over_budget:
            row.add(Count.OVER_BUDGET)
        if output is MissedReason.INVALID:
            row.add(Count.INVALID)
        if output is MissedReason.FAILED:
            row.add(Count.FAILED)
            self._failures += 1
            if self._failures >= FAILURES:
                raise DeviceFault(f"{self._failures} runs failed one after the other")
        else:
            self._failures = 0
            if row.get(Count.FIRST_NS) == 0:
                row.set(Count.FIRST_NS, now)
