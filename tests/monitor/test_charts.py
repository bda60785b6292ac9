"""Charts against simulation, published tables and their own limits."""

import math

import numpy as np
import pytest

from inframe.monitor import charts, normal
from inframe.monitor.charts import Charts, cusum_limit, cusum_run_length, ewma_limit, rate
from inframe.monitor.sharing import GENERAL, limits, overlap, shares


def simulated(limit: float, shift: float, scale: float = 1.0, runs: int = 8_000) -> float:
    """Mean run length of so many one-sided CUSUMs, side by side."""
    rng, sums, lengths = np.random.default_rng(1), np.zeros(runs), np.zeros(runs)
    going = np.ones(runs, bool)
    for _ in range(4000):
        z = shift + scale * rng.standard_normal(int(going.sum()))
        sums[going] = np.maximum(0.0, sums[going] + z - charts.SLACK)
        lengths[going] += 1
        going &= sums <= limit
        if not going.any():
            break
    return float(lengths.mean())


@pytest.mark.parametrize(
    ("limit", "shift", "published"),
    # Brook and Evans 1972; Hawkins and Olwell 1998, tables of the one-sided CUSUM with k = 0.5
    [(4.0, 0.0, 335.4), (5.0, 0.0, 930.9), (4.0, 1.0, 8.38), (5.0, 1.0, 10.38), (5.0, 2.0, 4.01)],
)
def test_run_lengths_are_those_of_published_tables(limit: float, shift: float, published: float) -> None:
    assert cusum_run_length(limit, shift) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(
    ("limit", "shift", "scale"), [(3.0, 0.0, 1.0), (3.0, 0.25, 1.0), (3.0, 0.0, 1.2), (4.0, 1.0, 0.9)]
)
def test_run_lengths_are_those_of_a_simulation(limit: float, shift: float, scale: float) -> None:
    assert cusum_run_length(limit, shift, scale) == pytest.approx(simulated(limit, shift, scale), rel=0.04)


def test_limits_solve_for_the_declared_run_length() -> None:
    limit = cusum_limit(500.0)
    assert 2 / rate(limit) == pytest.approx(1000, rel=0.002)
    assert cusum_run_length(limit) == pytest.approx(1000, rel=0.002)
    assert ewma_limit(500.0, 0.1) == pytest.approx(2.814, abs=0.005)  # Crowder 1989, Lucas and Saccucci 1990
    assert ewma_limit(500.0, 0.2) == pytest.approx(2.962, abs=0.005)


def test_limits_allow_for_what_a_small_reference_does_not_know() -> None:
    """False alarms averaged over references of m procedures, each with an error of its own in mean and SD."""
    m, rng = 100, np.random.default_rng(2)
    limit = cusum_limit(200.0, m)
    samples = rng.standard_normal((500, m))
    farthest = -normal.inverse(1 / (m + 1))
    rates = [
        1 / cusum_run_length(limit, s * -row.mean(), s, farthest, cells=40)
        for row in samples
        for s in (1 / row.std(ddof=1),)
    ]
    assert 2 * float(np.mean(rates)) == pytest.approx(1 / 200, rel=0.15)
    assert limit > cusum_limit(200.0) - 0.2, "its outermost numbers are nearer, its errors larger"


def test_what_charts_have_in_common_is_not_paid_for_twice() -> None:
    """Of a signal there are a plain and an adjusted number: four signals are eight charts."""
    rng = np.random.default_rng(6)
    apart, one = rng.standard_normal((400, 8)), rng.standard_normal((400, 1))
    assert 0.6 < overlap(apart, ()) < 1.6, "400 drawn procedures have means of their own"
    assert overlap(np.repeat(one, 8, axis=1), ()) < 0.3 * overlap(apart, ())


