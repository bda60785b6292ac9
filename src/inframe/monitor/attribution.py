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
    signature: str = ""
    """The known degradation along which procedures moved farther than in any one signal, if there is one."""

    def text(self) -> str:
        """One line."""
        moved = ", ".join(f"{name} {shift:+.1f} SD" for name, shift in self.signals)
        return f"{self.kind.value}: {f'like {self.signature}: ' if self.signature else ''}{moved}"


def cause(reference: Reference, numbers: Array, alarm: int) -> Cause:
    """`numbers`: (procedures since the drift began, charts). `alarm`: the chart that raised the alarm."""
    n = len(reference.names)
    shift, adjusted = (np.nan_to_num(part).mean(axis=0) for part in (numbers[:, :n], numbers[:, n : 2 * n]))
    kinds = [signal_of(name).kind for name in reference.names]
    own = {kind: np.array([i for i, one in enumerate(kinds) if one is kind], np.int64) for kind in Kind}
    of_signal = alarm < 2 * n
    kind = _kind(reference, shift, len(numbers), own, kinds[alarm % n] if of_signal else Kind.INSTRUMENT)
    far = np.where(np.abs(adjusted) > np.abs(shift), adjusted, shift)
    order = sorted((i for i in range(n) if kinds[i] is kind), key=lambda i: -abs(far[i]))
    if of_signal and kinds[alarm % n] is kind:
        order = [alarm % n, *(i for i in order if i != alarm % n)]
    moved = tuple((reference.names[i], float(far[i])) for i in order[:NAMED])
    along = np.nan_to_num(numbers[:, 2 * n :]).mean(axis=0)
    is_like = kind is Kind.INSTRUMENT and len(along) > 0 and along.max() > np.abs(far).max()
    return Cause(kind, moved, reference.chart_name(2 * n + int(along.argmax())) if is_like else "")


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
