"""Cluster bootstrap by procedure: whole procedures are drawn again, because frames of one procedure are alike.

Every statistic is a sum over a sum, a / b, with one (a, b) of each procedure: a mean over procedures (b = 1), events found of
events, false alerts a minute.
The bound is the bootstrap-t's (Efron, Tibshirani 1993, ch. 12.5) on a scale on which the statistic is nearly
symmetric: percentiles of the draws themselves cover too little with some tens of procedures. Where procedures say nothing of the
spread (all events found, no false alert) the bound is exact: binomial over procedures, Poisson over time.

Figures depend on the seed, the draws and the procedures' order, which is that of their names: not on who computed what.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Scale = Literal["mean", "share", "rate", "size", "value"]
"""mean: of numbers 0..1 of each procedure; share: events found of events; rate: events over time; size: a mean of numbers
from 0 on; value: of any numbers."""
Side = Literal["low", "high"]
_CHUNK = 1 << 22
_EDGE = 1e-4
"""A mean of numbers 0..1 nearer to 0 or 1 than this is taken for that far: the logarithm of its odds stays finite."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How often each procedure is in each draw: (draws, procedures) uint16. One for all endpoints, which stay paired."""

    counts: NDArray[np.uint16]

    @staticmethod
    def make(seed: int, draws: int, procedures: int) -> "Draws":
        """Numpy's PCG64: the same on every machine. The same arguments give the same object."""
        return _drawn(seed, draws, procedures)

    def sums(self, *columns: Values) -> list[Values]:
        """Of each draw: the sum of a column of numbers (procedures,) over what was drawn. Not by BLAS, whose order of adding
        depends on how many threads it has."""
        found = [np.empty(len(self.counts)) for _ in columns]
        step = max(1, _CHUNK // max(1, self.counts.shape[1]))
        for start in range(0, len(self.counts), step):
            drawn = self.counts[start : start + step].astype(np.float64)
            for out, column in zip(found, columns, strict=True):
                out[start : start + step] = np.einsum("ij,j->i", drawn, column)
        return found


@lru_cache(maxsize=4)
def _drawn(seed: int, draws: int, procedures: int) -> Draws:
    rng = np.random.Generator(np.random.PCG64(seed))
    counts = np.zeros((draws, procedures), np.uint16)
    for draw in range(draws):
        counts[draw] = np.bincount(rng.integers(0, procedures, procedures), minlength=procedures)
    return Draws(counts)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with what is known of its uncertainty."""

    value: float
    low: float
    """One-sided lower bound at the level that was asked for."""
    high: float
    """One-sided upper bound."""
    procedures: int
    """That had something to say."""
    p: Callable[[float, Side], float]
    """(bound, side) -> one-sided p-value of "not beyond that bound": low: the truth is not above it, high: not below it."""


def ratio(a: Values, b: Values, draws: Draws, scale: Scale, alpha: float) -> Estimate:
    """sum(a) / sum(b) of procedures; those with b = 0 have nothing to say. No number at all: NaN, and no bound holds."""
    known = int(np.count_nonzero(b))
    if not known:
        return Estimate(float("nan"), float("-inf"), float("inf"), 0, lambda _bound, _side: 1.0)
    value = float(a.sum() / b.sum())
    edge = _at_the_edge(b, known, scale, alpha, value)
    if edge is not None:
        return edge
    if known < 2:
        return Estimate(value, float("-inf"), float("inf"), known, lambda _bound, _side: 1.0)
    columns = (a, b, a * a, a * b, b * b)
    whole, sums = [np.array([column.sum()]) for column in columns], draws.sums(*columns)
    found = []
    for on_log in (False, True) if scale in ("rate", "size") else (scale != "value",):
        with np.errstate(divide="ignore", invalid="ignore"):
            centre, spread = _studied(whole, known, scale, on_log)
            drawn, spreads = _studied(sums, known, scale, on_log)
            t = (drawn - centre) / spreads
        t = np.sort(np.where(np.isnan(t), 0.0, t))
        wide = float(spread[0]) * np.sqrt(
            known / (known - 1)
        )  # as if each procedure had had no part in what it is compared with
        found.append(
            _bounds(value, float(centre[0]), wide, t, _effective(b), scale if on_log else "value", alpha, known)
        )
    return found[0] if len(found) == 1 else _farther(*found)


def difference(new: tuple[Values, Values], old: tuple[Values, Values], draws: Draws, alpha: float) -> Estimate:
    """The new ratio less the old one, on the same procedures: what one has in it is drawn together with what the other has."""
    (a, b), (c, d) = new, old
    known = int(np.count_nonzero((b != 0) & (d != 0)))
    if known < 2 or not (b.any() and d.any()):
        return Estimate(float("nan"), float("-inf"), float("inf"), known, lambda _bound, _side: 1.0)
    columns = (a, b, c, d, a * a, b * b, c * c, d * d, a * b, a * c, a * d, b * c, b * d, c * d)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre, spread = _apart([np.array([column.sum()]) for column in columns], known)
        drawn, spreads = _apart(draws.sums(*columns), known)
        tiny = 1e-12 * max(1.0, abs(float(a.sum() / b.sum())))
        t = np.where(spreads > tiny, (drawn - centre) / spreads, 0.0)
    value = float(centre[0])
    if spread[0] <= tiny:  # the same in every procedure, as for the same model: there is no doubt about it
        return Estimate(value, value, value, known, lambda bound, side: 0.0 if _beyond(value, bound, side) else 1.0)
    wide = float(spread[0]) * np.sqrt(known / (known - 1))
    return _bounds(value, value, wide, np.sort(np.where(np.isnan(t), 0.0, t)), _effective(b), "value", alpha, known)


def _effective(b: Values) -> float:
    """So many procedures of equal weight would say as much."""
    return max(2.0, float(b.sum() ** 2 / (b * b).sum()))


def plain(value: float, drawn: Values, procedures: int, alpha: float) -> Estimate:
    """For a statistic that is no ratio (a quantile, a calibration error): percentiles of its draws, farther out by as much as with
    so few procedures they are too near (Hesterberg 2015, "expanded percentile")."""
    if procedures > 1:
        wider = _student(1 - alpha, procedures - 1) / NormalDist().inv_cdf(1 - alpha)
        drawn = value + (drawn - value) * wider * np.sqrt(procedures / (procedures - 1))
    known = np.sort(drawn[np.isfinite(drawn)])
    if not len(known) or not np.isfinite(value):
        return Estimate(value, float("-inf"), float("inf"), procedures, lambda _bound, _side: 1.0)
    low, high = _quantile(known, alpha), _quantile(known, 1 - alpha)

    def p(bound: float, side: Side) -> float:
        against = np.count_nonzero(known <= bound) if side == "low" else np.count_nonzero(known >= bound)
        return float(1 + against) / (len(known) + 1)

    return Estimate(value, min(low, value), max(high, value), procedures, p)


def holm(p: list[float], alpha: float) -> list[bool]:
    """Which of the hypotheses are rejected at the family-wise level alpha (Holm 1979)."""
    rejected = [False] * len(p)
    for rank, index in enumerate(sorted(range(len(p)), key=lambda one: (p[one], one))):
        if p[index] > alpha / (len(p) - rank):
            break
        rejected[index] = True
    return rejected


def _beyond(value: float, bound: float, side: Side) -> bool:
    return value > bound if side == "low" else value < bound


def _quantile(ordered: Values, q: float) -> float:
    """Nearest rank, towards the tail: never a number that was not drawn."""
    rank = int(np.floor(q * (len(ordered) + 1))) if q < 0.5 else int(np.ceil(q * (len(ordered) + 1)))
    return float(ordered[min(max(rank, 1), len(ordered)) - 1])


def _to(scale: Scale, x: Values) -> Values:
    if scale in ("mean", "share"):
        clipped = np.clip(x, _EDGE, 1 - _EDGE)
        return np.asarray(np.log(clipped / (1 - clipped)))
    return np.asarray(np.log(np.maximum(x, 1e-12))) if scale in ("rate", "size") else x


def _from(scale: Scale, y: float) -> float:
    if scale in ("mean", "share"):
        return float(1 / (1 + np.exp(-np.clip(y, -700, 700))))
    return float(np.exp(min(y, 700))) if scale in ("rate", "size") else y


def _studied(sums: list[Values], known: int, scale: Scale, on_log: bool) -> tuple[Values, Values]:
    """The statistic and its standard error on its scale, of the sums of a, b, a², ab, b²."""
    sa, sb, saa, sab, sbb = sums
    theta = sa / sb
    variance = np.maximum(saa - 2 * theta * sab + theta**2 * sbb, 0) * (known / (known - 1)) / sb**2
    if scale == "share":  # half an event more on both sides: a draw with none or all of them still says something
        theta = (sa + 0.5) / (sb + 1)
        variance = np.maximum(variance, theta * (1 - theta) / (sb + 1))
    elif scale == "rate":
        theta = (sa + 0.5) / sb
        variance = np.maximum(variance, (sa + 0.5) / sb**2)
    error = np.sqrt(variance)
    if not on_log:
        return theta, error
    if scale in ("mean", "share"):
        clipped = np.clip(theta, _EDGE, 1 - _EDGE)
        return _to(scale, theta), error / (clipped * (1 - clipped))
    return _to(scale, theta), error / np.maximum(theta, 1e-12)


def _farther(one: Estimate, other: Estimate) -> Estimate:
    """Numbers that are never negative lean to the right, some more, some less than their logarithms: of both scales the bound that
    is farther out."""
    low, high = max(0.0, min(one.low, other.low)), max(one.high, other.high)
    return Estimate(
        one.value, low, high, one.procedures, lambda bound, side: max(one.p(bound, side), other.p(bound, side))
    )


def _apart(sums: list[Values], known: int) -> tuple[Values, Values]:
    a, b, c, d, aa, bb, cc, dd, ab, ac, ad, bc, bd, cd = sums
    r, s = a / b, c / d
    first = (aa - 2 * r * ab + r * r * bb) / b**2
    second = (cc - 2 * s * cd + s * s * dd) / d**2
    both = (ac - s * ad - r * bc + r * s * bd) / (b * d)
    return r - s, np.sqrt(np.maximum(first + second - 2 * both, 0) * (known / (known - 1)))


def _bounds(
    value: float, centre: float, spread: float, t: Values, effective: float, scale: Scale, alpha: float, known: int
) -> Estimate:
    """By the ordered draws of t, or by Student's distribution where that is farther out: with few procedures the draws know too
    little of the tails."""
    freedom = effective - 1
    upper = max(_quantile(t, 1 - alpha), _student(1 - alpha, freedom))
    lower = min(_quantile(t, alpha), -_student(1 - alpha, freedom))

    def p(bound: float, side: Side) -> float:
        if spread == 0:
            return 0.0 if _beyond(value, bound, side) else 1.0
        seen = (centre - float(_to(scale, np.array([bound]))[0])) / spread
        against = np.count_nonzero(t >= seen) if side == "low" else np.count_nonzero(t <= seen)
        return max(float(1 + against) / (len(t) + 1), _student_tail(seen if side == "low" else -seen, freedom))

    low, high = _from(scale, centre - upper * spread), _from(scale, centre - lower * spread)
    return Estimate(value, min(low, value), max(high, value), known, p)


def _student(q: float, freedom: float) -> float:
    """The quantile (q > 0.5) of Student's distribution, by Wallace's approximation (1959), which `_student_tail` inverts."""
    z = NormalDist().inv_cdf(q) * (8 * freedom + 3) / (8 * freedom + 1)
    return float(np.sqrt(freedom * np.expm1(z * z / freedom)))


def _student_tail(t: float, freedom: float) -> float:
    z = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t * t / freedom))
    return NormalDist().cdf(-float(np.copysign(z, t)))


def _at_the_edge(b: Values, known: int, scale: Scale, alpha: float, value: float) -> Estimate | None:
    """All events found, or none; no event in all the time. Within a procedure events may go together, so procedures are counted."""
    total = float(b.sum())
    if scale == "rate" and value == 0:

        def none(bound: float, side: Side) -> float:
            return 1.0 if side == "low" else float(np.exp(-max(bound, 0) * total))

        return Estimate(0.0, 0.0, float(-np.log(alpha) / total), known, none)
    if scale == "share" and value in (0.0, 1.0):
        exact = alpha ** (1 / known)

        def all_or_none(bound: float, side: Side) -> float:
            if (side == "low") != (value == 1.0):
                return 1.0
            share = bound if side == "low" else 1 - bound
            return float(min(max(share, 0.0), 1.0) ** known)

        low, high = (exact, 1.0) if value == 1.0 else (0.0, 1 - exact)
        return Estimate(value, low, high, known, all_or_none)
    return None
