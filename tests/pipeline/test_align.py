"""Alignment against the truth: over thousands of random schedules no wrong value is ever delivered."""

import math
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inframe.core.clock import NS_PER_MS
from inframe.core.samples import Absent, Aligned, Quality
from inframe.pipeline.align import Aligner, Plan, align, plan_of
from tests.pipeline.sensing import BEGAN, fill, ring, sensor

MS = NS_PER_MS
MAX_AGE = 50 * MS


def plan(how: str, **more: Any) -> Plan:
    return plan_of(sensor(align={"how": how, "max_age_ms": 50, **more}))


def times(seed: int, count: int = 60) -> list[int]:
    """Moments of measurement: mostly 10 ms apart, with jitter, bursts and gaps."""
    rng = random.Random(seed)
    at, found = BEGAN, []
    for _ in range(count):
        at += rng.choice((10, 10, 10, 10, 1, 25, 70, 300)) * MS + rng.randint(0, 2 * MS)
        found.append(at)
    return found


SCHEDULES = st.integers(0, 1 << 30)


@settings(max_examples=1500, deadline=None)
@given(SCHEDULES, st.sampled_from(["nearest", "hold", "interpolate", "window"]))
def test_no_wrong_value_over_random_schedules(seed: int, how: str) -> None:
    """The value is the time itself, so that what is delivered can be compared with the moment asked for; a second, simple way
    says what it must be."""
    rng = random.Random(seed)
    at = times(seed)
    bad = {n: Quality(rng.randint(1, 5)) for n in range(len(at)) if rng.random() < 0.1}
    writer, reader = ring(slots=rng.choice((32, 256)))
    more = {"samples": rng.randint(2, 5), "over": rng.choice(("mean", "min", "max", "last"))} if how == "window" else {}
    one = plan(how, **more)
    fill(writer, at, bad=bad)
    kept = reader.slots
    for _ in range(12):
        moment = rng.choice(
            (
                rng.randint(at[0] - 100 * MS, at[-1] + 100 * MS),
                rng.choice(at) + rng.choice((0, 0, 1, -1, MAX_AGE, MAX_AGE + 1)),
            )
        )
        upto = rng.choice((None, rng.randint(max(0, len(at) - kept + 20), len(at))))
        there = [(n, t) for n, t in enumerate(at[: upto if upto is not None else len(at)]) if n >= len(at) - kept]
        found = align(one, reader, moment, upto)
        if isinstance(found, Aligned):
            _check_value(one, found, there, bad, moment)
        else:
            _check_absence(one, found, there, bad, moment)


def _check_value(one: Plan, found: Aligned, there: list[tuple[int, int]], bad: dict[int, Quality], moment: int) -> None:
    known = dict(there)
    assert found.seq - 1 in known
    assert found.seq - 1 not in bad
    assert found.age_ns == moment - known[found.seq - 1]
    before = [n for n, t in there if t <= moment]
    match one.how:
        case "nearest":
            assert found.values == (float(known[found.seq - 1]),)
            assert abs(found.age_ns) == min(abs(moment - t) for _, t in there) <= MAX_AGE
        case "hold":
            assert found.values == (float(known[before[-1]]),)
            assert 0 <= found.age_ns <= MAX_AGE
        case "interpolate":
            assert abs(found.values[0] - moment) < 256 or found.values == (float(known[before[-1]]),)
            assert moment - known[before[-1]] <= MAX_AGE
            assert found.age_ns >= -MAX_AGE
        case "window":
            used = before[-one.samples :]
            assert not set(used) & bad.keys()
            assert len(used) == one.samples
            assert all(known[b] - known[a] <= 25 * MS for a, b in pairwise(used))
            values = [float(known[n]) for n in used]
            wanted = {
                "mean": (math.fsum(values) / len(values),),
                "min": (values[0],),
                "max": (values[-1],),
                "last": tuple(values),
            }
            assert found.values == wanted[one.over]


