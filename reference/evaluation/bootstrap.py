"""Intervals by cluster bootstrap: whole procedures are drawn again, because frames of one procedure are alike."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

DRAWS, SEED = 2000, 5
Interval = tuple[float, float, float]
"""The value, and the bounds between which 95 % of the draws fall."""


def interval(statistic: Callable[[NDArray[np.int64]], float], count: int) -> Interval:
    """``statistic`` of the numbers of the procedures that were drawn, of ``count``; draws without a value are left out."""
    if not count:
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(SEED)
    draws = [statistic(rng.integers(0, count, count)) for _ in range(DRAWS)]
    known = np.array([value for value in draws if np.isfinite(value)])
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (float("nan"), float("nan"))
    return statistic(np.arange(count)), float(low), float(high)


def share(hits: list[bool]) -> Interval:
    """The share of procedures that were a hit, one number each."""
    values = np.array(hits, float)
    return interval(lambda drawn: float(values[drawn].mean()), len(values))


def rate(counts: list[float], amounts: list[float]) -> Interval:
    """A sum over a sum: false alerts over minutes, changed pixels over pixels."""
    above, below = np.array(counts, float), np.array(amounts, float)
    return interval(lambda drawn: float(above[drawn].sum() / max(below[drawn].sum(), 1e-9)), len(above))


def mean_iou(tables: NDArray[np.int64]) -> dict[str, Interval]:
    """Intersection over union of confusion tables (procedures, classes, classes): of each class by its index, and their
    mean ("mean"); classes that never appear in a draw are left out of its mean."""

    def scores(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        table = tables[drawn].sum(axis=0)
        hits = np.diag(table).astype(float)
        union = table.sum(axis=0) + table.sum(axis=1) - hits
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    def one(k: int, drawn: NDArray[np.int64]) -> float:
        return float(scores(drawn)[k])

    found = {"mean": interval(lambda drawn: float(np.nanmean(scores(drawn))), len(tables))}
    for k in range(tables.shape[1]):
        found[str(k)] = interval(partial(one, k), len(tables))
    return found
