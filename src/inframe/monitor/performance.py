"""How well the model probably does, without anybody having labelled anything: only where it was proven that its confidence can be
believed (confidence-based performance estimation), and only while pictures are as they were there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST = 20
"""Procedures."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of the share of outputs that are right; `why` alone where it can't be estimated."""

    low: float | None = None
    high: float | None = None
    why: str = ""

    def text(self) -> str:
        """One line."""
        return f"not estimable: {self.why}" if self.low is None else f"{self.low:.3f} to {self.high:.3f} right"


def estimate(calibration: Mapping[str, Any] | None, confidences: Sequence[float | None], *, drifts: bool) -> Estimate:
    """`confidences`: the newest procedures' means of the calibrated signal; `drifts`: whether a chart is above its limit."""
    if calibration is None:
        return Estimate(why="the bundle has no proof that its confidence is calibrated")
    if drifts:
        return Estimate(why="pictures or outputs drifted: the calibration was not proven for them")
    known = [value for value in confidences if value is not None]
    if len(known) < LEAST:
        return Estimate(why=f"{len(known)} procedures with a confidence, expected at least {LEAST}")
    mean, error = sum(known) / len(known), float(calibration["max_error"])
    return Estimate(max(0.0, mean - error), min(1.0, mean + error))
