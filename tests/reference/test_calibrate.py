"""Scores and calibration, with answers known by construction."""

from pathlib import Path

import numpy as np
import pytest

from reference.calibrate import chances, iou, reliability, temperature
from reference.data import build, digest
from reference.scene import CLASSES
from reference.scene.classes import FAT, LIVER


def _honest(rng: np.random.Generator, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits times ``sharpness``, and a truth that is drawn with the chances that they state without it."""
    logits = rng.normal(0, 2, (4, len(CLASSES), 60, 60)).astype(np.float32)
    cumulated = chances(logits).cumsum(axis=1)
    truth = (rng.random((4, 1, 60, 60)) > cumulated).sum(axis=1)
    return sharpness * logits, np.minimum(truth, len(CLASSES) - 1)


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 2.0])
def test_the_temperature_is_what_was_put_in(sharpness: float) -> None:
    logits, truth = _honest(np.random.default_rng(0), sharpness)
    assert temperature(logits, truth) == pytest.approx(sharpness, rel=0.08)


def test_honest_confidence_has_no_error_and_boasting_has() -> None:
    rng = np.random.default_rng(1)
    assert reliability(*_honest(rng, 1.0))["ece"] < 0.02
    boasting = reliability(*_honest(rng, 4.0))
    assert boasting["ece"] > 0.15
    assert sum(row["share"] for row in boasting["bins"]) == pytest.approx(1)


def test_intersection_over_union() -> None:
    truth = np.full((1, 4, 4), LIVER)
    found = truth.copy()
    found[0, 0] = FAT  # 4 of 16
    scores = iou(found, truth)
    assert scores["liver"] == pytest.approx(12 / 16)
    assert scores["fat"] == 0


def test_the_same_seeds_give_the_same_digest(tmp_path: Path) -> None:
    first, again, other = (
        digest(build(tmp_path / str(k), "train", range(seed, seed + 2), 1)) for k, seed in enumerate((3, 3, 5))
    )
    assert first == again != other
