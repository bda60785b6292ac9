"""From the leaves of a trail to the facts of one procedure. The gate for text from outside: nothing of a record passes but numbers,
times, and words of the device's own vocabulary.

The vocabulary is EVENTS, and the rules and models of the device file that the procedure's first event carries. A record that uses
another word becomes a fact of kind UNLISTED, which says that there is one and repeats nothing of it. `text`, `who` and every value
of a record's `data` that is not looked up here are never read.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from inframe.assistant.conflicts import conflicts
from inframe.assistant.facts import Fact, Kind, Procedure
from inframe.core.clock import NS_PER_S
from inframe.core.events import EVENTS
from inframe.core.types import Audio, Mode, Presence
from inframe.trail.leaf import FRAMES, FrameColumns, decode, decode_columns, peek
from inframe.trail.records import EventKind, EventLeaf, EventRecord, Header

PROCEDURE, MODES, CONTROLS, SEEN, LOADED = "PROCEDURE", "MODE", "CONTROLS", "ALERTS", "MODEL_LOADED"
"""Names that the recorder gives to its own events (recorder/watch.py, recorder/main.py)."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
COUNT = re.compile(r"[0-9]{1,12}")
OPACITY = re.compile(r"(?:0(?:\.[0-9]{1,6})?|1(?:\.0)?)")
SIDES = ("left", "right")
SLOTS_OF_MODELS = ("active", "unsigned", "trial", "previous")
OWN: Mapping[tuple[EventKind, str], str] = {
    (EventKind.START, "DEVICE"): "its start",
    (EventKind.STOP, "DEVICE"): "its stop",
    (EventKind.CONFIG, "DEVICE_FILE"): "a change of its settings on disk",
    (EventKind.START, "BUNDLE_VERIFIED"): "a verified model",
    (EventKind.START, "UNSIGNED"): "models that nobody signed",
    (EventKind.FAULT, "NOTE"): "a remark of one of its processes",
    (EventKind.FAULT, "RESUMED"): "that recording went on after a break",
    (EventKind.START, "OPENED"): "a new log",
    (EventKind.START, "PROCESS_STARTED"): "the start of a process",
    (EventKind.STOP, "PROCESS_FINISHED"): "the end of a process",
    (EventKind.FAULT, "PROCESS_REFUSED"): "a refused connection",
    (EventKind.FAULT, "PROCESS_DIED"): "the death of a process",
    (EventKind.FAULT, "PROCESS_HUNG"): "a process that hung",
    (EventKind.FAULT, "PROCESS_GAVE_UP"): "a process that was given up",
    (EventKind.EXPORT, "NOTE_SIGNED"): "a signed note",
}
"""What else the device records of itself, beside EVENTS (device.py, recorder/store.py, trail/write.py): kind and name -> as it is
said. A name of another kind says something else."""
SPAN_NS = NS_PER_S
"""A finding that is away for less is the same finding."""
MAX_FACTS = 20_000
"""A procedure with more is cut there, with a fact of kind GAP: its sentences could not be read anyway."""


def clock_text(wall_ns: int) -> str:
    """A wall time as sentences have it: hours, minutes and seconds, UTC; the second that it lies in."""
    return f"{datetime.fromtimestamp(max(0, wall_ns) // NS_PER_S % (1 << 37), UTC):%H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that may be said: name in the record -> as it is said, and its priority."""

    names: Mapping[str, tuple[str, str]]
    models: frozenset[str]

    @classmethod
    def of(cls, settings: bytes) -> "Vocabulary":
        """EVENTS, and what the settings of the device add; broken settings add nothing."""
        names = {e.name: (e.text or said(e.name), e.priority.name.lower()) for e in EVENTS.values()}
        device = _settings(settings)
        rules, models = device.get("rules"), [device.get("models"), device.get("bundles")]
        for name, rule in (rules if isinstance(rules, dict) else {}).items():
            priority = rule.get("priority") if isinstance(rule, dict) else None
            if NAME.fullmatch(name) and priority in ("none", "low", "medium", "high") and name not in names:
                names[name] = (said(name), priority)
        known = {name for part in models if isinstance(part, dict) for name in part if NAME.fullmatch(name)}
        return cls(names, frozenset(known))


