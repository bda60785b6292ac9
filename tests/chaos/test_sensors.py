"""What a fault of a sensor did to its values, judged from scripted records; and that the tracker does what it is told."""

import socket

import pytest

from inframe.chaos import sensors
from inframe.chaos.campaign import PERIOD_NS
from inframe.chaos.sensors import MAX_AGE_MS, STREAM, Seen, Tracker, broken_bars, seen, truth_mm
from inframe.core.clock import NS_PER_MS
from inframe.core.samples import Absent, Aligned, Quality
from inframe.drivers.igtl import Messages
from inframe.drivers.sensors.igtl import pose
from inframe.pipeline.record import Shown
from tests.chaos.test_judge import STRUCK, fault, record

ONE = fault("sensor_silent", ("SENSOR_ABSENT",), sensor=(Quality.STALE,))


def known(number: int, said: Aligned | Absent) -> Shown:
    return record(number, samples={STREAM: said})


def true(number: int, age_ms: int = 5, off_mm: float = 0.0) -> Shown:
    age = age_ms * NS_PER_MS
    captured = record(number).captured_ns
    return known(number, Aligned((truth_mm(captured - age) + off_mm,), 1, age, 0))


STALE = Absent(Quality.STALE, 1, 210 * NS_PER_MS)


def test_a_sensor_that_is_absent_in_time_and_never_wrong_holds() -> None:
    records = [true(n) for n in range(6)] + [known(n, STALE) for n in range(6, 20)]
    found = seen(records, STRUCK)
    assert found == Seen("STALE", (records[6].captured_ns - STRUCK) / NS_PER_MS, 0)
    assert broken_bars(ONE, found) == []


def test_a_value_that_is_not_true_is_found_once_it_could_be_known() -> None:
    first = MAX_AGE_MS * NS_PER_MS // PERIOD_NS + 2
    early = [true(n, off_mm=50) for n in range(first - 1)]
    assert seen(early, STRUCK).wrong == 0
    late = [true(n, off_mm=50) for n in range(first, first + 5)]
    assert seen(early + late, STRUCK).wrong == 5
    assert "5 wrong values" in broken_bars(ONE, seen(early + late, STRUCK))


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([true(n) for n in range(20)], ["quality None", "no quality within 233 ms"]),
        ([true(n) for n in range(9)] + [known(9, STALE)], ["no quality within 233 ms"]),
        ([known(0, Absent(Quality.NOISY))], ["quality NOISY"]),
    ],
)
def test_every_bar_that_is_broken_is_named(records: list[Shown], said: list[str]) -> None:
    assert broken_bars(ONE, seen(records, STRUCK)) == said


def test_the_tracker_tells_the_truth_and_lies_when_told_to() -> None:
    with Tracker() as tracker, socket.create_connection(("127.0.0.1", tracker.port)) as client:
        messages = Messages(1 << 16)

        def next_one() -> tuple[float, int]:
            while not (found := messages.feed(client.recv(4096))):
                pass
            value = pose(found[-1].content)
            assert value is not None
            return value[0], found[-1].stamp_ns

        x_mm, stamp = next_one()
        assert x_mm == pytest.approx(truth_mm(stamp), abs=1e-3)
        tracker.ahead_ns = sensors.STEP_NS
        for _ in range(50):
            x_mm, stamp = next_one()
        assert x_mm == pytest.approx(truth_mm(stamp - sensors.STEP_NS), abs=1e-3)
        tracker.frozen = True
        values = {next_one()[0] for _ in range(50)}
        assert len(values) <= 3
