"""How the alarm budget is shared over charts.

A part of it, GENERAL, goes to the charts of all signals, equally: they are for what nobody has thought of. The rest goes to the
signatures, the directions in which somebody expects a drift, so that each of them would be found equally soon: a drift that
moves many signals is told by a high limit as soon as one that moves a single signal is by a low one.

What charts of alike numbers raise together is less than the sum of what each raises: `overlap`, simulated once, when the
reference is made. Both are in the reference's file; limits are solved from them and the declared run length.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.charts import SLACK, cusum_limit, rate

GENERAL = 0.15
RUN_LENGTH = 500.0
"""For which budgets are shared: with others the same shares are hardly less equal."""
_OVERSHOOT = 1.166
"""A sum of normal steps behaves as one of infinitely small ones with limits so much farther out (Siegmund 1985)."""

Array = NDArray[np.float64]


def shares(strengths: Sequence[float], procedures: int) -> tuple[float, ...]:
    """The parts of the budget for signatures that move their charts by so many SD, at a reference of so many procedures; with what
    is left for the charts of all signals they sum to 1. None: all is left for those."""
    if not strengths:
        return ()
    wanted = (1.0 - GENERAL) / RUN_LENGTH
    low, high = 1.0, 200.0
    while high - low > 0.02:
        middle = (low + high) / 2
        total = sum(_rate(middle, strength, procedures) for strength in strengths)
        low, high = (middle, high) if total > wanted else (low, middle)
    rates = [_rate(high, strength, procedures) for strength in strengths]
    return tuple((1.0 - GENERAL) * one / sum(rates) for one in rates)


def _rate(delay: float, strength: float, procedures: int) -> float:
    """False alarms a procedure of a one-sided chart that finds a shift of `strength` SD after `delay` procedures."""
    drift = max(strength, 1.0) - SLACK  # its signal that moves most would tell 1 SD by itself
    return rate(max(0.5, delay * drift + 0.5 / drift - _OVERSHOOT), procedures) / 2.0


def limits(signals: int, parts: Sequence[float], run_length: float, procedures: int, *, sure: bool = False) -> Array:
    """(charts,): of the plain and the adjusted number of each signal, two-sided, then of the signatures, one-sided. Overlap
    is not in it: give the run length times it. `sure`: see `charts.rate`."""
    general = cusum_limit(run_length * 2 * signals / (1.0 - math.fsum(parts)), procedures, sure=sure)
    directed = [cusum_limit(run_length / part / 2.0, procedures, sure=sure) for part in parts]
    return np.array([*[general] * (2 * signals), *directed])


def overlap(numbers: Array, parts: Sequence[float], procedures: int = 240_000, chains: int = 400) -> float:
    """What the charts of (m, charts) numbers raise together, as a part of the sum of what the Markov chain says of each: whole
    procedures of the reference are drawn again and again, with all that charts have in common and all that is not normal."""
    directed = len(parts)
    limit = limits((numbers.shape[1] - directed) // 2, parts, RUN_LENGTH, len(numbers), sure=True)
    two_sided = numbers.shape[1] - directed
    rng = np.random.default_rng(1)
    up, down, alarms = np.zeros((chains, numbers.shape[1])), np.zeros((chains, two_sided)), 0
    for _ in range(procedures // chains):
        z = numbers[rng.integers(len(numbers), size=chains)]
        np.maximum(up + z - SLACK, 0.0, out=up)
        np.maximum(down - z[:, :two_sided] - SLACK, 0.0, out=down)
        above = (up > limit).any(axis=1) | (down > limit[:two_sided]).any(axis=1)
        alarms += int(np.count_nonzero(above))
        up[above] = down[above] = 0.0
    return alarms / (procedures // chains * chains) * RUN_LENGTH
