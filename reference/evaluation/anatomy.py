"""What is measured of the anatomy model on one procedure. Classes are uint8 (frames, 96, 160)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene import CLASSES
from reference.scene.classes import BACKGROUND

Masks = NDArray[np.uint8]
BINS = 15  # of the reliability plot
TOLERANCE = 2  # cells of 160x96 by which a boundary may be off: 16 pixels of 1280x720


@dataclass(frozen=True)
class Anatomy:
    """Counts of one procedure; they add up over procedures."""

    table: NDArray[np.int64]  # (classes, classes): pixels by truth and answer
    edges: NDArray[np.int64]  # (4,): boundary pixels found and right, found, true and met, true
    flicker: NDArray[np.int64]  # (2,): pixels whose answer changes while their truth stays, of how many
    bins: NDArray[np.float64]  # (2, BINS, 3): all pixels, and those in view; number, sum of confidence, number right


def table(found: Masks, truth: Masks) -> NDArray[np.int64]:
    """Pixels by truth (rows) and answer (columns)."""
    count = len(CLASSES)
    flat = np.bincount(truth.astype(np.int64).ravel() * count + found.ravel(), minlength=count * count)
    return flat.reshape(count, count)


def _boundary(mask: Masks) -> NDArray[np.uint8]:
    line = np.zeros(mask.shape, np.uint8)
    line[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    line[1:] |= mask[1:] != mask[:-1]
    return line


def edges(found: Masks, truth: Masks) -> NDArray[np.int64]:
    """How many boundary pixels lie within TOLERANCE of the other's boundaries."""
    around = np.ones((2 * TOLERANCE + 1, 2 * TOLERANCE + 1), np.uint8)
    counts = np.zeros(4, np.int64)
    for one, other in zip(found, truth, strict=True):
        a, b = _boundary(one), _boundary(other)
        counts += (
            int((a & cv2.dilate(b, around)).sum()),
            int(a.sum()),
            int((b & cv2.dilate(a, around)).sum()),
            int(b.sum()),
        )
    return counts


def flicker(found: Masks, truth: Masks) -> NDArray[np.int64]:
    """Between one frame and the next."""
    still = truth[1:] == truth[:-1]
    return np.array([((found[1:] != found[:-1]) & still).sum(), still.sum()], np.int64)


def bins(logits: NDArray[np.float32], truth: Masks) -> NDArray[np.float64]:
    """What the reliability plot is made of."""
    sure = 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    right = logits.argmax(axis=1) == truth
    counted = np.zeros((2, BINS, 3))
    for row, chosen in zip(counted, (np.ones_like(right), truth != BACKGROUND), strict=True):
        index = np.minimum((sure[chosen] * BINS).astype(int), BINS - 1)
        row[:, 0] = np.bincount(index, minlength=BINS)
        row[:, 1] = np.bincount(index, sure[chosen], BINS)
        row[:, 2] = np.bincount(index, right[chosen], BINS)
    return counted


def measure(logits: NDArray[np.float32], truth: Masks) -> Anatomy:
    """All of it; logits (frames, classes, 96, 160)."""
    found = logits.argmax(axis=1).astype(np.uint8)
    some = slice(None, None, 5)  # neighbours say the same
    return Anatomy(
        table(found[some], truth[some]),
        edges(found[some], truth[some]),
        flicker(found, truth),
        bins(logits[some], truth[some]),
    )


def ece(counted: NDArray[np.float64]) -> float:
    """Expected calibration error of (BINS, 3) counts."""
    number = np.maximum(counted[:, 0], 1e-9)
    gap = np.abs(counted[:, 1] - counted[:, 2]) / number
    return float((gap * counted[:, 0]).sum() / max(counted[:, 0].sum(), 1e-9))


def boundary_score(counts: NDArray[np.int64]) -> float:
    """F1 of boundaries within TOLERANCE."""
    precision, recall = counts[0] / max(counts[1], 1), counts[2] / max(counts[3], 1)
    return float(2 * precision * recall / max(precision + recall, 1e-9))
