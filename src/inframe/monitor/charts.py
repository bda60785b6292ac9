"""Control charts over procedures: CUSUM (Page 1954), whose limit is solved from the declared run length, and beside them an
e-detector (Shiryaev-Roberts, mixed over all charts; Shin, Ramdas and Rinaldo 2022).

A chart gets one number z for each procedure: 0 on average and with SD 1 while all is as in the reference. It sums what exceeds
SLACK, upward and downward, and never falls below 0; the limit is where the sum stands on average once in `run_length` procedures
by chance alone. That average is found by cutting the sum's range into cells and treating it as a Markov chain (Brook and Evans
1972). A reference of m procedures knows its own mean and SD only to within 1/sqrt(m) and 1/sqrt(2m): the rate of false alarms is
averaged over that, which asks for higher limits than textbooks have. (And it knows no number beyond its outermost procedure's.)
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inframe.monitor import normal

SLACK = 0.5
"""Half of the shift, in SD, that the charts are best at."""
CELLS = 100
Array = NDArray[np.float64]


def cusum_run_length(
    limit: float, shift: float = 0.0, scale: float = 1.0, farthest: float = math.inf, cells: int = CELLS
) -> float:
    """The mean number of procedures until a one-sided CUSUM from 0 exceeds `limit`, of normal numbers with mean `shift` and SD
    `scale`, those beyond +-`farthest` being taken for that: Brook and Evans (1972)."""
    width = 2.0 * limit / (2 * cells - 1)  # the first cell is half as wide, around 0
    edges: Array = np.asarray((np.arange(-cells, cells + 1) + 0.5) * width + SLACK, np.float64)
    upto = normal.cdf((edges - shift) / scale)
    upto[edges >= farthest], upto[edges < -farthest] = 1.0, 0.0
    from_, to = np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij")
    chain = upto[to - from_ + cells] - upto[to - from_ + cells - 1]
    chain[:, 0] = upto[cells - np.arange(cells)]
    return float(np.linalg.solve(np.eye(cells) - chain, np.ones(cells))[0])


def ewma_run_length(limit: float, weight: float, shift: float = 0.0, cells: int = CELLS) -> float:
    """The same of a two-sided EWMA (Roberts 1959) from 0 that exceeds +-`limit` SD of its own long-run spread."""
    limit *= math.sqrt(weight / (2.0 - weight))
    width = 2.0 * limit / cells
    middles = -limit + (np.arange(cells) + 0.5) * width
    kept = (1.0 - weight) * middles[:, None]
    low, high = ((middles[None, :] + side * width / 2 - kept) / weight - shift for side in (-1, 1))
    lengths = np.linalg.solve(np.eye(cells) - (normal.cdf(high) - normal.cdf(low)), np.ones(cells))
    return float(np.interp(0.0, middles, lengths))


@cache
def cusum_limit(run_length: float, reference: int | None = None, *, sure: bool = False) -> float:
    """The limit of a two-sided CUSUM with that run length; see `rate`."""
    return _solved(lambda limit: 1.0 / rate(limit, reference, sure=sure), run_length, 1.0, 40.0)


@cache
def ewma_limit(run_length: float, weight: float) -> float:
    """The limit of a two-sided EWMA, in SD of its long-run spread, with that run length."""
    return _solved(lambda limit: ewma_run_length(limit, weight), run_length, 0.5, 8.0)


def rate(limit: float, reference: int | None = None, *, sure: bool = False) -> float:
    """False alarms a procedure of a two-sided CUSUM of numbers that are standardised by a reference of so many procedures (None:
    known without error), averaged over what these leave unknown; `sure`: as if its mean and SD were the true ones. Of the Markov
    chain at some limits, and along a line of logarithms between them, on which it nearly lies."""
    return float(np.exp(np.interp(limit, _LIMITS, _log_rates(reference, sure))))


_LIMITS = np.arange(0.25, 24.1, 0.5)


@cache
def _log_rates(reference: int | None, sure: bool) -> Array:  # cached by it
    if reference is None:
        return np.log([2.0 / cusum_run_length(float(limit)) for limit in _LIMITS])
    farthest, total = -normal.inverse(1.0 / (reference + 1)), np.zeros(len(_LIMITS))
    for node, weight in _gauss(1 if sure else 5):
        for scale_node, scale_weight in _gauss(1 if sure else 3):
            shift, scale = node / math.sqrt(reference), math.exp(scale_node / math.sqrt(2.0 * reference))
            lengths = [cusum_run_length(float(limit), shift, scale, farthest, 60) for limit in _LIMITS]
            total += weight * scale_weight * 2.0 / np.array(lengths)
    return np.log(total)


def _gauss(count: int) -> list[tuple[float, float]]:
    """Nodes and weights that average over a standard normal distribution (Gauss-Hermite); as exact here as with twice as many."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return [(float(x), float(w)) for x, w in zip(nodes, weights / weights.sum(), strict=True)]


def _solved(length: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """The limit with that run length, to 0.001: run lengths only grow with it."""
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) < wanted else (low, middle)
    return (low + high) / 2


