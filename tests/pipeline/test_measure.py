"""Measures, against the plain definition of each."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.types import Boxes, Heat, Masks, Output, Region, Scores
from inframe.pipeline.measure import GRID, Area, Count, Distance, Measure, Score, take
from tests.pipeline.script import result

M = "organs"


def value(measure: Measure, output: Output) -> float | None:
    return take([measure], [result(1, 1, M, output)])[measure]


def draw(shape: tuple[int, int], *rectangles: tuple[int, int, int, int, int], region: Region = (0, 0, 1, 1)) -> Masks:
    """Rectangles of (label, x, y, width, height) in pixels."""
    classes = np.zeros(shape, np.uint8)
    for label, x, y, width, height in rectangles:
        classes[y : y + height, x : x + width] = label
    return Masks(classes, region)


def test_area_is_a_share_of_the_region() -> None:
    output = draw((10, 10), (1, 0, 0, 5, 2), (2, 0, 5, 10, 4))
    assert value(Area(M, (1,)), output) == pytest.approx(0.1)
    assert value(Area(M, (1, 2)), output) == pytest.approx(0.5)
    assert value(Area(M, (1, 1)), output) == pytest.approx(0.1), "a label named twice covers nothing twice"
    assert value(Area(M, (7,)), output) == 0


def test_distance_in_frame_widths() -> None:
    output = draw((90, 160), (1, 10, 40, 10, 10), (2, 60, 40, 10, 10))
    assert value(Distance(M, 1, 2, 9 / 16), output) == pytest.approx(40 / 160, abs=1.5 / 160)


def test_distance_does_not_care_for_the_models_aspect() -> None:
    wide = draw((192, 320), (1, 0, 0, 320, 20), (2, 0, 120, 320, 20))  # 100 of 192 rows
    square = draw((256, 256), (1, 0, 0, 256, 27), (2, 0, 160, 256, 27))  # 133 of 256 rows: the same
    for output in (wide, square):
        assert value(Distance(M, 1, 2, 9 / 16), output) == pytest.approx(100 / 192 * 9 / 16, abs=0.015)


def test_distance_takes_the_region_into_account() -> None:
    middle: Region = (0.25, 0, 0.75, 1)
    output = draw((100, 100), (1, 0, 0, 10, 100), (2, 90, 0, 10, 100), region=middle)
    assert value(Distance(M, 1, 2, 0.5), output) == pytest.approx(0.8 * 0.5, abs=0.015)


def test_distance_of_what_touches_is_nothing_and_of_what_is_absent_has_no_value() -> None:
    touching = draw((90, 160), (1, 10, 10, 20, 20), (2, 30, 10, 20, 20))
    assert value(Distance(M, 1, 2, 9 / 16), touching) == 0
    assert value(Distance(M, 1, 3, 9 / 16), touching) is None


@pytest.mark.parametrize("shape", [(720, 1280), (192, 320), (256, 256), (64, 64)])
def test_a_single_pixel_is_not_overlooked_however_fine_the_mask(shape: tuple[int, int]) -> None:
    height, width = shape
    for at in range(20):
        output = draw(shape, (1, width // 2 + at % 11, height // 2 + at, 1, 1), (2, 0, 0, 1, height))
        found = value(Distance(M, 1, 2, height / width), output)
        assert found == pytest.approx((width // 2 + at % 11 - 1) / width, abs=2.5 / min(GRID, width))


@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 1279), (719, 0), (719, 1279), (360, 1275), (713, 640)])
def test_nor_is_one_at_the_very_edge(y: int, x: int) -> None:
    assert value(Distance(M, 1, 0, 9 / 16), draw((720, 1280), (1, x, y, 1, 1))) == 0


RECT = st.tuples(st.integers(0, 70), st.integers(0, 40), st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=200, deadline=None)
@given(RECT, RECT, st.sampled_from([(48, 80), (96, 320), (200, 160)]))
def test_distance_against_brute_force(
    one: tuple[int, int, int, int], other: tuple[int, int, int, int], shape: tuple[int, int]
) -> None:
    height, width = shape
    output = draw(shape, (1, *one), (2, *other))
    sides = [np.argwhere(output.classes == label) for label in (1, 2)]
    if not all(len(side) for side in sides):
        return
    scale = np.array([9 / 16 / height, 1 / width])  # to frame widths, 16:9
    between = np.abs(sides[0][:, None] - sides[1][None]) * scale
    gaps = np.maximum(0, between - scale)  # from edge to edge of the pixels
    true = np.sqrt((gaps**2).sum(-1)).min()
    found = value(Distance(M, 1, 2, 9 / 16), output)
    cell = 1 / min(GRID, width)
    assert found is not None
    assert found == pytest.approx(true, abs=2.5 * cell, rel=0.05)


def test_parts_of_a_segmentation() -> None:
    output = draw((90, 160), (1, 10, 10, 20, 20), (1, 100, 10, 20, 20), (1, 150, 80, 1, 1))
    assert value(Count(M, 1, 0.001, 9 / 16), output) == 2
    assert value(Count(M, 1, 0.0, 9 / 16), output) == 3
    assert value(Count(M, 2, 0.0, 9 / 16), output) == 0


def test_boxes() -> None:
    boxes = Boxes(np.zeros((3, 4), np.float32), np.array([0.9, 0.5, 0.3], np.float32), np.array([1, 2, 1], np.int32))
    assert value(Count(M, 1, 0.001, 1), boxes) == 2
    assert value(Score(M, 2), boxes) == 0.5
    assert value(Score(M, 0), boxes) == 0


def test_scores_and_heat() -> None:
    assert value(Score(M, 1), Scores(np.array([0.25, 0.75], np.float32))) == 0.75
    assert value(Score(M, None), Heat(np.zeros((2, 2), np.float32), 0.5)) == 0.5


@pytest.mark.parametrize(
    ("measure", "output"),
    [
        (Score(M, 0), Scores(np.array([np.nan], np.float32))),
        (Score(M, None), Heat(np.zeros((1, 1), np.float32), float("inf"))),
        (Score(M, 5), Scores(np.array([0.5], np.float32))),
        (Area(M, (1,)), Scores(np.array([0.5], np.float32))),
        (Score(M, 0), draw((2, 2))),
        (Area("other", (1,)), draw((2, 2))),
        (Distance(M, 0, 0, 1), draw((2, 2), region=(0.5, 0, 0.5, 1))),
        (Area(M, (1,)), draw((2, 2), region=(0, float("nan"), 1, 1))),
        (Area(M, (1,)), draw((0, 2))),
    ],
)
def test_what_is_no_number_or_of_the_wrong_kind_says_nothing(measure: Measure, output: Output) -> None:
    assert take([measure], [result(1, 1, M, output)]) == {}


def test_a_measure_is_taken_once() -> None:
    measures: list[Measure] = [Area(M, (1,)), Area(M, (1,)), Area(M, (2,))]
    assert len(take(measures, [result(1, 1, M, draw((2, 2)))])) == 2


def test_every_pair_of_regions_and_sizes_gives_a_finite_number() -> None:
    edges = (0.0, 1e-9, 0.1, 0.5, 0.9, 1.0)
    for (x0, x1), (y0, y1), shape in product(pairwise(edges), pairwise(edges), [(1, 1), (3, 200), (200, 3)]):
        output = draw(shape, (1, 0, 0, 1, 1), region=(x0, y0, x1, y1))
        assert value(Distance(M, 1, 1, 9 / 16), output) == 0
        assert value(Count(M, 1, 0, 9 / 16), output) in (0, 1)
