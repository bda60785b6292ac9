"""The locked reference: how procedures were distributed when the model was validated. A member of the model's bundle, JSON,
signed with the rest of it.

A procedure's value of a signal becomes a number in two ways, each normally distributed in the reference with mean 0 and SD 1:

    plain      its normal score: where it lies among the reference's procedures
    adjusted   the normal score of what the other signals of the procedure do not explain (regression-adjusted variables, Hawkins
               1993): a shift of one signal alone is many SD of that, however widely procedures differ

Quantiles of the adjusted ones are of procedures that the regression did not see (leave-one-out), as those to come are.
"""

import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inframe.core.errors import ConfigError
from inframe.core.part import Fraction, Part
from inframe.monitor import normal
from inframe.monitor.charts import effective_number
from inframe.monitor.signals import Kind, signal_of

MIN_PROCEDURES = 50
PROBABILITIES = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
SCORES = np.array([normal.inverse(p) for p in PROBABILITIES])
FARTHEST = 3.5
"""Numbers beyond are taken for this: one odd procedure is no drift."""
MOST_TIES = 0.8
"""A signal that has one value in more of the reference's procedures is not charted."""
BLOCK_TAIL = 0.001

Array = NDArray[np.float64]
Quantiles = Annotated[tuple[float, ...], Field(min_length=len(PROBABILITIES), max_length=len(PROBABILITIES))]


class ReferenceSignal(Part):
    """One signal over the reference's procedures."""

    name: str
    quantiles: Quantiles = Field(description="of the procedures' values, at PROBABILITIES")
    sd: float = Field(gt=0, description="of the procedures' values")
    adjusted: Quantiles = Field(description="of the adjusted numbers, at PROBABILITIES")
    adjusted_sd: float = Field(gt=0)
    weights: tuple[float, ...] = Field(
        description="of each signal's normal score in what the others explain of this one"
    )
    low: float = Field(description="the value below which 0.1 % of the reference's half seconds lay")
    high: float = Field(description="and above which as many did")


class Calibration(Part):
    """Proof that a model's confidence can be believed, where pictures are as in the reference."""

    signal: str = Field(description="the model's confidence, e.g. m.confidence")
    max_error: Fraction = Field(description="the bound that was shown for |confidence - share right| of a procedure")
    evidence: str = Field(min_length=1, max_length=200, description="where that was shown")


class ReferenceFile(Part):
    """The member's content."""

    format: Literal[1] = 1
    procedures: int = Field(ge=MIN_PROCEDURES)
    modality: str | None = Field(None, description="of the pictures; null: any")
    signals: tuple[ReferenceSignal, ...] = Field(min_length=1, max_length=256)
    correlation: tuple[tuple[float, ...], ...] = Field(description="of the plain numbers")
    effective_charts: float = Field(ge=1, description="as many independent charts would raise as many false alarms")
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Reference:
    """The same, ready for use."""

    file: ReferenceFile
    names: tuple[str, ...] = field(init=False)
    correlation: Array = field(init=False)
    weights: Array = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.file.signals)
        put = object.__setattr__
        put(self, "names", tuple(one.name for one in self.file.signals))
        put(self, "correlation", np.array(self.file.correlation, np.float64))
        put(self, "weights", np.array([one.weights for one in self.file.signals], np.float64))
        if self.correlation.shape != (n, n) or self.weights.shape != (n, n):
            raise ConfigError(
                "reference", "correlation", self.correlation.shape, f"{n} rows of {n}, as there are signals"
            )

    @property
    def charts(self) -> int:
        """How many numbers a procedure has: of each signal the plain one, then of each the adjusted one."""
        return 2 * len(self.names)

    def plain(self, values: Array) -> Array:
        """(signals,) normal scores of a procedure's values, in the order of `names`; NaN stays NaN."""
        rows = zip(values, self.file.signals, strict=True)
        return np.array([_score(float(value), one.quantiles, one.sd) for value, one in rows])

    def adjusted(self, plain: Array) -> Array:
        """(signals,); a signal that is missing explains nothing of the others, and has no number itself."""
        left = plain - self.weights @ np.nan_to_num(plain)
        rows = zip(left, self.file.signals, strict=True)
        return np.array([_score(float(value), one.adjusted, one.adjusted_sd) for value, one in rows])

    def numbers(self, values: Array) -> Array:
        """(charts,): what the charts get of a procedure."""
        plain = self.plain(values)
        return np.concatenate([plain, self.adjusted(plain)])


def _score(value: float, quantiles: tuple[float, ...], sd: float) -> float:
    """The normal score: between the quantiles along a line; where several are equal, the middle of theirs; beyond the outermost
    along the SD."""
    if value != value:  # noqa: PLR0124  # NaN
        return value
    if value < quantiles[0]:
        z = SCORES[0] + (value - quantiles[0]) / sd
    elif value > quantiles[-1]:
        z = SCORES[-1] + (value - quantiles[-1]) / sd
    else:
        same = [SCORES[i] for i, q in enumerate(quantiles) if q == value]
        z = sum(same) / len(same) if same else float(np.interp(value, quantiles, SCORES))
    return float(min(FARTHEST, max(-FARTHEST, z)))


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
) -> ReferenceFile:
    """The reference of these procedures, (m, signals) with NaN where one has no value. `blocks`: by signal the ends of what its
    half seconds had, all but 0.1 % on each side. Signals of the machine, those that some procedure lacks and those that hardly differ
    are left out. Raises ConfigError for too few."""
    if len(procedures) < MIN_PROCEDURES:
        raise ConfigError("reference", "procedures", len(procedures), f"at least {MIN_PROCEDURES}")
    kept = [i for i, name in enumerate(names) if _is_charted(name, procedures[:, i])]
    if not kept:
        raise ConfigError("reference", "signals", "none that differs between procedures", "at least one")
    values = procedures[:, kept]
    quantiles = np.quantile(values, PROBABILITIES, axis=0).T
    sds = values.std(axis=0, ddof=1)
    plain = np.array(
        [[_score(float(v), tuple(quantiles[j]), float(sds[j])) for j, v in enumerate(row)] for row in values]
    )
    weights, left = _regressions(plain)
    adjusted = np.quantile(left, PROBABILITIES, axis=0).T
    adjusted_sd = left.std(axis=0, ddof=1)
    scored = np.array(
        [[_score(float(v), tuple(adjusted[j]), float(adjusted_sd[j])) for j, v in enumerate(row)] for row in left]
    )
    correlation = np.corrcoef(plain.T).reshape(len(kept), len(kept))
    both = np.corrcoef(np.concatenate([plain, scored], axis=1).T)
    signals = [
        ReferenceSignal(
            name=names[i],
            quantiles=_rounded(quantiles[j]),
            sd=float(sds[j]),
            adjusted=_rounded(adjusted[j]),
            adjusted_sd=float(adjusted_sd[j]),
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
        correlation=tuple(_rounded(row) for row in correlation),
        effective_charts=effective_number(both),
    )


def encoded(file: ReferenceFile) -> bytes:
    """The member's bytes."""
    return json.dumps(file.model_dump(mode="json"), sort_keys=True, indent=1).encode() + b"\n"


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
