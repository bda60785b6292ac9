"""The locked reference: how procedures were distributed when the model was validated. A member of the model's bundle, JSON,
signed with the rest of it.

A procedure's value of a signal becomes a number in two ways, each normally distributed in the reference with mean 0 and SD 1:

    plain      its normal score: where it lies among the reference's procedures
    adjusted   the normal score of what the other signals of the procedure do not explain (regression-adjusted variables, Hawkins
               1993): a shift of one signal alone is many SD of that, however widely procedures differ

A third kind is looked for on purpose, see `signatures`:

    signature   the normal score of how far a procedure lies in the direction in which an expected drift moves all signals

Quantiles of the adjusted ones and of signatures are of procedures that the weights did not see, as those to come are.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inframe.core.errors import ConfigError
from inframe.core.part import Fraction, Part
from inframe.monitor import normal
from inframe.monitor.sharing import limits, overlap, shares
from inframe.monitor.signals import Kind, signal_of
from inframe.monitor.signatures import TYPICAL, Direction, Known, Weights, learned, watched

MIN_PROCEDURES = 50
_LOWER = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
PROBABILITIES = (*_LOWER, 0.5, *(1 - p for p in reversed(_LOWER)))
SCORES = np.array([normal.inverse(p) for p in PROBABILITIES])
"""A number never goes beyond the outermost: one odd procedure is no drift, and how far the tails of a distribution reach is what
a reference knows least of."""
MOST_TIES = 0.8
"""A signal that has one value in more of the reference's procedures is not charted."""
BLOCK_TAIL = 0.001

Array = NDArray[np.float64]
Quantiles = Annotated[tuple[float, ...], Field(min_length=len(PROBABILITIES), max_length=len(PROBABILITIES))]


class ReferenceSignal(Part):
    """One signal over the reference's procedures."""

    name: str
    quantiles: Quantiles = Field(description="of the procedures' values, at PROBABILITIES")
    adjusted: Quantiles = Field(description="of what the others leave unexplained, at PROBABILITIES")
    weights: tuple[float, ...] = Field(
        description="of each signal's normal score in what the others explain of this one"
    )
    low: float = Field(description="the value below which 0.1 % of the reference's half seconds lay")
    high: float = Field(description="and above which as many did")


class Signature(Part):
    """How an expected drift moves the signals."""

    name: str = Field(min_length=1, max_length=96)
    kind: Kind = Field(description="who is to look when it comes")
    shift: tuple[float, ...] = Field(description="of each signal's normal score, at a drift of 1 SD")
    weights: tuple[float, ...] = Field(description="of each signal's normal score")
    square: tuple[tuple[float, ...], ...] = Field((), description="of each product of two; empty: none count")
    quantiles: Quantiles = Field(description="of the reference's procedures, at PROBABILITIES")
    share: float = Field(gt=0, lt=1, description="of the alarm budget")


class Calibration(Part):
    """Proof that a model's confidence can be believed, where pictures are as in the reference."""

    signal: str = Field(description="the model's confidence, e.g. m.confidence")
    max_error: Fraction = Field(description="the bound that was shown for |confidence - share right| of a procedure")
    evidence: str = Field(min_length=1, max_length=200, description="where that was shown")


