"""Filling a mask as it is, in blocks: the bounded way for one too broken up to be traced (see outline.py)."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Pixels
from inframe.pipeline.palette import Rgb


class Blocks:
    """For masks of one shape (rows, columns) and one size of window (width, height), the part of the frame that they cover.

    Wide first, then whole rows are copied as often as needed: that moves memory, while `cv2.resize` to the full size computes
    each pixel and takes four times as long.
    """

    def __init__(self, shape: tuple[int, int], window: tuple[int, int]) -> None:
        width, height = window
        self._wide = (width, shape[0])
        self._rows = np.arange(height) * shape[0] // max(1, height)
        self._paint = np.empty((height, width, 3), np.uint8)
        self._where = np.empty((height, width), np.uint8)

    def fill(self, window: Pixels, classes: NDArray[np.uint8], colours: Mapping[int, Rgb]) -> None:
        """Fill (height, width, 3) `window` where `classes`, (rows, columns) uint8, has a value with a colour."""
        table, drawn = np.zeros((256, 3), np.uint8), np.zeros(256, np.uint8)
        for value, colour in colours.items():
            table[value], drawn[value] = colour, 255
        self._enlarge(cv2.LUT(cv2.merge([classes] * 3), table[None]), self._paint)
        self._enlarge(cv2.LUT(classes, drawn), self._where)
        cv2.copyTo(self._paint, self._where, window)

    def _enlarge(self, small: NDArray[np.uint8], into: NDArray[np.uint8]) -> None:
        wide = np.asarray(cv2.resize(small, self._wide, interpolation=cv2.INTER_NEAREST), np.uint8)
        wide.take(self._rows, axis=0, out=into, mode="clip")
