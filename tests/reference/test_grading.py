"""What counts as an event, as found, as false: on made-up distances, whose answers are known."""

import numpy as np
import pytest

from reference.grading import FPS, Numbers, contact_s, events, interval, meets, score, spans, touches


def ramp(*corners: tuple[float, float]) -> Numbers:
    """Distances between (seconds, pixels), 30 a second."""
    times = np.arange(int(corners[-1][0] * FPS)) / FPS
    return np.interp(times, [at for at, _ in corners], [px for _, px in corners])


APPROACH = ramp((0, 200), (2, 200), (4, 0), (4.2, -20), (5, -20), (6, 200), (8, 200))
"""A hundred pixels a second from 2 s on; there at 4 s; away again from 5.1 s on."""


def test_seconds_to_contact_are_those_of_the_true_rate() -> None:
    seconds = contact_s(APPROACH)
    assert seconds[FPS * 3] == pytest.approx(1.0, abs=0.05)
    assert np.isinf(seconds[FPS])
    assert seconds[int(FPS * 4.5)] == 0
    assert np.isinf(seconds[int(FPS * 5.5)]), "it goes away"


def test_events_begin_and_end_where_they_are_true() -> None:
    (contact,) = events("contact", APPROACH)
    assert contact[0] / FPS == pytest.approx(3.0, abs=0.12)
    assert contact[1] / FPS == pytest.approx(5.1 + 0.3, abs=0.12)
    (near,) = events("near", APPROACH)
    assert near[0] / FPS == pytest.approx(3.6, abs=0.12)
    assert touches(APPROACH) == [pytest.approx(4 * FPS, abs=1)]
    assert events("close", ramp((0, 17), (3, 17))) == []
    assert events("near", np.full(90, np.nan)) == []


def standing(*parts: tuple[float, float]) -> list[bool]:
    return [any(a <= i / FPS < b for a, b in parts) for i in range(len(APPROACH))]


@pytest.mark.parametrize(
    ("parts", "found", "false"),
    [
        (((3.2, 5.0),), 1, 0),
        (((2.6, 5.0),), 1, 0),
        ((), 0, 0),
        (((0.5, 1.0),), 0, 1),
        (((0.5, 1.0), (3.2, 5.0), (7.0, 7.5)), 1, 2),
    ],
)
def test_found_and_false(parts: tuple[tuple[float, float], ...], found: int, false: int) -> None:
    one = score("contact", APPROACH, standing(*parts))
    assert (one.events, one.found, one.false) == (1, found, false)
    assert one.minutes == pytest.approx(8 / 60)


def test_an_alert_between_the_two_values_is_neither_asked_for_nor_false() -> None:
    px = ramp((0, 100), (1, 100), (2, 22), (3, 22), (4, 100), (6, 100))
    said = [1.8 <= i / FPS < 3.2 for i in range(len(px))]
    one = score("close", px, said)
    assert (one.events, one.false, one.strictly) == (0, 0, 1)
    one = score("close", px + 10, said)
    assert one.false == 1, "never below 28"


def test_the_lead_is_from_the_alert_to_the_touch() -> None:
    (lead,) = score("contact", APPROACH, standing((3.2, 5.0))).leads
    assert lead == pytest.approx(0.8, abs=0.05)
    assert np.isnan(score("contact", APPROACH, standing((1.0, 2.0))).leads[0])


def test_spans_and_what_meets() -> None:
    assert spans([False, True, True, False, True]) == [(1, 2), (4, 4)]
    assert meets((10, 20), [(35, 40)])
    assert not meets((10, 20), [(36, 40)])


def test_an_interval_holds_its_figure_and_is_of_procedures() -> None:
    numbers = [np.full(100, float(k)) for k in range(5)]
    middle, low, high = interval(numbers, lambda parts: float(np.mean(np.concatenate(parts))))
    assert middle == 2
    assert low < 1.2
    assert high > 2.8, "a hundred equal frames of one procedure are one thing seen"
