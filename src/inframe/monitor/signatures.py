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
TYPICAL = 1.3
"""SD by which a drift of 1 SD moves the number of a signature. The drift that comes is not quite the one that was learned: half way
from here to what was measured is counted on."""

Array = NDArray[np.float64]


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
    spreads: bool = True
    """How procedures spread is weighed as well."""

    @property
    def drawn(self) -> float:
        """So many SD the signal that moves most had moved where it was learned."""
        return 1.0 if self.degraded is None else _most(self.degraded.mean(axis=0))

    def weights(self, plain: Array, degraded: Array | None = None) -> Weights:
        """How much likelier a drift of 1 SD is than none (the logarithm, of two normal distributions), as the reference's scores,
        (m, signals), and degraded ones have it."""
        m, n = plain.shape
        if degraded is None:
            own = np.eye(n)[int(np.abs(self.shift).argmax())]
            return Weights(own * np.sign(self.shift), np.zeros((n, n)))
        k, ridge, moved = len(degraded), n / m * np.eye(n), degraded.mean(axis=0)
        before, there = plain.T @ plain / m + ridge, np.cov(degraded.T).reshape(n, n) + ridge
        believed = k / (k + n * (n + 1) / 2) if self.spreads else 0.0  # of so many numbers k procedures know that much
        after = np.linalg.inv(before + min(1.0, believed / self.drawn**2) * (there - before))
        return Weights(after @ (moved - plain.mean(axis=0)) / self.drawn, (np.linalg.inv(before) - after) / 2)

    def of(self, plain: Array) -> Array:
        """(m,): what the reference's procedures say, by weights that have not seen them. Nor has the direction: it leads away from
        the mean of the reference's procedures, and so a little towards all that are still to come."""
        return _unseen(plain, lambda seen: self.weights(seen, self.degraded))

    def of_degraded(self, plain: Array) -> Array:
        """(k,): what those that it was learned from say, by weights that have not seen them."""
        return np.zeros(0) if self.degraded is None else _unseen(self.degraded, lambda seen: self.weights(plain, seen))


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


def _unseen(scores: Array, weights: Callable[[Array], Weights]) -> Array:
    """(rows,) of (rows, signals): tenth by tenth, by the weights that the others have."""
    found, fold = np.zeros(len(scores)), np.arange(len(scores)) % FOLDS
    for k in range(FOLDS):
        found[fold == k] = weights(scores[fold != k]).of(scores[fold == k])
    return found
