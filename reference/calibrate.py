"""How right a model is, and how far its stated confidence can be believed. numpy only.

Logits are float32 (n, classes, h, w); classes, found or true, are int64 (n, h, w).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.scene import CLASSES
from reference.scene.classes import BACKGROUND

BINS = 15
Logits = NDArray[np.float32]
Classes = NDArray[np.int64]


def iou(found: Classes, truth: Classes) -> dict[str, float]:
    """Intersection over union by class over all frames, and their mean."""
    count = len(CLASSES)
    table = np.bincount((truth * count + found).ravel(), minlength=count * count).reshape(count, count)
    union = table.sum(axis=0) + table.sum(axis=1) - np.diag(table)
    scores = {name: float(np.diag(table)[k] / max(union[k], 1)) for k, name in enumerate(CLASSES)}
    return {**scores, "mean": float(np.mean(list(scores.values())))}


def chances(logits: Logits, temperature: float = 1.0) -> Logits:
    """Softmax over the classes of logits divided by a temperature."""
    scaled = logits / np.float32(temperature)
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _surprise(logits: Logits, truth: Classes, temperature: float) -> float:
    """Mean negative log-likelihood of the truth."""
    right = np.take_along_axis(chances(logits, temperature), truth[:, None], axis=1)
    return float(-np.log(right + 1e-9).mean())


def temperature(logits: Logits, truth: Classes) -> float:
    """What logits must be divided by for the truth to surprise least (Guo et al. 2017, On Calibration)."""
    seen, known = logits[..., ::3, ::3], truth[:, ::3, ::3]  # neighbours say the same
    return float(min(np.geomspace(0.5, 3.0, 61), key=lambda choice: _surprise(seen, known, choice)))


def reliability(logits: Logits, truth: Classes) -> dict[str, Any]:
    """The expected calibration error, and what it is made of.

    ``ece`` is over all pixels; ``ece_in_view`` leaves out those whose true class is background, most of which no one
    could get wrong. ``bins`` are of the latter: share of pixels, mean confidence, share right.
    """
    sure = chances(logits)
    confidence, right = sure.max(axis=1).ravel(), (sure.argmax(axis=1) == truth).ravel()
    in_view = (truth != BACKGROUND).ravel()
    everywhere, _ = _bins(confidence, right)
    error, rows = _bins(confidence[in_view], right[in_view])
    return {"ece": everywhere, "ece_in_view": error, "bins": rows}


def _bins(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[float, list[dict[str, float]]]:
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(index, minlength=BINS)
    sure = np.bincount(index, confidence, BINS) / np.maximum(counts, 1)
    true = np.bincount(index, right, BINS) / np.maximum(counts, 1)
    share = counts / max(counts.sum(), 1)
    columns = zip(share.tolist(), sure.tolist(), true.tolist(), strict=True)
    return float((share * np.abs(sure - true)).sum()), [
        {"share": a, "confidence": b, "right": c} for a, b, c in columns
    ]
