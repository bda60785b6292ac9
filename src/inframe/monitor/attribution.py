"""What drifted. A shift of what is in the pictures (case mix) also shifts how they look: more bowel is more yellow. Hence what the
signals of the case mix explain is taken from those of the instrument, and only what is left over speaks for a changed
instrument. The reverse can't be done: a camera that blurs also misleads the model that the case mix is measured with.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframe.monitor import normal
from inframe.monitor.reference import Reference
from inframe.monitor.signals import Kind, signal_of

SURE = 0.999
"""A group of signals has shifted where chance alone shifts it so far in one of a thousand cases."""
NAMED = 3

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cause:
    """Who is to look, and at what."""

    kind: Kind
    signals: tuple[tuple[str, float], ...]
    """The signals that moved most, with how far, in SD of what the other signals leave unexplained."""

    def text(self) -> str:
        """One line."""
        moved = ", ".join(f"{name} {shift:+.1f} SD" for name, shift in self.signals)
        return f"{self.kind.value}: {moved}"


def cause(reference: Reference, numbers: Array, alarm: int) -> Cause:
    """`numbers`: (procedures since the drift began, charts). `alarm`: the chart that raised the alarm."""
    n = len(reference.names)
    known = ~np.isnan(numbers[:, :n]).any(axis=1)
    plain = numbers[known, :n] if known.any() else np.nan_to_num(numbers[:, :n])
    shift = plain.mean(axis=0)
    kinds = [signal_of(name).kind for name in reference.names]
    own = {kind: np.array([i for i, one in enumerate(kinds) if one is kind], np.int64) for kind in Kind}
    kind = _kind(reference, shift, len(plain), own, kinds[alarm % n])
    adjusted = np.nan_to_num(numbers[:, n:]).mean(axis=0)
    strength = np.where([one is kind for one in kinds], np.maximum(np.abs(adjusted), np.abs(shift)), -1.0)
    first = alarm % n
    order = [int(i) for i in np.argsort(-strength) if strength[i] >= 0]
    if kinds[first] is kind:
        order = [first, *(i for i in order if i != first)]
    moved = [(i, adjusted[i] if abs(adjusted[i]) > abs(shift[i]) else shift[i]) for i in order[:NAMED]]
    return Cause(kind, tuple((reference.names[i], float(value)) for i, value in moved))


def _kind(reference: Reference, shift: Array, count: int, own: dict[Kind, NDArray[np.int64]], alarm: Kind) -> Kind:
    instrument, case = own[Kind.INSTRUMENT], own[Kind.CASE]
    r = reference.correlation + 1e-3 * np.eye(len(shift))
    if len(instrument):
        moved, spread = shift[instrument], r[np.ix_(instrument, instrument)]
        if len(case):
            across = np.linalg.solve(r[np.ix_(case, case)], r[np.ix_(case, instrument)]).T
            moved = moved - across @ shift[case]
            spread = spread - across @ r[np.ix_(case, instrument)]
        if _is_far(moved, spread, count):
            return Kind.INSTRUMENT
    if len(case) and _is_far(shift[case], r[np.ix_(case, case)], count):
        return Kind.CASE
    return alarm


def _is_far(moved: Array, spread: Array, count: int) -> bool:
    """Hotelling's T-squared of the mean of `count` procedures."""
    return bool(count * moved @ np.linalg.solve(spread, moved) > normal.chi_squared(len(moved), SURE))
