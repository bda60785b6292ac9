"""What drifted: which explanation is most likely, of the procedures since the drift began.

    a signature       all signals moved along one known direction, by some amount, some procedures more than others
    one signal        it moved: one of the instrument alone; one of the case mix, and all others as they follow it in the reference
    the case mix      its signals moved, anyhow; all others only as they follow these in the reference
    the instrument    all signals moved, anyhow: a camera that blurs also misleads the model that the case mix is measured with

The more an explanation leaves open the better it always fits: each number that it leaves open costs it COST.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.reference import Reference
from inframe.monitor.signals import Kind, signal_of
from inframe.monitor.signatures import Weights

NAMED = 3
STRENGTHS = np.arange(1, 41)[:, None] / 10.0
"""Of a signature, in SD: which are tried."""
TURNED = 0.4
"""The drift that comes is not quite the one that was learned: of what it does so much, squared, lies beside the direction."""
COST = 3.0
"""Of each number left open, in the chi-squared that it brings: some more than 1, what chance brings."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cause:
    """Who is to look, and at what."""

    kind: Kind
    signals: tuple[tuple[str, float], ...]
    """The signals that moved most, with how far, in SD of what the other signals leave unexplained."""
    signature: str = ""
    """The signature that explains it best, if one does."""

    def text(self) -> str:
        """One line."""
        moved = ", ".join(f"{name} {shift:+.1f} SD" for name, shift in self.signals)
        return f"{self.kind.value}: {f'like {self.signature}: ' if self.signature else ''}{moved}"


def cause(reference: Reference, numbers: Array, alarm: int) -> Cause:
    """`numbers`: (procedures since the drift began, charts). `alarm`: the chart that raised the alarm."""
    n = len(reference.names)
    shift, adjusted = (np.nan_to_num(part).mean(axis=0) for part in (numbers[:, :n], numbers[:, n : 2 * n]))
    kinds = [signal_of(name).kind for name in reference.names]
    kind, signature = _likeliest(reference, shift, len(numbers))
    far = np.where(np.abs(adjusted) > np.abs(shift), adjusted, shift)
    order = sorted((i for i in range(n) if kinds[i] is kind), key=lambda i: -abs(far[i]))
    if alarm < 2 * n and kinds[alarm % n] is kind:
        order = [alarm % n, *(i for i in order if i != alarm % n)]
    return Cause(kind, tuple((reference.names[i], float(far[i])) for i in order[:NAMED]), signature)


def _likeliest(reference: Reference, shift: Array, procedures: int) -> tuple[Kind, str]:
    """The explanation with the highest score: twice the gain in log-likelihood, less what it leaves open."""
    known = reference.file.procedures
    count = procedures * known / (procedures + known)  # the reference's own mean is not known better than that
    r = reference.correlation + 1e-3 * np.eye(len(shift))
    case = np.array([i for i, name in enumerate(reference.names) if signal_of(name).kind is Kind.CASE], np.int64)
    found = [(count * _squared(shift, r) - COST * len(shift), Kind.INSTRUMENT, "")]
    if len(case):
        found.append((count * _squared(shift[case], r[np.ix_(case, case)]) - COST * len(case), Kind.CASE, ""))
    inverse = np.linalg.inv(r)
    alone = (inverse @ shift) ** 2 / np.diag(inverse)
    for i, name in enumerate(reference.names):
        kind = signal_of(name).kind
        if kind in (Kind.INSTRUMENT, Kind.CASE):  # which one is left open too
            gain = alone[i] if kind is Kind.INSTRUMENT else shift[i] ** 2
            found.append((count * float(gain) - 2 * COST, kind, ""))
    root = np.asarray(np.linalg.cholesky(r), np.float64)
    for one, weights in zip(reference.file.signatures, reference.signatures, strict=True):
        grown = _grown(reference, weights) if one.square else np.zeros_like(r)
        found.append((_along(np.array(one.shift), grown, shift, count, root) - COST, one.kind, one.name))
    _, kind, name = max(found, key=lambda one: one[0])
    return kind, name


def _along(way: Array, grown: Array, shift: Array, count: float, root: Array) -> float:
    """Twice the log-likelihood of a shift of some strength along `way`, less that of none. The stronger, the more procedures
    spread, and the farther the direction may have turned."""
    spread = np.linalg.solve(root, np.linalg.solve(root, grown).T)  # where the reference's own is 1
    grown, axes = np.linalg.eigh((spread + spread.T) / 2)
    to, way = (np.linalg.solve(root, one) @ axes for one in (shift, way))
    turned = TURNED * float(np.mean(way**2))
    of = 1.0 + STRENGTHS**2 * (np.maximum(grown, 0.0) + count * turned)
    return float((count * (to**2 - (to - STRENGTHS * way) ** 2 / of) - np.log(of)).sum(axis=1).max())


def _grown(reference: Reference, weights: Weights) -> Array:
    """(signals, signals): how much more procedures spread after a drift of 1 SD, as the signature's weights have it."""
    n = len(reference.names)
    before = reference.correlation + n / reference.file.procedures * np.eye(n)
    return np.asarray(np.linalg.inv(np.linalg.inv(before) - 2.0 * weights.square) - before)


def _squared(shift: Array, spread: Array) -> float:
    """The squared distance in SD (Mahalanobis)."""
    return float(shift @ np.linalg.solve(spread, shift))
