"""Outlines: as large as the mask says, smooth where it is stepped, and never more work than a picture may take."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inframe.core.types import WHOLE
from inframe.pipeline.outline import MAX_MASK, SHIFT, Outline, Tracer, thin_out

WIDTH, HEIGHT = 1280, 720


def trace(mask: NDArray[np.uint8], value: int = 1, nested: bool = False) -> Outline:
    tracer = Tracer((mask.shape[0], mask.shape[1]), WHOLE, WIDTH, HEIGHT, 2)
    outlines = tracer.trace(mask, [value], nested=nested)
    assert outlines is not None
    return outlines[value]


def filled(outline: Outline) -> NDArray[np.bool_]:
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(picture, outline.fill, 1, shift=SHIFT)
    return picture > 0


def scaled(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST) > 0)


def overlap(mask: NDArray[np.uint8]) -> float:
    drawn, meant = filled(trace(mask)), scaled(mask)
    return float((drawn & meant).sum() / (drawn | meant).sum())


@pytest.mark.parametrize("size", [64, 256, 480])
@pytest.mark.parametrize("radius", [0.12, 0.3, 0.45])
def test_a_disc_keeps_its_size(size: int, radius: float) -> None:
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (size // 2, size // 2), round(size * radius), 1, -1)
    assert overlap(mask) > (0.93 if size == 64 else 0.97)
    assert filled(trace(mask)).sum() == pytest.approx(scaled(mask).sum(), rel=0.03)


def test_holes_stay_open() -> None:
    mask = np.zeros((256, 256), np.uint8)
    cv2.circle(mask, (128, 128), 90, 1, -1)
    cv2.circle(mask, (128, 128), 40, 0, -1)
    mask[60, 128] = 0  # a hole of one pixel
    assert overlap(mask) > 0.97
    assert not filled(trace(mask))[360, 640]
    assert not filled(trace(mask))[170, 642]


def test_a_region_at_the_border_reaches_the_border() -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[:, :64] = 1
    drawn = filled(trace(mask))
    assert drawn[:, :638].all()
    assert not drawn[:, 643:].any()


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 7), (3, 3), (5, 2)])
def test_the_smallest_parts_are_drawn(shape: tuple[int, int]) -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[100 : 100 + shape[0], 100 : 100 + shape[1]] = 1
    assert filled(trace(mask)).sum() == pytest.approx(scaled(mask).sum(), rel=0.75)


@pytest.mark.parametrize("slope", [0.08, 0.2, 0.5, 1.0])
def test_a_slanted_border_is_no_staircase(slope: float) -> None:
    y, x = np.mgrid[:256, :256]
    mask = (y > 100 + slope * (x - 128)).astype(np.uint8)
    edge = filled(trace(mask)).argmax(axis=0)[200:1080].astype(float)
    columns = np.arange(200, 1080)
    straight = np.polyval(np.polyfit(columns, edge, 1), columns)
    stairs = scaled(mask).argmax(axis=0)[200:1080]
    stepped = np.polyval(np.polyfit(columns, stairs, 1), columns)
    assert (edge - straight).std() < 0.65 * (stairs - stepped).std()
    assert np.abs(straight - stepped).max() < 1.5


def test_neighbours_leave_no_gap() -> None:
    y, x = np.mgrid[:256, :256]
    left = (x + 12 * np.sin(y / 20) < 128).astype(np.uint8)
    both = filled(trace(left)) | filled(trace(1 - left))
    assert (~both).mean() < 0.002


def test_the_name_s_place_is_inside_even_of_a_bent_shape() -> None:
    mask = np.zeros((256, 256), np.uint8)
    cv2.ellipse(mask, (128, 128), (90, 90), 0, 20, 340, 1, 14)
    x, y = trace(mask).anchor
    assert scaled(mask)[y, x]


def test_nested_levels_enclose_the_higher_ones() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 10:50], mask[20:40, 20:40] = 1, 2
    assert filled(trace(mask, 1, nested=True)).sum() > filled(trace(mask, 1)).sum()


def test_noise_is_refused_and_large_masks_are_thinned() -> None:
    rng = np.random.default_rng(1)
    tracer = Tracer((256, 256), WHOLE, WIDTH, HEIGHT, 2)
    assert tracer.trace(rng.integers(0, 5, (256, 256)).astype(np.uint8), [1, 2, 3, 4]) is None
    specks = (rng.random((256, 256)) < 0.02).astype(np.uint8)
    assert tracer.trace(specks, [1]) is None
    assert tracer.trace(np.zeros((256, 256), np.uint8), [1]) == {}
    thin = thin_out(np.zeros((2160, 3840), np.uint8))
    assert thin.size <= MAX_MASK
    assert thin_out(specks) is not None
    assert thin_out(specks).shape == specks.shape


def test_what_changes_lies_within_reach() -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[40:60, 70:90], mask[100, 20] = 1, 1
    tracer = Tracer((128, 128), WHOLE, WIDTH, HEIGHT, 2)
    outlines = tracer.trace(mask, [1])
    assert outlines
    x0, y0, x1, y1 = tracer.reach
    ys, xs = np.nonzero(filled(outlines[1]))
    assert (x0 <= xs.min(), y0 <= ys.min(), xs.max() < x1, ys.max() < y1) == (True, True, True, True)
    assert x1 - x0 < WIDTH
