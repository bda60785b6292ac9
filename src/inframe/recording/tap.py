"""Looks into the device's rings and takes out what belongs into a recording. Nobody wakes it and nobody waits for it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np

from inframe.core.clock import Clock
from inframe.core.types import MissedReason, Pixels, Result, Run, Steps
from inframe.pipeline import results
from inframe.pipeline.board import Count, Row
from inframe.pipeline.places import place
from inframe.pipeline.record import RecordReader, Shown
from inframe.pipeline.ring import RingReader
from inframe.pipeline.samplering import SampleReader
from inframe.pipeline.watched import WatchedReader
from inframe.recording import schema
from inframe.recording.events import Picture, Said
from inframe.recording.sensed import known, new
from inframe.recording.write import Event


def decision(shown: Shown) -> schema.Decision:
    """A record as a message."""
    told = {
        name: schema.Ran(seq=ran.seq, steps_ns=_steps(ran.steps)) if isinstance(ran, Run) else ran.name
        for name, ran in shown.runs.items()
    }
    return schema.Decision(
        seq=shown.seq,
        captured_ns=shown.captured_ns,
        deadline_ns=shown.deadline_ns,
        shown_ns=shown.shown_ns,
        age_ns=shown.age_ns,
        flags=int(shown.flags),
        verdict=shown.verdict.name,
        mode=shown.mode.name,
        told=told,
        findings=[schema.Found(rule=f.rule, value=f.value, since_ns=f.since_ns) for f in shown.findings],
        alerts={key: presence.name for key, presence in shown.alerts.items()},
        samples=known(shown.samples),
    )


def _steps(steps: Steps) -> tuple[int, int, int, int]:
    return steps.started, steps.preprocessed, steps.inferred, steps.decoded


@dataclass
class Missing:
    """What could not be taken since it was last told."""

    frames: int = 0
    first: int = 0
    last: int = 0
    results: int = 0
    decisions: int = 0
    samples: int = 0

    def frame(self, seq: int) -> None:
        """One more."""
        self.first = self.first or seq
        self.last, self.frames = seq, self.frames + 1

    def event(self, event: object) -> None:
        """One more, if it counts."""
        if isinstance(event, Picture):
            self.frame(event.seq)
        elif isinstance(event, Said):
            self.results += 1
        elif isinstance(event, schema.Decision):
            self.decisions += 1
        elif isinstance(event, schema.Samples):
            self.samples += len(event.captured_ns)

    def add(self, other: "Missing") -> None:
        """Those of `other`, which come after these."""
        self.first, self.last = self.first or other.first, other.last or self.last
        self.frames, self.results = self.frames + other.frames, self.results + other.results
        self.decisions, self.samples = self.decisions + other.decisions, self.samples + other.samples

    def told(self, at_ns: int) -> schema.Gap | None:
        """As a message, and from zero again; None if nothing is missing."""
        counts = (self.frames, self.first, self.last, self.results, self.decisions, self.samples or None)
        self.frames = self.first = self.last = self.results = self.decisions = self.samples = 0
        if not any(counts):
            return None
        frames, first, last, said, decisions, samples = counts
        return schema.Gap(
            at_ns=at_ns,
            frames=frames or 0,
            first=first or 0,
            last=last or 0,
            results=said or 0,
            decisions=decisions or 0,
            samples=samples,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """All up to this frame and this record has been handed on."""

    frame: int
    record: int


@dataclass
class Tap:
    """Each `step` takes what is new, in an order in which every cause comes before its effects: the records are looked at first and
    handed on last, so that each frame and result that a record speaks of has been taken before it, or is missing for good."""

    frames: RingReader
    outputs: Mapping[str, tuple[RingReader, int]]
    """By model: its ring, and how many labels it has."""
    records: RecordReader
    watched: WatchedReader
    workers: Mapping[str, Row]
    """Their rows on the board, by process name."""
    shape: tuple[int, int]
    """The displayed stream's height and width."""
    buffers: SimpleQueue[Pixels]
    """Where frames are copied to; whoever has written one gives its buffer back."""
    clock: Clock
    put: Callable[[Event | Mark], None]
    last: int = 0
    """The newest frame taken or missed."""
    missing: Missing = field(default_factory=Missing)
    others: Mapping[str, RingReader] = field(default_factory=dict)
    """Each model's ring of place b, on a device with `candidate:`."""
    model_bits: Mapping[str, int] = field(default_factory=dict)
    sensors: Mapping[str, SampleReader] = field(default_factory=dict)
    _word: int = 0
    """The places shown, as the newest record has them: only what they say is recorded."""
    _said: dict[tuple[str, int], int] = field(default_factory=dict)
    _sampled: dict[str, int] = field(default_factory=dict)
    _ready: dict[str, int] = field(default_factory=dict)
    _notes: list[tuple[int, dict[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._from_record = self.records.last  # before a restart: its notes have been handed on

    def step(self) -> bool:
        """Look once; False if something was missed."""
        lost = self.records.lost
        shown = self.records.take()
        self.missing.decisions += self.records.lost - lost
        self._word = shown[-1].places if shown else self._word
        self._notes += (note for note in self.watched.take() if note[0] > self._from_record)
        said: list[tuple[int, Event]] = [(one.arrived_ns, one) for name in self.outputs for one in self._outputs(name)]
        begun = list(self._begun())  # after the outputs: a worker begins before it speaks
        pictures = list(self._pictures())
        samples = list(self._samples())  # a record speaks of none that is newer than it
        self._tell(self.records.last - len(shown) + 1)  # what holds from the first of these records on
        gap = self.missing.told(self.clock.now())
        if gap is not None:
            self.put(gap)
        for picture in pictures:
            self.put(picture)
        for some in samples:
            self.put(some)
        for _, one in sorted([*said, *begun], key=lambda timed: timed[0]):
            self.put(one)
        self._decisions(shown)
        self.put(Mark(self.last, self.records.last))
        return gap is None

    def _begun(self) -> Iterator[tuple[int, schema.Session]]:
        for name, row in self.workers.items():
            if (ready := row.get(Count.READY_NS)) and self._ready.get(name) != ready:
                self._ready[name] = ready
                yield ready, schema.Session(process=name, start_ns=ready)

    def _outputs(self, name: str) -> Iterator[Said]:
        ring, labels = self.outputs[name]
        rings = [ring] if name not in self.others else [ring, self.others[name]]
        shown = place(self._word, self.model_bits.get(name, 0))
        for one, ring in enumerate(rings):
            if one == shown:
                yield from self._new(name, one, ring, labels)
            else:
                self._said[name, one] = ring.newest()

    def _new(self, name: str, place: int, ring: RingReader, labels: int) -> Iterator[Said]:
        newest, known = ring.newest(), self._said.get((name, place), 0)
        first = max(known + 1, newest - ring.slots + 2)
        self.missing.results += max(0, first - known - 1) if known else 0
        self._said[name, place] = newest
        for seq in range(first, newest + 1):
            header = ring.header(seq)
            found = results.read(ring, header, name, labels) if header is not None else None
            steps = results.moments(ring, header) if header is not None else None
            if header is None or found is None or steps is None:
                self.missing.results += 1
                continue
            output = found.output if isinstance(found, Result) else MissedReason(found.reason)
            taken = found.taken if isinstance(found, Result) else results.taken(ring, header)
            yield Said(name, header.tag, header.captured_ns, header.published_ns, steps, output, taken)

    def _samples(self) -> Iterator[schema.Samples]:
        for stream, ring in self.sensors.items():
            found, self._sampled[stream], lost = new(stream, ring, self._sampled.get(stream, 0))
            self.missing.samples += lost
            yield from found

    def _pictures(self) -> Iterator[Picture]:
        newest = self.frames.newest()
        for seq in range(self.last + 1, newest + 1):
            self.last = seq
            picture = self._picture(seq)
            if picture is None:
                self.missing.frame(seq)
            else:
                yield picture

    def _picture(self, seq: int) -> Picture | None:
        header = self.frames.header(seq)
        if header is None:
            return None
        try:
            buffer = self.buffers.get_nowait()
        except Empty:
            return None
        height, width = self.shape
        np.copyto(buffer, self.frames.payload(seq)[: height * width * 3].reshape(height, width, 3))
        if not self.frames.holds(seq):
            self.buffers.put(buffer)
            return None
        return Picture(seq, header.captured_ns, buffer)

    def _decisions(self, shown: list[Shown]) -> None:
        newest = self.records.last
        for number, one in enumerate(shown, newest - len(shown) + 1):  # exact unless some are lost, which are told
            self._tell(number)
            self.put(decision(one))
        self._tell(newest + 1)

    def _tell(self, number: int) -> None:
        """Hand on the notes that hold from the record `number` or an earlier one on."""
        while self._notes and self._notes[0][0] <= number:
            _, note = self._notes.pop(0)
            if "start_ns" in note:
                self.put(schema.Session.model_validate({"process": "display", **note}))
            else:
                self.put(schema.Status.model_validate(note))
