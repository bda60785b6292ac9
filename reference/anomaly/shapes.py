"""Made-up shapes and textures for corruption: generic ones, drawn by other code than anything in ``reference/scene``."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]  # float32 (h, w), 0..1
Colours = NDArray[np.floating[Any]]  # float32 (h, w, 3), 0..1


def peak(colours: Colours) -> Plane:
    """The largest channel of each pixel; numpy's own maximum is slow over a last axis of three."""
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def waves(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Plane:
    """Smooth noise about 0, variance about 1; ``cell`` is the size of its lumps in pixels."""
    height, width = shape
    grid = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3), dtype=np.float32)
    return np.asarray(1.5 * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _stroke(rng: np.random.Generator, canvas: NDArray[np.uint8], at: NDArray[np.float64], size: float) -> None:
    """A bent line: the heading wanders steadily (an arc) or at random."""
    turns = rng.uniform(-0.5, 0.5) + rng.normal(0, rng.choice([0.0, 0.25]), 12)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    line = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * (2 * size / 12)
    line += at - line.mean(axis=0)
    thick = max(1, round(size * rng.uniform(0.08, 0.4)))
    cv2.polylines(canvas, [np.round(line * 16).astype(np.int32)], bool(rng.random() < 0.15), 255, thick, cv2.LINE_AA, 4)


def shape(rng: np.random.Generator, size_of: tuple[int, int], at: NDArray[np.float64], size: float) -> Plane:
    """One of blob, polygon, ellipse, stroke around ``at`` (x, y), about ``size`` pixels from its middle to its edge."""
    canvas = np.zeros(size_of, np.uint8)
    way = rng.choice(4, p=[0.35, 0.2, 0.15, 0.3])
    if way == 3:
        _stroke(rng, canvas, at, size)
        return canvas.astype(np.float32) / 255
    count = (40, int(rng.integers(3, 8)), 40)[way]
    theta = np.sort(rng.uniform(0, 2 * np.pi, count)) if way == 1 else np.linspace(0, 2 * np.pi, count, endpoint=False)
    far = np.ones(count)
    if way == 0:
        for k in range(2, 9):
            far += rng.normal(0, 0.25) / k**0.5 * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    if way == 1:
        far = rng.uniform(0.5, 1.4, count)
    points = np.stack([np.cos(theta), np.sin(theta) * rng.uniform(0.35, 1)], axis=1) * np.maximum(far, 0.2)[:, None]
    angle = rng.uniform(0, np.pi)
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * size + at
    cv2.fillPoly(canvas, [np.round(turned * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def _mix(rng: np.random.Generator, size_of: tuple[int, int]) -> Plane:
    """How much of the second colour: plain, mottled, striped, woven, or banded like metal."""
    height, width = size_of
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), np.float32(rng.uniform(2.2, 9))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = x * cos + y * sin, y * cos - x * sin
    match rng.integers(5):
        case 0:
            mix = 0.3 * waves(rng, size_of, 30) + 0.2
        case 1:
            mix = 0.5 + waves(rng, size_of, rng.uniform(2, 12))
        case 2:
            mix = 0.5 + 0.5 * np.sin(along * (6.28 / period))
        case 3:
            mix = np.abs(np.sin(along * (3.14 / period)) * np.sin(across * (3.14 / period)))
        case _:
            bands = waves(rng, (1, 256), rng.uniform(3, 20))[0]
            mix = 0.5 + bands[(along.astype(np.int32) + 999) % 256]
    return np.asarray(mix)


def texture(rng: np.random.Generator, size_of: tuple[int, int]) -> Colours:
    """A surface of any two colours, mixed in some pattern."""
    first = rng.uniform(0, 1, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 1)) + rng.normal(0, 0.04, 3)
    second = np.clip(first + rng.normal(0, 0.25), 0, 1) if rng.random() < 0.7 else rng.uniform(0, 1, 3)
    mix = np.clip(_mix(rng, size_of), 0, 1).astype(np.float32)[..., None]
    colours = first + (second - first) * mix
    return np.asarray(np.clip(colours * (1 + 0.06 * waves(rng, size_of, 1.6)[..., None]), 0, 1), np.float32)