class ReferenceFile(Part):
    """The member's content."""

    format: Literal[2] = 2
    procedures: int = Field(ge=MIN_PROCEDURES)
    modality: str | None = Field(None, description="of the pictures; null: any")
    signals: tuple[ReferenceSignal, ...] = Field(min_length=1, max_length=256)
    correlation: tuple[tuple[float, ...], ...] = Field(description="of the plain numbers")
    signatures: tuple[Signature, ...] = Field((), max_length=32)
    overlap: float = Field(
        gt=0, description="false alarms of all charts together, as a part of the sum of those of each"
    )
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Reference:
    """The same, ready for use."""

    file: ReferenceFile
    names: tuple[str, ...] = field(init=False)
    correlation: Array = field(init=False)
    weights: Array = field(init=False)
    signatures: tuple[Weights, ...] = field(init=False)
    _of_signals: "_Scores" = field(init=False)
    _of_adjusted: "_Scores" = field(init=False)
    _of_signatures: "_Scores" = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.file.signals)
        put = object.__setattr__
        put(self, "names", tuple(one.name for one in self.file.signals))
        put(self, "correlation", np.array(self.file.correlation, np.float64))
        put(self, "weights", np.array([one.weights for one in self.file.signals], np.float64))
        put(self, "signatures", tuple(_weights(one, n) for one in self.file.signatures))
        m = self.file.procedures
        put(self, "_of_signals", _Scores([one.quantiles for one in self.file.signals], m))
        put(self, "_of_adjusted", _Scores([one.adjusted for one in self.file.signals], m))
        put(self, "_of_signatures", _Scores([one.quantiles for one in self.file.signatures], m))
        if self.correlation.shape != (n, n) or self.weights.shape != (n, n):
            raise ConfigError(
                "reference", "correlation", self.correlation.shape, f"{n} rows of {n}, as there are signals"
            )

    @property
    def charts(self) -> int:
        """How many numbers a procedure has: of each signal the plain one, then of each the adjusted one, then the signatures."""
        return 2 * len(self.names) + len(self.signatures)

    def limits(self, run_length: float) -> Array:
        """(charts,): with which all together raise one false alarm in so many procedures."""
        parts = [one.share for one in self.file.signatures]
        return limits(len(self.names), parts, run_length * self.file.overlap, self.file.procedures)

    def chart_name(self, chart: int) -> str:
        """What a number is of: a signal, or a signature."""
        n = len(self.names)
        return self.file.signatures[chart - 2 * n].name if chart >= 2 * n else self.names[chart % n]

    def plain(self, values: Array) -> Array:
        """(…, signals) normal scores of procedures' values, in the order of `names`; NaN stays NaN."""
        return self._of_signals.of(values)

    def adjusted(self, plain: Array) -> Array:
        """(…, signals); a signal that is missing explains nothing of the others, and has no number itself."""
        left = plain - np.nan_to_num(plain) @ self.weights.T
        return self._of_adjusted.of(left)

    def numbers(self, values: Array) -> Array:
        """(…, charts): what the charts get of procedures."""
        plain = self.plain(values)
        known = np.nan_to_num(plain)
        far = [one.of(known)[..., None] for one in self.signatures]
        signed = self._of_signatures.of(np.concatenate([known[..., :0], *far], axis=-1))
        return np.concatenate([plain, self.adjusted(plain), signed], axis=-1)


class _Scores:
    """Normal scores: between a signal's quantiles along a line; where several are equal, the mean of the scores between them, so
    that they are 0 on average whatever the distribution. The outermost of m procedures are where one in m + 1 lies beyond."""

    def __init__(self, quantiles: Sequence[Sequence[float]], procedures: int) -> None:
        farthest = -normal.inverse(1.0 / (procedures + 1))
        self._lines: list[tuple[Array, Array]] = []
        for row in quantiles:
            known, first, counts = np.unique(row, return_index=True, return_counts=True)
            scores = [_middle(int(i), int(i + n - 1)) for i, n in zip(first, counts, strict=True)]
            self._lines.append((known, np.clip(scores, -farthest, farthest)))

    def of(self, values: Array) -> Array:
        """(…, signals); NaN stays NaN."""
        found = np.empty(values.shape)
        for j, (known, scores) in enumerate(self._lines):
            found[..., j] = np.interp(values[..., j], known, scores)
        return np.where(np.isnan(values), np.nan, found)


def _middle(first: int, last: int) -> float:
    """The mean of a standard normal number between two of the SCORES; beyond the outermost ones there is no end."""
    if first == last:
        return float(SCORES[first])
    low, high = (0.0 if first == 0 else PROBABILITIES[first]), (1.0 if last == len(SCORES) - 1 else PROBABILITIES[last])
    density = [math.exp(-0.5 * SCORES[i] ** 2) / math.sqrt(2 * math.pi) for i in (first, last)]
    return (density[0] * (first > 0) - density[1] * (last < len(SCORES) - 1)) / (high - low)


def parse(raw: bytes, where: str) -> Reference:
    """The member's bytes. Raises ConfigError."""
    from pathlib import Path

    from inframe.core.yamlfile import parse_json

    return Reference(parse_json(raw, Path(where), ReferenceFile, "reference"))


def lock(
    names: tuple[str, ...],
    procedures: Array,
    blocks: dict[str, tuple[float, float]],
    modality: str | None = None,
    known: Sequence[Known] = (),
    watch: Sequence[str] = (),
) -> ReferenceFile:
    """The reference of these procedures, (m, signals) with NaN where one has no value, with signatures of what is known and of
    the signals to watch. `blocks`: by signal the ends of what its half seconds had, all but 0.1 % on each side. Signals of the
    machine, those that some procedure lacks and those that hardly differ are left out. Raises ConfigError for too few."""
    if len(procedures) < MIN_PROCEDURES:
        raise ConfigError("reference", "procedures", len(procedures), f"at least {MIN_PROCEDURES}")
    kept = [i for i, name in enumerate(names) if _is_charted(name, procedures[:, i])]
    if not kept:
        raise ConfigError("reference", "signals", "none that differs between procedures", "at least one")
    values = procedures[:, kept]
    quantiles, m = _quantiles(values), len(values)
    scores = _Scores(quantiles.tolist(), m)
    plain = scores.of(values)
    weights, left = _regressions(plain)
    adjusted = _quantiles(left)
    correlation = np.corrcoef(plain.T).reshape(len(kept), len(kept))
    directions = [learned(one.name, one.kind, scores.of(one.procedures[:, kept])) for one in known]
    charted = [names[i] for i in kept]
    for signal in watch:
        if signal not in charted:
            raise ConfigError("reference", "watch", signal, f"a charted signal: {', '.join(charted)}")
        directions += watched(signal, signal_of(signal).kind, correlation, charted.index(signal))
    signatures, signed = _signatures(plain, directions)
    numbers = np.concatenate([plain, _Scores(adjusted.tolist(), m).of(left), signed], axis=1)
    signals = [
        ReferenceSignal(
            name=names[i],
            quantiles=_rounded(quantiles[j]),
            adjusted=_rounded(adjusted[j]),
            weights=_rounded(weights[j]),
            low=blocks[names[i]][0],
            high=blocks[names[i]][1],
        )
        for j, i in enumerate(kept)
    ]
    return ReferenceFile(
        procedures=len(procedures),
        modality=modality,
        signals=tuple(signals),
        signatures=signatures,
        correlation=tuple(_rounded(row) for row in correlation),
        overlap=overlap(numbers, [one.share for one in signatures]),
    )


