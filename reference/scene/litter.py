"""What lies on the tissue and is no organ: blood, and foreign objects left behind."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference.scene.canvas import Painter, blur, fill, triple
from reference.scene.classes import BACKGROUND
from reference.scene.noise import Field
from reference.scene.shapes import Points, blob, curve, tube, turn


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


@dataclass(frozen=True)
class Piece:
    """One piece of a foreign object: its outline around (0, 0), and its look."""

    outline: Points
    colour: tuple[float, float, float]
    rise: float
    gloss: float
    weave: bool = False


def _gauze(rng: np.random.Generator) -> list[Piece]:
    """A swab: white weave, folded once, soaked in places."""
    wide, high = rng.uniform(0.09, 0.16), rng.uniform(0.07, 0.12)
    corners = np.array([[-wide, -high], [0, -high], [wide, -high], [wide, 0], [wide, high], [0, high], [-wide, high]])
    outline = curve(np.vstack([corners, corners[:1]]) * rng.uniform(0.8, 1.15, (8, 2)), 60)
    fold = outline * (rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.95)) + (rng.normal(0, 0.3 * wide), 0.0)
    white = (0.92, 0.90, 0.86)
    return [Piece(outline, white, 0.015, 0.1, weave=True), Piece(fold, white, 0.02, 0.1, weave=True)]


def _needle(rng: np.random.Generator) -> list[Piece]:
    """A curved needle and its thread."""
    s = np.linspace(0, rng.uniform(2.2, 3.1), 24)
    size, thick = rng.uniform(0.05, 0.08), rng.uniform(0.0035, 0.006)
    arc = size * np.stack([np.cos(s), np.sin(s)], axis=1)
    knots = arc[-1] + np.cumsum(np.vstack([np.zeros(2), rng.normal(0, 0.07, (4, 2))]), axis=0)
    thread = tube(curve(knots), np.full(48, rng.uniform(0.001, 0.002)))
    dye = [(0.25, 0.1, 0.4), (0.05, 0.1, 0.3), (0.05, 0.05, 0.05), (0.1, 0.35, 0.15)][rng.integers(4)]
    return [
        Piece(thread, dye, 0.002, 0.3),
        Piece(tube(arc, thick * np.linspace(0.4, 1, 24)), (0.75, 0.78, 0.82), 0.008, 1.0),
    ]


def _clip(rng: np.random.Generator) -> list[Piece]:
    """A titanium clip that fell: two legs and the bend between them."""
    long, gape, thick = rng.uniform(0.03, 0.045), rng.uniform(0.008, 0.02), rng.uniform(0.004, 0.006)
    line = curve(np.array([[long, gape], [0, 0.8 * gape], [-0.35 * long, 0], [0, -0.8 * gape], [long, -gape]]))
    return [Piece(tube(line, np.full(len(line), thick)), (0.80, 0.80, 0.84), 0.008, 1.0)]


FOREIGN: dict[str, Callable[[np.random.Generator], list[Piece]]] = {
    "gauze": _gauze,
    "needle": _needle,
    "clip": _clip,
}


def _surface(painter: Painter, piece: Piece) -> Field:
    surface: Field = np.broadcast_to(triple(piece.colour), painter.rgb.shape)
    if piece.weave:
        height, width = painter.shape
        threads = 300 / painter.scale
        across = np.abs(np.sin(np.arange(width, dtype=np.float32) * threads))[None]
        along = np.abs(np.sin(np.arange(height, dtype=np.float32) * threads))[:, None]
        stain = np.clip(painter.grain.middle - 0.3, 0, 0.8)
        surface = surface * (1 - 0.25 * across * along)
        surface = surface + (triple([0.5, 0.05, 0.05]) - surface) * stain
    return surface


def leave(painter: Painter, kind: str, x: float, y: float) -> None:
    """Leave a foreign object at a scene point. Its class is background: it has no name among the organs."""
    angle = painter.rng.uniform(0, 2 * np.pi)
    for piece in FOREIGN[kind](painter.rng):
        alpha = fill(painter.shape, painter.pixels(turn(piece.outline, angle) + np.array([x, y])))
        dark = blur(alpha, 0.012 * painter.scale) * (1 - alpha)  # the shadow beside it
        painter.rgb *= 1 - 0.6 * dark
        painter.rgb += (_surface(painter, piece) - painter.rgb) * alpha
        folds = 0.006 * painter.grain.fine if piece.weave else 0.0
        painter.height += (piece.rise + folds) * blur(alpha, 0.004 * painter.scale)
        painter.gloss += (piece.gloss - painter.gloss) * alpha
        painter.label[alpha > 0.5] = BACKGROUND
