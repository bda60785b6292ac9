"""A source's clock mapped to the device's, against the truth."""

import statistics
from collections.abc import Callable

import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.pipeline.clockfit import CALIBRATE_NS, TOLERANCE_NS, ClockFit
from tests.pipeline.sensing import BEGAN, Source


def errors(
    source: Source, fit: ClockFit, change: Callable[[int, int, int], tuple[int, int]] = lambda t, s, a: (s, a)
) -> list[tuple[int, int]]:
    """(true time, error) of each sample mapped when it arrived, once the clock is known."""
    found = []
    for true, *came in source.samples():
        stamp, arrived = change(true, *came)
        if fit.heard(stamp, arrived) and fit.is_known:
            found.append((true, fit.at(stamp) - true))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_offset_drift_jitter_bursts_and_gaps_leave_less_than_a_millisecond(seed: int) -> None:
    source, fit = Source(seed, drift_ppm=[-200.0, 0.0, 200.0][seed % 3]), ClockFit()
    found = sorted(abs(error) for _, error in errors(source, fit))
    assert found[int(0.99 * len(found))] < NS_PER_MS
    assert fit.stepped == 0
    assert abs(fit.drift_ppm - source.drift_ppm) < 40


def test_what_is_uncertain_is_no_less_than_the_error_for_most_samples() -> None:
    shares = []
    for seed in range(10):
        source, fit = Source(seed), ClockFit()
        within = [
            abs(error) <= fit.uncertain_ns + source.least_ms * NS_PER_MS + NS_PER_MS / 5
            for _, error in errors(source, fit)
        ]
        shares.append(sum(within) / len(within))
    assert statistics.fmean(shares) > 0.9


def test_a_clock_is_not_known_before_it_was_heard_for_two_seconds() -> None:
    fit = ClockFit()
    for n in range(201):
        assert not fit.is_known
        fit.heard(n * 10 * NS_PER_MS, n * 10 * NS_PER_MS)
    assert fit.is_known
    with pytest.raises(RuntimeError, match="nothing was heard"):
        ClockFit().at(0)


def test_a_clock_stepped_ahead_is_noticed_at_its_first_sample_and_learned_anew() -> None:
    def step(true: int, stamp: int, arrived: int) -> tuple[int, int]:
        return (stamp + 500 * NS_PER_MS if true > BEGAN + 10 * NS_PER_S else stamp), arrived

    fit = ClockFit()
    found = errors(Source(3), fit, step)
    assert fit.stepped == 1
    assert max(abs(error) for _, error in found) < 4 * NS_PER_MS
    again = [true for true, _ in found if true > BEGAN + 10 * NS_PER_S]
    assert again[0] - (BEGAN + 10 * NS_PER_S) >= CALIBRATE_NS, "not believed before it is known again"


def test_a_clock_stepped_back_is_noticed_within_three_samples() -> None:
    fit = ClockFit()
    for n in range(500):
        fit.heard(n * 10 * NS_PER_MS, n * 10 * NS_PER_MS + NS_PER_S)
    told = [fit.heard(n * 10 * NS_PER_MS, n * 10 * NS_PER_MS + 2 * NS_PER_S) for n in range(400, 410)]
    assert told[:3] == [False, False, True]
    assert fit.stepped == 1
    assert not fit.is_known


@pytest.mark.parametrize("seed", range(4))
def test_samples_that_come_half_a_second_late_are_never_taken_for_new_ones(seed: int) -> None:
    """Neither at once, nor when nothing of the time before is remembered any more, nor if the delay grows slowly."""
    sudden = lambda true, stamp, arrived: (stamp, arrived + (500 * NS_PER_MS if true > BEGAN + 40 * NS_PER_S else 0))  # noqa: E731
    slow = lambda true, stamp, arrived: (stamp, arrived + max(0, true - BEGAN - 40 * NS_PER_S) // 200)  # noqa: E731
    for change in (sudden, slow):
        fit = ClockFit()
        late = [error for true, error in errors(Source(seed, seconds=140), fit, change) if true > BEGAN + 40 * NS_PER_S]
        assert max(late) < 2 * TOLERANCE_NS + 5 * NS_PER_MS
        assert fit.stepped == 0


def test_time_stamps_that_repeat_or_go_back_are_refused_one_by_one() -> None:
    fit = ClockFit()
    assert fit.heard(100, 1100)
    assert not fit.heard(100, 1101)
    assert fit.heard(200, 1200)
    assert not fit.heard(150, 1201)
    assert fit.stepped == 0
