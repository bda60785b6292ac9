"""The recorded raw input through the same loop once more: `pipeline.loop.run` with its own frames, results and gate, each
model's own `Model.run`, and a clock that the recording moves.

What was in time is not a matter of how fast this machine is now: the recording says which result the display had been told of at
each frame, and this very result, computed anew, is laid into the model's ring before the frame is handed over; nothing is laid
there where the display waited in vain. So a LATE is a LATE again, and a late result that was held is held again.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import cv2

from inframe.core.clock import NS_PER_S, ManualClock, MonotonicClock
from inframe.core.config import Device
from inframe.core.samples import Taken
from inframe.core.types import (
    Boxes,
    Controls,
    Decision,
    Frame,
    FrameFlag,
    Heat,
    Masks,
    MissedReason,
    NoSignal,
    Pixels,
    Results,
    Scores,
    Steps,
)
from inframe.pipeline import loop, results, ring
from inframe.pipeline.decide import make_plan
from inframe.pipeline.given import NOTHING, Given
from inframe.pipeline.model import Model, load_of
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.surroundings import Surroundings
from inframe.recording import schema
from inframe.recording.compare import Outcome
from inframe.recording.events import Packet, Said
from inframe.recording.kept import Kept
from inframe.recording.read import Read, Recording
from inframe.recording.report import Report
from inframe.recording.sensed import RecordedSensors
from inframe.recording.video import Decoder

KEPT = 16
"""So many frames and outputs are kept for results that come later: a worker reads from a ring of four."""
SLOTS = 4
_ARRIVED = (MissedReason.INVALID.name, MissedReason.FAILED.name, MissedReason.ABSENT.name)


class Runner:
    """The device's models, on recorded frames."""

    def __init__(self, device: Device, report: Report) -> None:
        cv2.setNumThreads(1)
        stream = device.streams[device.display]
        self._configs = {name: m for name, m in device.models.items() if m.stream == device.display}
        self._size = (stream.width, stream.height)
        self.models: dict[str, Model] = {name: load_of(device, name) for name in self._configs}
        self._clock, self._report = MonotonicClock(), report
        for model in self.models.values():
            model.warm_up(self._clock)
        self._decoder = Decoder(*self._size)
        self._frames: OrderedDict[int, tuple[int, Pixels]] = OrderedDict()
        self._lost: set[str] = set()
        """Models whose memory is not what it was."""
        self.surroundings: Surroundings | None = None
        """What models are fed beside their image; see `Stage`."""
        self._alone = {name for name, m in self._configs.items() if any(put.stream for put in m.inputs.values())}
        """Models fed by another stream, which is not recorded: what they said is taken from the recording."""
        self._outcomes: dict[str, OrderedDict[int, tuple[int, Outcome]]] = {name: OrderedDict() for name in self.models}

    def picture(self, packet: Packet) -> None:
        """A frame."""
        pixels = self._decoder.decode(packet.data)
        if pixels is not None:
            self._frames[packet.seq] = packet.captured_ns, pixels
            while len(self._frames) > KEPT:
                self._frames.popitem(last=False)

    def pixels(self, seq: int) -> Pixels | None:
        """The frame's, if it was recorded."""
        known = self._frames.get(seq)
        return known[1] if known is not None else None

    def said(self, said: Said) -> None:
        """A model said something of a frame: let it say so again, and compare."""
        if said.model not in self.models:
            return
        known = self._outcomes[said.model].get(said.seq)
        computed = known[1] if known is not None else self._run(said.model, said.seq, said.taken)
        if computed is None or said.output is MissedReason.LATE:  # not recorded; or overtaken while it was being read
            self.lose(said.model)
            self._report.unseen(said.seq)
            computed = said.output
        elif said.model in self._lost or said.model in self._alone:
            self._report.unseen(said.seq)
            computed = said.output
        else:
            self._report.result(said, computed)
        if said.output is MissedReason.INVALID:  # after which a model begins anew: see Model.run
            self.models[said.model].forget()
            self._lost.discard(said.model)
        self._keep(said.model, said.seq, said.captured_ns, computed)

    def lose(self, name: str | None = None) -> None:
        """A model (None: any of them) ran on a frame that nobody has: what it remembers since then is unknown. Until it begins
        anew, what it said is taken from the recording."""
        self._lost |= {one for one in self.models if one in (name, name or one) and self._configs[one].state}

    def outcome(self, model: str, seq: int) -> tuple[int, Outcome] | None:
        """When the frame was captured that a model spoke of, and what it said; None if nobody knows."""
        known = self._outcomes.get(model, OrderedDict()).get(seq)
        if known is None and model in self.models and model not in self._lost:  # what it said live was not recorded
            computed = self._run(model, seq)
            if computed is not None:
                known = self._keep(model, seq, self._frames[seq][0], computed)
        return known

    def _run(self, name: str, seq: int, taken: tuple[Taken, ...] = ()) -> Outcome | None:
        pixels = self.pixels(seq)
        given = self._given(name, seq, taken)
        if pixels is None or given is None:
            return None
        output, steps = self.models[name].run(pixels, self._clock, given)
        self._report.ran(name, steps.decoded - steps.started)
        return own(output)

    def _given(self, name: str, seq: int, taken: tuple[Taken, ...]) -> Given | None:
        """What the model was given beside the frame; None where nobody knows."""
        inputs = self._configs[name].inputs.values()
        if not inputs:
            return NOTHING
        of_sensors = sum(put.sensor is not None for put in inputs)
        if self.surroundings is None or len(taken) != of_sensors or name in self._alone or seq not in self._frames:
            return None

        def said(other: str) -> Outcome | None:
            known = self.outcome(other, seq)
            return known[1] if known is not None else None

        return self.surroundings.of(name, self._frames[seq][0], said, taken)[0]

    def _keep(self, name: str, seq: int, captured_ns: int, outcome: Outcome) -> tuple[int, Outcome]:
        outcomes = self._outcomes[name]
        outcomes[seq] = captured_ns, outcome
        while len(outcomes) > KEPT:
            outcomes.popitem(last=False)
        return outcomes[seq]

    def forget(self, worker: str) -> None:
        """The worker was started: its models' states are zero."""
        for name, config in self._configs.items():
            if config.worker == worker:
                self.models[name].forget()
                self._lost.discard(name)

    def close(self) -> None:
        """Free the engines."""
        for model in self.models.values():
            model.close()


