"""From a sensor's clock to a frame's moment, against the truth: simulated sources, each fault, and what a source may say wrong."""

import os
from typing import Any, cast

import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.errors import ConfigError
from inframe.core.ports import Block
from inframe.core.samples import Absent, Aligned, Quality
from inframe.core.sensor import CsvSensor, SensorBase
from inframe.drivers.sensors.simulator import Simulator, truth
from inframe.pipeline import sense
from inframe.pipeline.align import align, plan_of
from inframe.pipeline.board import Board, Count, Row, create_board
from inframe.pipeline.clockfit import CALIBRATE_NS
from inframe.pipeline.samplering import SampleReader, SampleWriter, create, slots_for
from inframe.pipeline.sense import Sensing
from tests.pipeline.sensing import BEGAN, Source, sensor, wave

MS = NS_PER_MS
FRAME = NS_PER_S // 30
DECIDED_NS = 20 * MS
"""So long after its capture a frame is decided."""


def row() -> Row:
    fd = create_board(1)
    made = Board(fd, ("sensor.x",)).row("sensor.x")
    os.close(fd)
    return made


def sensing(one: SensorBase, clock: ManualClock) -> tuple[Sensing, SampleReader]:
    fd = create("samples", slots_for(one), len(one.channels))
    made = Sensing(one, SampleWriter(fd), row(), clock), SampleReader(fd)
    os.close(fd)
    return made


@pytest.mark.parametrize("seed", range(6))
def test_interpolated_kinematics_are_off_by_less_than_a_millisecond(seed: int) -> None:
    """100 Hz, 200 ppm, jitter, bursts and gaps; the value is the true time, so that an error in it is one in time."""
    one = sensor(align={"how": "interpolate", "max_age_ms": 100}, frozen_ms=None)
    source, clock = Source(seed, seconds=25, drift_ppm=(-200.0, 200.0)[seed % 2]), ManualClock(BEGAN)
    made, reader = sensing(one, clock)
    errors, absent, held, frame = [], 0, 0, BEGAN + 3 * NS_PER_S
    for true, stamp, arrived in source.samples():
        while frame + DECIDED_NS < arrived:
            said = align(plan_of(one), reader, frame)
            if isinstance(said, Absent):
                absent += 1
            elif said.age_ns > 0:  # held: as old as it says
                held += 1
                assert abs(said.values[0] - wave(frame - said.age_ns)) * 1000 < 1.5
            else:
                errors.append(abs(said.values[0] - wave(frame)) * 1000)
            frame += FRAME
        clock.set(max(arrived, clock.now()))
        made.take(Block([(wave(true),)], arrived, [stamp]))
    errors.sort()
    assert len(errors) > 500
    assert errors[int(0.99 * len(errors))] <= 1.0, "ms"
    assert held + absent < 0.2 * len(errors)


def simulated(**changes: Any) -> Any:
    values = {"signal": "pressure", "rate_hz": 125, "drift_ppm": 80, "jitter_ms": 2, "frozen_ms": 100}
    channel = {"unit": "mmHg", "low": -20, "high": 300, "slope": 3000}
    return sensor(**values | {"channels": {"abp": channel}, "align": {"how": "hold", "max_age_ms": 120}} | changes)


def watch(one: Any, seconds: float) -> list[tuple[float, Aligned | Absent]]:
    """What each frame knew of it, s since the beginning."""
    clock = ManualClock(BEGAN)
    made, reader = sensing(one, clock)
    source = Simulator(one, clock, clock.advance)
    found, frame = [], BEGAN
    while clock.now() < BEGAN + seconds * NS_PER_S:
        made.step(source)
        while frame + DECIDED_NS < clock.now():
            found.append(((frame - BEGAN) / NS_PER_S, align(plan_of(one), reader, frame)))
            frame += FRAME
    return found


