"""A second of records as leaves of the trail: what the display said, and what is known of the models that it names."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from inframe.core.config import Device
from inframe.core.inputs import Preprocess
from inframe.core.samples import Absent, Aligned, Quality, Taken
from inframe.core.types import MissedReason, Run
from inframe.drivers.cameras.rtsp_session import without_password
from inframe.pipeline.places import model_bits, place
from inframe.pipeline.record import Fields, Shown
from inframe.recorder.digests import Digests, output_digest
from inframe.trail.leaf import MAX_EVENTS, MAX_FRAMES
from inframe.trail.records import (
    NO_DIGEST,
    EventLeaf,
    EventRecord,
    FrameLeaf,
    FrameRecord,
    Header,
    Leaf,
    Model,
    Moment,
    SampleUse,
    SensorUse,
)
from inframe.trail.salt import seal
from inframe.trail.write import Now


def canonical_json(value: object) -> bytes:
    """One encoding for each value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def settings_of(device: Device) -> bytes:
    """The device's settings as they run, as canonical JSON, without the cameras' passwords."""
    values = device.model_dump(mode="json")
    for stream in values["streams"].values():
        if "url" in stream:
            stream["url"] = without_password(stream["url"])
    return canonical_json(values)


@dataclass
class Identities:
    """Which models run: what their workers said when they had loaded them."""

    device: Device
    _known: dict[tuple[str, int], Model] = field(default_factory=dict)

    def learn(self, data: Mapping[str, str]) -> None:
        """A worker has loaded a model: its name, the `sha256` of the bytes, the engine; of a candidate also its place, its slot and
        the digest of its preprocessing."""
        name, place = data.get("model", ""), int(data.get("place", "a") == "b")
        try:
            bundle, preprocess = bytes.fromhex(data.get("sha256", "")), bytes.fromhex(data.get("preprocess", ""))
        except ValueError:
            return
        if name in self.device.models and len(bundle) == len(NO_DIGEST):
            slot, own = data.get("slot", ""), preprocess or digest_of(self.device.models[name].preprocess)
            self._known[name, place] = Model(name, bundle, slot, data.get("engine", ""), own)

    def of(self, name: str, place: int = 0) -> Model:
        """The model as it runs at that place; with no digest where its worker has not yet loaded it."""
        own = digest_of(self.device.models[name].preprocess)
        return self._known.get((name, place)) or Model(name, NO_DIGEST, self._slot(name), "not loaded", own)

    def _slot(self, name: str) -> str:
        return "unsigned" if name in self.device.unsigned else "active"


def digest_of(preprocess: Preprocess) -> bytes:
    """SHA-256 of a model's preprocessing settings."""
    return hashlib.sha256(canonical_json(preprocess.model_dump(mode="json"))).digest()


def sensors_of(device: Device, fields: Fields) -> tuple[SensorUse, ...]:
    """The streams of samples, each with the rules that read it; behind them, as MODEL.INPUT, what models were given."""
    rules = device.rules
    streams = [
        SensorUse(stream, tuple(name for name, rule in rules.items() if stream in device.sensors_of(rule)))
        for stream, _ in fields.sensors
    ]
    for model, keys in fields.inputs:
        read_by = tuple(name for name, rule in rules.items() if rule.model == model)
        streams += [SensorUse(f"{model}.{key}", read_by) for key in keys]
    return tuple(streams)


