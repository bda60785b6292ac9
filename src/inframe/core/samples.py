"""The values of sensors: what a sample is, and what is known of a stream of samples at the moment when a frame was captured.

Absent is a value, as late is one for models: whoever reads a stream gets an `Aligned` or an `Absent`, never a number that is
too old, torn, or not to be believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Quality(IntEnum):
    """What is known of a sample. Only OK is a value; of a stream that is absent it says why."""

    OK = 0
    STALE = 1
    """Older than the stream's `max_age_ms`; or the sensor repeats itself: flat or the same for longer than `frozen_ms`."""
    GAP = 2
    """The source has nothing here: a missing sample, not a number, a time that can't be right."""
    SATURATED = 3
    """Beyond what the sensor can measure."""
    CALIBRATING = 4
    """The source's clock is not known well enough yet, or has just been stepped."""
    NOISY = 5
    """It changes faster than the quantity can: a loose lead, a broken cable."""


class Sample(NamedTuple):
    """One reading of a stream: a number for each of its channels, in the units that the device file declares."""

    seq: int
    """1, 2, 3 … as it was written."""
    captured_ns: int
    """When it was measured, device clock; grows from sample to sample."""
    source_ns: int
    """The same on the source's own clock; NO_TIME if it has none."""
    uncertain_ns: int
    """How far off `captured_ns` may be, as far as the mapping of the clocks can tell."""
    quality: Quality
    values: tuple[float, ...]
    """Not a number where the source has none."""


NO_TIME = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Aligned:
    """A stream's value at the moment when a frame was captured."""

    values: tuple[float, ...]
    """One for each channel; a window with `over: last` has its samples one after the other, oldest first."""
    seq: int
    """The newest sample that is in it."""
    age_ns: int
    """How long before the frame that one was measured; negative: after it."""
    uncertain_ns: int
    upto: int = 0
    """The newest sample that was there when it was looked at: what a replay needs to see the same."""


@dataclass(frozen=True, slots=True)
class Absent:
    """What stands for a value that is not there."""

    why: Quality
    """Never OK."""
    seq: int = 0
    """The sample that says so; 0: there is none."""
    age_ns: int = 0
    """How long before the frame that one was measured."""
    upto: int = 0


class Taken(NamedTuple):
    """What is kept of a value that a model was given."""

    upto: int
    """The newest sample that was there when the worker looked."""
    seq: int
    """The newest one in the value, or the one that says why there is none."""
    age_ns: int
    why: Quality | None = None
    """Why there was none; None: there was."""


Samples = Mapping[str, Aligned | Absent]
"""By stream."""

NO_SAMPLES: Samples = {}
