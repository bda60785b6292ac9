"""Leaves as bytes: docs/trail-format.md is the specification, this is the implementation. No I/O.

One encoding for each value and one value for each encoding; the decoder raises TrailDamaged on anything else.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import TypeVar

import numpy as np

from inframe.core.types import Finding, FrameFlag, MissedReason, Mode, Presence, Priority, Run, Steps, Verdict
from inframe.trail.columns import In, Ints, Out
from inframe.trail.records import (
    NO_DIGEST,
    EventKind,
    EventLeaf,
    EventRecord,
    FrameLeaf,
    FrameRecord,
    Header,
    Leaf,
    Model,
    Moment,
)
from inframe.trail.sensed import SensedColumns, put_sensors, take_sensors

T = TypeVar("T")
_LAST_KIND = max(EventKind)
VERSION, WITH_SENSORS = 1, 2
"""Of a leaf; one that tells of sensors has another, so that all others stay as they were."""
FRAMES, EVENTS = 1, 2
MAX_FRAMES = 1024
MAX_EVENTS = 4096
MAX_MODELS = 32
_HEAD = struct.Struct("<BBHQ16s16sqqq")
_COUNTER_AT = struct.calcsize("<BBH")
DIGEST = 32

NUMBERS = ("seq", "captured_ns", "deadline_ns", "shown_ns", "flags", "dropped", "verdict", "mode", "age_ns")
"""The columns that every frame has, in the order of writing."""
STEPS = ("started", "preprocessed", "inferred", "decoded")
_LAST_MISSED, _LAST_PRIORITY, _LAST_PRESENCE = max(MissedReason), max(Priority), max(Presence)
_RANGES = {"flags": (0, 7), "dropped": (0, 1 << 62), "verdict": (1, 3), "mode": (0, 3), "age_ns": (0, 1 << 62)}
_FINDING = attrgetter("rule", "text", "priority", "since_ns")


@dataclass(slots=True)
class RunColumns:
    """One model's runs: `state` (n,), 0 for a result, else the MissedReason; the others hold only the results' rows."""

    state: Ints
    lag: Ints
    """How many frames before the record's own the result's frame lies."""
    steps: tuple[Ints, ...]
    """Since the frame was captured, then each since the one before, ns."""


@dataclass(slots=True)
class FrameColumns:
    """A frame leaf, decoded and checked, but not taken apart into records: what verification and statistics need."""

    header: Header
    stream: str
    config: bytes
    models: tuple[Model, ...]
    count: int
    numbers: dict[str, Ints]
    """By the names in NUMBERS, (count,) int64, absolute values."""
    runs: list[RunColumns]
    digests: list[tuple[Ints, bytes]]
    """Input, output: which rows have one, and those, one behind the other."""
    findings: tuple[Ints, list[tuple[int, ...]], list[tuple[str, str, int, int]], bytes]
    """Each row's set, the sets, their members (rule, text, priority, since_ns), the values as float64."""
    alerts: tuple[Ints, list[tuple[int, ...]], list[tuple[str, int]]]
    """Each row's set, the sets, their members (key, presence)."""
    sensed: SensedColumns = field(default_factory=SensedColumns)


# --- encoding --------------------------------------------------------------------------------------------------------


def encode(leaf: Leaf) -> bytes:
    """The bytes of a leaf. Raises RuntimeError for one that is empty or beyond the limits of the format."""
    records: tuple[object, ...] = leaf.frames if isinstance(leaf, FrameLeaf) else leaf.events
    if not 1 <= len(records) <= (MAX_FRAMES if isinstance(leaf, FrameLeaf) else MAX_EVENTS):
        raise RuntimeError(f"a leaf of {len(records)} records")
    out = Out()
    h, m = leaf.header, leaf.header.moment
    kind = FRAMES if isinstance(leaf, FrameLeaf) else EVENTS
    version = WITH_SENSORS if isinstance(leaf, FrameLeaf) and leaf.sensors else VERSION
    out.data += _HEAD.pack(
        version, kind, len(records), h.counter, m.boot, h.procedure, h.first_ns, m.mono_ns, m.wall_ns
    )
    out.text(m.clock)
    if isinstance(leaf, FrameLeaf):
        _put_frames(out, leaf)
    else:
        for event in leaf.events:
            _put_event(out, event)
    return bytes(out.data)