def _check_absence(
    one: Plan, found: Absent, there: list[tuple[int, int]], bad: dict[int, Quality], moment: int
) -> None:
    assert found.why is not Quality.OK
    before = [(n, t) for n, t in there if t <= moment]
    good = [(n, t) for n, t in before if moment - t <= MAX_AGE]
    if one.how in ("hold", "interpolate") and good:
        assert found.why is bad[good[-1][0]], "a good sample was there, and the newest"
    if one.how == "nearest":
        nearest = min(there, key=lambda nt: (abs(moment - nt[1]), nt[1]), default=None)
        assert nearest is None or abs(moment - nearest[1]) > MAX_AGE or nearest[0] in bad


@pytest.mark.parametrize("how", ["nearest", "hold", "interpolate"])
def test_a_stream_that_stops_is_absent_exactly_at_its_max_age(how: str) -> None:
    writer, reader = ring()
    at = [BEGAN + n * 10 * MS for n in range(20)]
    fill(writer, at)
    assert isinstance(align(plan(how), reader, at[-1] + MAX_AGE), Aligned)
    assert align(plan(how), reader, at[-1] + MAX_AGE + 1) == Absent(Quality.STALE, 20, MAX_AGE + 1, 20)


def test_the_newest_sample_decides_even_where_an_older_one_is_good() -> None:
    writer, reader = ring()
    at = [BEGAN + n * 10 * MS for n in range(20)]
    fill(writer, at, bad={19: Quality.SATURATED})
    for how in ("nearest", "hold", "interpolate"):
        found = align(plan(how), reader, at[-1] + MS)
        assert isinstance(found, Absent)
        assert found.why is Quality.SATURATED


def test_a_stream_that_never_spoke_is_absent() -> None:
    _, reader = ring()
    aligner = Aligner({"s": plan("hold")}, {"s": reader})
    assert aligner.at(BEGAN) == {"s": Absent(Quality.STALE)}


def test_a_rotation_takes_the_shortest_arc() -> None:
    names = ["x", "qx", "qy", "qz", "qw"]
    pose = sensor(
        channels={name: {"unit": ""} for name in names},
        rotation=["qx", "qy", "qz", "qw"],
        align={"how": "interpolate", "max_age_ms": 50},
    )
    writer, reader = ring(channels=5)

    def about_z(degrees: float) -> tuple[float, float, float, float]:
        half = math.radians(degrees) / 2
        return 0.0, 0.0, math.sin(half), math.cos(half)

    negative = tuple(-q for q in about_z(50))  # the same rotation as 50 degrees
    for n, (x, q) in enumerate(((0.0, about_z(-10)), (1.0, about_z(10)), (3.0, negative), (4.0, about_z(50.01)))):
        writer.write(BEGAN + n * 10 * MS, 0, 0, Quality.OK, (x, *q))
    for at_ms, x, degrees in ((5, 0.5, 0), (10, 1, 10), (15, 2, 30), (17.5, 2.5, 40), (25, 3.5, 50.005)):
        found = align(plan_of(pose), reader, BEGAN + round(at_ms * MS))
        assert isinstance(found, Aligned)
        assert found.values[0] == pytest.approx(x)
        assert abs(sum(a * b for a, b in zip(found.values[1:], about_z(degrees), strict=True))) == pytest.approx(
            1, abs=1e-9
        )
        assert math.hypot(*found.values[1:]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"align": {"how": "window", "max_age_ms": 50}}, "expected both with how: window"),
        ({"align": {"how": "hold", "max_age_ms": 50, "samples": 3, "over": "mean"}}, "expected both with how: window"),
        ({"rotation": ["x", "y", "z", "w"]}, "rotation: found 'y', expected one of channels: x"),
        ({"channels": {"x": {"unit": "mm", "low": 2, "high": 1}}}, "low: found 2.0, expected less than high"),
    ],
)
def test_what_can_not_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        sensor(**changes)
