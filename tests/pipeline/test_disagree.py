"""How much two outputs differ: by hand where that can be counted, and what must hold of any two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inframe.core.types import Boxes, Heat, Masks, Output, Scores
from inframe.pipeline.disagree import disagreement


def masks(*rows: list[int]) -> Masks:
    return Masks(np.array(rows, np.uint8))


def boxes(*each: tuple[float, float, float, float, int]) -> Boxes:
    numbers = np.array([one[:4] for one in each], np.float32).reshape(-1, 4)
    return Boxes(numbers, np.ones(len(each), np.float32), np.array([one[4] for one in each], np.int32))


def scores(*each: float) -> Scores:
    return Scores(np.array(each, np.float32))


def heat(*row: float) -> Heat:
    return Heat(np.array([row], np.float32), max(row))


LEFT, RIGHT = (0.0, 0.0, 0.4, 1.0, 1), (0.6, 0.0, 1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (masks([0, 1], [2, 3]), masks([0, 1], [2, 0]), 0.25),
        (masks([1]), masks([1, 1], [1, 2]), 0.25),  # the smaller one is enlarged
        (masks([1, 2, 3]), masks([1], [1]), 2 / 3),
        (boxes(), boxes(), 0.0),
        (boxes(LEFT), boxes(), 1.0),
        (boxes(LEFT, RIGHT), boxes(RIGHT, LEFT), 0.0),  # in another order
        (boxes(LEFT, RIGHT), boxes(LEFT), 1 / 3),
        (boxes(LEFT), boxes((*LEFT[:4], 2)), 1.0),  # another label
        (boxes(LEFT, LEFT), boxes(LEFT), 1 / 3),  # each takes one partner
        (boxes((0, 0, 0.5, 1, 0)), boxes((0, 0, 0.5, 0.49, 0)), 1.0),
        (boxes((0, 0, 0.5, 1, 0)), boxes((0, 0, 0.5, 0.51, 0)), 0.0),
        (scores(0.1, 0.9), scores(0.4, 0.6), 0.0),
        (scores(0.1, 0.9), scores(0.6, 0.4), 1.0),
        (heat(0, 2), heat(0, 1), 0.25),
        (heat(0, 9), heat(0, 0), 0.5),  # one cell is at most wholly wrong
        (masks([1]), heat(1), 1.0),
    ],
)
def test_by_hand(one: Output, other: Output, expected: float) -> None:
    assert disagreement(one, other, full_scale=2.0) == pytest.approx(expected)
    assert disagreement(other, one, full_scale=2.0) == pytest.approx(expected)


CLASSES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 3))
CORNERS = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4, st.integers(0, 2)), max_size=5)


@given(CLASSES, CLASSES)
def test_of_any_masks(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    assert disagreement(Masks(a), Masks(a)) == 0.0
    share = disagreement(Masks(a), Masks(b))
    assert 0.0 <= share == disagreement(Masks(b), Masks(a)) <= 1.0


@given(CORNERS, CORNERS)
def test_of_any_boxes(
    a: list[tuple[float, float, float, float, int]], b: list[tuple[float, float, float, float, int]]
) -> None:
    a, b = ([one for one in side if one[2] - one[0] > 1e-3 and one[3] - one[1] > 1e-3] for side in (a, b))
    assert disagreement(boxes(*a), boxes(*a)) == 0.0
    assert 0.0 <= disagreement(boxes(*a), boxes(*b)) <= 1.0
