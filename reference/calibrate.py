"""How far a stated confidence can be believed: a temperature fitted on frames of its own, and the error that remains."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reference.data import Frames
from reference.model import Anatomy
from reference.scene import CLASSES
from reference.scene.classes import BACKGROUND

BINS = 15
Logits = NDArray[np.float32]  # (n, classes, h, w)
Classes = NDArray[np.int64]  # (n, h, w)


def answers(model: Anatomy, normalise: Callable[[NDArray[np.uint8]], Tensor], frames: Frames) -> tuple[Logits, Classes]:
    """The model's logits for all frames, and the truth at the same size."""
    with torch.inference_mode():
        logits = [model(normalise(np.array(frames[0][k : k + 16]))).numpy() for k in range(0, len(frames[0]), 16)]
    return np.concatenate(logits), np.asarray(frames[1][:, ::2, ::2]).astype(np.int64)


def iou(found: Classes, truth: Classes) -> dict[str, float]:
    """Intersection over union by class over all frames, and their mean."""
    count = len(CLASSES)
    table = np.bincount((truth * count + found).ravel(), minlength=count * count).reshape(count, count)
    union = table.sum(axis=0) + table.sum(axis=1) - np.diag(table)
    scores = {name: float(np.diag(table)[k] / max(union[k], 1)) for k, name in enumerate(CLASSES)}
    return {**scores, "mean": float(np.mean(list(scores.values())))}


def _chances(logits: Logits, temperature: float = 1.0) -> Logits:
    scaled = logits / np.float32(temperature)
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _surprise(logits: Logits, truth: Classes, temperature: float) -> float:
    """Mean negative log-likelihood of the truth."""
    chances = _chances(logits, temperature)
    return float(-np.log(np.take_along_axis(chances, truth[:, None], axis=1) + 1e-9).mean())


def calibrate(model: Anatomy, logits: Logits, truth: Classes) -> float:
    """The temperature under which the truth surprises least, folded into the model's last layer."""
    seen, known = logits[..., ::3, ::3], truth[:, ::3, ::3]  # neighbours say the same
    choices = np.geomspace(0.5, 3.0, 61)
    best = float(min(choices, key=lambda temperature: _surprise(seen, known, temperature)))
    with torch.no_grad():
        model.head.weight /= best
        model.head.bias /= best
    return best


def reliability(logits: Logits, truth: Classes) -> dict[str, Any]:
    """By bins of confidence: the share of pixels, mean confidence, share right; and the expected calibration error.

    ``ece`` is over all pixels, ``ece_in_view`` leaves out those whose true class is background, most of which no one
    could get wrong.
    """
    chances = _chances(logits)
    confidence, right = chances.max(axis=1).ravel(), (chances.argmax(axis=1) == truth).ravel()
    found = {"ece": _bins(confidence, right)}
    in_view = (truth != BACKGROUND).ravel()
    found["ece_in_view"] = _bins(confidence[in_view], right[in_view])
    plot = found["ece_in_view"][1]
    return {**{name: error for name, (error, _) in found.items()}, "bins": plot}


def _bins(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[float, list[dict[str, float]]]:
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(index, minlength=BINS)
    sure = np.bincount(index, confidence, BINS) / np.maximum(counts, 1)
    true = np.bincount(index, right, BINS) / np.maximum(counts, 1)
    share = counts / counts.sum()
    rows = [
        {"share": float(a), "confidence": float(b), "right": float(c)} for a, b, c in zip(share, sure, true, strict=True)
    ]
    return float((share * np.abs(sure - true)).sum()), rows
