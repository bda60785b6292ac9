"""Smooth random fields that look the same at every resolution."""

from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]  # float32; numpy's stubs lose track of it


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], extent: tuple[float, float], cell: float, octaves: int
) -> Field:
    """Value noise of shape (h, w), mean 0, variance about 1.

    ``extent`` is the (width, height) of the field and ``cell`` the size of its largest blobs, both in scene units: the
    random grids depend on these alone, so a low-resolution frame shows the same scene as a high-resolution one.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, norm = 1.0, 0.0
    for _ in range(octaves):
        grid = rng.standard_normal((int(extent[1] / cell) + 3, int(extent[0] / cell) + 3), dtype=np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        norm += weight * weight
        weight, cell = weight * 0.55, cell * 0.5
    return total * np.float32(1.5 / norm**0.5)  # 1.5: what interpolation takes from the variance


class Grain:
    """The noise fields of one canvas. Layers share them, each turned over its own way."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], extent: tuple[float, float]) -> None:
        self._seeds = rng.integers(2**32, size=5)
        self._shape, self._extent = shape, extent

    def _field(self, index: int, cell: float, octaves: int) -> Field:
        return fractal(np.random.default_rng(self._seeds[index]), self._shape, self._extent, cell, octaves)

    @cached_property
    def coarse(self) -> Field:
        return self._field(0, 0.45, 3)

    @cached_property
    def middle(self) -> Field:
        return self._field(1, 0.12, 3)

    @cached_property
    def fine(self) -> Field:
        return self._field(2, 0.045, 2)

    @cached_property
    def speck(self) -> Field:
        return self._field(3, 0.012, 2)

    @cached_property
    def streak(self) -> Field:
        """Fibres that all run one way, another way in each procedure."""
        rng = np.random.default_rng(self._seeds[4])
        side, long = int(np.hypot(*self._shape)), float(np.hypot(*self._extent))
        lying = fractal(rng, (side, side), (0.12 * long, long), 0.035, 3)
        height, width = self._shape
        turned = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 180), 1.0)
        turned[:, 2] += (width - side) / 2, (height - side) / 2
        size, border = (width, height), cv2.BORDER_REFLECT
        return np.asarray(cv2.warpAffine(lying, turned, size, flags=cv2.INTER_LINEAR, borderMode=border))

    @staticmethod
    def flipped(field: Field, way: int) -> Field:
        """``field`` turned over in one of four ways (rolling it would show a seam)."""
        return field[:: 1 - 2 * (way & 1), :: 1 - (way & 2)]
