"""The values that walk through the pipeline. Everyone imports this file; it imports nothing of ours but the values of sensors.

A frame becomes results, results become findings, findings become alerts, and one verdict says what reaches the screen.
Late is a value (`Missed`), not an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from inframe.core.samples import Samples, Taken

Pixels = NDArray[np.uint8]
"""(height, width, 3) uint8, RGB, C-contiguous."""

Region = tuple[float, float, float, float]
"""(x0, y0, x1, y1) as fractions 0..1 of the frame's width and height: the part of the frame that an output covers."""

WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


class FrameFlag(IntFlag):
    """What the capture process knows to be wrong with a frame. Such a frame is shown, and never with an overlay."""

    NONE = 0
    CORRUPT = 1
    """The decoder concealed an error: the pixels are partly invented."""
    FROZEN = 2
    """The camera has been sending this very picture, bit for bit, for longer than `frozen_ms`."""
    RESIZED = 4
    """The camera changed its picture size midway: the picture is letterboxed into the declared size."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a stream. `pixels` is a read-only view into the ring: copy it to keep it."""

    stream: str
    seq: int
    """1, 2, 3 … as captured; a gap means that the capture process dropped a frame."""
    captured_ns: int
    """When the whole frame was there, device clock."""
    deadline_ns: int
    """By when it must be on the screen, device clock."""
    pixels: Pixels
    flags: FrameFlag = FrameFlag.NONE


@dataclass(frozen=True, slots=True)
class NoSignal:
    """What the loop gets instead of a frame when none came in time."""

    stream: str
    since_ns: int
    """When the last frame was captured, or when the loop began."""
    now_ns: int


# --- what models say -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Masks:
    """Segmentation. `classes`: (h, w) uint8, the index of each pixel's label; `region`: the part of the frame it covers."""

    classes: NDArray[np.uint8]
    region: Region = WHOLE


@dataclass(frozen=True, slots=True)
class Boxes:
    """Detection, best score first. `boxes`: (n, 4) float32 x0, y0, x1, y1 as fractions of the frame; `scores`: (n,)
    float32; `classes`: (n,) int32, the index of each label."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Scores:
    """Classification. `scores`: (labels,) float32."""

    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heat:
    """Score map. `heat`: (h, w) float32; `score`: its reduction to one number; `region`: the part of the frame it covers."""

    heat: NDArray[np.float32]
    score: float
    region: Region = WHOLE


Output = Masks | Boxes | Scores | Heat


@dataclass(frozen=True, slots=True)
class Steps:
    """When each step of a model's run on a frame ended, ns on the device clock; `started` is when it began."""

    started: int
    preprocessed: int
    inferred: int
    decoded: int


@dataclass(frozen=True, slots=True)
class Result:
    """One model's output for one frame. The arrays are the holder's own and are never written to again."""

    model: str
    seq: int
    captured_ns: int
    output: Output
    steps: Steps
    taken: tuple[Taken, ...] = ()
    """Of sensors, in the order of the model's inputs."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is kept of a result: which frame the model looked at, when its steps ended, and what it took of sensors."""

    seq: int
    steps: Steps
    taken: tuple[Taken, ...] = ()


class MissedReason(IntEnum):
    """Why there is no result."""

    LATE = 1
    """None came by the time that the picture had to be drawn."""
    INVALID = 2
    """The output holds NaN or infinity, or is of the wrong shape."""
    FAILED = 3
    """The engine or the decoder raised."""
    NOT_DUE = 4
    """`every` says that the model does not look at this frame."""
    ABSENT = 5
    """One of its inputs has no value: a sensor, another stream, another model; see `inputs`."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The value that stands for a result that is not there."""

    model: str
    seq: int
    reason: MissedReason


Results = Mapping[str, Result | Missed]
"""By model name."""


# --- what follows from it --------------------------------------------------------------------------------------------


class Verdict(IntEnum):
    """What the gate lets onto the screen."""

    SHOW = 1
    HOLD = 2
    WITHHOLD = 3


class Mode(IntEnum):
    """How much of the device works; higher is worse."""

    NOMINAL = 0
    DEGRADED = 1
    VIDEO_ONLY = 2
    FAULT = 3


class Priority(IntEnum):
    """IEC 60601-1-8 alarm priority."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Presence(IntEnum):
    """IEEE 11073 SDC alert signal presence."""

    OFF = 0
    ON = 1
    LATCHED = 2
    """The condition is gone, nobody has acknowledged it yet."""
    ACKNOWLEDGED = 3
    """The condition persists, somebody has seen it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A clinical statement that a rule made from results."""

    rule: str
    text: str
    priority: Priority
    since_ns: int
    """When the condition was first seen."""
    value: float
    """The measured quantity that the rule compares, in the rule's unit."""


@dataclass(frozen=True, slots=True)
class Alert:
    """How a finding or a fault reaches people."""

    key: str
    """The rule's name, or the event's."""
    text: str
    priority: Priority
    presence: Presence
    since_ns: int


class Audio(IntEnum):
    """IEEE 11073 SDC activation state of the audible signal; apart from whether an alert is present or acknowledged."""

    ON = 0
    PAUSED = 1
    """Silent until `Controls.audio_until_ns`."""
    OFF = 2


@dataclass(frozen=True, slots=True)
class Controls:
    """What a person may change while the device runs."""

    opacity: float = 0.35
    overlay_on: bool = True
    acknowledged_ns: int = 0
    """Alerts that began at or before this moment have been acknowledged."""
    audio: Audio = Audio.ON
    audio_until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What `decide` says of one frame. `age_ns`: how old the results shown are at `frame.captured_ns` (0 = this frame's)."""

    verdict: Verdict
    mode: Mode
    findings: tuple[Finding, ...]
    alerts: tuple[Alert, ...]
    shown: tuple[Result, ...]
    """The results that the overlay draws: this frame's (SHOW), held ones (HOLD), none (WITHHOLD)."""
    age_ns: int = 0
    samples: Samples = field(default_factory=dict)
    """What was known of each sensor when the frame was captured: what the rules of sensors looked at."""