FAULTS = {
    "stop": {Quality.STALE},
    "freeze": {Quality.STALE},
    "noise": {Quality.NOISY, Quality.SATURATED},
    "shift": {Quality.STALE},
    "step": {Quality.CALIBRATING, Quality.STALE},
    "saturate": {Quality.SATURATED, Quality.NOISY},
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_shows_its_quality_within_max_age_and_no_wrong_value_comes_through(what: str) -> None:
    at, lasts = 5.0, 2.0
    one = simulated(faults=[{"what": what, "at_s": at, "for_s": lasts}])
    found = watch(one, 12)
    max_age = 0.12
    why = {said.why for s, said in found if isinstance(said, Absent) and at <= s < at + lasts}
    assert why <= FAULTS[what]
    first = next(s for s, said in found if s >= at and isinstance(said, Absent))
    assert first - at <= max_age + FRAME / NS_PER_S
    for s, said in found:
        if at + max_age + 0.04 <= s < at + lasts:
            assert isinstance(said, Absent), (what, s)
        if isinstance(said, Aligned):
            if what == "freeze" and at <= s < at + max_age + FRAME / NS_PER_S:
                continue  # a value that stands still is not known to, so soon
            then = s - said.age_ns / NS_PER_S
            true, *near = (truth("pressure", then + d / 1000, 1)[0] for d in (0, -6, 6))
            assert abs(said.values[0] - true) <= max(abs(n - true) for n in near) + 0.5
    after = at + lasts + (2.5 if what == "step" else 0.7)
    assert all(isinstance(said, Aligned) for s, said in found if s > after), "and it is back"
    assert all(isinstance(said, Aligned) for s, said in found if 2.2 < s < at), "and was there before"


def test_a_source_is_calibrating_until_its_clock_is_known() -> None:
    found = watch(simulated(), 4)
    early = {said.why for s, said in found if isinstance(said, Absent) and 0.1 < s < CALIBRATE_NS / NS_PER_S}
    assert early == {Quality.CALIBRATING}
    assert all(isinstance(said, Aligned) for s, said in found if s > CALIBRATE_NS / NS_PER_S + 0.1)


def test_the_clock_is_reported_on_the_board_and_a_step_of_it_raised() -> None:
    one, clock = simulated(faults=[{"what": "step", "at_s": 21, "for_s": 100}]), ManualClock(BEGAN)
    made, _ = sensing(one, clock)
    source = Simulator(one, clock, clock.advance)
    faults = cast("Any", made.row)._faults
    while clock.now() < BEGAN + 20 * NS_PER_S:
        made.step(source)
    assert made.row.get(Count.CLOCK_DRIFT_PPB) == pytest.approx(80_000, abs=40_000)
    assert 0 <= made.row.get(Count.CLOCK_UNCERTAIN_NS) < 3 * MS
    assert not any(faults)
    while clock.now() < BEGAN + 22 * NS_PER_S:
        made.step(source)
    assert any(faults)
    while clock.now() < BEGAN + 27 * NS_PER_S:
        made.step(source)
    assert not any(faults)


def times(reader: SampleReader) -> list[int]:
    rows = [reader.row(n) for n in range(1, reader.newest() + 1)]
    return [r.captured_ns - BEGAN for r in rows if r is not None]


def test_times_of_a_recording_that_repeat_or_go_back_are_left_out_and_counted() -> None:
    one, clock = sensor(), ManualClock(BEGAN)
    made, reader = sensing(one, clock)
    at = [0, 10, 20, 20, 5, 30, 40]
    made.take(Block([(float(n),) for n in at], clock.now(), captured_ns=[BEGAN + ms * MS for ms in at]))
    assert times(reader) == [ms * MS for ms in (0, 10, 20, 30, 40)]
    assert made.row.get(Count.DROPPED) == 2


def test_samples_without_a_time_are_as_old_as_they_arrived() -> None:
    one, clock = sensor(latency_ms=5), ManualClock(BEGAN + 100 * MS)
    made, reader = sensing(one, clock)
    made.take(Block([(1.0,), (2.0,), (3.0,)], clock.now()))
    assert times(reader) == [75 * MS, 85 * MS, 95 * MS]


def test_what_is_no_number_is_a_gap() -> None:
    one, clock = sensor(), ManualClock(BEGAN)
    made, reader = sensing(one, clock)
    made.take(
        Block([(1.0,), (float("nan"),), (3.0,)], clock.now(), captured_ns=[BEGAN + n * 10 * MS for n in range(3)])
    )
    said = align(plan_of(one), reader, BEGAN + 11 * MS)
    assert isinstance(said, Absent)
    assert said.why is Quality.GAP


class Context:
    """A child's, that is told to stop after some looks."""

    def __init__(self, looks: int, clock: ManualClock) -> None:
        self.clock = clock
        self.name, self.looks = "sensor.x", looks
        self.reader, writer = os.pipe2(os.O_NONBLOCK)
        self.fds, self.stop = {"notes": writer}, self

    def is_set(self) -> bool:
        return self.looks <= 0

    def wait(self, timeout_s: float) -> bool:
        self.looks -= 1
        self.clock.advance(int(timeout_s * NS_PER_S))
        return self.is_set()


def test_a_live_sensor_that_does_not_fit_is_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be plugged in in the middle of a procedure: that must not end the device."""
    tried = []

    def refuse(*_: Any) -> Any:
        tried.append(1)
        raise ConfigError("igtl", "channels.x.unit", "m", "mm")

    clock = ManualClock(BEGAN)
    monkeypatch.setattr(sense, "open_sensor", refuse)
    made, _ = sensing(sensor(), clock)
    context = Context(30, clock)
    sense._keep_going(cast("Any", context), made, clock.now)
    assert len(tried) > 2
    assert os.read(context.reader, 4096).count(b"sensor lost") == 1, "said once"
    recorded = CsvSensor.model_validate(
        sensor().model_dump(exclude={"signal", "drift_ppm", "jitter_ms", "seed", "faults"})
        | {"sensor": "csv", "path": "x"}
    )
    made.sensor = recorded
    with pytest.raises(ConfigError):
        sense._keep_going(cast("Any", Context(3, clock)), made, clock.now)
