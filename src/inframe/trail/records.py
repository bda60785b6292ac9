"""What the trail holds. A leaf is one second of one stream's frames, or some events; each explains itself without the others.

What does not change within the second (device, configuration, models, engines) stands once in the leaf; what changes per
frame is a `FrameRecord`. The values that the pipeline knows are those of core/types.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from inframe.core.samples import Quality
from inframe.core.types import Finding, FrameFlag, MissedReason, Mode, Presence, Run, Verdict

NO_ID = bytes(16)
NO_DIGEST = bytes(32)


class Moment(NamedTuple):
    """A reading of the clocks, taken together, so that monotonic times can be told in wall time."""

    boot: bytes
    """The kernel's boot id, 16 bytes: monotonic times of different boots can't be compared."""
    mono_ns: int
    wall_ns: int
    """ns since 1970, UTC."""
    clock: str
    """Which clocks these are and what keeps the wall clock right, e.g. "CLOCK_MONOTONIC CLOCK_REALTIME ntp"."""


@dataclass(frozen=True, slots=True)
class Header:
    """What every leaf says first."""

    moment: Moment
    """When the leaf was made; all its records are from before."""
    first_ns: int
    """The time of its earliest record (a frame: when it was shown), ns, monotonic."""
    procedure: bytes = NO_ID
    """A random id, 16 bytes, which says nothing about the patient; zeros outside procedures."""
    counter: int = 0
    """The device's monotonic counter (trail/counter.py), set when the leaf is written; 0 without one."""

    def wall_ns(self, mono_ns: int) -> int:
        """A monotonic time of this leaf in wall time, as the wall clock stood then."""
        return self.moment.wall_ns + mono_ns - self.moment.mono_ns


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it ran during the leaf's second."""

    name: str
    bundle: bytes
    """SHA-256 of its signed bundle, 32 bytes."""
    slot: str
    """active, trial or previous."""
    engine: str
    """Engine, version and execution provider."""
    preprocess: bytes
    """SHA-256 of its preprocessing settings, 32 bytes."""


@dataclass(frozen=True, slots=True)
class SensorUse:
    """A stream of samples during the leaf's second."""

    stream: str
    rules: tuple[str, ...]
    """Those that read it: its sample went into their findings."""


class SampleUse(NamedTuple):
    """What was known of one stream at one frame."""

    why: Quality
    """OK: there was a value; else why there was none."""
    seq: int
    """The newest sample in it, or the one that says why; 0: none."""
    age_ns: int
    """How long before the frame that one was measured; negative: after it."""


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One image that reached the screen. Times: ns, monotonic."""

    seq: int
    """0: the NO SIGNAL card was shown instead of a frame; `captured_ns` then says since when."""
    captured_ns: int
    deadline_ns: int
    shown_ns: int
    verdict: Verdict
    mode: Mode
    runs: tuple[Run | MissedReason, ...]
    """One for each of the leaf's models, in their order."""
    input: bytes = NO_DIGEST
    """Salted digest of the pixels, 32 bytes (trail/salt.py); zeros: not taken."""
    output: bytes = NO_DIGEST
    """Salted digest of all models' outputs for this frame, 32 bytes; zeros: not taken."""
    flags: FrameFlag = FrameFlag.NONE
    dropped: int = 0
    """Frames that capture threw away since the last one."""
    age_ns: int = 0
    """How old the results shown are (HOLD)."""
    findings: tuple[Finding, ...] = ()
    alerts: tuple[tuple[str, Presence], ...] = ()
    samples: tuple[SampleUse, ...] = ()
    """One for each of the leaf's sensors, in their order."""


@dataclass(frozen=True, slots=True)
class FrameLeaf:
    """About a second of one stream, under one configuration."""

    header: Header
    stream: str
    config: bytes
    """SHA-256 of the device file, 32 bytes."""
    models: tuple[Model, ...]
    frames: tuple[FrameRecord, ...]
    sensors: tuple[SensorUse, ...] = ()


class EventKind(IntEnum):
    """What an event is about."""

    START = 1
    STOP = 2
    """Of the device or a procedure. The writer's own, CLOSED, ends the log: one that does not end with it was not closed."""
    FAULT = 3
    ALERT = 4
    ACKNOWLEDGED = 5
    UPDATE = 6
    CONFIG = 7
    LOGIN = 8
    EXPORT = 9
    GAP = 10
    """Something is missing here; the writer adds one itself when it finds the log torn, not closed or rolled back."""
    PRUNE = 11
    WITNESS = 12


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened."""

    kind: EventKind
    at_ns: int
    name: str
    """A row of EVENTS, a rule, a command."""
    text: str = ""
    who: str = ""
    """The person or process that did it."""
    data: Mapping[str, str] = field(default_factory=dict)
    payload: bytes = b""
    """GAP: the very bytes that could not be read."""


@dataclass(frozen=True, slots=True)
class EventLeaf:
    """Events of about a second."""

    header: Header
    events: tuple[EventRecord, ...]


Leaf = FrameLeaf | EventLeaf