class Charts:
    """CUSUMs of n numbers a procedure, each with its limit: two-sided ones, and behind them those that look upward only."""

    EWMA_WEIGHT = 0.2
    """Of the newest procedure, in the estimate of how far a number is from the reference now."""
    SHIFTS = (0.5, 1.0)
    """Which the e-detector bets on, in SD, up and down."""
    BEYOND = 2.0
    """A chart stops so far above its limit, so that it comes down soon after what drifted was set right."""
    ENDS = 0.5
    """An alarm stands until its chart has come down to this part of the limit. When none stands any more all charts begin anew,
    from 0: else one that wavers about its limit, and those that move with it, would tell of the same thing a dozen times."""

    def __init__(self, limits: Array, directed: int = 0, reference: int | None = None) -> None:
        """`limits`: (count,). `directed`: so many of the last look upward only. `reference`: the procedures by which numbers are
        standardised; None: known without error."""
        count = len(limits)
        self.limits, self._two_sided = limits, np.arange(count) < count - directed
        self._unsure = 0.0 if reference is None else 2.0 / math.sqrt(reference)
        self._spread = 1.0 if reference is None else 1.0 + 2.0 * math.sqrt(2.0 / reference)
        self.up, self.down = np.zeros(count), np.zeros(count)
        self.raised_up, self.raised_down = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        self.since_up, self.since_down = np.zeros(count, np.int64), np.zeros(count, np.int64)
        """Procedures since each sum was 0: the drift, if it is one, began there (Page's estimate)."""
        self.ewma = np.zeros(count)
        self.evidence = np.full((2 * len(self.SHIFTS), count), -math.inf)
        """Logarithms of the Shiryaev-Roberts sums."""

    def add(self, z: Array) -> None:
        """One procedure: (count,), NaN where it has no number; such a chart stays as it is."""
        known = ~np.isnan(z)
        z = np.where(known, z, 0.0)
        top, stood = self.limits + self.BEYOND, bool(self.raised_up.any() or self.raised_down.any())
        for sums, since, raised, sign in self._sides():
            moves = known if sign > 0 else known & self._two_sided
            new = np.clip(sums + sign * z - SLACK, 0.0, top)
            stands = raised & ~(moves & (new <= self.ENDS * self.limits))
            raised[:] = stands | moves & (new > self.limits)
            since[:] = np.where(moves, np.where(new > 0, since + 1, 0), since)
            sums[:] = np.where(moves, new, sums)
        if stood and not (self.raised_up.any() or self.raised_down.any()):
            for sums, since, _, _ in self._sides():
                sums[:], since[:] = 0.0, 0
        self.ewma = np.where(known, (1 - self.EWMA_WEIGHT) * self.ewma + self.EWMA_WEIGHT * z, self.ewma)
        bets = np.array([sign * shift for shift in self.SHIFTS for sign in (1, -1)])[:, None]
        grown = np.logaddexp(self.evidence, 0.0) + bets * z - np.abs(bets) * self._unsure - self._spread * bets**2 / 2
        self.evidence = np.minimum(np.where(known, grown, self.evidence), 300.0)

    def alarms(self) -> list[tuple[int, int, int]]:
        """The charts whose alarm stands: (which, +1 or -1, procedures since it began), the highest above its limit first."""
        found = [
            (float(sums[i] - self.limits[i]), int(i), sign, int(since[i]))
            for sums, since, raised, sign in self._sides()
            for i in np.flatnonzero(raised)
        ]
        return [(i, sign, since) for _, i, sign, since in sorted(found, reverse=True)]

    def _sides(self) -> tuple[tuple[Array, NDArray[np.int64], NDArray[np.bool_], int], ...]:
        return (self.up, self.since_up, self.raised_up, 1), (self.down, self.since_down, self.raised_down, -1)

    def e_value(self) -> float:
        """The e-detector: the mean of all Shiryaev-Roberts sums. While each z, given all before, has a mean and a spread within two
        standard errors of the reference's, it exceeds A at most once in A procedures on average, however charts depend on each
        other."""
        top = float(self.evidence.max(initial=-math.inf))
        return 0.0 if top == -math.inf else float(np.exp(self.evidence - top).mean() * math.exp(min(top, 300.0)))

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        evidence = [[None if v == -math.inf else round(float(v), 6) for v in row] for row in self.evidence]
        return {
            "up": [round(float(v), 6) for v in self.up],
            "down": [round(float(v), 6) for v in self.down],
            "raised_up": self.raised_up.tolist(),
            "raised_down": self.raised_down.tolist(),
            "since_up": self.since_up.tolist(),
            "since_down": self.since_down.tolist(),
            "ewma": [round(float(v), 6) for v in self.ewma],
            "evidence": evidence,
        }

    def restore(self, content: dict[str, list[float]]) -> None:
        """What `as_json` made, of as many numbers. Raises ValueError, KeyError, TypeError."""
        for name in ("up", "down", "raised_up", "raised_down", "since_up", "since_down", "ewma"):
            mine = getattr(self, name)
            mine[:] = np.array(content[name], mine.dtype)
        rows = [[-math.inf if v is None else v for v in row] for row in content["evidence"]]  # type: ignore[attr-defined]
        self.evidence[:] = np.array(rows, np.float64)