def own(outcome: Outcome) -> Outcome:
    """With arrays of its own: a model's are overwritten by its next run."""
    match outcome:
        case Masks(classes, region):
            return Masks(classes.copy(), region)
        case Heat(heat, score, region):
            return Heat(heat.copy(), score, region)
        case Scores(scores):
            return Scores(scores.copy())
        case Boxes(boxes, scores, classes):
            return Boxes(boxes.copy(), scores.copy(), classes.copy())
        case _:
            return outcome


@dataclass
class Stage:
    """The world around the loop: its rings, its clock, the rest of the device, the screen."""

    recording: Recording
    device: Device
    runner: Runner
    report: Report
    kept: Kept | None = None
    """Where what was decided goes as well."""
    clock: ManualClock = field(default_factory=lambda: ManualClock(0))
    sensors: RecordedSensors = field(init=False)
    _session: schema.Session | None = None
    _status: schema.Status | None = None
    _pending: schema.Decision | None = None
    _stopped: bool = False
    _over: bool = False
    _midway: bool = False
    """The recording begins with a later part: what loop and models remembered is unknown."""
    _handled: list[int] = field(default_factory=lambda: [0, 0])
    """The newest frame, and the newest card, that were decided on."""

    def __post_init__(self) -> None:
        stream = self.device.streams[self.device.display]
        memory = ring.create("replay.frames", SLOTS, stream.height * stream.width * 3)
        self._frames, self._reader = RingWriter(memory, ()), RingReader(memory)
        self._shape = (stream.height, stream.width, 3)
        self._views = [p[: stream.height * stream.width * 3].reshape(self._shape) for p in self._frames.payloads]
        self._said: dict[str, RingWriter] = {}
        self._rings: dict[str, RingReader] = {}
        for name in self.runner.models:
            memory = ring.create(f"replay.{name}", SLOTS, results.bound(self.device.models[name]))
            self._said[name], self._rings[name] = RingWriter(memory, ()), RingReader(memory)
        self.sensors = RecordedSensors(self.device)
        self.runner.surroundings = Surroundings(self.device, self.sensors.readers)
        self._events: Iterator[Read] = iter(self.recording.read())

    def run(self) -> None:
        """Each life of the display's loop, one after the other."""
        labels = {name: model.labels for name, model in self.runner.models.items()}
        plan = make_plan(self.device, labels)
        models = {name: self.device.models[name] for name in self.runner.models}
        self._pump()
        while not self._over:
            self._stopped = False
            waited = loop.awaited(models, self.device.deadline_ns)
            told = loop.ModelResults(plan, self._rings, self.clock, self._in_vain, waited)
            loop.run(self._incoming(), told, plan, self, self, self, self, self.sensors)

    def _incoming(self) -> loop.Incoming:
        stream = self.device.streams[self.device.display]
        # A lossy codec makes one picture of two that differ a little: there the recording's own flag counts.
        exact = self.recording.is_lossless and stream.frozen_ms is not None
        session = self._session
        if session is not None:
            self.clock.set(max(self.clock.now(), session.start_ns))
        return loop.Incoming(
            stream=self.device.display,
            ring=self._reader,
            views=self._reader_views(),
            period_ns=int(NS_PER_S / stream.fps),
            deadline_ns=self.device.deadline_ns,
            stall_ns=loop.stall_after(stream),
            frozen_ns=loop.frozen_after(stream) if exact else float("inf"),
            clock=self.clock,
            wait=lambda _until: self._pump(),
            stopping=lambda: self._stopped,
            skipped=lambda _frames: None,
            idle=lambda: None,
            last=session.last if session is not None else 0,
        )

    def _reader_views(self) -> list[Pixels]:
        size = self._shape[0] * self._shape[1] * 3
        return [payload[:size].reshape(self._shape) for payload in self._reader.payloads]

    def _in_vain(self, until_ns: int) -> bool:
        """The loop waits for a result: all that came in time are there already."""
        self.clock.set(max(until_ns, self.clock.now()))
        return False

    def _pump(self) -> bool:
        """Go on in the recording to the next decision, and lay out what it was made from."""
        if self._pending is not None:
            self.report.unanswered(self._pending)
            self._pending = None
        for event in self._events:
            if self._happens(event):
                return True
        self._stopped = self._over = True
        return True

    def _happens(self, event: Read) -> bool:
        if self._session is None and not self._midway and isinstance(event, Said | schema.Decision):
            self._midway = True
            self.report.midway(event.captured_ns)
            self.runner.lose()
        match event:
            case Packet():
                self.runner.picture(event)
            case Said():
                self.runner.said(event)
            case schema.Status():
                self._status = event
            case schema.Samples():
                self.sensors.lay(event)
            case schema.Session():
                return self._begins(event)
            case schema.Gap():
                self.report.gap(event)
                if event.results:
                    self.runner.lose()
            case schema.Decision() if self._is_new(event):
                self._pending = event
                self._lay_out(event)
                return True
            case _:
                pass
        return False

    def _is_new(self, decision: schema.Decision) -> bool:
        """A recording process that was killed may have written something that the next one did not know of."""
        kind, at = (0, decision.seq) if decision.seq else (1, decision.deadline_ns)
        is_new, self._handled[kind] = at > self._handled[kind], max(at, self._handled[kind])
        return is_new

    def _begins(self, session: schema.Session) -> bool:
        kind, _, what = session.process.partition(".")
        if kind == "worker":
            self.runner.forget(what)
            return False
        self._session = session
        self._stopped = True
        return True

    def _lay_out(self, decision: schema.Decision) -> None:
        at = decision.captured_ns if decision.seq else decision.deadline_ns
        self.clock.set(max(at, self.clock.now()))
        self.sensors.seen = decision.samples or {}
        if not decision.seq:
            return
        for name, told in decision.told.items():
            if name in self._said:
                self._lay_result(name, decision, told)
        pixels, flags = self.runner.pixels(decision.seq), FrameFlag(decision.flags)
        if pixels is not None and self.recording.is_lossless:
            flags &= ~FrameFlag.FROZEN  # the loop finds that out by itself
        self._frames.seq = decision.seq
        self._frames.begin()
        view = self._views[self._frames.slot]
        if pixels is not None:
            view[:] = pixels
        else:
            view[:] = decision.seq % 251  # not recorded: a picture unlike the one before
        self._frames.commit(Header(0, decision.seq, decision.captured_ns, flags=int(flags)))

    def _lay_result(self, name: str, decision: schema.Decision, told: schema.Ran | str) -> None:
        if isinstance(told, str) and told not in _ARRIVED:
            return
        seq = told.seq if isinstance(told, schema.Ran) else decision.seq
        known = self.runner.outcome(name, seq)
        if known is None:
            self.report.unknown(decision)
            return
        captured_ns, outcome = known
        steps = Steps(*told.steps_ns) if isinstance(told, schema.Ran) else Steps(0, 0, 0, 0)
        results.write(self._said[name], seq, captured_ns, outcome, steps, self.clock.now())

    # --- what the loop calls

    def faults(self) -> Mapping[str, int]:
        """See loop.Status."""
        return dict.fromkeys(self._status.faults, self.clock.now()) if self._status is not None else {}

    def controls(self) -> Controls:
        """See loop.Status."""
        return self._status.controls if self._status is not None else Controls()

    def lay(self, frame: Frame) -> None:
        """See loop.Surface."""

    def show(self, frame: Frame | NoSignal, decision: Decision, controls: Controls) -> int:  # noqa: ARG002  # loop.Surface's
        """See loop.Surface."""
        return self._pending.shown_ns if self._pending is not None else 0

    def note(self, frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> None:  # noqa: ARG002  # loop.Journal's
        """See loop.Journal."""
        recorded, self._pending = self._pending, None
        if recorded is not None:
            self.report.decision(recorded, decision)
            if self.kept is not None:
                self.kept.decision(recorded, decision)

    def skipped(self, frames: int) -> None:
        """See loop.Journal."""

    def beat(self, frame: Frame | NoSignal | None, decision: Decision | None) -> None:
        """See loop.Island."""


def replay(recording: Recording, device: Device, report: Report, kept: Kept | None = None) -> Report:
    """Run `recording` through the loop of `device`, whose displayed stream has its size. Raises ConfigError, OSError of `kept`."""
    runner = Runner(device, report)
    try:
        Stage(recording, device, runner, report, kept).run()
    finally:
        runner.close()
    report.health(recording.health)
    return report
