"""The benchmark of drift detectors in its short form: python -m reference.drift is the whole one."""

import numpy as np
import pytest

from inframe.monitor.signals import Kind, signal_of
from reference.drift import rivals, score
from reference.drift.faults import DRIFTS, KINDS, WATCHED
from reference.drift.simulated import Population


@pytest.fixture(scope="module")
def population() -> Population:
    return Population()


@pytest.fixture(scope="module")
def unit(population: Population) -> score.Unit:
    return score.Unit.of(population, 100)


def test_the_simulator_is_as_what_was_rendered(population: Population) -> None:
    rng = np.random.default_rng(1)
    drawn = population.draw(rng, 4000)
    assert np.abs((drawn.mean(axis=0) - population.mean) / np.where(population.sd > 0, population.sd, 1)).max() < 0.1
    luma, contrast = (population.names.index(name) for name in ("luma", "contrast"))
    assert np.corrcoef(drawn[:, luma], drawn[:, contrast])[0, 1] > 0.3
    samples = population.samples(rng, drawn[:40], 200)
    centred = samples[:, :, luma] - samples[:, :, luma].mean(axis=0)
    along = (centred[1:] * centred[:-1]).mean() / (centred**2).mean()
    assert along == pytest.approx(population.within_correlation[luma], abs=0.05)
    apart = [population.samples(rng, drawn[:1].repeat(200, axis=0)).mean(axis=0).std(axis=0)[luma] for _ in range(2)]
    quick = population.measured(rng, drawn[:1].repeat(4000, axis=0)).std(axis=0)[luma]
    assert quick == pytest.approx(float(np.mean(apart)), rel=0.15), (
        "the short way to a procedure's mean is as the long one"
    )


def test_a_drift_of_1_sd_moves_the_signal_that_it_moves_most_by_1_sd(population: Population) -> None:
    """Of its normal score between procedures, and no other by more; `plainly`: of its own scale."""
    rng = np.random.default_rng(2)
    plainly = Population(plainly=True)
    sd = np.where(population.sd > 0, population.sd, np.inf)
    natural = population.draw(rng, 6000)
    for drift, one in DRIFTS.items():
        moved = population.drifted(rng, 6000, drift, 1.0)
        far = population._scored(moved).mean(axis=0) - population._scored(natural).mean(axis=0)
        most = int(np.abs(far).argmax())
        assert abs(far[most]) == pytest.approx(1.0, abs=0.08), drift
        other = plainly.drifted(rng, 6000, drift, 1.0)
        assert np.abs((other.mean(axis=0) - natural.mean(axis=0)) / sd).max() == pytest.approx(1.0, abs=0.15), drift
        assert one.kind in KINDS
    assert {kind.value for kind in Kind} > set(KINDS)
    assert set(WATCHED) < set(population.names)
    assert all(signal_of(name).high > 0 for name in population.names)


def test_side_by_side_is_as_the_charts_of_a_device(unit: score.Unit) -> None:
    rng = np.random.default_rng(3)
    side, charts = score.Side(unit, 2), unit.charts()
    for _ in range(40):
        z = unit.numbers(rng, unit.population.drifted(rng, 2, "blur", 1.0))
        above = side.add(z)
        charts.add(z[0])
        assert bool(above[0]) is bool(charts.alarms())
        if above[0]:
            chart, _, since = charts.alarms()[0]
            assert side.alarm(0) == (chart, since)
            break
    else:
        pytest.fail("no alarm in 40 procedures")


def test_false_alarms_are_about_as_declared_and_a_drift_is_found_and_named(unit: score.Unit) -> None:
    procedures, alarms = score.in_control(unit, 1, 6000)
    assert 4 <= alarms <= 30, "12 are expected: the whole benchmark measures it"
    assert procedures == 6000
    found = score.detect([unit], "blur", 2.0, 6, 1)
    assert np.mean(found.delays) <= 9
    assert np.mean(found.kinds_right) >= 0.8
    for strength in (1.0, 2.0):  # of a strong one five procedures tell, and each is moved differently
        assert np.mean(score.detect([unit], "new instrument", strength, 48, 2).kinds_right) >= 0.8


def test_every_sample_goes_through_the_code_of_the_device(unit: score.Unit) -> None:
    procedures, alarms, crossed = score.sampled(unit, 3, 6)
    assert (procedures, alarms) == (6, 0)
    assert crossed == 6


def test_the_other_detectors_do_what_they_are_for() -> None:
    """Independent numbers: hardly an alarm; a jump: an alarm."""
    rng = np.random.default_rng(4)
    quiet, jump = rng.standard_normal(2000), rng.standard_normal(400) + 3
    for make in (rivals.Adwin, rivals.PageHinkley):
        one = make()
        before = sum(one.add(float(x)) for x in quiet)
        assert before <= 1
        assert any(one.add(float(x)) for x in jump)
    kswin = rivals.Kswin()
    assert sum(kswin.add(float(x)) for x in quiet[:500]) <= 4
    assert any(kswin.add(float(x)) for x in jump[:100])
    a, b = rng.standard_normal((2, 60, 3))
    assert not rivals.mmd(a, b, rng)
    assert rivals.mmd(a, b + 2, rng)
    assert rivals.columns(a, b + 2)
    assert not rivals.columns(a, b)
    assert rivals.ks(np.arange(100.0), np.arange(100.0) + 30)[0] == pytest.approx(0.3, abs=0.011)
