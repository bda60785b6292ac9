"""What is left of the trail when everything has been broken: it must open, verify, and show a gap for each blow it took."""

from pathlib import Path

from inframe.trail import find
from inframe.trail.files import Disk
from inframe.trail.home import Home, log_name, log_number
from inframe.trail.note import Key
from inframe.trail.read import Log
from inframe.trail.records import EventRecord
from inframe.trail.verify import verify

BLOWS = ("recorder_killed", "recorder_stopped", "disk_full")
"""The faults that hit the trail itself."""


def broken_bars(home: Home, struck: list[str]) -> list[str]:
    """What does not hold of the trails in `home` after the faults named were struck."""
    gaps, silent, broken = 0, 0, []
    (key, *_), logs = home.public_keys(), home.logs()
    for path in logs:
        report = verify(Disk(path), key_of(key, path))
        broken += [str(damage) for damage in report.damages]
        gaps += len(report.gaps)
        silent += missing(Log(Disk(path), key_of(key, path)))
    expected = sum(name in BLOWS for name in struck)
    if len(logs) != 1:
        broken.append(f"{len(logs)} logs")
    if gaps < expected:
        broken.append(f"{gaps} gaps for {expected} faults of the recorder and its disk")
    if silent:
        broken.append(f"{silent} frames are missing, and nothing says so")
    return broken


def missing(log: Log) -> int:
    """How many frames are neither recorded nor counted as dropped, by the numbers of those that are."""
    count, last, told = 0, 0, False
    for _, _, _, record in find.show(log, find.Filter()):
        if isinstance(record, EventRecord):
            told |= record.name in ("LOST", "DROPPED")
        elif record.seq:
            count += 0 if told or not last else max(0, record.seq - last - 1 - record.dropped)
            last, told = record.seq, False
    return count


def key_of(key: Key, log: Path) -> Key:
    """The device's key under the name that it has in that log."""
    return Key(log_name(key.name, log_number(log)), key.scheme, key.public)
