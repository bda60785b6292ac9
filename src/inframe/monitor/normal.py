"""The normal distribution, without scipy: its distribution function, its inverse, and quantiles of chi-squared."""

import math

import numpy as np
from numpy.typing import NDArray

_erf = np.vectorize(math.erf, otypes=[np.float64])


def cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the standard normal distribution below each z."""
    return np.asarray(0.5 * (1.0 + _erf(z / math.sqrt(2.0))))


def inverse(p: float) -> float:
    """The z below which a share p lies, 0 < p < 1, by halving."""
    low, high = -40.0, 40.0
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(-middle / math.sqrt(2.0)) < 2.0 * p else (low, middle)
    return (low + high) / 2


def chi_squared(dimensions: int, p: float) -> float:
    """The value below which a share p of chi-squared lies (Wilson and Hilferty 1931; within 2 % for p from 0.9 to 0.999)."""
    a = 2.0 / (9.0 * dimensions)
    return dimensions * (1.0 - a + inverse(p) * math.sqrt(a)) ** 3
