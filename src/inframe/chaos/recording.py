"""What is left of the recording when its process has been broken: each part reads as far as it goes, no frame is missing without
the file saying so, and each blow has left a gap."""

from collections.abc import Iterable
from pathlib import Path

from inframe.core.errors import ConfigError
from inframe.recording.events import Packet
from inframe.recording.read import open_recording
from inframe.recording.schema import Gap
from inframe.recording.storage import PLAIN
from inframe.recording.write import Event

BLOWS = ("recording_killed", "recording_stopped")
"""The faults that hit the recording itself."""


def broken_bars(folder: Path, struck: list[str]) -> list[str]:
    """What does not hold of the recording in `folder` after the faults named were struck."""
    first = sorted(folder.glob(f"*.000{PLAIN}"))
    if len(first) != 1:
        return [f"{len(first)} recordings"]
    try:
        recording = open_recording(first[0])
        gaps, silent = missing(recording.read())
    except ConfigError as error:
        return [str(error)]
    broken, expected = [], sum(name in BLOWS for name in struck)
    if recording.health.damaged:
        broken.append(f"{recording.health.damaged} damaged chunks")
    if gaps < expected:
        broken.append(f"{gaps} gaps for {expected} faults of the recording")
    if silent:
        broken.append(f"{silent} frames are missing, and nothing says so")
    return broken


def missing(events: Iterable[Event]) -> tuple[int, int]:
    """How many gaps there are, and how many frames are neither there nor in one of them."""
    gaps = silent = last = 0
    for event in events:
        if isinstance(event, Gap) and event.frames:
            gaps += 1
            first, newest = event.first, event.last
        elif isinstance(event, Packet):
            first = newest = event.seq
        else:
            continue
        silent += max(0, first - last - 1) if last else 0
        last = max(last, newest)
    return gaps, silent
