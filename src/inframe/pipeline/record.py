"""What is written down of each frame. `display` packs numbers into a ring slot and never waits; others follow at their own pace.

A record is one struct of fixed size: which models, rules and alerts it can speak of is known from the device file (`Fields`),
so that a frame costs no text and can never be too long for its slot.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inframe.core.config import Device
from inframe.core.samples import NO_SAMPLES, Absent, Aligned, Quality, Samples, Taken
from inframe.core.types import (
    Decision,
    Finding,
    Frame,
    FrameFlag,
    MissedReason,
    Mode,
    NoSignal,
    Presence,
    Priority,
    Result,
    Results,
    Run,
    Steps,
    Verdict,
)
from inframe.pipeline.alerts import EVENT_ALERTS
from inframe.pipeline.ring import Header, RingReader, RingWriter

SLOTS = 1024
_TAKEN, _TAKEN_NUMBERS = "3qB", 4
_NO_FINDING = (0, 0.0)
_UNASKED = Absent(Quality.STALE)
_UNTAKEN = Taken(0, 0, 0, Quality.STALE)
_ALL_FLAGS = FrameFlag.CORRUPT | FrameFlag.FROZEN | FrameFlag.RESIZED
_END_OF_TIME = 1 << 62


class Shown(NamedTuple):
    """One record: what was on the screen and why. Times: ns, device clock."""

    seq: int
    """0: the NO SIGNAL card was shown instead of a frame; `captured_ns` then says since when, `deadline_ns` when it was decided."""
    captured_ns: int
    deadline_ns: int
    shown_ns: int
    """0: the frame was overwritten while it was drawn, and never shown."""
    age_ns: int
    flags: FrameFlag
    verdict: Verdict
    mode: Mode
    runs: Mapping[str, Run | MissedReason]
    """By model; empty where there was no frame."""
    findings: tuple[Finding, ...]
    alerts: Mapping[str, Presence]
    """Those that are not OFF, by rule or event name."""
    places: int = 0
    """Which place of each worker was shown, a bit for each; see `places`."""
    samples: Samples = NO_SAMPLES
    """What was known of each sensor."""

    def is_own(self, model: str) -> bool:
        """Whether the model's result is of this very frame."""
        run = self.runs.get(model)
        return isinstance(run, Run) and run.seq == self.seq


@dataclass(frozen=True, slots=True)
class Fields:
    """What the records of one device can speak of, in the order in which they do; the same in every process of a run."""

    stream: str
    models: tuple[str, ...]
    rules: tuple[tuple[str, str, Priority], ...]
    """Name, text, priority."""
    alerts: tuple[str, ...]
    sensors: tuple[tuple[str, int], ...] = ()
    """Stream, and how many numbers its aligned value has."""
    inputs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Models, and those of their inputs that come from sensors."""

    @property
    def layout(self) -> struct.Struct:
        """Sequence number, four times, flags, verdict, mode, places; each model's frame, steps and state; each rule's since and
        value (0: no finding); each alert's presence; of each sensor the newest sample, the one taken, its age, how uncertain its
        time is, why there is no value (0: there is) and the value; of each input of a model the same without the value."""
        models, rules = len(self.models), len(self.rules)
        sensed = "".join(f"4qB{width}d" for _, width in self.sensors)
        taken = _TAKEN * sum(len(keys) for _, keys in self.inputs)
        return struct.Struct(f"<5q4B{5 * models}q{models}B{'qd' * rules}{len(self.alerts)}s{sensed}{taken}")


def fields_of(device: Device) -> Fields:
    """The fields of a device's records: those of the displayed stream."""
    models = tuple(name for name, model in device.models.items() if model.stream == device.display)
    rules = tuple((name, rule.text, Priority[rule.priority.upper()]) for name, rule in device.rules.items())
    sensors = tuple((name, sensor.width) for name, sensor in device.sensors.items())
    taken = {
        name: tuple(k for k, put in device.models[name].inputs.items() if put.sensor is not None) for name in models
    }
    inputs = tuple((name, keys) for name, keys in taken.items() if keys)
    return Fields(device.display, models, rules, (*EVENT_ALERTS, *(name for name, _, _ in rules)), sensors, inputs)