@dataclass
class Second:
    """Collects what goes into the next batch."""

    fields: Fields
    config: bytes
    """SHA-256 of the settings."""
    identities: Identities
    frames: Digests | None
    """Of the displayed stream's pixels; None: not wanted."""
    outputs: Sequence[Mapping[str, Digests]]
    """Of each model's results, for each place that the device has."""
    procedure: bytes
    salt: bytes
    now: Now
    rows: list[tuple[Shown, int]] = field(default_factory=list)
    """Each with how many frames before it never reached the screen."""
    events: list[EventRecord] = field(default_factory=list)
    behind: int = 0

    def add(self, shown: Shown, dropped: int) -> None:
        """A record of something that reached the screen."""
        self.rows.append((shown, dropped))

    def go_on_behind(self, shown_ns: int, seq: int) -> None:
        """The log has all up to the frame `seq`, shown at that moment: what the recorder before this one had written when
        it was killed, before it could say so, is left out; what was passed over since then counts as dropped."""
        self.rows = [row for row in self.rows if row[0].shown_ns > shown_ns]
        if self.rows and self.behind < seq < self.rows[0][0].seq:
            self.rows[0] = self.rows[0][0], self.rows[0][0].seq - seq - 1
        self.behind = max(self.behind, seq)

    def leaves(self, is_last: bool = False) -> list[Leaf]:
        """What was collected, as leaves: events before frames, since the first of them begins the procedure; in the last
        batch behind them. Starts anew."""
        moment = self.now()
        runs = [
            list(rows) for _, rows in groupby(self.rows, key=lambda row: row[0].places)
        ]  # a leaf names each model once
        frames = [
            self._frames(moment, rows[at : at + MAX_FRAMES]) for rows in runs for at in range(0, len(rows), MAX_FRAMES)
        ]
        events = [self._events(moment, at) for at in range(0, len(self.events), MAX_EVENTS)]
        self.rows, self.events = [], []
        return [*frames, *events] if is_last else [*events, *frames]

    def _events(self, moment: Moment, at: int) -> EventLeaf:
        events = tuple(self.events[at : at + MAX_EVENTS])
        return EventLeaf(Header(moment, min(event.at_ns for event in events), self.procedure), events)

    def _frames(self, moment: Moment, rows: list[tuple[Shown, int]]) -> FrameLeaf:
        places = self._places(rows[0][0])
        models = tuple(self.identities.of(name, places[name]) for name in self.fields.models)
        header = Header(moment, min(shown.shown_ns for shown, _ in rows), self.procedure)
        frames = tuple(self._record(*row) for row in rows)
        return FrameLeaf(
            header, self.fields.stream, self.config, models, frames, sensors_of(self.identities.device, self.fields)
        )

    def _places(self, shown: Shown) -> dict[str, int]:
        """Which place of each model's worker was shown."""
        bits = model_bits(self.identities.device)
        return {name: place(shown.places, bits[name]) for name in self.fields.models}

    def _record(self, shown: Shown, dropped: int) -> FrameRecord:
        pixels = self.frames.of(shown.seq) if self.frames is not None and shown.seq else None
        places = self._places(shown)
        taken = {name: self.outputs[place][name] for name, place in places.items() if place < len(self.outputs)}
        said = output_digest(shown.runs, taken)
        return FrameRecord(
            seq=shown.seq,
            captured_ns=shown.captured_ns,
            deadline_ns=shown.deadline_ns,
            shown_ns=shown.shown_ns,
            verdict=shown.verdict,
            mode=shown.mode,
            runs=tuple(shown.runs.get(name, MissedReason.NOT_DUE) for name in self.fields.models),
            input=NO_DIGEST if pixels is None else seal(self.salt, pixels),
            output=NO_DIGEST if said is None else seal(self.salt, said),
            flags=shown.flags,
            dropped=dropped,
            age_ns=shown.age_ns,
            findings=shown.findings,
            alerts=tuple(shown.alerts.items()),
            samples=(*(_use(shown.samples[stream]) for stream, _ in self.fields.sensors), *self._taken(shown)),
        )

    def _taken(self, shown: Shown) -> Iterator[SampleUse]:
        """What each model took for its result; of none, that it took none."""
        for model, keys in self.fields.inputs:
            run = shown.runs.get(model)
            taken = run.taken if isinstance(run, Run) else ()
            for i in range(len(keys)):
                one = taken[i] if i < len(taken) else Taken(0, 0, 0, Quality.STALE)
                yield SampleUse(Quality.OK if one.why is None else one.why, one.seq, one.age_ns)


def _use(said: Aligned | Absent) -> SampleUse:
    return SampleUse(said.why if isinstance(said, Absent) else Quality.OK, said.seq, said.age_ns)
