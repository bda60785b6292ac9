"""Outlines and lines of organs: (n, 2) arrays of scene points, x right, y down, one unit = the view's height."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def turn(points: Points, angle: float) -> Points:
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Points = points @ np.array([[cos, sin], [-sin, cos]])
    return turned


def blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: tuple[float, float],
    angle: float = 0.0,
    rough: float = 0.08,
) -> Points:
    """A closed curve around ``centre``: an ellipse whose radius wavers by about ``rough``."""
    theta = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    waver = np.ones_like(theta)
    for k in range(2, 8):
        waver += rough * rng.normal() / (k - 1) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    ellipse = np.stack([radii[0] * np.cos(theta), radii[1] * np.sin(theta)], axis=1) * waver[:, None]
    return turn(ellipse, angle) + centre


def curve(knots: Points, count: int = 48) -> Points:
    """A smooth line through 3 or more knots (Catmull-Rom)."""
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    place = np.linspace(0, len(knots) - 1 - 1e-9, count)
    i, t = place.astype(int), (place % 1.0)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    line: Points = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return line


def tube(line: Points, radius: NDArray[np.float64]) -> Points:
    """The outline of a line thickened to ``radius`` at each of its points."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * radius[:, None]
    return np.vstack([line + across, (line - across)[::-1]])


def capped(count: int, start: float, end: float) -> NDArray[np.float64]:
    """Radii along a tube, 1 in its middle, rounded off over shares ``start`` and ``end`` of its length (0: cut off)."""
    s = np.linspace(0, 1, count)
    near = np.minimum(s / start if start else 1.0, 1.0)
    far = np.minimum((1 - s) / end if end else 1.0, 1.0)
    radii: NDArray[np.float64] = np.sqrt((1 - (1 - near) ** 2) * (1 - (1 - far) ** 2))
    return radii


def branches(rng: np.random.Generator, start: Points, heading: float, length: float, depth: int) -> list[Points]:
    """A vessel that wanders from ``start`` and forks ``depth`` times."""
    turns = heading + np.cumsum(rng.normal(0, 0.25, 10))
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / 10)
    line = np.vstack([start, start + np.cumsum(steps, axis=0)])
    lines = [line]
    if depth:
        for at in rng.integers(3, 11, size=2):
            side = rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.1)
            lines += branches(rng, line[at], turns[at - 1] + side, length * rng.uniform(0.4, 0.8), depth - 1)
    return lines


def rungs(rng: np.random.Generator, line: Points, radius: NDArray[np.float64], count: int) -> list[Points]:
    """``count`` lines across a tube, evenly along it, each a little bowed, as the folds of bowel are."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.linspace(-1, 1, 9)[:, None]
    lines = []
    for at in (np.arange(1, count) * (len(line) - 1) / count).astype(int):
        side = np.array([-along[at, 1], along[at, 0]]) * radius[at]
        reach = rng.uniform(0.7, 1.05)  # some folds do not go all the way round
        lines.append(line[at] + reach * across * side + (1 - across**2) * along[at] * radius[at] * rng.normal(0.2, 0.1))
    return lines