class RecordWriter:
    """The display's end."""

    def __init__(self, writer: RingWriter, fields: Fields) -> None:
        self._writer, self._layout = writer, fields.layout
        self._models = fields.models
        self._rules = {name: i for i, (name, _, _) in enumerate(fields.rules)}
        self._alerts = {name: i for i, name in enumerate(fields.alerts)}
        self._no_runs = (0, 0, 0, 0, 0) * len(fields.models)
        self._not_due = (int(MissedReason.NOT_DUE),) * len(fields.models)
        self._no_findings = _NO_FINDING * len(fields.rules)
        self._no_alerts = bytes(len(fields.alerts))
        self._sensors = [(name, (0.0,) * width) for name, width in fields.sensors]
        self._inputs = [(name, len(keys)) for name, keys in fields.inputs]
        self._header = Header(0, size=self._layout.size)
        self.places = 0
        """See Shown; whoever turns to another place says so here."""

    def turn(self, places: int) -> None:
        """From the next record on these places are shown."""
        self.places = places

    def write(self, frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> None:
        """Publish the record of one frame."""
        runs, states = self._runs(results) if results else (self._no_runs, self._not_due)
        if isinstance(frame, Frame):
            head = (frame.seq, frame.captured_ns, frame.deadline_ns, shown_ns, decision.age_ns, int(frame.flags))
        else:
            head = (0, frame.since_ns, frame.now_ns, shown_ns, decision.age_ns, 0)
        self._layout.pack_into(
            self._writer.begin(),  # type: ignore[arg-type]  # an array is a buffer
            0,
            *head,
            decision.verdict,
            decision.mode,
            self.places,
            *runs,
            *states,
            *(self._findings(decision) if decision.findings else self._no_findings),
            self._presences(decision) if decision.alerts else self._no_alerts,
            *(self._samples(decision.samples) if self._sensors else ()),
            *(self._taken(results) if self._inputs else ()),
        )
        self._writer.commit(self._header)

    def _runs(self, results: Results) -> tuple[Sequence[int], Sequence[int]]:
        runs: list[int] = []
        states: list[int] = []
        for name in self._models:
            said = results.get(name)
            if isinstance(said, Result):
                steps = said.steps
                runs += (said.seq, steps.started, steps.preprocessed, steps.inferred, steps.decoded)
                states.append(0)
            else:
                runs += (0, 0, 0, 0, 0)
                states.append(int(said.reason) if said is not None else int(MissedReason.NOT_DUE))
        return runs, states

    def _samples(self, samples: Samples) -> list[float]:
        numbers: list[float] = []
        for name, nothing in self._sensors:
            said = samples.get(name) or _UNASKED
            if isinstance(said, Aligned):
                numbers += (said.upto, said.seq, said.age_ns, said.uncertain_ns, 0, *said.values)
            else:
                numbers += (said.upto, said.seq, said.age_ns, 0, int(said.why), *nothing)
        return numbers

    def _taken(self, results: Results) -> list[int]:
        numbers: list[int] = []
        for name, count in self._inputs:
            said = results.get(name)
            taken = said.taken if isinstance(said, Result) and len(said.taken) == count else (_UNTAKEN,) * count
            for one in taken:
                numbers += (one.upto, one.seq, one.age_ns, 0 if one.why is None else int(one.why))
        return numbers

    def _findings(self, decision: Decision) -> list[float]:
        values: list[float] = list(self._no_findings)
        for finding in decision.findings:
            at = 2 * self._rules[finding.rule]
            values[at : at + 2] = finding.since_ns, finding.value
        return values

    def _presences(self, decision: Decision) -> bytes:
        presences = bytearray(self._no_alerts)
        for alert in decision.alerts:
            presences[self._alerts[alert.key]] = alert.presence
        return bytes(presences)


class RecordReader:
    """Whoever follows the records: the recorder, a benchmark, the command line."""

    def __init__(self, reader: RingReader, fields: Fields, last: int = 0) -> None:
        self._reader, self._fields, self._layout = reader, fields, fields.layout
        self.last = last
        """The newest record that was taken or lost; a follower that is started again goes on behind it."""
        self.lost = 0
        """Records that were overwritten before they were read, or damaged."""
        self.shown_ns = 0
        """When the newest frame was shown of which a record was taken; 0: none yet."""

    def is_told(self) -> bool:
        """Whether there is a record that was not yet taken."""
        return self._reader.newest() > self.last

    def take(self) -> list[Shown]:
        """All records that are new, oldest first."""
        newest = self._reader.newest()
        if newest <= self.last:
            return []
        first = max(self.last + 1, newest - self._reader.slots + 2)  # the slot before may be being written
        self.lost += first - self.last - 1
        taken = []
        for seq in range(first, newest + 1):
            header = self._reader.header(seq)
            data = bytes(self._reader.payload(seq)[: header.size]) if header else b""
            record = self._parse(data) if len(data) == self._layout.size and self._reader.holds(seq) else None
            if record is not None:
                taken.append(record)
                self.shown_ns = record.shown_ns or self.shown_ns
            else:
                self.lost += 1
        self.last = newest
        return taken

    def _parse(self, data: bytes) -> Shown | None:
        """The record; None where its bytes, which have no checksum, mean nothing."""
        seq, captured, deadline, shown, age, flags, verdict, mode, places, *rest = self._layout.unpack(data)
        fields = self._fields
        n, m = len(fields.models), len(fields.rules)
        times, states, found = rest[: 5 * n], rest[5 * n : 6 * n], rest[6 * n : 6 * n + 2 * m]
        numbers = (seq, captured, deadline, shown, age, *times)
        if flags > _ALL_FLAGS or min(numbers) < 0 or max(numbers) >= _END_OF_TIME:
            return None
        try:
            present, after = rest[6 * n + 2 * m], rest[6 * n + 2 * m + 1 :]
            alerts = {name: Presence(p) for name, p in zip(fields.alerts, present, strict=True) if p}
            samples = _samples(fields.sensors, after)
            taken = _taken(fields.inputs, after[sum(5 + width for _, width in fields.sensors) :])
            runs = {
                name: _run(states[i], times[5 * i : 5 * i + 5], taken.get(name, ()))
                for i, name in enumerate(fields.models)
            }
            kinds = FrameFlag(flags), Verdict(verdict), Mode(mode)
        except ValueError:
            return None
        findings = tuple(
            Finding(name, text, priority, found[2 * i], found[2 * i + 1])
            for i, (name, text, priority) in enumerate(fields.rules)
            if found[2 * i]
        )
        return Shown(
            seq, captured, deadline, shown, age, *kinds, runs if seq else {}, findings, alerts, places, samples
        )


def _run(state: int, numbers: list[int], taken: tuple[Taken, ...]) -> Run | MissedReason:
    return MissedReason(state) if state else Run(numbers[0], Steps(*numbers[1:]), taken)


def _taken(inputs: tuple[tuple[str, tuple[str, ...]], ...], numbers: list[int]) -> dict[str, tuple[Taken, ...]]:
    """What the record says of each model's inputs. Raises ValueError for a reason that there is not."""
    found, rows = {}, iter([numbers[at : at + _TAKEN_NUMBERS] for at in range(0, len(numbers), _TAKEN_NUMBERS)])
    for name, keys in inputs:
        of_model = [next(rows) for _ in keys]
        found[name] = tuple(Taken(upto, seq, age, Quality(why) if why else None) for upto, seq, age, why in of_model)
    return found


def _samples(sensors: tuple[tuple[str, int], ...], numbers: list[float]) -> dict[str, Aligned | Absent]:
    """What the record says of each sensor. Raises ValueError for a reason that there is not."""
    found: dict[str, Aligned | Absent] = {}
    at = 0
    for name, width in sensors:
        upto, seq, age, uncertain = map(int, numbers[at : at + 4])
        why, values = Quality(int(numbers[at + 4])), tuple(numbers[at + 5 : at + 5 + width])
        at += 5 + width
        found[name] = Absent(why, seq, age, upto) if why else Aligned(values, seq, age, uncertain, upto)
    return found
