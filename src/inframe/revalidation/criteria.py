"""The figures that criteria are about, and whether one is reached. Small, so that an update's checkpoint can ask the same question
as a revalidation: `unmet`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inframe.bundle.manifest import Criterion
from inframe.core.clock import NS_PER_S
from inframe.core.rule import Rule
from inframe.revalidation import confidence
from inframe.revalidation.bootstrap import Scale
from inframe.revalidation.tally import BINS, ONE, Found, Tallies, Tally, added, in_order, quantile

Columns = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Of each case, in order: what is above and what is below the line; the figure is the one sum over the other."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of METRICS."""

    about: str
    unit: str
    better: Literal["high", "low"]
    scale: Scale | None
    """How a sum over a sum behaves; None: the figure is none."""
    of_rules: bool = False
    """`label` is a rule's name."""


METRICS: dict[str, Metric] = {
    "dice": Metric("overlap: mean over frames, then over cases", "0..1", "high", "mean"),
    "nsd": Metric("share of the outlines within tolerance_px of each other, averaged likewise", "0..1", "high", "mean"),
    "hd95": Metric("95th percentile of the outlines' distances, averaged likewise", "pixels", "low", "size"),
    "box_sensitivity": Metric("true boxes that the model found", "0..1", "high", "share"),
    "box_precision": Metric("boxes of the model that are true", "0..1", "high", "share"),
    "false_boxes": Metric("boxes of the model that are none", "a frame", "low", "rate"),
    "sensitivity": Metric(
        "true findings that the rule found, persistence included", "0..1", "high", "share", of_rules=True
    ),
    "false_alerts": Metric("findings that were none", "a minute", "low", "rate", of_rules=True),
    "ece": Metric("expected calibration error over all pixels, 15 bins", "0..1", "low", None),
    "latency_p999": Metric("a run of the model, preprocessing to decoding, 99.9th percentile", "ms", "low", None),
}


BOX_METRICS = ("box_sensitivity", "box_precision", "false_boxes")


def wrong_with(criterion: Criterion) -> str | None:
    """Why it can't be judged, as a validator says it; None: it can."""
    metric = METRICS.get(criterion.metric)
    if metric is None:
        return f"metric: found {criterion.metric!r}, expected one of {', '.join(METRICS)}"
    asked = "at_least" if criterion.at_least is not None else "at_most"
    expected = "at_least" if metric.better == "high" else "at_most"
    if asked != expected:
        return f"{asked}: found a bound on the wrong side, expected {expected} for {criterion.metric}"
    if criterion.metric in ("ece", "latency_p999") and criterion.label is not None:
        return f"label: found {criterion.label!r}, expected none: {criterion.metric} is of a whole model"
    return None


def bound_of(criterion: Criterion) -> float:
    """What must be reached."""
    bound = criterion.at_least if criterion.at_least is not None else criterion.at_most
    if bound is None:
        raise RuntimeError("the schema asks for exactly one of at_least and at_most")
    return bound


def reaches(criterion: Criterion, value: float | None) -> bool:
    """Whether that value is good enough; no value is not."""
    if value is None or np.isnan(value):
        return False
    return value >= bound_of(criterion) if criterion.at_least is not None else value <= bound_of(criterion)


def unmet(criteria: Iterable[Criterion], tallies: Tallies, rules: Mapping[str, Rule]) -> list[str]:
    """The criteria that the figures themselves do not reach, a line each: what was found, what was expected. Raises nothing: a
    criterion that can't be judged is not met. (A revalidation asks more: their bounds.)"""
    lines = []
    for one in criteria:
        name = f"{one.metric} of {one.model}" + (f"/{one.label}" if one.label is not None else "")
        wrong = wrong_with(one)
        value = None if wrong is not None else figure(one, tallies, rules)
        if wrong is not None or not reaches(one, value):
            side = "at least" if one.at_least is not None else "at most"
            found = "no such frames" if value is None else f"{value:.4g}"
            lines.append(f"{name}: {wrong}" if wrong else f"{name}: found {found}, expected {side} {bound_of(one):g}")
    return lines


def figure(criterion: Criterion, tallies: Tallies, rules: Mapping[str, Rule]) -> float | None:
    """The value that a criterion is about; None: the cases say nothing of it."""
    cases = in_order(tallies)
    if criterion.metric == "ece":
        counted = calibration(criterion.model, cases).sum(axis=0)
        return float(confidence.ece(counted)) if counted[:, 0].any() else None
    if criterion.metric == "latency_p999":
        return quantile(added(one.latency.get(criterion.model, {}) for one in cases), 0.999)
    a, b = columns(criterion, cases, rules)
    return float(a.sum() / b.sum()) if b.any() else None


def columns(criterion: Criterion, cases: list[Tally], rules: Mapping[str, Rule]) -> Columns:
    """Of a figure that is a sum over a sum."""
    if METRICS[criterion.metric].of_rules:
        wanted = (
            [criterion.label]
            if criterion.label is not None
            else [r for r in rules if rules[r].model == criterion.model]
        )
        pairs = [
            _of_findings(criterion.metric, [one.findings[r] for r in wanted if r in one.findings]) for one in cases
        ]
    elif criterion.metric in BOX_METRICS:
        pairs = [_of_boxes(criterion, one) for one in cases]
    else:
        pairs = [_of_masks(criterion, one) for one in cases]
    return np.array([float(a) for a, _ in pairs]), np.array([float(b) for _, b in pairs])


def calibration(model: str, cases: list[Tally]) -> NDArray[np.int64]:
    """(cases, BINS, 3)."""
    none = ((0, 0, 0),) * BINS
    return np.array([one.bins.get(model, none) for one in cases], np.int64).reshape(len(cases), BINS, 3)


def _of_findings(metric: str, found: list[Found]) -> tuple[Fraction, Fraction]:
    if metric == "sensitivity":
        return Fraction(sum(one.found for one in found)), Fraction(sum(one.true for one in found))
    minutes = Fraction(max((one.judged_ns for one in found), default=0), 60 * NS_PER_S)
    return Fraction(sum(one.false for one in found)), minutes


def _of_boxes(criterion: Criterion, case: Tally) -> tuple[Fraction, Fraction]:
    """Without a label all labels together."""
    key = f"{criterion.model}/{criterion.label or ''}"
    some = [
        one for name, one in case.boxes.items() if name == key or (criterion.label is None and name.startswith(key))
    ]
    hits, said = sum(one.found for one in some), sum(one.said for one in some)
    if criterion.metric == "box_sensitivity":
        return Fraction(hits), Fraction(sum(one.true for one in some))
    if criterion.metric == "box_precision":
        return Fraction(hits), Fraction(said)
    return Fraction(said - hits), Fraction(max((one.frames for one in some), default=0))


def _of_masks(criterion: Criterion, case: Tally) -> tuple[Fraction, Fraction]:
    """A case counts once, however long it is; without a label, each of its labels counts once in it."""
    prefix = f"{criterion.metric}/{criterion.model}/"
    wanted = (
        [criterion.label]
        if criterion.label is not None
        else [k.removeprefix(prefix) for k in case.means if k.startswith(prefix)]
    )
    means = [case.means[prefix + label] for label in wanted if prefix + label in case.means]
    if not means:
        return Fraction(0), Fraction(0)
    return sum((Fraction(one.total, one.count * ONE) for one in means), Fraction(0)) / len(means), Fraction(1)