def counted(entry: bytes, counter: int) -> bytes:
    """An encoded leaf with this value of the device's counter in its head."""
    return entry[:_COUNTER_AT] + counter.to_bytes(8, "little") + entry[_COUNTER_AT + 8 :]


def _put_event(out: Out, event: EventRecord) -> None:
    out.varint(event.kind)
    out.signed(event.at_ns)
    for text in (event.name, event.text, event.who):
        out.text(text)
    out.varint(len(event.data))
    for key in sorted(event.data):
        out.text(key)
        out.text(event.data[key])
    out.varint(len(event.payload))
    out.data += event.payload


def _put_frames(out: Out, leaf: FrameLeaf) -> None:
    if len(leaf.models) > MAX_MODELS or any(len(frame.runs) != len(leaf.models) for frame in leaf.frames):
        raise RuntimeError(f"frames whose runs do not fit {len(leaf.models)} models")
    out.text(leaf.stream)
    out.data += _digest(leaf.config)
    out.varint(len(leaf.models))
    for model in leaf.models:
        for text in (model.name, model.slot, model.engine):
            out.text(text)
        out.data += _digest(model.bundle) + _digest(model.preprocess)
    n = {name: _column(leaf.frames, attrgetter(name)) for name in NUMBERS}
    captured = n["captured_ns"]
    out.delta(n["seq"])
    out.delta(captured)
    for name in NUMBERS[2:]:
        out.column(n[name] - captured if name in ("deadline_ns", "shown_ns") else n[name])
    for i in range(len(leaf.models)):
        _put_runs(out, [frame.runs[i] for frame in leaf.frames], n["seq"], captured)
    _put_findings(out, leaf.frames)
    _put_sets(out, [frame.alerts for frame in leaf.frames], _put_alert)
    for digests in ([frame.input for frame in leaf.frames], [frame.output for frame in leaf.frames]):
        out.column(np.array([digest != NO_DIGEST for digest in digests], np.int64))
        out.data += b"".join(_digest(digest) for digest in digests if digest != NO_DIGEST)
    if leaf.sensors:
        put_sensors(out, leaf.sensors, leaf.frames)


def _digest(digest: bytes) -> bytes:
    if len(digest) != DIGEST:
        raise RuntimeError(f"a digest of {len(digest)} bytes")
    return digest


def _column(items: Iterable[object], value: Callable[[object], object]) -> Ints:
    return np.array(list(map(value, items)), np.int64)


def _put_runs(out: Out, runs: list[Run | MissedReason], seq: Ints, captured: Ints) -> None:
    out.column(np.array([0 if isinstance(run, Run) else run for run in runs], np.int64))
    rows = [i for i, run in enumerate(runs) if isinstance(run, Run)]
    if not rows:
        return
    there = [run for run in runs if isinstance(run, Run)]
    out.column(seq[rows] - np.array([run.seq for run in there], np.int64))
    steps = [run.steps for run in there]
    before = captured[rows]
    for name in STEPS:
        now = _column(steps, attrgetter(name))
        out.column(now - before)
        before = now


def _put_findings(out: Out, frames: tuple[FrameRecord, ...]) -> None:
    _put_sets(out, [tuple(map(_FINDING, frame.findings)) for frame in frames], _put_finding)
    values = [finding.value for frame in frames for finding in frame.findings]
    out.data += np.array(values, "<f8").tobytes()


def _put_finding(out: Out, finding: tuple[str, str, int, int]) -> None:
    out.text(finding[0])
    out.text(finding[1])
    out.varint(finding[2])
    out.signed(finding[3])


def _put_alert(out: Out, alert: tuple[str, int]) -> None:
    out.text(alert[0])
    out.varint(alert[1])


def _put_sets(out: Out, rows: list[tuple[T, ...]], put: Callable[[Out, T], None]) -> None:
    """Members and sets of members are numbered as they first appear, and written once; each row gives its set's number."""
    members: dict[T, int] = {}
    sets: dict[tuple[int, ...], int] = {}
    which = []
    for row in rows:
        key = tuple([members.setdefault(member, len(members)) for member in row])
        which.append(sets.setdefault(key, len(sets)))
    out.varint(len(members))
    for member in members:
        put(out, member)
    out.varint(len(sets))
    for key in sets:
        out.varint(len(key))
        for number in key:
            out.varint(number)
    out.column(np.array(which, np.int64))