def encoded(file: ReferenceFile) -> bytes:
    """The member's bytes."""
    return json.dumps(file.model_dump(mode="json"), sort_keys=True, indent=1).encode() + b"\n"


def _signatures(plain: Array, directions: Sequence[Direction]) -> tuple[tuple[Signature, ...], Array]:
    """What the file has of these directions, and (m, signatures) the normal scores of the reference's own procedures."""
    tried = [[_told(plain, replace(one, spreads=spreads)) for spreads in (True, False)] for one in directions]
    best = [max(one, key=lambda told: told.strength) for one in tried]
    parts = shares([told.strength for told in best], len(plain))
    signatures = tuple(_signature(plain, told, part) for told, part in zip(best, parts, strict=True))
    return signatures, np.array([told.scores for told in best]).reshape(-1, len(plain)).T


@dataclass(frozen=True, slots=True)
class _Told:
    """How well a drift is told along a direction."""

    direction: Direction
    quantiles: Array
    scores: Array
    """(m,): of the reference's procedures."""
    strength: float
    """By so many SD a drift of 1 SD moves the signature's number."""


def _told(plain: Array, one: Direction) -> _Told:
    far = one.of(plain)[:, None]
    quantiles = _quantiles(far)
    scores, strength = _Scores(quantiles.tolist(), len(plain)), 1.0
    if one.degraded is not None:
        found = float(scores.of(one.of_degraded(plain)[:, None]).mean()) / one.drawn
        strength = (found + TYPICAL) / 2
    return _Told(one, quantiles[0], scores.of(far)[:, 0], strength)


def _signature(plain: Array, told: _Told, share: float) -> Signature:
    one = told.direction
    weights = one.weights(plain, one.degraded)
    return Signature(
        name=one.name,
        kind=one.kind,
        shift=_rounded(one.shift),
        weights=_rounded(weights.linear),
        square=tuple(_rounded(row) for row in weights.square) if weights.square.any() else (),
        quantiles=_rounded(told.quantiles),
        share=share,
    )


def _weights(one: Signature, signals: int) -> Weights:
    """Raises ConfigError."""
    square = np.array(one.square or np.zeros((signals, signals)), np.float64)
    if square.shape != (signals, signals):
        raise ConfigError("reference", f"signatures: {one.name}: square", square.shape, f"{signals} rows of {signals}")
    return Weights(np.array(one.weights, np.float64), square)


def _quantiles(values: Array) -> Array:
    """(signals, probabilities) of (m, signals): those that a new procedure lies below with that probability, whatever the
    distribution (p (m + 1), Weibull 1939)."""
    return np.asarray(np.quantile(values, PROBABILITIES, axis=0, method="weibull").T)


def _rounded(row: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.7g}") for value in row)


def _is_charted(name: str, values: Array) -> bool:
    if signal_of(name).kind is Kind.MACHINE or np.isnan(values).any():
        return False
    _, counts = np.unique(values, return_counts=True)
    return bool(counts.max() <= MOST_TIES * len(values))


def _regressions(plain: Array) -> tuple[Array, Array]:
    """Of each signal on the others: the weights, (signals, signals) with 0 for itself; and what is left of each procedure by
    weights that have not seen it, (m, signals). A ridge keeps weights small where signals say the same."""
    n = plain.shape[1]
    weights, left = np.zeros((n, n)), plain.copy()
    for j in range(n if n > 1 else 0):
        others = [i for i in range(n) if i != j]
        x, y = plain[:, others], plain[:, j]
        inverse = np.linalg.inv(x.T @ x + n * np.eye(n - 1))
        weights[j, others] = inverse @ x.T @ y
        leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
        left[:, j] = (y - x @ weights[j, others]) / (1.0 - np.minimum(leverage, 0.99))
    return weights, left
