"""Signatures: the directions in which somebody expects a drift. Of each the reference has how all signals move together, by what
weights that is told best from chance, and its part of the alarm budget.

    known      the reference's procedures were also run degraded in a known way (out of focus, with smoke), or others were
               recorded that differ in a known way (other instruments, another site). Procedures are not all moved as far: their
               spread changes too. Both are weighed, as the logarithm of how much likelier the drift is than none
    watched    a signal of the case mix on which a finding depends: more of it and less of it, with all that follows in the
               reference from more of it (a label shift: what pictures with so much of the label look like stays as it was)

A drift of 1 SD is one whose signal that moves most moves by 1 SD of its normal score, on average.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.signals import Kind

FOLDS = 10
TYPICAL = 1.4
"""SD by which a drift of 1 SD moves the number of a signature. The drift that comes is not quite the one that was learned: half way
from here to what was measured is counted on."""

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Known:
    """Procedures that differ from the reference's in a known way."""

    name: str
    kind: Kind
    procedures: Array
    """(k, signals)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a procedure's normal scores x say of a drift, the more the likelier it is: linear @ x + x @ square @ x."""

    linear: Array
    """(signals,)."""
    square: Array
    """(signals, signals)."""

    def of(self, x: Array) -> Array:
        """(…,) of (…, signals)."""
        return np.asarray(x @ self.linear + ((x @ self.square) * x).sum(axis=-1))


@dataclass(frozen=True, slots=True)
class Direction:
    """How signals move together."""

    name: str
    kind: Kind
    shift: Array
    """(signals,): of their normal scores, at a drift of 1 SD."""
    degraded: Array | None = None
    """(k, signals): scores of the procedures that it was learned from; None: it is of the one signal that moves most."""

    def weights(self, plain: Array, degraded: Array | None = None) -> Weights:
        """How much likelier a drift of 1 SD is than none (the logarithm, of two normal distributions), as the reference's scores,
        (m, signals), and degraded ones have it."""
        m, n = plain.shape
        if degraded is None:
            own = np.eye(n)[int(np.abs(self.shift).argmax())]
            return Weights(own * np.sign(self.shift), np.zeros((n, n)))
        k, ridge = len(degraded), n / m * np.eye(n)
        before, moved = plain.T @ plain / m + ridge, degraded.mean(axis=0)
        drawn = _most(moved)
        believed = k / (k + n * (n + 1) / 2)  # a spread is so many numbers: k procedures do not know it better
        after = np.linalg.inv(_between(before, _spread(degraded) + ridge, believed / drawn**2))
        return Weights(after @ (moved - plain.mean(axis=0)) / drawn, (np.linalg.inv(before) - after) / 2)

    def of(self, plain: Array) -> Array:
        """(m,): what the reference's procedures say, by weights that have not seen them. Nor has the direction: it leads away from
        the mean of the reference's procedures, and so a little towards all that are still to come."""
        return _unseen(len(plain), lambda seen, rest: self.weights(plain[seen], self.degraded).of(plain[rest]))

    def of_1_sd(self, plain: Array) -> Array:
        """(k,): the same of procedures after a drift of 1 SD."""
        degraded = self.degraded
        if degraded is None:
            return self.weights(plain).of(plain + self.shift)
        drawn, ridge = _most(degraded.mean(axis=0)), len(self.shift) / len(plain) * np.eye(len(self.shift))
        whole = _spread(degraded) + ridge
        part = _between(plain.T @ plain / len(plain) + ridge, whole, 1.0 / drawn**2)
        narrower = np.linalg.solve(np.linalg.cholesky(whole).T, np.linalg.cholesky(part).T)
        moved = self.shift + (degraded - degraded.mean(axis=0)) @ narrower
        return _unseen(len(degraded), lambda seen, rest: self.weights(plain, degraded[seen]).of(moved[rest]))


def learned(name: str, kind: Kind, degraded: Array) -> Direction:
    """The direction in which scores, (k, signals), lie from the reference's."""
    moved = degraded.mean(axis=0)
    return Direction(name, kind, moved / _most(moved), degraded)


def watched(name: str, kind: Kind, correlation: Array, signal: int) -> tuple[Direction, Direction]:
    """More and less of a signal; the others follow as they do in the reference."""
    column = correlation[:, signal]
    return Direction(f"more {name}", kind, column), Direction(f"less {name}", kind, -column)


def _most(shift: Array) -> float:
    return max(float(np.abs(shift).max()), 1e-12)


def _spread(scores: Array) -> Array:
    """(signals, signals)."""
    return np.cov(scores.T).reshape(scores.shape[1], scores.shape[1])


def _between(before: Array, after: Array, part: float) -> Array:
    return before + min(1.0, part) * (after - before)


def _unseen(rows: int, of: Callable[[Rows, Rows], Array]) -> Array:
    """(rows,): tenth by tenth, what `of` the others makes of it; both are which rows."""
    found, fold = np.zeros(rows), np.arange(rows) % FOLDS
    for k in range(FOLDS):
        found[fold == k] = of(np.flatnonzero(fold != k), np.flatnonzero(fold == k))
    return found