def said(name: str) -> str:
    """A name as it is said."""
    return name.replace("_", " ").strip()


def _settings(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read(entries: Iterable[tuple[int, bytes]], procedure: bytes) -> Procedure:
    """The facts of `procedure` in encoded leaves (index, bytes), oldest first. Raises TrailDamaged."""
    reader = _Reader()
    for index, entry in entries:
        kind, _, header = peek(entry)
        if header.procedure != procedure or len(reader.facts) >= MAX_FACTS:
            continue
        if kind == FRAMES:
            reader.frames(index, decode_columns(entry))
        elif isinstance(leaf := decode(entry), EventLeaf):
            reader.events(index, leaf)
    reader.close()
    facts = tuple(reader.facts)
    return Procedure(procedure.hex(), facts, conflicts(facts))


@dataclass(slots=True)
class _Span:
    id: str
    name: str
    began_ns: int
    ended_ns: int


@dataclass(slots=True)
class _Reader:
    facts: list[Fact] = field(default_factory=list)
    words: Vocabulary = field(default_factory=lambda: Vocabulary.of(b""))
    _spans: dict[str, _Span] = field(default_factory=dict)
    _strangers: set[str] = field(default_factory=set)

    def events(self, index: int, leaf: EventLeaf) -> None:
        for row, event in enumerate(leaf.events):
            if event.kind is EventKind.START and event.name == PROCEDURE and not self.facts:
                self.words = Vocabulary.of(event.payload)  # the first only: a later one can't add words
            self.facts.append(self._fact(f"E{index}.{row}", leaf.header, event))

    def _fact(self, name: str, header: Header, event: EventRecord) -> Fact:
        at = header.wall_ns(event.at_ns)
        made = next((kind_and_values for rule in _RULES if (kind_and_values := rule(self.words, event))), None)
        kind, values = made or (Kind.UNLISTED, {})
        key = event.name if kind in _KEYED else ""
        return Fact(name, kind, at, {"time": clock_text(at), **values}, key)

    def frames(self, index: int, c: FrameColumns) -> None:
        """Findings: from the first frame that has one to the last, a short break aside."""
        which, sets, members, _ = c.findings
        times = c.numbers["shown_ns"]
        for number, (rule, *_) in enumerate(members):
            rows = np.flatnonzero(np.isin(which, [i for i, one in enumerate(sets) if number in one]))
            for row in rows.tolist():
                self._found(f"F{index}.{row}.{number}", rule, c.header.wall_ns(int(times[row])))

    def _found(self, name: str, rule: str, at: int) -> None:
        known = rule if rule in self.words.names else ""  # all strangers are one
        span = self._spans.get(known)
        if span is not None and at - span.ended_ns <= SPAN_NS:
            span.ended_ns = max(span.ended_ns, at)
            return
        if span is not None:
            self._ended(span)
        self._spans[known] = _Span(name, known, at, at)

    def _ended(self, span: _Span) -> None:
        start = {"time": clock_text(span.began_ns)}
        if not span.name:
            self.facts.append(Fact(span.id, Kind.UNLISTED, span.began_ns, start))
            return
        name, priority = self.words.names[span.name]
        seconds = f"{(span.ended_ns - span.began_ns) / NS_PER_S:.1f}"
        values = {"name": name, "priority": priority, "until": clock_text(span.ended_ns), "seconds": seconds}
        self.facts.append(Fact(span.id, Kind.FINDING, span.began_ns, start | values, span.name))

    def close(self) -> None:
        for span in self._spans.values():
            self._ended(span)


_KEYED = frozenset(
    {Kind.ALERT_ON, Kind.ALERT_OFF, Kind.ALERT_PAST, Kind.ACKNOWLEDGED, Kind.FAULT_ON, Kind.FAULT_OVER, Kind.EVENT}
)
Made = tuple[Kind, dict[str, str]]
Rule = Callable[[Vocabulary, EventRecord], Made | None]


def _procedure(words: Vocabulary, event: EventRecord) -> Made | None:
    if event.name != PROCEDURE or event.kind not in (EventKind.START, EventKind.STOP):
        return None
    if event.kind is EventKind.START:
        return Kind.BEGIN, {}
    counts = {key: event.data.get(key, "") for key in ("frames", "dropped")}
    return (Kind.END, counts) if all(map(COUNT.fullmatch, counts.values())) else None


def _mode(words: Vocabulary, event: EventRecord) -> Made | None:
    """The one text that is read: of exactly this shape, "NOMINAL to DEGRADED" or "NOMINAL"."""
    if event.name != MODES or event.kind is not EventKind.FAULT:
        return None
    was, _, mode = event.text.rpartition(" to ")
    if mode not in Mode.__members__ or (was and was not in Mode.__members__):
        return None
    return Kind.MODE, {"mode": mode, **({"was": was} if was else {})}


_PRESENCES = {
    Presence.ON.name: Kind.ALERT_ON,
    Presence.OFF.name: Kind.ALERT_OFF,
    Presence.LATCHED.name: Kind.ALERT_PAST,
    Presence.ACKNOWLEDGED.name: Kind.ACKNOWLEDGED,
}


def _alert(words: Vocabulary, event: EventRecord) -> Made | None:
    kind = _PRESENCES.get(event.data.get("presence", ""))
    if event.name not in words.names or kind is None:
        return None
    if (event.kind is EventKind.ACKNOWLEDGED) != (kind is Kind.ACKNOWLEDGED) or event.kind not in (
        EventKind.ALERT,
        EventKind.ACKNOWLEDGED,
    ):
        return None
    name, priority = words.names[event.name]
    values = {"name": name} | ({"priority": priority} if kind is Kind.ALERT_ON else {})
    side = event.data.get("side")
    if side is None:
        return kind, values
    return (kind, values | {"side": side}) if side in SIDES else None


def _fault(words: Vocabulary, event: EventRecord) -> Made | None:
    if event.kind is not EventKind.FAULT or event.name not in EVENTS:
        return None
    name, priority = words.names[event.name]
    match event.data.get("state"):
        case "present":
            return Kind.FAULT_ON, {"name": name, "priority": priority}
        case "over":
            return Kind.FAULT_OVER, {"name": name}
    return None


def _settings_of(words: Vocabulary, event: EventRecord) -> Made | None:
    if event.name != CONTROLS or event.kind is not EventKind.CONFIG:
        return None
    told = list(_set(event.data))
    return (Kind.SETTING, {"settings": ", ".join(told)}) if told and all(told) else None


def _set(data: Mapping[str, str]) -> Iterator[str]:
    """Each setting as it is said, "" for one that makes no sense."""
    if (on := data.get("overlay_on")) is not None:
        yield {"True": "overlay on", "False": "overlay off"}.get(on, "")
    if (opacity := data.get("opacity")) is not None:
        yield f"opacity {float(opacity):.0%}" if OPACITY.fullmatch(opacity) else ""
    if (audio := data.get("audio")) is not None:
        yield {str(int(one)): f"audio {one.name.lower()}" for one in Audio}.get(audio, "")


def _seen(words: Vocabulary, event: EventRecord) -> Made | None:
    return (Kind.SEEN, {}) if event.name == SEEN and event.kind is EventKind.ACKNOWLEDGED else None


def _loaded(words: Vocabulary, event: EventRecord) -> Made | None:
    model, slot = event.data.get("model", ""), event.data.get("slot", "")
    if event.name != LOADED or model not in words.models or slot not in SLOTS_OF_MODELS:
        return None
    return Kind.MODEL, {"model": said(model), "slot": slot}


def _gap(words: Vocabulary, event: EventRecord) -> Made | None:
    return (Kind.GAP, {}) if event.kind is EventKind.GAP else None


def _other(words: Vocabulary, event: EventRecord) -> Made | None:
    """Another row of EVENTS, or of what the device tells of itself."""
    if event.data.get("presence") is not None or event.data.get("state") is not None:
        return None
    if event.name in EVENTS:
        return Kind.EVENT, {"name": words.names[event.name][0]}
    own = OWN.get((event.kind, event.name))
    return None if own is None else (Kind.EVENT, {"name": own})


_RULES: tuple[Rule, ...] = (_procedure, _mode, _settings_of, _seen, _alert, _fault, _loaded, _gap, _other)