# --- decoding --------------------------------------------------------------------------------------------------------


def peek(entry: bytes) -> tuple[int, int, Header]:
    """Kind (FRAMES, EVENTS), number of records and header, without the rest. Raises TrailDamaged."""
    return _head(In(entry))


def _head(data: In) -> tuple[int, int, Header]:
    version, kind, count, counter, boot, procedure, first, mono, wall = _HEAD.unpack(data.raw(_HEAD.size))
    if (
        version not in ((VERSION, WITH_SENSORS) if kind == FRAMES else (VERSION,))
        or kind not in (FRAMES, EVENTS)
        or not 1 <= count <= (MAX_FRAMES if kind == FRAMES else MAX_EVENTS)
    ):
        raise data.fail(
            f"version {version}, kind {kind}, {count} records", f"a leaf of version {VERSION} or {WITH_SENSORS}"
        )
    return kind, count, Header(Moment(boot, mono, wall, data.text()), first, procedure, counter)


def decode(entry: bytes) -> Leaf:
    """The leaf in an entry. Raises TrailDamaged, whose place is a byte of the entry."""
    if entry[1:2] == bytes([EVENTS]):
        data = In(entry)
        _, count, header = _head(data)
        events = tuple([_take_event(data) for _ in range(count)])
        data.end()
        return EventLeaf(header, events)
    return _leaf(decode_columns(entry))


def _take_event(data: In) -> EventRecord:
    kind = data.varint(_LAST_KIND)
    if kind == 0:
        raise data.fail(kind, "a kind of event")
    at, name, text, who = data.signed(), data.text(), data.text(), data.text()
    pairs = [(data.text(), data.text()) for _ in range(data.varint(MAX_EVENTS))]
    if any(a[0] >= b[0] for a, b in pairwise(pairs)):
        raise data.fail("keys out of order", "each once, sorted")
    return EventRecord(EventKind(kind), at, name, text, who, dict(pairs), data.raw(data.varint(len(data.data))))


def decode_columns(entry: bytes) -> FrameColumns:
    """A frame leaf as columns, all checks done. Raises TrailDamaged."""
    data = In(entry)
    kind, count, header = _head(data)
    if kind != FRAMES:
        raise data.fail("events", "frames")
    stream, config = data.text(), data.raw(DIGEST)
    models = tuple([_take_model(data) for _ in range(data.varint(MAX_MODELS))])
    numbers = _take_numbers(data, count)
    runs = [_take_runs(data, count) for _ in models]
    which, sets, members = _take_sets(data, count, _take_finding)
    sizes = np.array([len(s) for s in sets], np.int64)
    values = data.raw(8 * int(sizes[which].sum()))
    alerts = _take_sets(data, count, _take_alert)
    digests = [_take_digests(data, count) for _ in range(2)]
    sensed = take_sensors(data, count) if entry[0] == WITH_SENSORS else SensedColumns()
    data.end()
    return FrameColumns(
        header, stream, config, models, count, numbers, runs, digests, (which, sets, members, values), alerts, sensed
    )


def _take_model(data: In) -> Model:
    name, slot, engine = data.text(), data.text(), data.text()
    bundle, preprocess = data.raw(DIGEST), data.raw(DIGEST)
    return Model(name, bundle, slot, engine, preprocess)


def _take_numbers(data: In, count: int) -> dict[str, Ints]:
    numbers = {"seq": data.delta(count), "captured_ns": data.delta(count)}
    for name in NUMBERS[2:]:
        column = data.column(count)
        if name in _RANGES:
            data.within(name, *_RANGES[name])
        numbers[name] = column if name in _RANGES else column + numbers["captured_ns"]
    return numbers


def _take_runs(data: In, count: int) -> RunColumns:
    state = data.column(count)
    data.within("state", 0, _LAST_MISSED)
    there = count - int(np.count_nonzero(state))
    if not there:
        none = np.zeros(0, np.int64)
        return RunColumns(state, none, (none,) * len(STEPS))
    return RunColumns(state, data.column(there), tuple([data.column(there) for _ in STEPS]))


