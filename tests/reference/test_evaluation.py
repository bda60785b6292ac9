"""The report's figures."""

import numpy as np
import pytest

from reference.evaluation import anatomy
from reference.evaluation.bootstrap import interval, mean_iou, rate, share


def test_an_interval_holds_its_value_and_shrinks_with_more_procedures() -> None:
    few, many = share([True, False] * 4), share([True, False] * 100)
    assert few[0] == many[0] == 0.5
    assert few[1] <= 0.25
    assert few[2] >= 0.75
    assert 0.4 < many[1] < 0.5 < many[2] < 0.6
    assert share([True] * 9) == (1.0, 1.0, 1.0)
    assert all(np.isnan(share([])))


def test_procedures_are_drawn_whole() -> None:
    """One procedure with all of the alerts: an interval that drew alerts one by one would be far narrower."""
    value, low, high = rate([10.0] + [0.0] * 9, [1.0] * 10)
    assert value == 1.0
    assert low == 0.0
    assert high >= 2.0


def test_draws_without_a_value_are_left_out() -> None:
    assert interval(lambda drawn: np.nan if 0 in drawn else 1.0, 3)[1:] == (1.0, 1.0)


def test_overlap_is_that_of_the_pooled_tables() -> None:
    tables = np.array([[[8, 2], [0, 10]], [[10, 0], [5, 5]]])
    scores = mean_iou(tables)
    assert scores["0"][0] == pytest.approx(18 / 25)
    assert scores["1"][0] == pytest.approx(15 / 22)
    assert scores["mean"][0] == pytest.approx((18 / 25 + 15 / 22) / 2)


def _masks(edge: int, count: int = 2) -> np.ndarray:
    masks = np.ones((count, 20, 30), np.uint8)
    masks[:, :, edge:] = 2
    return masks


def test_boundaries_may_be_off_by_the_tolerance_and_no_more() -> None:
    near, far = (anatomy.edges(_masks(10 + off), _masks(10)) for off in (anatomy.TOLERANCE, anatomy.TOLERANCE + 1))
    assert anatomy.boundary_score(near) == 1.0
    assert anatomy.boundary_score(far) == 0.0


def test_flicker_counts_changes_that_the_truth_does_not_have() -> None:
    truth = _masks(10)
    found = truth.copy()
    found[1, 0, :5] = 3
    truth[1, 5, :7] = 4  # moved in truth: not asked
    assert anatomy.flicker(found, truth).tolist() == [5, 600 - 7]


def test_calibration_error_is_the_gap_between_saying_and_being_right() -> None:
    logits = np.zeros((1, 2, 10, 10), np.float32)
    logits[:, 0] = np.log(4)  # four to one: 0.8 sure
    truth = np.zeros((1, 10, 10), np.uint8)
    truth[0, :4] = 1  # right in 60 %
    counted = anatomy.bins(logits, truth)
    assert anatomy.ece(counted[0]) == pytest.approx(0.2, abs=1e-6)
    assert anatomy.ece(counted[1]) == pytest.approx(0.8, abs=1e-6)  # in view only the wrong ones
