"""Dice, NSD and HD95 against their definitions, and, where they are installed (`locks/metrics.txt`), against surface-distance,
scikit-learn and scipy."""

import math
from collections.abc import Iterator
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inframe.revalidation.confidence import bins, ece
from inframe.revalidation.masks import overlap, overlaps, surfaces
from inframe.revalidation.tally import BINS
from tests.revalidation import slow

Mask = NDArray[np.bool_]
needs_others = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("surface_distance", "sklearn", "scipy")),
    reason="surface-distance, scikit-learn or scipy is not installed: see docs/revalidation.md",
)


def pairs(count: int, size: tuple[int, int] = (17, 23)) -> Iterator[tuple[Mask, Mask]]:
    """Blobs and their neighbours, and what is degenerate: nothing, everything, a pixel, a line, a checkerboard, apart."""
    rng = np.random.default_rng(7)
    none, whole = np.zeros(size, bool), np.ones(size, bool)
    pixel, line, other = none.copy(), none.copy(), none.copy()
    pixel[3, 4], line[5], other[:, -1] = True, True, True
    board = np.indices(size).sum(axis=0) % 2 == 0
    odd = [none, whole, pixel, line, other, board, ~pixel]
    yield from ((a, b) for a in odd for b in odd)
    for _ in range(count):
        field = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), rng.uniform(0.5, 4))
        a = field > rng.uniform(-0.1, 0.2)
        b = np.roll(a, rng.integers(-4, 5, 2), (0, 1)) ^ (rng.random(size) < rng.choice([0, 0.02, 0.3]))
        yield np.asarray(a, bool), np.asarray(b, bool)


def test_as_their_definitions() -> None:
    for true, found in pairs(25, (11, 14)):
        both = surfaces(found, true)
        for tolerance in (0.0, 1.0, math.sqrt(2), 2.5):
            assert both.nsd(tolerance) == pytest.approx(slow.nsd(true, found, tolerance), abs=1e-12)
        assert both.hd95 == pytest.approx(slow.hd95(true, found), abs=1e-9)


def test_empty_masks_as_metrics_reloaded_has_them() -> None:
    none, some = np.zeros((6, 8), bool), np.eye(6, 8, dtype=bool)
    for found, true, dice, hd95 in ((none, none, None, None), (none, some, 0.0, 10.0), (some, none, 0.0, 10.0)):
        counted = overlap(overlaps(found.view(np.uint8), true.view(np.uint8), 2), 1)
        assert (counted.dice, surfaces(found, true).nsd(3), surfaces(found, true).hd95) == (dice, dice, hd95)


def test_overlaps_leave_out_what_is_not_labelled_and_what_nobody_knows() -> None:
    true = np.array([[0, 1, 2, 255], [1, 1, 255, 9]], np.uint8)
    found = np.array([[0, 1, 1, 1], [1, 0, 2, 1]], np.uint8)
    assert overlaps(found, true, 3).tolist() == [[1, 0, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert overlap(overlaps(found, true, 3), 1).dice == pytest.approx(2 * 2 / (3 + 4))


def test_large_masks_exactly() -> None:
    """Distances are whole numbers of squared pixels, whatever the transform rounds."""
    true, found = np.zeros((720, 1280), bool), np.zeros((720, 1280), bool)
    true[0, 0], found[719, 1279] = True, True
    assert surfaces(found, true).hd95 == math.hypot(719, 1279)


@needs_others
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # theirs, of scipy's older names
def test_as_other_implementations() -> None:
    import surface_distance  # type: ignore[import-not-found,unused-ignore]
    from scipy import ndimage
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import f1_score, jaccard_score  # type: ignore[import-not-found,import-untyped,unused-ignore]

    for true, found in pairs(200):
        both = surfaces(found, true)
        counted = overlap(overlaps(found.view(np.uint8), true.view(np.uint8), 2), 1)
        if true.any() or found.any():
            assert counted.dice == pytest.approx(f1_score(true.ravel(), found.ravel(), zero_division=0))
            union = counted.true + counted.found - counted.both
            assert counted.both / union == pytest.approx(jaccard_score(true.ravel(), found.ravel(), zero_division=0))
        if not (true.any() and found.any()):
            continue
        theirs = surface_distance.compute_surface_distances(true, found, (1.0, 1.0))
        for tolerance in (0.5, 1.0, 3.0):
            expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
            assert both.nsd(tolerance) == pytest.approx(expected)
        assert both.hd95 == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1e-6)
        inner = ~np.pad(true, 1)
        assert np.array_equal(
            np.rint(ndimage.distance_transform_edt(inner) ** 2),
            np.rint(
                np.square(cv2.distanceTransform(inner.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), dtype=float)
            ),
        )
    sure = np.random.default_rng(9).uniform(0, 1, 5000)
    right = np.random.default_rng(10).random(5000) < sure
    shares, means = calibration_curve(right, sure, n_bins=BINS)
    weights = np.histogram(sure, BINS, (0, 1))[0] / len(sure)
    ours = float(ece(bins(sure.astype(np.float32), right, np.ones(5000, bool))))
    assert ours == pytest.approx(float((np.abs(shares - means) * weights[weights > 0]).sum()), abs=2e-4)
