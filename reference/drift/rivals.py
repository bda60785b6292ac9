"""The other detectors, each from its published formula with its library's defaults: river and frouros bring pandas, scipy and
matplotlib, over 200 MB, for a few dozen lines.

    PageHinkley   Page 1954; river.drift.PageHinkley: min_instances 30, delta 0.005, threshold 50, alpha 0.9999
    Adwin         Bifet and Gavalda 2007; river.drift.ADWIN: delta 0.002, clock 32, 5 buckets a row, windows of at least 5
    Kswin         Raab, Heusinger and Schleif 2020; river.drift.KSWIN, frouros KSWIN: alpha 0.005, window 100, newest 30
    mmd           Gretton et al. 2012; alibi-detect MMDDrift: Gaussian kernel of median width, 100 permutations, p < 0.05
    columns       Evidently's data drift preset: Kolmogorov-Smirnov of each column, p < 0.05; drift where half the columns say so
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class PageHinkley:
    """Two-sided, of one number at a time."""

    def __init__(self) -> None:
        self._n, self._mean, self._up, self._down, self._low, self._high = 0, 0.0, 0.0, 0.0, 0.0, 0.0

    def add(self, x: float) -> bool:
        self._n += 1
        self._mean += (x - self._mean) / self._n
        self._up = 0.9999 * self._up + (x - self._mean - 0.005)
        self._down = 0.9999 * self._down + (x - self._mean + 0.005)
        self._low, self._high = min(self._low, self._up), max(self._high, self._down)
        if self._n < 30 or max(self._up - self._low, self._high - self._down) <= 50:
            return False
        self.__init__()  # type: ignore[misc]  # begins anew after an alarm, as river's does
        return True


class Adwin:
    """A window of buckets of 1, 2, 4 … numbers, cut where two parts of it have different means."""

    DELTA, CLOCK, BUCKETS, LEAST = 0.002, 32, 5, 5

    def __init__(self) -> None:
        self._rows: list[deque[tuple[float, float]]] = [deque()]
        """For each size 2**i its buckets, oldest first: sum, and sum of squared deviations."""
        self._n, self._sum, self._spread, self._ticks = 0, 0.0, 0.0, 0

    def add(self, x: float) -> bool:
        if self._n:
            self._spread += self._n * (x - self._sum / self._n) ** 2 / (self._n + 1)
        self._n, self._sum, self._ticks = self._n + 1, self._sum + x, self._ticks + 1
        self._rows[0].append((x, 0.0))
        self._compress()
        return self._ticks % self.CLOCK == 0 and self._n > 10 and self._shrink()

    def _compress(self) -> None:
        for i, row in enumerate(self._rows):
            if len(row) <= self.BUCKETS:
                return
            (a, va), (b, vb) = row.popleft(), row.popleft()
            size = 2**i
            if i + 1 == len(self._rows):
                self._rows.append(deque())
            self._rows[i + 1].append((a + b, va + vb + (a - b) ** 2 / (2 * size)))

    def _shrink(self) -> bool:
        found = False
        while self._differs():
            found = True
            total, spread = self._rows[-1].popleft()
            size = 2 ** (len(self._rows) - 1)
            self._n, self._sum = self._n - size, self._sum - total
            self._spread -= spread + size * self._n * (total / size - self._sum / self._n) ** 2 / (size + self._n)
            while len(self._rows) > 1 and not self._rows[-1]:
                self._rows.pop()
        return found

    def _differs(self) -> bool:
        n0, sum0 = 0, 0.0
        log = math.log(2 * math.log(max(self._n, 3)) / self.DELTA)
        variance = max(self._spread, 0.0) / self._n
        for i in range(len(self._rows) - 1, -1, -1):
            for total, _ in self._rows[i]:
                n0, sum0 = n0 + 2**i, sum0 + total
                n1 = self._n - n0
                if n1 < self.LEAST:
                    return False
                if n0 < self.LEAST:
                    continue
                m = 1 / (n0 - self.LEAST + 1) + 1 / (n1 - self.LEAST + 1)
                cut = math.sqrt(2 * m * variance * log) + 2 / 3 * log * m
                if abs(sum0 / n0 - (self._sum - sum0) / n1) > cut:
                    return True
        return False


class Kswin:
    """The newest 30 numbers against 30 of the 70 before them."""

    def __init__(self, seed: int = 0) -> None:
        self._window: deque[float] = deque(maxlen=100)
        self._rng = np.random.default_rng(seed)

    def add(self, x: float) -> bool:
        self._window.append(x)
        if len(self._window) < 100:
            return False
        window = np.array(self._window)
        distance, p = ks(self._rng.choice(window[:70], 30, replace=False), window[70:])
        if p > 0.005 or distance <= 0.1:
            return False
        self._window = deque(window[70:], maxlen=100)
        return True


def ks(a: Array, b: Array) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov distance and its p-value (Kolmogorov's asymptotic series)."""
    both = np.sort(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(one), both, side="right") / len(one) for one in (a, b)]
    distance = float(np.abs(below[0] - below[1]).max())
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    z = (root + 0.12 + 0.11 / root) * distance
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * z * z) for k in range(1, 101)) if z > 0.2 else 1.0
    return distance, min(1.0, max(0.0, p))


def columns(before: Array, now: Array) -> bool:
    """(n, signals) each."""
    return float(np.mean([ks(before[:, j], now[:, j])[1] < 0.05 for j in range(now.shape[1])])) >= 0.5


def mmd(before: Array, now: Array, rng: np.random.Generator, permutations: int = 100) -> bool:
    """(n, signals) each, standardised."""
    x = np.concatenate([before, now])
    squares = (x * x).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * x @ x.T, 0.0)
    kernel = np.exp(-distances / max(float(np.median(distances[np.triu_indices(len(x), 1)])), 1e-12))
    np.fill_diagonal(kernel, 0.0)
    n, m = len(before), len(now)

    def value(first: NDArray[np.bool_]) -> float:
        rows = kernel[first]
        within, across = rows[:, first].sum(), rows[:, ~first].sum()
        rest = kernel.sum() - within - 2 * across
        return float(within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m))

    own = np.arange(n + m) < n
    seen = value(own)
    as_far = sum(value(rng.permutation(own)) >= seen for _ in range(permutations))
    return bool((as_far + 1) / (permutations + 1) < 0.05)
