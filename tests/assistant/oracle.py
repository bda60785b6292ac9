"""A second opinion on a draft's lines, from the raw records and written without a look at `inframe.assistant`. No test in here."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from inframe.trail.leaf import decode
from inframe.trail.records import EventLeaf, EventRecord, FrameLeaf, FrameRecord, Header

Record = tuple[Header, EventRecord | FrameRecord]
TIME = re.compile(r"\d\d:\d\d:\d\d")


def record(entries: Sequence[tuple[int, bytes]], name: str) -> Record:
    """The record that an id names. Raises KeyError, IndexError."""
    leaf_number, row = map(int, name[1:].split(".")[:2])
    leaf = decode(dict(entries)[leaf_number])
    if name[0] == "E":
        assert isinstance(leaf, EventLeaf)
        return leaf.header, leaf.events[row]
    assert isinstance(leaf, FrameLeaf)
    return leaf.header, leaf.frames[row]


def at(one: Record) -> str:
    """When, as sentences have it."""
    header, what = one
    wall = header.wall_ns(what.at_ns if isinstance(what, EventRecord) else what.shown_ns)
    return datetime.fromtimestamp(max(0, wall) // 10**9, UTC).strftime("%H:%M:%S")


def objection(entries: Sequence[tuple[int, bytes]], line: str) -> str | None:
    """What a suspicious reader finds wrong with a line; None: nothing."""
    text, _, rest = line.partition(" [")
    try:
        records = [record(entries, name) for name in rest.removesuffix("]").split(", ")]
    except (KeyError, IndexError, ValueError, AssertionError):
        return "cites what is not there"
    times, known = TIME.findall(text), {at(one) for one in records}
    if times and len(records) == 1 and times[0] not in known:
        return "another time"
    if len(records) > 1 and times and times[0] != min(known, key=lambda t: _nearest(records, t)):
        return "another first time"
    sides = {one.data.get("side") for _, one in records if isinstance(one, EventRecord)} - {None}
    if {side for side in ("left", "right") if re.search(rf"\b{side}\b", text)} - sides:
        return "a side from nowhere"
    says_one = len(records) == 1 and not re.search("contradicts itself|not the device's own", text)
    if says_one and sides and not any(f"{side} side" in text for side in sides):
        return "a side left out"
    return _numbers(TIME.sub("", text), records)


def _nearest(records: Sequence[Record], time: str) -> int:
    return min(
        h.wall_ns(e.at_ns if isinstance(e, EventRecord) else e.shown_ns) for h, e in records if at((h, e)) == time
    )


def _numbers(text: str, records: Sequence[Record]) -> str | None:
    counted = {str(len(records))}
    for _, one in records:
        if isinstance(one, EventRecord):
            counted |= {v for v in one.data.values() if v.isdigit()}
            counted |= {f"{round(float(v) * 100)}" for k, v in one.data.items() if k == "opacity" and v[:1] in "01"}
    wrong = [n for n in re.findall(r"\d+(?:\.\d+)?", text) if n not in counted and not ("saw" in text and "." in n)]
    return f"a number from nowhere: {wrong}" if wrong else None
