"""What the picture says of sensors: a value with its age, or that there is none and why; tips of tools with their error."""

import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS
from inframe.core.samples import Absent, Aligned, Quality, Samples
from inframe.core.types import Controls, Decision, Finding, Mode, Pixels, Priority, Verdict
from inframe.pipeline.display import overlay_of
from inframe.pipeline.readings import ROWS, WHY, Readings, decimal
from inframe.pipeline.text import Lettering
from tests.pipeline import script
from tests.pipeline.test_sensor_rules import LOW, PRESSURE
from tests.pipeline.test_sensor_rules import device as sensed
from tests.pipeline.test_tips import device as tooled
from tests.pipeline.test_tips import posed

VALUE = Aligned((82.4,), 9, 8 * NS_PER_MS, 0)


def decision(samples: Samples, *rules: str, verdict: Verdict = Verdict.SHOW) -> Decision:
    findings = tuple(Finding(rule, "LOW", Priority.MEDIUM, 1, 82.4) for rule in rules)
    return Decision(verdict, Mode.NOMINAL, findings, (), (), 0, samples)


class Recording(Lettering):
    """Remembers which texts it was asked for."""

    def __init__(self) -> None:
        super().__init__(14)
        self.texts: list[str] = []

    def plate(self, text: str, *rest: object) -> object:  # type: ignore[override]
        self.texts.append(text)
        return super().plate(text, *rest)  # type: ignore[arg-type]


def said(samples: Samples, *rules: str, **device: object) -> list[str]:
    made = sensed(low=LOW)
    sensors = {name: sensor.model_copy(update=device) for name, sensor in made.sensors.items()}
    letters = Recording()
    readings = Readings(made.model_copy(update={"sensors": sensors}), letters)
    letters.texts.clear()
    rows = readings.rows(decision(samples, *rules))
    assert len({row[0].height for row in rows}) <= 1
    return "".join(letters.texts).split("pressure")[1:]


def test_a_stream_that_nobody_asked_for_is_not_drawn_and_that_of_a_finding_is() -> None:
    assert said({"pressure": VALUE}) == []
    assert said({"pressure": VALUE}, "low") == [" abp 82.4 mmHg  8 ms old "]


@pytest.mark.parametrize("why", WHY)
def test_what_has_no_value_says_why_and_shows_no_number(why: Quality) -> None:
    (line,) = said({"pressure": Absent(why, 5, 300 * NS_PER_MS)}, "low")
    assert line == f": NO VALUE ({why.name})"
    assert not any(c.isdigit() for c in line)


def test_numbers_have_three_digits_or_more() -> None:
    assert [decimal(v) for v in (0.0512, -7.891, 98.76, 1234.5, -0.0001)] == [
        "0.051",
        "-7.89",
        "98.8",
        "1234",
        "-0.000",
    ]


def test_no_more_than_some_rows() -> None:
    many = {f"s{n}": {**PRESSURE, "show": ["abp"]} for n in range(ROWS + 3)}
    values = script.device().model_dump(mode="json") | {"sensors": many}
    readings = Readings(type(sensed()).model_validate(values), Lettering(14))
    assert len(readings.rows(decision(dict.fromkeys(many, VALUE)))) == ROWS + 1


def picture(samples: Samples, *, verdict: Verdict = Verdict.SHOW, on: bool = True) -> Pixels:
    made = tooled({"rotation": [0, 0, 0, 1]})
    overlay = overlay_of(made, script.labels(made))
    into, source = np.zeros((720, 1280, 3), np.uint8), np.full((720, 1280, 3), 90, np.uint8)
    overlay.draw(into, source, decision(samples, verdict=verdict), Controls(overlay_on=on), 0)
    return into


def test_a_tip_is_marked_where_it_is_and_only_with_an_overlay() -> None:
    x, y = 640 + 90, 350
    marked = picture(posed(0.01, 0.0, 0.1))
    around = marked[y - 12 : y + 12, x - 14 : x + 10]
    assert (around == (255, 255, 0)).all(axis=2).any()
    for plain in (
        picture(posed(0.01, 0.0, 0.1), on=False),
        picture(posed(0.01, 0.0, 0.1), verdict=Verdict.WITHHOLD),
        picture({"pose": Absent(Quality.STALE)}),
        picture(posed(5.0, 0.0, 0.1)),
    ):
        assert not (plain == (255, 255, 0)).all(axis=2).any()
