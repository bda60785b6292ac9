"""The locked reference: numbers that are normal whatever the signals are, and what drifted."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from inframe.core.errors import ConfigError
from inframe.monitor.reference import PROBABILITIES, Reference, encoded, lock, parse
from inframe.monitor.signals import Kind
from inframe.monitor.signatures import Known
from inframe.monitor.state import State, watch
from inframe.monitor.summary import Scales
from tests.monitor import monitor_made as made


def test_numbers_of_new_procedures_are_standard_normal() -> None:
    one = made.reference()
    z = one.numbers(made.procedures(np.random.default_rng(2), 5000)[:, [made.NAMES.index(n) for n in one.names]])
    assert z.shape == (5000, one.charts)
    assert np.abs(z.mean(axis=0)).max() < 0.2, "as far as 300 procedures can tell"
    assert np.abs(z.std(axis=0) - 1).max() < 0.15


def test_a_small_reference_does_not_flatter_itself() -> None:
    """With 60 procedures and 14 signals, what the weights leave of procedures that they have seen is too small."""
    values = made.procedures(np.random.default_rng(7), 60)
    one = Reference(lock(made.NAMES, values, dict.fromkeys(made.NAMES, (0.0, 1.0))))
    columns = [made.NAMES.index(n) for n in one.names]
    z = one.numbers(made.procedures(np.random.default_rng(8), 3000)[:, columns])[:, len(one.names) : 2 * len(one.names)]
    assert 0.9 < z.std(axis=0).mean() < 1.04


def test_signals_of_the_machine_and_constant_ones_are_not_charted() -> None:
    assert {"latency", "withheld", "m.time", "m.missed", "m.empty"}.isdisjoint(made.reference().names)
    assert "finding:near" in made.reference().names


def test_what_others_explain_is_taken_away() -> None:
    """The picture is redder by as much as more of the organ explains: no adjusted number moves for that."""
    one = made.reference()
    columns = [made.NAMES.index(n) for n in one.names]
    values = made.procedures(np.random.default_rng(3), 2000)
    rest = values.copy()
    rest[:, made.RED] += 0.02  # two SD of what is left, less than one of the whole
    red, n = one.names.index("red"), len(one.names)
    natural, shifted = (one.numbers(v[:, columns]).mean(axis=0) for v in (values, rest))
    assert 0.4 < shifted[red] - natural[red] < 0.8
    assert shifted[n + red] - natural[n + red] > 1.4


def test_equal_values_score_zero_on_average_and_missing_ones_stay_missing() -> None:
    rng = np.random.default_rng(4)
    values = np.maximum(rng.standard_normal((400, 2)), 0.3)  # six in ten are equal
    file = lock(("luma", "red"), values, {"luma": (0, 1), "red": (0, 1)})
    one = Reference(file)
    z = one.numbers(np.maximum(rng.standard_normal((20_000, 2)), 0.3))
    assert np.abs(z[:, :2].mean(axis=0)).max() < 0.12
    missing = one.numbers(np.array([np.nan, 0.5]))
    assert np.isnan(missing[[0, 2]]).all()
    assert not np.isnan(missing[[1, 3]]).any()


def test_it_reads_what_it_wrote_and_refuses_what_is_wrong() -> None:
    raw = encoded(made.reference_file())
    assert parse(raw, "x").file == made.reference_file()
    row = made.reference_file().signals[0].quantiles
    signature: dict[str, object] = {"name": "haze", "kind": "instrument", "shift": [], "weights": [], "square": [[1.0]]}
    signature |= {"quantiles": list(row), "share": 0.5}
    for change, said in (
        ({"procedures": 3}, "x: procedures: found 3, expected"),
        ({"more": 1}, "x: more: found an unknown key"),
        ({"correlation": [[1.0]]}, "reference: correlation: found "),
        ({"signatures": [signature]}, "reference: signatures: haze: square: found "),
    ):
        with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
            parse(json.dumps(json.loads(raw) | change).encode(), "x")
    with pytest.raises(ConfigError, match="reference: procedures: found 10, expected at least 50"):
        lock(made.NAMES, made.procedures(np.random.default_rng(0), 10), {})
    assert len(PROBABILITIES) == 31


def test_a_signature_tells_what_moves_many_signals_a_little() -> None:
    rng = np.random.default_rng(6)

    def blurred(values: NDArray[np.float64], by: float) -> NDArray[np.float64]:
        moved = values.copy()
        moved[:, made.SHARP] -= by * 0.5
        moved[:, made.LUMA] += by * 20
        moved[:, made.NAMES.index("contrast")] -= by * 0.02
        return moved

    values = made.procedures(np.random.default_rng(1), 300)
    known = [Known("haze", Kind.INSTRUMENT, blurred(made.procedures(rng, 60), 1.0))]
    one = Reference(lock(made.NAMES, values, dict.fromkeys(made.NAMES, (0.0, 1.0)), known=known))
    assert one.chart_name(one.charts - 1) == "haze"
    columns = [made.NAMES.index(name) for name in one.names]
    quiet = one.numbers(made.procedures(rng, 3000)[:, columns])[:, -1]
    assert abs(quiet.mean()) < 0.2
    assert quiet.std() == pytest.approx(1, abs=0.12)
    shifted = one.numbers(blurred(made.procedures(rng, 500), 1.0)[:, columns]).mean(axis=0)
    assert shifted[-1] > 1.25, "less than the square root of three: thirty procedures do not know the direction quite"
    assert shifted[-1] > np.abs(shifted[:-1]).max() + 0.2
    said = []
    for _ in range(6):
        state = State(made.STRATUM, Scales(made.NAMES), watch({"m": one}, 500))
        said += made.operate(state, blurred(made.procedures(rng, 60), 1.0))
    assert sum(text.startswith("instrument: instrument: ") for text in said) == 6
    assert sum("like haze: " in text for text in said) >= 5


def lock_haze(moved: NDArray[np.float64]) -> Reference:
    values = made.procedures(np.random.default_rng(1), 300)
    known = [Known("haze", Kind.INSTRUMENT, moved)]
    return Reference(lock(made.NAMES, values, dict.fromkeys(made.NAMES, (0.0, 1.0)), known=known))


def test_a_signature_tells_what_moves_each_procedure_differently() -> None:
    """Some get darker and some lighter: no mean says so, and the spread does."""
    rng = np.random.default_rng(11)

    def moved(count: int) -> NDArray[np.float64]:
        found = made.procedures(rng, count)
        found[:, made.SHARP] -= 0.6
        found[:, made.LUMA] += rng.choice([-40.0, 40.0], count)
        return found

    one = lock_haze(moved(300))
    columns = [made.NAMES.index(name) for name in one.names]
    shifted = one.numbers(moved(2000)[:, columns]).mean(axis=0)
    assert shifted[-1] > np.abs(shifted[:-1]).max() + 0.4
    quiet = one.numbers(made.procedures(rng, 3000)[:, columns])[:, -1]
    assert abs(quiet.mean()) < 0.2
    assert quiet.std() == pytest.approx(1, abs=0.12)


def test_a_signature_is_of_the_mean_where_that_tells_more() -> None:
    """Half of the procedures are blurred by 2 SD and the others not at all: two normal distributions would be far off."""
    rng = np.random.default_rng(11)

    def moved(count: int) -> NDArray[np.float64]:
        found = made.procedures(rng, count)
        found[::2, made.SHARP] -= 1.0
        return found

    one = lock_haze(moved(300))
    assert one.file.signatures[0].square == ()
    columns = [made.NAMES.index(name) for name in one.names]
    shifted = one.numbers(moved(2000)[:, columns]).mean(axis=0)
    assert shifted[-1] > -shifted[one.names.index("sharpness")] - 0.15


def test_a_signal_to_watch_has_charts_of_its_own_and_more_of_the_budget() -> None:
    values = made.procedures(np.random.default_rng(1), 300)
    ends = dict.fromkeys(made.NAMES, (0.0, 1.0))
    one, none = Reference(lock(made.NAMES, values, ends, watch=["m.area.organ"])), made.reference()
    assert [s.name for s in one.file.signatures] == ["more m.area.organ", "less m.area.organ"]
    organ, n = one.names.index("m.area.organ"), len(one.names)
    columns = [made.NAMES.index(name) for name in one.names]
    z = one.numbers(made.procedures(np.random.default_rng(9), 100)[:, columns])
    assert z[:, 2 * n] == pytest.approx(z[:, organ], abs=0.05)
    assert z[:, 2 * n + 1] == pytest.approx(-z[:, organ], abs=0.15)
    found = one.limits(500)
    assert found[2 * n] < none.limits(500)[organ] - 1 < found[organ]
    more = made.procedures(np.random.default_rng(10), 60)
    more[:, made.CASE] += 0.1
    more[:, made.RED] += 0.3 * 0.1
    state = State(made.STRATUM, Scales(made.NAMES), watch({"m": one}, 500))
    (said,) = made.operate(state, more)
    assert said.startswith("case mix: case mix: like more m.area.organ: m.area.organ +")


def test_attribution_tells_a_changed_camera_from_other_patients() -> None:
    rng = np.random.default_rng(5)
    for shift, expected in (
        ((made.SHARP, -0.6), "instrument: sharpness -"),
        ((made.RED, 0.02), "instrument: red +"),
        ((made.CASE, 0.12), "case mix: m.area.organ +"),
    ):
        right = 0
        for _ in range(5):
            one = made.state()
            values = made.procedures(rng, 60)
            values[:, shift[0]] += shift[1]
            if shift[0] == made.CASE:
                values[:, made.RED] += 0.3 * shift[1]  # as it does in the reference
            said = made.operate(one, values)
            right += bool(said) and said[0].split(": ", 1)[1].startswith(expected)
        assert right >= 4, (expected, said)
