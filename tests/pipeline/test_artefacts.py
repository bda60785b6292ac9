"""A lead that is off reads as flat or noisy; what no sensor can measure is no value."""

import math
import random
from typing import Any

import pytest

from inframe.core.clock import NS_PER_MS
from inframe.core.samples import Quality
from inframe.core.sensor import SensorBase
from inframe.drivers.sensors.simulator import truth
from inframe.pipeline.artefacts import HISTORY, Judge
from tests.pipeline.sensing import sensor

PERIOD = 2 * NS_PER_MS  # 500 Hz


def ecg(**channel: Any) -> SensorBase:
    return sensor(
        rate_hz=500, channels={"ecg": {"unit": "mV", "low": -5, "high": 5, "slope": 150, "flat": 0.03, **channel}}
    )


def qualities(one: SensorBase, values: list[float]) -> list[Quality]:
    judge = Judge(one)
    return [judge.of((n + 1) * PERIOD, (value,)) for n, value in enumerate(values)]


def beats(seconds: float) -> list[float]:
    return [truth("ecg", n / 500, 1)[0] for n in range(round(seconds * 500))]


def test_a_heart_that_beats_is_ok_all_the_time() -> None:
    assert set(qualities(ecg(), beats(20))) == {Quality.OK}


@pytest.mark.parametrize("pulse", [0.4, 0.6])
def test_a_slow_heart_is_no_flat_line(pulse: float) -> None:
    """A beat each 1.7 to 2.5 s, with the baseline's wander between them."""
    slow = [truth("ecg", n / 500 * pulse / 1.2, 1)[0] for n in range(6000)]
    assert Quality.STALE not in set(
        qualities(sensor(rate_hz=500, frozen_ms=3000, channels={"ecg": {"unit": "mV", "flat": 0.03}}), slow)
    )


def test_a_flat_lead_is_stale_after_frozen_ms_even_if_it_hums_a_little() -> None:
    hum = [0.012 * math.sin(2 * math.pi * 50 * n / 500) for n in range(1500)]
    found = qualities(ecg(), beats(2) + hum)
    assert set(found[:1000]) == {Quality.OK}
    first = found.index(Quality.STALE)
    assert 1000 + 480 <= first <= 1000 + 520, "one second"
    assert set(found[first:]) == {Quality.STALE}


def test_the_same_value_bit_for_bit_is_stale_and_any_other_ends_it() -> None:
    plain = sensor(rate_hz=500, channels={"x": {"unit": ""}})
    found = qualities(plain, [1.0] * 600 + [1.0000001] * 10)
    assert found.index(Quality.STALE) == 500
    assert found[600:] == [Quality.OK] * 10
    assert set(qualities(sensor(rate_hz=500, frozen_ms=None, channels={"x": {"unit": ""}}), [1.0] * 2000)) == {
        Quality.OK
    }


def test_noise_is_noisy_from_its_first_jump_until_it_is_over() -> None:
    rng = random.Random(1)
    noise = [rng.gauss(0, 1.2) for _ in range(500)]
    found = qualities(ecg(), beats(2) + noise + beats(1))
    assert sum(q is Quality.OK for q in found[1000:1500]) <= 8, "but for the first moment"
    assert set(found[1500 + HISTORY :]) == {Quality.OK}


def test_one_spike_is_no_value_and_leaves_the_rest_alone() -> None:
    values = beats(2)
    values[700] = 4.0
    found = qualities(ecg(), values)
    assert found[700] is Quality.NOISY
    assert [n for n, q in enumerate(found) if q is not Quality.OK] == [700, 701]


def test_beyond_what_it_can_measure_and_what_is_no_number() -> None:
    found = qualities(
        sensor(channels={"x": {"unit": "", "low": -1, "high": 1}}), [0, 1, 0.5, -1, -7, math.nan, 0.1, math.inf]
    )
    assert [q.name for q in found] == ["OK", "SATURATED", "OK", "SATURATED", "SATURATED", "GAP", "OK", "GAP"]


def test_what_is_no_rotation_is_no_pose() -> None:
    names = ["a", "b", "c", "d"]
    judge = Judge(sensor(channels={name: {"unit": ""} for name in names}, rotation=names))
    assert judge.of(1, (0.0, 0.0, 0.0, 1.0)) is Quality.OK
    assert judge.of(2, (0.0, 0.0, 0.0, 0.9)) is Quality.GAP
    assert judge.of(3, (0.0, 0.0, 0.0, 0.0)) is Quality.GAP
