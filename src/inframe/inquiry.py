"""Questions to a trail: what was on the screen at a moment, which events there were, which procedures. Prints nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from inframe.core.clock import NS_PER_S
from inframe.core.errors import ConfigError
from inframe.trail import find
from inframe.trail.leaf import peek
from inframe.trail.read import Log
from inframe.trail.records import NO_ID, EventRecord, FrameRecord
from inframe.trail.trace import Trace, time_text, trace


def wall_ns(text: str, option: str) -> int:
    """ISO 8601 with or without a date (today's) and a zone (this machine's), in ns since 1970. Raises ConfigError."""
    try:
        moment = datetime.fromisoformat(text if "-" in text else f"{datetime.now().astimezone():%Y-%m-%d}T{text}")
    except ValueError:
        expected = "a time such as 10:42:13, 2026-11-26T10:42:13.5 or 2026-11-26T10:42:13Z"
        raise ConfigError("inframe trail", option, text, expected) from None
    whole = moment.replace(microsecond=0).astimezone(UTC)
    return int(whole.timestamp()) * NS_PER_S + moment.microsecond * 1000


def at_time(log: Log, at_ns: int) -> list[Trace]:
    """What was on the screen then, for each stream. Raises TrailDamaged."""
    found, between = find.at(log, at_ns)
    return [trace(log, index, row, between) for index, row in found]


def by_number(log: Log, seq: int, stream: str | None, procedure: bytes | None) -> list[Trace]:
    """The newest frame of that number."""
    found = find.frame(log, seq, stream, procedure)
    return [] if found is None else [trace(log, *found)]


@dataclass(slots=True)
class Line:
    """One line of `inframe trail show`: an event, a frame, or a second of frames."""

    leaf: int
    wall_ns: int
    kind: str
    name: str
    text: str
    who: str = ""
    data: dict[str, str] | None = None
    payload: bytes = b""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = {"leaf": self.leaf, "time": time_text(self.wall_ns), "kind": self.kind, "name": self.name}
        told |= {"text": self.text, "who": self.who, "data": self.data or {}}
        if self.payload:  # settings are text; the bytes of a torn end are not
            told["payload"] = self.payload.decode() if self.payload.isascii() else self.payload.hex()
        return told


def lines(log: Log, wanted: find.Filter, each_frame: bool) -> Iterator[Line]:
    """What passes the filter, oldest first; frames one by one, or a line for each leaf of them. Raises TrailDamaged."""
    second: list[tuple[FrameRecord, int]] = []
    last = (-1, "")
    for index, header, stream, record in find.show(log, wanted):
        if isinstance(record, FrameRecord) and not each_frame:
            if last != (index, stream) and second:
                yield _second(*last, second)
                second = []
            last = index, stream
            second.append((record, header.wall_ns(record.shown_ns)))
            continue
        if second:
            yield _second(*last, second)
            second = []
        if isinstance(record, FrameRecord):
            yield _frame(index, header.wall_ns(record.shown_ns), stream, record)
        else:
            yield _event(index, header.wall_ns(record.at_ns), record)
    if second:
        yield _second(*last, second)


def _event(index: int, at: int, event: EventRecord) -> Line:
    return Line(index, at, event.kind.name, event.name, event.text, event.who, dict(event.data), event.payload)


def _frame(index: int, at: int, stream: str, frame: FrameRecord) -> Line:
    ms = (frame.shown_ns - frame.captured_ns) / 1e6
    found = ", ".join(f"{finding.rule} {finding.value:.4g}" for finding in frame.findings)
    text = f"{frame.verdict.name} {frame.mode.name} {ms:.1f} ms" + (f"; {found}" if found else "")
    return Line(index, at, "FRAME", f"{stream} {frame.seq}" if frame.seq else f"{stream} NO SIGNAL", text)


def _second(index: int, stream: str, second: list[tuple[FrameRecord, int]]) -> Line:
    frames = [frame for frame, _ in second]
    verdicts = [frame.verdict.name for frame in frames]
    told = " ".join(f"{name} {verdicts.count(name)}" for name in dict.fromkeys(verdicts))
    modes = "/".join(dict.fromkeys(frame.mode.name for frame in frames))
    ms = sorted((frame.shown_ns - frame.captured_ns) / 1e6 for frame in frames)[len(frames) // 2]
    rules = ", ".join(dict.fromkeys(finding.rule for frame in frames for finding in frame.findings))
    text = f"{told}; {modes}; {ms:.1f} ms" + (f"; {rules}" if rules else "")
    seqs = [frame.seq for frame in frames if frame.seq]
    name = f"{stream} {seqs[0]}…{seqs[-1]}" if seqs else f"{stream} NO SIGNAL"
    return Line(index, second[0][1], "FRAMES", name, text)


def newest_procedure(log: Log) -> bytes | None:
    """The procedure that was recorded last."""
    for bundle in range((log.size - 1) // 256, -1, -1):
        for _, entry in reversed(list(log.entries(256 * bundle, 256 * (bundle + 1)))):
            procedure = peek(entry)[2].procedure
            if procedure != NO_ID:
                return procedure
    return None


def procedure_id(log: Log, text: str | None) -> bytes:
    """The procedure of that id or its beginning; None: the newest. Raises ConfigError."""
    if text is None:
        found = newest_procedure(log)
        if found is None:
            raise ConfigError(log.key.name, "procedure", "none in this trail", "at least one")
        return found
    known = dict.fromkeys(peek(entry)[2].procedure for _, entry in log.entries())
    fitting = [one for one in known if one != NO_ID and one.hex().startswith(text.lower())]
    if len(fitting) != 1:
        expected = "the id, or enough of its beginning, of one of: " + ", ".join(p.hex() for p in known if p != NO_ID)
        raise ConfigError(log.key.name, "--procedure", text, expected)
    return fitting[0]
