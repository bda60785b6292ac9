"""How often a revalidation's intervals hold the truth: ``python -m scripts.coverage``. A table for docs/revalidation.md.

Procedures are made up whose truth is known, each with a quality of its own, and the bounds are asked as a revalidation asks them.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframe.revalidation.bootstrap import Draws, Scale, difference, plain, ratio
from inframe.revalidation.confidence import ece
from inframe.revalidation.tally import BINS, CONFIDENCE_ONE

Values = NDArray[np.float64]
Made = tuple[Values, Values]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where procedures come from. `relevant`: the bound that a criterion of this kind asks for."""

    about: str
    scale: Scale
    truth: float
    relevant: str
    make: Callable[[np.random.Generator, int], Made]
    old: Callable[[np.random.Generator, Made], Made] | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of the repeats in which the truth was within."""

    low: float
    """The one-sided 95 % lower bound."""
    high: float
    """The upper one."""
    two_sided: float
    """Between the two one-sided 97.5 % bounds: the 95 % interval."""
    relevant: float


def _means(p: float, q: float) -> Callable[[np.random.Generator, int], Made]:
    return lambda rng, n: (rng.beta(p, q, n), np.ones(n))


def _events(rng: np.random.Generator, n: int) -> Made:
    """None to three events in a procedure, some procedures harder than others."""
    events = rng.integers(0, 4, n)
    return rng.binomial(events, rng.beta(18, 2, n)).astype(float), events.astype(float)


def _alerts(mean: float, shape: float) -> Callable[[np.random.Generator, int], Made]:
    def make(rng: np.random.Generator, n: int) -> Made:
        minutes = rng.uniform(5, 60, n)
        return rng.poisson(rng.gamma(shape, mean / shape, n) * minutes).astype(float), minutes

    return make


def _distances(rng: np.random.Generator, n: int) -> Made:
    return rng.lognormal(2, 0.6, n), np.ones(n)


def _worse(rng: np.random.Generator, new: Made) -> Made:
    """The bundle in use: 0.02 better on the average, more or less so in each procedure."""
    return new[0] + 0.02 + rng.normal(0, 0.03, len(new[0])), new[1]


SCENARIOS: dict[str, Scenario] = {
    "mean": Scenario("Dice, skewed to the left", "mean", 0.9, "low", _means(9, 1)),
    "mean, even": Scenario("Dice", "mean", 0.8, "low", _means(40, 10)),
    "share": Scenario("sensitivity, 0 to 3 events", "share", 0.9, "low", _events),
    "rate": Scenario("false alerts, overdispersed", "rate", 0.5, "high", _alerts(0.5, 2)),
    "rate, rare": Scenario("false alerts, rare", "rate", 0.05, "high", _alerts(0.05, 1)),
    "size": Scenario("HD95, skewed to the right", "size", float(np.exp(2 + 0.18)), "high", _distances),
    "difference": Scenario("Dice less that of the bundle in use", "value", -0.02, "low", _means(9, 1), _worse),
}


def coverage(scenario: Scenario, procedures: int, repeats: int, draws: int) -> Coverage:
    """By simulation; the same figures for the same arguments."""
    rng = np.random.default_rng(20261127)
    low = high = both = 0
    for repeat in range(repeats):
        made = scenario.make(rng, procedures)
        old = scenario.old(rng, made) if scenario.old is not None else None
        drawn = Draws.make(repeat, draws, procedures)
        one, two = (
            ratio(*made, drawn, scenario.scale, alpha) if old is None else difference(made, old, drawn, alpha)
            for alpha in (0.05, 0.025)
        )
        low += one.low <= scenario.truth
        high += one.high >= scenario.truth
        both += two.low <= scenario.truth <= two.high
    relevant = low if scenario.relevant == "low" else high
    return Coverage(low / repeats, high / repeats, both / repeats, relevant / repeats)


def _bins(rng: np.random.Generator) -> Values:
    """(BINS, 3) of a procedure: the model is too sure of itself by 0.05, in each procedure and bin more or less so."""
    sure, pixels = np.linspace(0.3, 0.98, BINS), rng.integers(200, 2000, BINS)
    right = rng.binomial(pixels, np.clip(sure - 0.05 - rng.normal(0, 0.05), 0, 1))
    return np.stack([pixels, np.rint(pixels * sure * CONFIDENCE_ONE), right], axis=1).astype(float)


def calibration_coverage(procedures: int, repeats: int, draws: int) -> Coverage:
    """Of the calibration error, which is no ratio. Its truth: of 20,000 procedures."""
    rng = np.random.default_rng(20261127)
    truth = float(ece(sum((_bins(rng) for _ in range(20_000)), np.zeros((BINS, 3)))))
    low = high = both = 0
    for repeat in range(repeats):
        seen = np.stack([_bins(rng) for _ in range(procedures)])
        sums = Draws.make(repeat, draws, procedures).sums(*seen.reshape(procedures, -1).T)
        drawn = ece(np.stack(sums, axis=-1).reshape(draws, BINS, 3))
        one, two = (plain(float(ece(seen.sum(axis=0))), drawn, procedures, alpha) for alpha in (0.05, 0.025))
        low += one.low <= truth
        high += one.high >= truth
        both += two.low <= truth <= two.high
    return Coverage(low / repeats, high / repeats, both / repeats, high / repeats)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=999)
    options = parser.parse_args()
    print_row = sys.stdout.write
    print_row("| procedures from | procedures | lower bound, 95 % | upper bound, 95 % | interval, 95 % |\n")
    print_row("| --- | --- | --- | --- | --- |\n")
    for scenario in SCENARIOS.values():
        for procedures in (10, 20, 50):
            _say(scenario.about, procedures, coverage(scenario, procedures, options.repeats, options.draws))
    for procedures in (10, 20, 50):
        _say("calibration error", procedures, calibration_coverage(procedures, options.repeats, options.draws))


def _say(about: str, procedures: int, c: Coverage) -> None:
    sys.stdout.write(f"| {about} | {procedures} | {c.low:.3f} | {c.high:.3f} | {c.two_sided:.3f} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
