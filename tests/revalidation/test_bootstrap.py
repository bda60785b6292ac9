"""Bounds, p-values and Holm; how often the intervals hold what they promise, by simulation (short form of scripts/coverage.py)."""

import math

import numpy as np
import pytest

from inframe.revalidation.bootstrap import Draws, difference, holm, plain, ratio
from scripts.coverage import SCENARIOS, coverage


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([0.03, 0.001], 0.05) == [True, True]
    assert holm([], 0.05) == []


def test_bounds_and_p_say_the_same() -> None:
    """A bound is where p is alpha: what lies beyond it is shown, what does not is not."""
    rng = np.random.default_rng(3)
    one = np.ones(25)
    draws = Draws.make(1, 1999, 25)
    for values, weights, scale in (
        (rng.beta(8, 2, 25), one, "mean"),
        (rng.binomial(3, 0.8, 25) * 1.0, one * 3, "share"),
        (rng.poisson(2, 25) * 1.0, one * 4, "rate"),
        (rng.lognormal(1, 0.5, 25), one, "size"),
    ):
        found = ratio(values, weights, draws, scale, 0.05)  # type: ignore[arg-type]  # a literal in a tuple
        assert found.low < found.value < found.high
        assert found.p(found.low * 0.999, "low") <= 0.051 <= found.p(found.low * 1.01, "low") + 0.002
        assert found.p(found.high * 1.001, "high") <= 0.051 <= found.p(found.high * 0.99, "high") + 0.002


def test_all_found_and_no_false_alert_are_exact() -> None:
    draws = Draws.make(1, 999, 20)
    found = ratio(np.ones(20) * 2, np.ones(20) * 2, draws, "share", 0.05)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.05 ** (1 / 20))
    assert found.p(0.8, "low") == pytest.approx(0.8**20)
    none = ratio(np.zeros(20), np.ones(20) * 3, draws, "rate", 0.05)
    assert none.high == pytest.approx(-math.log(0.05) / 60)
    assert none.p(0.1, "high") == pytest.approx(math.exp(-6))


def test_nothing_to_say_shows_nothing() -> None:
    draws = Draws.make(1, 999, 4)
    for a, b in ((np.zeros(4), np.zeros(4)), (np.array([0.9, 0, 0, 0]), np.array([1.0, 0, 0, 0]))):
        found = ratio(a, b, draws, "mean", 0.05)
        assert (found.low, found.p(0.0, "low")) == (-math.inf, 1.0)
    assert plain(float("nan"), np.full(5, np.nan), 4, 0.05).p(0.1, "high") == 1.0


def test_the_same_model_is_not_inferior_and_a_worse_one_is() -> None:
    rng = np.random.default_rng(4)
    a, one, draws = rng.beta(8, 2, 20), np.ones(20), Draws.make(1, 999, 20)
    same = difference((a, one), (a, one), draws, 0.05)
    assert (same.value, same.low, same.p(-0.01, "low")) == (0.0, 0.0, 0.0)
    worse = difference((a - 0.05 + rng.normal(0, 0.005, 20), one), (a, one), draws, 0.05)
    assert worse.high < -0.04
    assert worse.p(-0.02, "low") > 0.99
    paired = difference(
        (a - 0.01, one), (a, one), draws, 0.05
    )  # the same in every procedure: their spread does not count
    assert paired.low == pytest.approx(-0.01)


def test_draws_are_the_seeds_alone() -> None:
    assert np.array_equal(Draws.make(7, 50, 9).counts, Draws.make(7, 50, 9).counts)
    assert (Draws.make(7, 50, 9).counts.sum(axis=1) == 9).all()


@pytest.mark.parametrize("name", ["mean", "share", "rate"])
def test_coverage_in_short(name: str) -> None:
    """The full form: `python -m scripts.coverage`. Seeds are fixed, so this is a fact and no chance."""
    repeats = 200
    found = coverage(SCENARIOS[name], procedures=20, repeats=repeats, draws=499)
    least = 0.93 - 3 * math.sqrt(0.93 * 0.07 / repeats)  # so far may 200 repeats of 93 % be off
    assert min(found.two_sided, found.relevant) >= least
