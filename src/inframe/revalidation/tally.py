"""What is kept of one measured case: whole numbers only, so that they add up to the same in whatever order they are added.

A number that is no count is kept as a whole multiple of 1 / ONE. Tallies of different cases are put together by `merge`, which is
associative and commutative, and takes the same tally twice for one.
"""

import math
from collections.abc import Iterable, Mapping

from pydantic import Field

from inframe.core.errors import ConfigError
from inframe.core.part import Part, Sha256

ONE = 1 << 32
"""What 1.0 is kept as."""
BINS = 15
"""Of confidence, for the calibration error."""
CONFIDENCE_ONE = 1 << 20
_MANTISSA = 5


class Mean(Part):
    """A mean of numbers: how many, and their sum in 1 / ONE."""

    count: int = 0
    total: int = 0

    def plus(self, other: "Mean") -> "Mean":
        """Of both."""
        return Mean(count=self.count + other.count, total=self.total + other.total)

    @property
    def value(self) -> float | None:
        """None: of nothing."""
        return self.total / (self.count * ONE) if self.count else None


class Empty(Part):
    """Frames in which a label's mask was empty: in truth and answer, in the truth only, in the answer only."""

    both: int = 0
    true: int = 0
    found: int = 0


class Boxed(Part):
    """Boxes of one label: frames with a truth, true ones, of these found, and those that the model said."""

    frames: int = 0
    true: int = 0
    found: int = 0
    said: int = 0

    def plus(self, other: "Boxed") -> "Boxed":
        """Of both."""
        return Boxed(
            frames=self.frames + other.frames,
            true=self.true + other.true,
            found=self.found + other.found,
            said=self.said + other.said,
        )


class Found(Part):
    """Findings of one rule against the case's."""

    true: int = 0
    found: int = 0
    false: int = 0
    judged_ns: int = Field(0, description="for so long the rule was judged, ns")
    after_ns: tuple[int, ...] = Field((), description="from each found one's beginning to the finding, ns, ascending")


class Worst(Part):
    """A frame of which the model said the least right."""

    score: int = Field(description="mean Dice of the frame's labels, in 1 / ONE")
    model: str
    frame: int
    jpeg: str = Field(description="base64: the picture with the truth's outlines, and with the answer's")


class Tally(Part):
    """One case, measured."""

    case: str
    digest: Sha256 = Field(description="of the case")
    bundle: Sha256
    attributes: dict[str, str]
    frames: int
    labelled: int = Field(description="frames with masks or boxes that were compared")
    length_ns: int
    means: dict[str, Mean] = Field({}, description='"metric/model/label" -> of the frames that have a value')
    empty: dict[str, Empty] = Field({}, description='"model/label"')
    boxes: dict[str, Boxed] = Field({}, description='"model/label"')
    findings: dict[str, Found] = Field({}, description="by rule")
    bins: dict[str, tuple[tuple[int, int, int], ...]] = Field(
        {}, description="by model: of each bin of confidence: pixels, the sum of their confidence, how many are right"
    )
    latency: dict[str, dict[int, int]] = Field(
        {}, description="by model: `bin_of` a run's µs -> runs. A measurement: no two alike"
    )
    counts: dict[str, int] = Field({}, description="frames by verdict, results missed by reason")
    worst: tuple[Worst, ...] = ()
    machine: str = Field("", description="where it was measured: processor, engines")

    def figures(self) -> "Tally":
        """Without what differs from run to run."""
        return self.model_copy(update={"latency": {}, "machine": ""})


Tallies = Mapping[str, Tally]
"""By the digest of the case."""


def merge(one: Tallies, other: Tallies) -> Tallies:
    """Both. Raises ConfigError where they have the same case with other figures: then something is not the same."""
    for digest in one.keys() & other.keys():
        if one[digest].figures() != other[digest].figures():
            expected = "the same figures: the same bundle, engine and processor"
            raise ConfigError(one[digest].case, "tally", "two of one case that differ", expected)
    return {**other, **one}


def in_order(tallies: Tallies) -> list[Tally]:
    """By the cases' names: figures are made in this order, whoever measured them in whichever."""
    return sorted(tallies.values(), key=lambda one: (one.case, one.digest))


def added(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Histograms, put together."""
    total: dict[int, int] = {}
    for part in parts:
        for key, count in part.items():
            total[key] = total.get(key, 0) + count
    return total


def fixed(value: float) -> int:
    """As whole multiples of 1 / ONE."""
    return round(value * ONE)


def bin_of(us: int) -> int:
    """The bin of a duration: exact below 64 µs, within 3 % above."""
    shift = max(0, us.bit_length() - _MANTISSA - 1)
    return (shift << _MANTISSA) + (us >> shift)


def edge_of(index: int) -> int:
    """The largest duration in a bin, µs."""
    shift = max(0, (index >> _MANTISSA) - 1)
    return ((index - (shift << _MANTISSA)) + 1 << shift) - 1


def quantile(histogram: Mapping[int, int], q: float) -> float | None:
    """The duration, ms, that the share q of the runs did not exceed: their bin's upper edge. None: no runs."""
    total = sum(histogram.values())
    if not total:
        return None
    rank, seen = max(1, math.ceil(q * total)), 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen >= rank:
            return edge_of(index) / 1000
    raise RuntimeError("a rank beyond the total")
