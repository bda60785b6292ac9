"""A second of records as leaves of the trail: what the display said, and what is known of the models that it names."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from inframe.core.config import Device
from inframe.core.types import MissedReason
from inframe.drivers.cameras.rtsp_session import without_password
from inframe.pipeline.record import Fields, Shown
from inframe.recorder.digests import Digests, output_digest
from inframe.trail.leaf import MAX_EVENTS, MAX_FRAMES
from inframe.trail.records import NO_DIGEST, EventLeaf, EventRecord, FrameLeaf, FrameRecord, Header, Leaf, Model, Moment
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
    _known: dict[str, Model] = field(default_factory=dict)

    def learn(self, name: str, sha256: str, slot: str, engine: str) -> None:
        """A worker has loaded the model `name` from a file with that SHA-256."""
        try:
            bundle = bytes.fromhex(sha256)
        except ValueError:
            return
        if name in self.device.models and len(bundle) == len(NO_DIGEST):
            self._known[name] = Model(name, bundle, slot, engine, self._preprocess(name))

    def of(self, name: str) -> Model:
        """The model as it runs; with no digest where its worker has not yet loaded it."""
        return self._known.get(name) or Model(name, NO_DIGEST, self._slot(name), "not loaded", self._preprocess(name))

    def _slot(self, name: str) -> str:
        return "unsigned" if name in self.device.unsigned else "active"

    def _preprocess(self, name: str) -> bytes:
        settings = self.device.models[name].preprocess.model_dump(mode="json")
        return hashlib.sha256(canonical_json(settings)).digest()


@dataclass
class Second:
    """Collects what goes into the next batch."""

    fields: Fields
    config: bytes
    """SHA-256 of the settings."""
    identities: Identities
    frames: Digests | None
    """Of the displayed stream's pixels; None: not wanted."""
    outputs: Mapping[str, Digests]
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
        frames = [self._frames(moment, at) for at in range(0, len(self.rows), MAX_FRAMES)]
        events = [self._events(moment, at) for at in range(0, len(self.events), MAX_EVENTS)]
        self.rows, self.events = [], []
        return [*frames, *events] if is_last else [*events, *frames]

    def _events(self, moment: Moment, at: int) -> EventLeaf:
        events = tuple(self.events[at : at + MAX_EVENTS])
        return EventLeaf(Header(moment, min(event.at_ns for event in events), self.procedure), events)

    def _frames(self, moment: Moment, at: int) -> FrameLeaf:
        rows = self.rows[at : at + MAX_FRAMES]
        models = tuple(self.identities.of(name) for name in self.fields.models)
        header = Header(moment, min(shown.shown_ns for shown, _ in rows), self.procedure)
        return FrameLeaf(header, self.fields.stream, self.config, models, tuple(self._record(*row) for row in rows))

    def _record(self, shown: Shown, dropped: int) -> FrameRecord:
        pixels = self.frames.of(shown.seq) if self.frames is not None and shown.seq else None
        said = output_digest(shown.runs, self.outputs)
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
        )
