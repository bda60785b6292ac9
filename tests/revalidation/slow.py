"""Mask metrics again, from their definitions, piece by piece of the outlines: slow, and written without the product's code."""

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
HALF = math.sqrt(0.5)


def outline(mask: NDArray[np.bool_]) -> dict[Point, float]:
    """Corner of four pixels -> the length of the outline there."""
    height, width = mask.shape

    def at(y: int, x: int) -> bool:
        return 0 <= y < height and 0 <= x < width and bool(mask[y, x])

    found = {}
    for y, x in product(range(height + 1), range(width + 1)):
        a, b, c, d = at(y - 1, x - 1), at(y - 1, x), at(y, x - 1), at(y, x)
        inside = a + b + c + d
        if inside in (1, 3):
            found[y, x] = HALF
        elif inside == 2:
            found[y, x] = 2 * HALF if a == d else 1.0
    return found


def distances(one: dict[Point, float], other: dict[Point, float]) -> list[tuple[float, float]]:
    """(distance, length) of each piece of one, ascending."""
    return sorted((min(math.dist(p, q) for q in other), length) for p, length in one.items())


def nsd(true: NDArray[np.bool_], found: NDArray[np.bool_], tolerance: float) -> float | None:
    a, b = outline(true), outline(found)
    if not a and not b:
        return None
    if not a or not b:
        return 0.0
    near = sum(length for pieces in (distances(a, b), distances(b, a)) for d, length in pieces if d <= tolerance)
    return near / (sum(a.values()) + sum(b.values()))


def hd95(true: NDArray[np.bool_], found: NDArray[np.bool_]) -> float | None:
    a, b = outline(true), outline(found)
    if not a and not b:
        return None
    if not a or not b:
        return math.hypot(*true.shape)
    worst = 0.0
    for pieces in (distances(a, b), distances(b, a)):
        total, so_far = sum(length for _, length in pieces), 0.0
        for distance, length in pieces:
            so_far += length
            if so_far / total >= 0.95 - 1e-12:
                worst = max(worst, distance)
                break
    return worst
