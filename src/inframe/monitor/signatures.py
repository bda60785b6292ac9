"""Signatures: the directions in which somebody expects a drift. Of each the reference has how all signals move together, the
weights by which that is told best from chance (a matched filter, Healy 1987), and its part of the alarm budget.

    known      the reference's procedures were also run degraded in a known way (out of focus, with smoke), or others were
               recorded that differ in a known way (other instruments, another site)
    watched    a signal of the case mix on which a finding depends: more of it and less of it, with all that follows in the
               reference from more of it (a label shift: what pictures with so much of the label look like stays as it was)

A drift of 1 SD is one whose signal that moves most moves by 1 SD of its normal score, on average.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.signals import Kind

FOLDS = 10
ALIKE = 0.85
"""The drift that comes is not quite the one that was learned: so much of a signature's strength is counted on."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """Procedures that differ from the reference's in a known way."""

    name: str
    kind: Kind
    procedures: Array
    """(k, signals)."""


@dataclass(frozen=True, slots=True)
class Direction:
    """How signals move together."""

    name: str
    kind: Kind
    shift: Array
    """(signals,): of their normal scores, at a drift of 1 SD."""
    strength: float
    """How far a drift of 1 SD moves the signature's own number, in SD."""
    weights: Array | None = None
    """Where they are known; else those of a matched filter."""
    drawn: float = 1.0
    """So many SD the signal that moves most had moved where the direction was learned."""


def directed(name: str, kind: Kind, plain: Array, degraded: Array) -> Direction:
    """The direction in which scores, (k, signals), lie from the reference's, (m, signals). How strongly it tells them apart is
    measured on those that its weights have not seen."""
    moved = degraded.mean(axis=0)
    most = max(float(np.abs(moved).max()), 1e-12)
    fold, far = np.arange(len(degraded)) % FOLDS, 0.0
    for k in set(fold.tolist()):
        weights = matched(plain, degraded[fold != k].mean(axis=0))
        far += float((degraded[fold == k] @ weights).sum())
    return Direction(name, kind, moved / most, ALIKE * far / len(degraded) / most, drawn=most)


def watched(name: str, kind: Kind, correlation: Array, signal: int) -> tuple[Direction, Direction]:
    """More and less of a signal; the others follow as they do in the reference."""
    column, own = correlation[:, signal], np.eye(len(correlation))[signal]
    return Direction(f"more {name}", kind, column, 1.0, own), Direction(f"less {name}", kind, -column, 1.0, -own)


def matched(plain: Array, shift: Array) -> Array:
    """The weights of (m, signals) normal scores by which that shift is told best from chance."""
    m, n = plain.shape
    weights = np.linalg.solve(plain.T @ plain / m + n / m * np.eye(n), shift)
    return np.asarray(weights / math.sqrt(max(float(shift @ weights), 1e-12)))


def along(plain: Array, directions: Sequence[Direction]) -> Array:
    """(m, directions): how far each procedure lies along them, by weights that have not seen it. Nor has the direction: it leads
    away from the mean of the reference's procedures, and so a little towards all that are still to come."""
    found = np.zeros((len(plain), len(directions)))
    fold = np.arange(len(plain)) % FOLDS
    for k in range(FOLDS):
        others = plain[fold != k]
        for j, one in enumerate(directions):
            shift = one.shift - others.mean(axis=0) / one.drawn
            weights = matched(others, shift) if one.weights is None else one.weights
            found[fold == k, j] = plain[fold == k] @ weights
    return found


def weights_of(plain: Array, direction: Direction) -> Array:
    """By which a direction is told best from chance, as (m, signals) normal scores are."""
    return matched(plain, direction.shift) if direction.weights is None else direction.weights
