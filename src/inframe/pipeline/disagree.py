"""How much two outputs for one frame differ, 0 (nothing) to 1 (everything). Pure; symmetric."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Boxes, Heat, Masks, Output, Scores

IOU = 0.5
"""Two boxes of one label that overlap by so much (intersection over union) are the same thing."""


def disagreement(one: Output, other: Output, full_scale: float = 1.0) -> float:
    """0..1: the share of cells whose label differs (masks; the smaller one is enlarged), of boxes without a partner (boxes),
    whether the best label differs (scores), the mean difference in parts of `full_scale` (heat). Different kinds: 1."""
    match one, other:
        case Masks(), Masks():
            a, b = _same_shape(one.classes, other.classes)
            return float(np.mean(a != b))
        case Boxes(), Boxes():
            return _boxes(one, other)
        case Scores(), Scores():
            return float(int(one.scores.argmax()) != int(other.scores.argmax()))
        case Heat(), Heat():
            a, b = _same_shape(one.heat, other.heat)
            return float(np.mean(np.clip(np.abs(np.subtract(a, b)) / full_scale, 0.0, 1.0)))
        case _:
            return 1.0


def _same_shape(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both with the larger number of rows and of columns, the nearest cell each."""
    if a.shape == b.shape:
        return a, b
    shape = max(a.shape[0], b.shape[0]), max(a.shape[1], b.shape[1])
    return _enlarged(a, shape), _enlarged(b, shape)


def _enlarged(a: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    rows, columns = (np.arange(n) * old // n for n, old in zip(shape, a.shape, strict=True))
    return np.asarray(a[rows][:, columns])


def _boxes(one: Boxes, other: Boxes) -> float:
    """Best score first, each takes the partner that it overlaps with most."""
    count = len(one.boxes) + len(other.boxes)
    if not count:
        return 0.0
    overlaps = _iou(one.boxes, other.boxes)
    overlaps[one.classes[:, None] != other.classes[None, :]] = 0.0
    paired = 0
    while overlaps.size and overlaps.max() >= IOU:  # ends: each round empties a row and a column
        i, j = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps[i, :] = overlaps[:, j] = 0.0
        paired += 1
    return 1.0 - 2 * paired / count


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(len(a), len(b)) float32."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(np.clip(c[:, 2:] - c[:, :2], 0.0, None), axis=1) for c in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0), np.float32)