def _take_finding(data: In) -> tuple[str, str, int, int]:
    return data.text(), data.text(), data.varint(_LAST_PRIORITY), data.signed()


def _take_alert(data: In) -> tuple[str, int]:
    return data.text(), data.varint(_LAST_PRESENCE)


def _take_sets(data: In, count: int, take: Callable[[In], T]) -> tuple[Ints, list[tuple[int, ...]], list[T]]:
    members = [take(data) for _ in range(data.varint(MAX_EVENTS))]
    sets = []
    for _ in range(data.varint(MAX_FRAMES)):
        size = data.varint(MAX_EVENTS)
        sets.append(tuple([data.varint(len(members) - 1) if members else data.varint(0) for _ in range(size)]))
    which = data.column(count)
    data.within("set", 0, len(sets) - 1)
    if not members and any(sets):
        raise data.fail("members of nothing", "members that are there")
    if not _first_seen(which.tolist(), len(sets)) or not _first_seen([m for s in sets for m in s], len(members)):
        raise data.fail("a list out of order", "each member and set once, numbered as it first appears")
    if len(set(sets)) != len(sets) or len(set(members)) != len(members):
        raise data.fail("a member or set twice", "once")
    return which, sets, members


def _first_seen(numbers: list[int], total: int) -> bool:
    """Whether 0 … total-1 all appear, each for the first time behind the one before it."""
    return list(dict.fromkeys(numbers)) == list(range(total))


def _take_digests(data: In, count: int) -> tuple[Ints, bytes]:
    there = data.column(count)
    data.within("digest flag", 0, 1)
    return there, data.raw(DIGEST * int(there.sum()))


# --- from columns to records -----------------------------------------------------------------------------------------


def _leaf(c: FrameColumns) -> FrameLeaf:
    numbers = {name: column.tolist() for name, column in c.numbers.items()}
    runs = [_runs(columns, c) for columns in c.runs]
    digests = [_digests(there, raw) for there, raw in c.digests]
    findings, samples = _findings(c), c.sensed.rows(c.count)
    which, sets, members = c.alerts
    presences = [tuple([(members[m][0], Presence(members[m][1])) for m in s]) for s in sets]
    frames = []
    for i in range(c.count):
        row = {name: numbers[name][i] for name in NUMBERS}
        row |= {"verdict": Verdict(row["verdict"]), "mode": Mode(row["mode"]), "flags": FrameFlag(row["flags"])}
        frames.append(
            FrameRecord(
                **row,
                runs=tuple([column[i] for column in runs]),
                input=digests[0][i],
                output=digests[1][i],
                findings=findings[i],
                alerts=presences[which[i]],
                samples=samples[i],
            )
        )
    return FrameLeaf(c.header, c.stream, c.config, c.models, tuple(frames), c.sensed.sensors)


def _runs(columns: RunColumns, c: FrameColumns) -> list[Run | MissedReason]:
    rows = np.flatnonzero(columns.state == 0)
    seqs = (c.numbers["seq"][rows] - columns.lag).tolist()
    ends, before = [], c.numbers["captured_ns"][rows]
    for step in columns.steps:
        before = before + step
        ends.append(before.tolist())
    there = iter([Run(seq, Steps(*steps)) for seq, *steps in zip(seqs, *ends, strict=True)])
    return [MissedReason(state) if state else next(there) for state in columns.state.tolist()]


def _digests(there: Ints, raw: bytes) -> list[bytes]:
    starts = (np.cumsum(there) - there) * DIGEST
    return [
        raw[at : at + DIGEST] if is_there else NO_DIGEST
        for is_there, at in zip(there.tolist(), starts.tolist(), strict=True)
    ]


def _findings(c: FrameColumns) -> list[tuple[Finding, ...]]:
    which, sets, members, raw = c.findings
    values = iter(np.frombuffer(raw, "<f8").tolist())
    rows = []
    for number in which.tolist():
        row = [(members[m], next(values)) for m in sets[number]]
        rows.append(tuple([Finding(rule, text, Priority(p), since, value) for (rule, text, p, since), value in row]))
    return rows