def test_the_budget_is_shared_so_that_each_expected_drift_is_found_equally_soon() -> None:
    parts = shares([1.0, 1.0, 1.6], 300)
    assert math.fsum(parts) == pytest.approx(1 - GENERAL)
    assert parts[0] == parts[1] > 10 * parts[2]
    assert shares([], 300) == ()
    found = limits(4, parts, 500, 300)
    assert len(found) == 2 * 4 + 3
    delays = [cusum_run_length(float(h), d) for h, d in zip(found[-3:], (1.0, 1.0, 1.6), strict=True)]
    assert max(delays) - min(delays) < 0.5
    rates = [rate(float(h), 300) for h in found]
    assert sum(rates[:8]) + sum(rates[8:]) / 2 == pytest.approx(1 / 500, rel=0.02)
    assert limits(4, (), 500, 300)[0] < found[0]


def test_a_directed_chart_looks_upward_only() -> None:
    one = Charts(np.array([4.0, 4.0]), directed=1)
    for _ in range(9):
        one.add(np.array([-1.5, -1.5]))
    assert one.alarms() == [(0, -1, 9)]
    assert one.down[1] == 0.0


def test_a_chart_sums_up_and_down_and_says_since_when() -> None:
    one = Charts(np.full(3, 4.0))
    for _ in range(5):
        one.add(np.array([0.0, 0.0, np.nan]))
    for _ in range(6):
        one.add(np.array([1.5, -1.4, np.nan]))
    assert one.alarms() == [(0, 1, 6), (1, -1, 6)]
    assert one.up[2] == one.down[2] == 0.0
    for _ in range(20):
        one.add(np.array([3.0, 0.0, 0.0]))
    assert one.up[0] == pytest.approx(6.0), "bounded, so that it ends soon after the cause"
    for _ in range(7):
        one.add(np.zeros(3))
        assert 0 in [i for i, _, _ in one.alarms()], "it stands, though the chart is below its limit"
    one.add(np.zeros(3))
    assert 0 not in [i for i, _, _ in one.alarms()]
    assert one.up[0] == 0.0


def test_a_restored_chart_goes_on_as_if_it_had_never_stopped() -> None:
    rng = np.random.default_rng(3)
    one, other = Charts(np.full(4, 5.0)), Charts(np.full(4, 5.0))
    for z in rng.standard_normal((10, 4)):
        one.add(z)
    other.restore(one.as_json())  # type: ignore[arg-type]
    for z in rng.standard_normal((10, 4)):
        one.add(z)
        other.add(z)
    assert other.up == pytest.approx(one.up, abs=1e-5)
    assert other.e_value() == pytest.approx(one.e_value(), rel=1e-3)


def test_the_e_detector_keeps_its_promise_where_charts_are_the_same() -> None:
    """Four charts of the very same number: the mean time to exceed A is at least A."""
    rng, times = np.random.default_rng(4), []
    for _ in range(60):
        one, t = Charts(np.full(4, 99.0)), 0
        while one.e_value() < 50 and t < 2000:
            t += 1
            one.add(np.full(4, rng.standard_normal()))
        times.append(t)
    assert float(np.mean(times)) >= 50
    unsure = []
    for _ in range(30):  # as far from the reference as 100 procedures may leave it
        one, t = Charts(np.full(4, 99.0), reference=100), 0
        while one.e_value() < 50 and t < 300:
            t += 1
            one.add(np.full(4, 0.15 + 1.1 * rng.standard_normal()))
        unsure.append(t)
    assert float(np.mean(unsure)) >= 50
    shifted, t = Charts(np.full(4, 99.0)), 0
    while shifted.e_value() < 50:
        t += 1
        shifted.add(np.full(4, 1.0))
    assert t < 15


def test_normal_distribution() -> None:
    assert normal.cdf(np.array([-1.96, 0.0, 1.96])) == pytest.approx([0.025, 0.5, 0.975], abs=1e-4)
    assert normal.chi_squared(5, 0.999) == pytest.approx(20.52, rel=0.02)
    assert normal.chi_squared(1, 0.95) == pytest.approx(3.84, rel=0.03)
    assert math.isclose(normal.inverse(0.975), 1.959964, abs_tol=1e-6)
