"""Text on the picture: rendered once into small images (sprites), then only stamped, some microseconds each.

The font is the variable TrueType font built into OpenCV 5 (`cv2.FontFace("sans")`, Rubik, SIL Open Font License): no
font file to ship, no Pillow. Hershey fonts were rejected: no umlauts, and thin strokes that vanish on tissue.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Pixels
from inframe.pipeline.palette import INK, PAPER, Rgb

_KEPT = 512
"""Sprites kept; the one first made goes first. Labels, scores, digits and the texts of EVENTS are about 250."""

Round = Literal["all", "left", "right", "none"]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A small image to stamp: picture = picture * keep / 255 + ink. Both (h, w, 3) uint8."""

    ink: Pixels
    keep: Pixels

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.ink.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.ink.shape[0])


def stamp(into: Pixels, sprite: Sprite, x: int, y: int) -> None:
    """Put `sprite` with its left upper corner at (x, y); what lies outside of `into` is cut."""
    rows, columns = into.shape[:2]
    left, top = max(0, -x), max(0, -y)
    right, bottom = min(sprite.width, columns - x), min(sprite.height, rows - y)
    if left >= right or top >= bottom:
        return
    part = into[y + top : y + bottom, x + left : x + right]
    cv2.multiply(part, sprite.keep[top:bottom, left:right], dst=part, scale=1 / 255)
    cv2.add(part, sprite.ink[top:bottom, left:right], dst=part)


def stamp_row(into: Pixels, sprites: list[Sprite], x: int, y: int) -> None:
    """Put sprites side by side, the first one's left upper corner at (x, y)."""
    for sprite in sprites:
        stamp(into, sprite, x, y)
        x += sprite.width


def row_width(sprites: list[Sprite]) -> int:
    """Pixels that `stamp_row` takes."""
    return sum(sprite.width for sprite in sprites)


@dataclass(frozen=True, slots=True)
class Style:
    """How a text looks. `scale` is relative to plain text, `pad` (left and right) in font heights."""

    ink: Rgb = INK
    paper: Rgb = PAPER
    opacity: float = 0.72
    scale: float = 1.0
    weight: int = 500
    pad: float = 0.45
    mark: Rgb | None = None
    """A dot of this colour before the text."""


class Lettering:
    """Makes sprites, each once. `size`: height of the font in pixels for plain text."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._font: Any = cv2.FontFace("sans")
        self._made: dict[tuple[str, Style, Round], Sprite] = {}

    def plate(self, text: str, style: Style, rounded: Round = "all") -> Sprite:
        """`text` on a plate; `rounded`: at which sides its corners are round."""
        key = (text, style, rounded)
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= _KEPT:
                self._made.pop(next(iter(self._made)))
            made = self._made[key] = self._render(text, style, rounded)
        return made

    def number(self, before: str, value: int, after: str, style: Style) -> list[Sprite]:
        """A plate "before value after" put together of kept pieces, so that a new number renders nothing. One row."""
        digit = replace(style, pad=0.0)
        digits = [self.plate(d, digit, "none") for d in str(value)]
        return [self.plate(before + " ", style, "left"), *digits, self.plate(" " + after, style, "right")]

    def _render(self, text: str, style: Style, rounded: Round) -> Sprite:
        coverage = self._letters(text, style, rounded)
        height, width = coverage.shape
        shape = _plate_shape(width, height, rounded) * np.float32(style.opacity)
        colour = np.empty((height, width, 3), np.float32)
        colour[:] = style.paper
        if style.mark is not None:
            dot = _dot(width, height, round(self._height(style) * 0.75))
            colour += (np.array(style.mark, np.float32) - colour) * dot[..., None]
            shape = np.maximum(shape, dot)
        behind = shape * (1 - coverage)
        premultiplied = colour * behind[..., None] + np.array(style.ink, np.float32) * coverage[..., None]
        keep = np.repeat(((1 - coverage - behind) * 255)[..., None], 3, axis=2)
        return Sprite(_frozen(premultiplied), _frozen(keep))

    def _letters(self, text: str, style: Style, rounded: Round) -> NDArray[np.float32]:
        """Coverage 0..1 of the letters on a canvas with the plate's padding; (h, w) float32."""
        shown = "".join(c if c.isprintable() else "?" for c in text)
        size, weight = self._height(style), style.weight
        # measured between two letters: so a space at the end counts, and pieces side by side keep their distance
        width = self._measure(f"0{shown}0", size, weight)[2] - self._measure("00", size, weight)[2]
        _, top, _, height = self._measure("Ájgy", size, weight)
        shift = round(size * style.pad)
        left = (shift if rounded in ("all", "left") else 0) + (size if style.mark is not None else 0)
        right = shift if rounded in ("all", "right") else 0
        rise = round(size * 0.06)
        canvas = np.zeros((height + 2 * rise, max(1, width + left + right), 3), np.uint8)
        cv2.putText(canvas, shown, (left, rise - top), (255, 255, 255), self._font, size, weight)
        return canvas[..., 0].astype(np.float32) / np.float32(255)

    def _height(self, style: Style) -> int:
        return max(8, round(self.size * style.scale))

    def _measure(self, text: str, size: int, weight: int) -> tuple[int, int, int, int]:
        x, y, width, height = cv2.getTextSize((0, 0), text, (0, 0), self._font, size, weight)
        return x, y, width, height


def _plate_shape(width: int, height: int, rounded: Round) -> NDArray[np.float32]:
    """Coverage 0..1 of a rectangle with round corners at the sides named; drawn four times as large: smooth edges."""
    fine, radius = 4, height  # radius: a quarter of the height, four times as large
    big = np.zeros((height * fine, width * fine), np.uint8)
    left = 0 if rounded in ("all", "left") else -2 * radius
    right = width * fine - 1 + (0 if rounded in ("all", "right") else 2 * radius)
    bottom = height * fine - 1
    cv2.rectangle(big, (left + radius, 0), (right - radius, bottom), 255, -1)
    cv2.rectangle(big, (left, radius), (right, bottom - radius), 255, -1)
    for x in (left + radius, right - radius):
        for y in (radius, bottom - radius):
            cv2.circle(big, (x, y), radius, 255, -1)
    small = np.asarray(cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return small / np.float32(255)


def _dot(width: int, height: int, x: int) -> NDArray[np.float32]:
    """Coverage 0..1 of a disc at column `x`, half-way down."""
    dot = np.zeros((height, width), np.uint8)
    cv2.circle(dot, (x * 16, height * 8 - 8), round(height * 3.3), 255, -1, cv2.LINE_AA, 4)
    return dot.astype(np.float32) / np.float32(255)


def _frozen(values: NDArray[np.float32]) -> Pixels:
    out = np.rint(values).clip(0, 255).astype(np.uint8)
    out.flags.writeable = False
    return out
