"""Finding records in a trail: by filters, by time, by frame. Reads and decodes; whether the log is sound, `verify` says."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inframe.trail.leaf import FRAMES, decode, decode_columns, peek
from inframe.trail.read import Log
from inframe.trail.records import EventKind, EventLeaf, EventRecord, FrameLeaf, FrameRecord, Header

LOOK_BACK = 64
"""How many leaves before a moment are searched for what was on the screen then."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What to show; None: everything."""

    procedure: bytes | None = None
    since_ns: int | None = None
    """Wall time, ns since 1970."""
    until_ns: int | None = None
    stream: str | None = None
    kinds: frozenset[EventKind] | None = None
    """Events of these kinds, and no frames."""
    text: str | None = None
    """Must appear in an event's name or text, or in a finding's rule or text."""


Found = tuple[int, Header, str, FrameRecord | EventRecord]
"""Leaf, its header, its stream ("" for events), the record."""


def show(log: Log, wanted: Filter) -> Iterator[Found]:
    """The records that pass the filter, oldest first. Raises TrailDamaged."""
    for index, entry in log.entries():
        kind, _, header = peek(entry)
        if not _may_hold(header, wanted) or (kind == FRAMES and wanted.kinds is not None):
            continue
        leaf = decode(entry)
        stream = leaf.stream if isinstance(leaf, FrameLeaf) else ""
        if wanted.stream is not None and stream not in ("", wanted.stream):
            continue
        for record in leaf.frames if isinstance(leaf, FrameLeaf) else leaf.events:
            if _passes(header, record, wanted):
                yield index, header, stream, record


def _may_hold(header: Header, wanted: Filter) -> bool:
    if wanted.procedure is not None and header.procedure != wanted.procedure:
        return False
    too_old = wanted.since_ns is not None and header.moment.wall_ns < wanted.since_ns
    too_new = wanted.until_ns is not None and header.wall_ns(header.first_ns) > wanted.until_ns
    return not too_old and not too_new


def _passes(header: Header, record: FrameRecord | EventRecord, wanted: Filter) -> bool:
    if isinstance(record, FrameRecord):
        at, words = record.shown_ns, [word for f in record.findings for word in (f.rule, f.text)]
    else:
        at, words = record.at_ns, [record.name, record.text]
        if wanted.kinds is not None and record.kind not in wanted.kinds:
            return False
    wall = header.wall_ns(at)
    in_time = (wanted.since_ns is None or wall >= wanted.since_ns) and (
        wanted.until_ns is None or wall <= wanted.until_ns
    )
    return in_time and (wanted.text is None or any(wanted.text in word for word in words))


def at(log: Log, wall_ns: int) -> tuple[list[tuple[int, int]], list[tuple[int, EventRecord]]]:
    """What was on the screen at a wall time: for each stream the leaf and row of the last frame shown until then; and the
    stops and gaps since. Looks at every leaf's header, for wall clocks step; then into the last 64 leaves before."""
    before = heapq.nlargest(
        LOOK_BACK,
        (
            (header.wall_ns(header.first_ns), index)
            for index, header in _headers(log)
            if header.wall_ns(header.first_ns) <= wall_ns
        ),
    )
    newest: dict[str, tuple[int, int, int]] = {}
    ends: list[tuple[int, int, EventRecord]] = []
    for _, index in before:
        leaf = decode(log.entry(index))
        if isinstance(leaf, EventLeaf):
            ends += [
                (leaf.header.wall_ns(e.at_ns), index, e)
                for e in leaf.events
                if e.kind in (EventKind.STOP, EventKind.GAP)
            ]
            continue
        for row, frame in enumerate(leaf.frames):
            shown = leaf.header.wall_ns(frame.shown_ns)
            if shown <= wall_ns:
                newest[leaf.stream] = max(newest.get(leaf.stream, (0, 0, 0)), (shown, index, row))
    first = min((shown for shown, _, _ in newest.values()), default=0)
    between = [
        (index, event) for wall, index, event in sorted(ends, key=lambda end: end[:2]) if first < wall <= wall_ns
    ]
    return [(index, row) for _, index, row in newest.values()], between


def frame(log: Log, seq: int, stream: str | None = None, procedure: bytes | None = None) -> tuple[int, int] | None:
    """The leaf and row of the newest frame with that number (numbers begin anew with each start of the device)."""
    for bundle in range((log.size - 1) // 256, -1, -1):
        for index, entry in reversed(list(log.entries(256 * bundle, 256 * (bundle + 1)))):
            kind, _, header = peek(entry)
            if kind != FRAMES or (procedure is not None and header.procedure != procedure):
                continue
            columns = decode_columns(entry)
            rows = np.flatnonzero(columns.numbers["seq"] == seq)
            if len(rows) and stream in (None, columns.stream):
                return index, int(rows[-1])
    return None


def procedure_range(log: Log, procedure: bytes) -> tuple[int, int] | None:
    """The first leaf of a procedure, and the one behind its last; None if there is none."""
    found = [index for index, header in _headers(log) if header.procedure == procedure]
    return (found[0], found[-1] + 1) if found else None


def _headers(log: Log) -> Iterator[tuple[int, Header]]:
    return ((index, peek(entry)[2]) for index, entry in log.entries())
