"""What is left of the trail when everything has been broken: it must open, verify, and show a gap for each blow it took."""

from pathlib import Path

from inframe.trail.files import Disk
from inframe.trail.home import Home, log_name, log_number
from inframe.trail.note import Key
from inframe.trail.verify import verify

BLOWS = ("recorder_killed", "recorder_stopped", "disk_full")
"""The faults that hit the trail itself."""


def broken_bars(home: Home, struck: list[str]) -> list[str]:
    """What does not hold of the trails in `home` after the faults named were struck."""
    gaps, broken = 0, []
    (key, *_), logs = home.public_keys(), home.logs()
    for path in logs:
        report = verify(Disk(path), key_of(key, path))
        broken += [str(damage) for damage in report.damages]
        gaps += len(report.gaps)
    expected = sum(name in BLOWS for name in struck)
    if len(logs) != 1:
        broken.append(f"{len(logs)} logs")
    if gaps < expected:
        broken.append(f"{gaps} gaps for {expected} faults of the recorder and its disk")
    return broken


def key_of(key: Key, log: Path) -> Key:
    """The device's key under the name that it has in that log."""
    return Key(log_name(key.name, log_number(log)), key.scheme, key.public)
