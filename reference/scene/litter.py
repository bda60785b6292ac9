"""What lies on the tissue and is no organ: blood, and foreign objects left behind."""

from collections.abc import Callable

import numpy as np

from reference.scene.canvas import Painter, blur, fill, triple
from reference.scene.classes import BACKGROUND
from reference.scene.shapes import Points, blob, tube, turn


def bleed(painter: Painter, pools: int) -> None:
    """Pools of blood, of the class of the tissue beneath: dark, glossy, flat."""
    rng, scale = painter.rng, painter.scale
    for _ in range(pools):
        place, size = rng.uniform((-0.7, -0.45), (0.7, 0.45)), rng.uniform(0.03, 0.2)
        outline = blob(rng, tuple(place), (size * rng.uniform(0.6, 1.6), size), rng.uniform(0, np.pi), 0.25)
        alpha = blur(fill(painter.shape, painter.pixels(outline)), 0.01 * scale) * rng.uniform(0.5, 0.95)
        painter.rgb += (triple([0.42, 0.03, 0.04]) * rng.uniform(0.5, 1.3) - painter.rgb) * alpha
        painter.height += (blur(painter.height, 0.05 * scale) - painter.height) * alpha
        painter.gloss += (1 - painter.gloss) * alpha


def _gauze(rng: np.random.Generator) -> Points:
    return blob(rng, (0.0, 0.0), (rng.uniform(0.1, 0.16), rng.uniform(0.08, 0.12)), 0.0, 0.15)


def _needle(_: np.random.Generator) -> Points:
    s = np.linspace(0, 2.8, 24)
    return tube(0.06 * np.stack([np.cos(s), np.sin(s)], axis=1), np.linspace(0.002, 0.006, 24))


def _clip(_: np.random.Generator) -> Points:
    return np.array([[-0.035, -0.008], [0.035, -0.008], [0.035, 0.008], [-0.035, 0.008]])


# kind -> outline around (0, 0), colour, rise, gloss
FOREIGN: dict[str, tuple[Callable[[np.random.Generator], Points], tuple[float, float, float], float, float]] = {
    "gauze": (_gauze, (0.92, 0.90, 0.86), 0.02, 0.1),
    "needle": (_needle, (0.75, 0.78, 0.82), 0.01, 1.0),
    "clip": (_clip, (0.80, 0.80, 0.84), 0.01, 1.0),
}


def leave(painter: Painter, kind: str, x: float, y: float) -> None:
    """Leave a foreign object at a scene point. Its class is background: it has no name among the organs."""
    outline, colour, rise, gloss = FOREIGN[kind]
    points = turn(outline(painter.rng), painter.rng.uniform(0, 2 * np.pi)) + np.array([x, y])
    alpha = fill(painter.shape, painter.pixels(points))
    surface = np.broadcast_to(triple(colour), painter.rgb.shape)
    if kind == "gauze":
        weave = 1 - 0.25 * np.abs(np.sin(np.arange(painter.shape[1], dtype=np.float32) * (300 / painter.scale)))
        stain = np.clip(painter.grain.middle - 0.3, 0, 0.7)
        surface = surface * weave + (triple([0.5, 0.05, 0.05]) - surface) * stain
    painter.rgb += (surface - painter.rgb) * alpha
    folds = 0.006 * painter.grain.fine if kind == "gauze" else 0.0
    painter.height += (rise + folds) * alpha
    painter.gloss += (gloss - painter.gloss) * alpha
    painter.label[alpha > 0.5] = BACKGROUND
