"""Histograms of fixed bins, counted in whole numbers: they merge exactly, in any order and any grouping, on any machine.

A value lies in one of BINS equal parts of its signal's scale; what is beyond it counts in the first or the last. Means and
variances come from sums of whole steps (STEPS on a scale), which are exact as well: no sum of floats depends on its order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.signals import Values, signal_of

BINS = 64
STEPS = 1 << 16
WHOLE = ""
"""The name of the phase where no model tells phases."""

Counts = NDArray[np.int64]


@dataclass
class Scales:
    """The scales of some signals, in order."""

    names: tuple[str, ...]
    low: NDArray[np.float64] = field(init=False)
    width: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        rows = [signal_of(name) for name in self.names]
        self.low = np.array([row.low for row in rows], np.float64)
        self.width = np.array([row.high - row.low for row in rows], np.float64)

    def steps(self, values: NDArray[np.float64]) -> Counts:
        """(n,) values as whole steps 0..STEPS of their scales."""
        shares = np.clip((values - self.low) / self.width, 0.0, 1.0)
        return np.rint(shares * STEPS).astype(np.int64)

    def values(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) steps, or means of steps, as values."""
        return self.low + steps / STEPS * self.width


class Tally:
    """Counts of some signals' values: a histogram, how many, their sum and the sum of their squares, in steps."""

    def __init__(self, scales: Scales) -> None:
        n = len(scales.names)
        self.scales = scales
        self.bins: Counts = np.zeros((n, BINS), np.int64)
        self.count: Counts = np.zeros(n, np.int64)
        self.sum: Counts = np.zeros(n, np.int64)
        self.squares: Counts = np.zeros(n, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        """One value of each signal, (n,); NaN: none."""
        known = np.flatnonzero(~np.isnan(values))
        steps = self.scales.steps(np.nan_to_num(values))[known]
        self.bins[known, np.minimum(steps * BINS // STEPS, BINS - 1)] += 1
        self.count[known] += 1
        self.sum[known] += steps
        self.squares[known] += steps * steps

    def means(self) -> NDArray[np.float64]:
        """(n,), NaN where there was no value."""
        with np.errstate(invalid="ignore"):
            mean = self.sum / np.where(self.count, self.count, 1)
        return np.where(self.count > 0, self.scales.values(mean), np.nan)

    def merge(self, other: "Tally") -> None:
        """Add another's counts, of the same signals."""
        if self.scales.names != other.scales.names:
            raise RuntimeError("tallies of different signals")
        for mine, its in zip(self._all(), other._all(), strict=True):
            np.add(mine, its, out=mine)

    def _all(self) -> tuple[Counts, ...]:
        return self.bins, self.count, self.sum, self.squares

    def as_json(self) -> dict[str, Any]:
        """Signals that have a value; bins without one are left out."""
        found = {}
        for i, name in enumerate(self.scales.names):
            if self.count[i]:
                bins = {str(b): int(self.bins[i, b]) for b in np.flatnonzero(self.bins[i])}
                found[name] = [int(self.count[i]), int(self.sum[i]), int(self.squares[i]), bins]
        return found

    @classmethod
    def of_json(cls, scales: Scales, content: Mapping[str, Any]) -> "Tally":
        """What `as_json` made; signals that are no more are left out. Raises ValueError, KeyError, TypeError, IndexError."""
        tally = cls(scales)
        for i, name in enumerate(scales.names):
            if name in content:
                tally.count[i], tally.sum[i], tally.squares[i], bins = content[name]
                for at, count in bins.items():
                    tally.bins[i, int(at)] = count
        return tally


@dataclass
class Block:
    """The values of half a second: a block's mean counts once, since neighbouring frames say nearly the same."""

    names: tuple[str, ...]
    _sum: NDArray[np.float64] = field(init=False)
    _count: Counts = field(init=False)
    _at: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._at = {name: i for i, name in enumerate(self.names)}
        self._sum, self._count = np.zeros(len(self.names)), np.zeros(len(self.names), np.int64)

    def add(self, values: Values) -> None:
        """What was measured at one moment; signals that are not this block's are left out."""
        for name, value in values.items():
            i = self._at.get(name)
            if i is not None and value == value:  # noqa: PLR0124  # NaN
                self._sum[i] += value
                self._count[i] += 1

    def close(self) -> NDArray[np.float64]:
        """The means, (n,), NaN where there was no value; begins anew."""
        means = np.where(self._count > 0, self._sum / np.maximum(self._count, 1), np.nan)
        self._sum[:], self._count[:] = 0.0, 0
        return means


class Summary:
    """One procedure: a tally of its blocks for each phase. Memory grows with phases, of which there are at most `MAX_PHASES`."""

    MAX_PHASES = 32

    def __init__(self, scales: Scales) -> None:
        self.scales = scales
        self.phases: dict[str, Tally] = {}
        self.blocks = 0

    def add(self, block: NDArray[np.float64], phase: str = WHOLE) -> None:
        """A block's means, (n,)."""
        if phase not in self.phases and len(self.phases) >= self.MAX_PHASES:
            phase = next(iter(self.phases))
        self.phases.setdefault(phase, Tally(self.scales)).add(block)
        self.blocks += 1

    def whole(self) -> Tally:
        """All phases together."""
        total = Tally(self.scales)
        for tally in self.phases.values():
            total.merge(tally)
        return total

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"blocks": self.blocks, "phases": {phase: tally.as_json() for phase, tally in self.phases.items()}}

    @classmethod
    def of_json(cls, scales: Scales, content: Mapping[str, Any]) -> "Summary":
        """What `as_json` made. Raises as `Tally.of_json`."""
        summary = cls(scales)
        summary.blocks = int(content["blocks"])
        summary.phases = {phase: Tally.of_json(scales, one) for phase, one in content["phases"].items()}
        return summary


def together(ones: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Several tallies as JSON, merged: exact for any number of devices, as these are whole numbers without a limit. Each
    signal: [count, sum, squares, bins]."""
    total: dict[str, list[Any]] = {}
    for one in ones:
        for name, (count, sums, squares, bins) in one.items():
            mine = total.setdefault(name, [0, 0, 0, {}])
            mine[0], mine[1], mine[2] = mine[0] + count, mine[1] + sums, mine[2] + squares
            for at, number in bins.items():
                mine[3][at] = mine[3].get(at, 0) + number
    return {
        name: [*one[:3], dict(sorted(one[3].items(), key=lambda b: int(b[0])))] for name, one in sorted(total.items())
    }


def quantile(bins: Sequence[int] | Mapping[str, int], low: float, high: float, q: float) -> float:
    """The value below which a share `q` of a histogram lies, evenly spread within a bin; NaN of nothing."""
    counts = np.zeros(BINS)
    for at, number in bins.items() if isinstance(bins, Mapping) else enumerate(bins):
        counts[int(at)] = number
    if not counts.sum():
        return float("nan")
    edges = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    i = min(int(np.searchsorted(edges, q, side="right")) - 1, BINS - 1)
    i = max(0, i)
    inside = (q - edges[i]) / (edges[i + 1] - edges[i]) if edges[i + 1] > edges[i] else 0.0
    return low + (i + inside) / BINS * (high - low)
