"""From tallies to a verdict: each endpoint's estimate and bound, its criterion, non-inferiority, the worst subgroup, Holm over all.

A bundle passes where every endpoint does. Holm's correction is over every hypothesis of every endpoint, so that each claim may
also be read alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.revalidation import confidence
from inframe.revalidation.bootstrap import Draws, Estimate, Side, difference, holm, plain, ratio
from inframe.revalidation.criteria import METRICS, bound_of, calibration, columns, figure
from inframe.revalidation.protocol import Endpoint, Protocol
from inframe.revalidation.tally import Tallies, Tally, added, in_order, quantile


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What had to be shown of an endpoint."""

    kind: str
    """criterion, or non-inferiority."""
    bound: float
    estimate: Estimate
    side: Side
    p: float
    shown: bool
    """By Holm, at the level of this look."""


@dataclass(frozen=True, slots=True)
class Group:
    """An endpoint in the cases that have one value of an attribute."""

    attribute: str
    value: str
    estimate: Estimate
    is_judged: bool
    """It has cases enough."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One endpoint."""

    endpoint: Endpoint
    hypotheses: tuple[Hypothesis, ...]
    groups: tuple[Group, ...]
    worst: Group | None
    """The worst of those that are judged."""
    is_worst_good: bool

    @property
    def passed(self) -> bool:
        """Everything that was asked of it was shown."""
        return all(one.shown for one in self.hypotheses) and self.is_worst_good


@dataclass(frozen=True, slots=True)
class Verdict:
    """All endpoints."""

    judged: tuple[Judged, ...]

    @property
    def passed(self) -> bool:
        """Every endpoint is."""
        return all(one.passed for one in self.judged)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"passed": self.passed, "endpoints": [_json(one) for one in self.judged]}


def judge(protocol: Protocol, new: Tallies, old: Tallies | None) -> Verdict:
    """`old`: the tallies of the bundle in use on the same cases, where an endpoint has a margin."""
    cases, before = in_order(new), in_order(old) if old is not None else None
    draws, alpha = Draws.make(protocol.seed, protocol.draws, len(cases)), protocol.alpha_each
    found: list[list[tuple[str, float, Estimate, Side]]] = []
    for one in protocol.endpoints:
        side: Side = "low" if one.at_least is not None else "high"
        asked = [("criterion", bound_of(one), estimate(one, protocol, cases, draws, alpha), side)]
        if one.margin is not None and before is not None:
            bound = -one.margin if side == "low" else one.margin
            asked.append(("non-inferiority", bound, _apart(one, protocol, cases, before, draws, alpha), side))
        found.append(asked)
    p = [e.p(bound, side) for asked in found for _, bound, e, side in asked]
    shown = iter(zip(p, holm(p, alpha), strict=True))
    judged = []
    for one, asked in zip(protocol.endpoints, found, strict=True):
        hypotheses = tuple(Hypothesis(kind, bound, e, side, *next(shown)) for kind, bound, e, side in asked)
        judged.append(_with_groups(one, hypotheses, protocol, cases, alpha))
    return Verdict(tuple(judged))


def estimate(one: Endpoint, protocol: Protocol, cases: list[Tally], draws: Draws, alpha: float) -> Estimate:
    """An endpoint on those cases."""
    scale = METRICS[one.metric].scale
    if scale is not None:
        return ratio(*columns(one, cases, protocol.settings.rules), draws, scale, alpha)
    value = figure(one, {case.digest: case for case in cases}, protocol.settings.rules)
    drawn = _drawn(one, cases, draws)
    return plain(float("nan") if value is None else value, drawn, len(cases), alpha)


def _drawn(one: Endpoint, cases: list[Tally], draws: Draws) -> NDArray[np.float64]:
    if one.metric == "ece":
        counted = calibration(one.model, cases).reshape(len(cases), -1)
        sums = np.stack([column.reshape(-1) for column in draws.sums(*counted.T.astype(np.float64))], axis=-1)
        return confidence.ece(sums.reshape(len(sums), -1, 3))
    parts = [case.latency.get(one.model, {}) for case in cases]
    edges = sorted(added(parts))
    table = np.array([[part.get(edge, 0) for edge in edges] for part in parts], np.float64).reshape(len(cases), -1)
    sums = np.stack(draws.sums(*table.T), axis=-1) if edges else np.zeros((len(draws.counts), 0))
    found = np.full(len(sums), np.nan)
    for row, counts in enumerate(sums):
        value = quantile({edge: int(n) for edge, n in zip(edges, counts, strict=True) if n}, 0.999)
        found[row] = np.nan if value is None else value
    return found


def _apart(
    one: Endpoint, protocol: Protocol, cases: list[Tally], old: list[Tally], draws: Draws, alpha: float
) -> Estimate:
    """The new bundle's figure less the old one's, case by case together."""
    if METRICS[one.metric].scale is not None:
        rules = protocol.settings.rules
        return difference(columns(one, cases, rules), columns(one, old, rules), draws, alpha)
    values = [figure(one, {case.digest: case for case in some}, {}) for some in (cases, old)]
    drawn = _drawn(one, cases, draws) - _drawn(one, old, draws)
    value = float("nan") if values[0] is None or values[1] is None else values[0] - values[1]
    return plain(value, drawn, len(cases), alpha)


def _with_groups(
    one: Endpoint, hypotheses: tuple[Hypothesis, ...], protocol: Protocol, cases: list[Tally], alpha: float
) -> Judged:
    groups = []
    for attribute in protocol.subgroups:
        for value in sorted({case.attributes.get(attribute, "") for case in cases}):
            some = [case for case in cases if case.attributes.get(attribute, "") == value]
            found = estimate(one, protocol, some, Draws.make(protocol.seed, protocol.draws, len(some)), alpha)
            groups.append(Group(attribute, value, found, found.procedures >= protocol.least_cases))
    judged = [group for group in groups if group.is_judged and not np.isnan(group.estimate.value)]
    sign = 1 if one.at_least is not None else -1
    worst = min(judged, key=lambda group: sign * group.estimate.value, default=None)
    good = one.worst is None or (worst is not None and sign * worst.estimate.value >= sign * one.worst)
    return Judged(one, hypotheses, tuple(groups), worst, good)


def _json(one: Judged) -> dict[str, Any]:
    worst = one.worst
    return {
        "endpoint": one.endpoint.name,
        "metric": one.endpoint.metric,
        "model": one.endpoint.model,
        "label": one.endpoint.label,
        "passed": one.passed,
        "hypotheses": [
            {"kind": h.kind, "side": h.side, "bound": h.bound, "p": h.p, "shown": h.shown, **_numbers(h.estimate)}
            for h in one.hypotheses
        ],
        "subgroups": [
            {"attribute": g.attribute, "value": g.value, "judged": g.is_judged, **_numbers(g.estimate, "estimate")}
            for g in one.groups
        ],
        "worst_subgroup": None if worst is None else f"{worst.attribute}: {worst.value}",
        "worst_must_reach": one.endpoint.worst,
        "worst_is_good": one.is_worst_good,
    }


def _numbers(one: Estimate, name: str = "estimate") -> dict[str, Any]:
    """JSON knows no infinity: null is "no bound", or "no value"."""

    def known(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {name: known(one.value), "low": known(one.low), "high": known(one.high), "procedures": one.procedures}
