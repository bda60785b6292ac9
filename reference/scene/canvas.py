"""One procedure's tissue, flattened once into fields that each frame then samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.materials import MATERIALS, Colour, Material
from reference.scene.noise import Field, Grain
from reference.scene.organs import Layer
from reference.scene.shapes import Points

MARGIN = 1.35  # the canvas is this much larger than the view, so that the camera can move
FILM: tuple[Colour, ...] = ((0.85, 0.3, 0.28), (0.65, 0.15, 0.14), (0.8, 0.5, 0.4))  # thin blood
CHAR: tuple[Colour, ...] = ((0.4, 0.3, 0.25), (0.2, 0.15, 0.12), (0.75, 0.65, 0.5))  # what a current has burnt
SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
Box = tuple[slice, slice]


@dataclass
class Canvas:
    """Fields of shape (h, w); scene point (0, 0) is at the middle, ``scale`` pixels are one scene unit."""

    scale: float
    albedo: NDArray[np.uint8]  # (h, w, 4): RGB under full light, and gloss
    height: Field  # towards the camera, scene units
    label: NDArray[np.uint8]
    mobility: Field


def fixed(points: Points) -> NDArray[np.int32]:
    """Pixels -> the fixed-point coordinates that OpenCV draws with."""
    return np.round(points * (1 << SHIFT)).astype(np.int32)


def fill(shape: tuple[int, int], points: Points) -> Field:
    """A polygon given in pixels, as an anti-aliased mask 0..1."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [fixed(points)], 255, cv2.LINE_AA, SHIFT)
    return mask.astype(np.float32) / 255


def blur(field: Field, size: float) -> Field:
    """A box blur, twice (cheaper than a Gaussian, and no one can tell); ``size`` in pixels, under three: none."""
    width = int(size) | 1
    return field if width < 3 else cv2.blur(cv2.blur(field, (width, width)), (width, width))


def triple(colour: Sequence[float] | NDArray[np.float64]) -> Field:
    """A colour that broadcasts over planes of shape (3, h, w)."""
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


class Painter:
    """Adds layers to a canvas, back to front. Colours are planes, (3, h, w): numpy is slow on a last axis of three."""

    def __init__(self, rng: np.random.Generator, frame: tuple[int, int]) -> None:
        self.rng = rng
        self.scale = float(frame[0])
        self.shape = (int(frame[0] * MARGIN), int(frame[1] * MARGIN))
        self.grain = Grain(rng, self.shape, (MARGIN * frame[1] / frame[0], MARGIN))
        self.rgb = np.zeros((3, *self.shape), np.float32)
        self.gloss, self.height, self.mobility = (np.zeros(self.shape, np.float32) for _ in range(3))
        self.label = np.zeros(self.shape, np.uint8)
        self._colours: dict[int, tuple[Field, Field]] = {}

    def pixels(self, points: Points) -> Points:
        height, width = self.shape
        return points * self.scale + (width / 2, height / 2)

    def box(self, points: Points, reach: float) -> tuple[Box, Points]:
        """The part of the canvas within ``reach`` of an outline, and the outline in that part's pixels."""
        at = self.pixels(points)
        low = np.floor(at.min(axis=0) - reach * self.scale).astype(int).clip(0, self.shape[::-1])
        high = np.ceil(at.max(axis=0) + reach * self.scale).astype(int).clip(0, self.shape[::-1])
        return (slice(low[1], high[1]), slice(low[0], high[0])), at - low

    def _pair(self, material: Material) -> tuple[Field, Field]:
        """One organ looks alike wherever it appears in a procedure: its two colours are drawn once."""
        key = id(material)
        if key not in self._colours:
            rng = self.rng
            low, high = np.array(material.low), np.array(material.high)
            base = (low + (high - low) * rng.random()) * rng.uniform(0.92, 1.08, 3)
            tint = np.array(material.tint[rng.integers(len(material.tint))])
            self._colours[key] = (triple(base), triple(base + (tint - base) * rng.uniform(0.3, 1.0)))
        return self._colours[key]

    def _surface(self, material: Material, box: Box) -> tuple[Field, Field]:
        """Colour and relief of a tissue over a part of the canvas."""
        rng, grain = self.rng, self.grain
        way = int(rng.integers(4))
        coarse, middle, streak = (grain.flipped(f, way)[box] for f in (grain.coarse, grain.middle, grain.streak))
        fine, speck = grain.fine[box], grain.speck[box]
        first, second = self._pair(material)
        stripes, mottle = rng.uniform(*material.streaks), rng.uniform(*material.mottle)
        mix = np.clip(0.5 + 0.45 * coarse + 0.15 * middle + 0.35 * stripes * streak, 0, 1)
        rgb = first + (second - first) * mix
        rgb *= 1 + mottle * (0.3 * fine + 0.8 * speck)
        lobules = rng.uniform(*material.lobules)
        relief = rng.uniform(*material.bumps) * np.abs(middle) + lobules * np.abs(fine) ** 0.7
        relief += rng.uniform(*material.pores) * 0.0009 * (fine + 0.6 * speck) + 0.002 * stripes * streak
        if lobules:
            rgb *= 1 - min(40 * lobules, 0.4) * np.exp(-6 * np.abs(fine)) * triple((0.6, 1.0, 1.3))
        return rgb, relief

    def _vessels(self, rgb: Field, layer: Layer, inks: tuple[Colour, ...], box: Box) -> None:
        rng = self.rng
        ink = np.zeros(rgb.shape[1:], np.uint8)
        corner = (box[1].start, box[0].start)
        for tree in layer.vessels:
            wide = self.scale * rng.uniform(0.0012, 0.0045)
            strength = int(255 * rng.uniform(0.3, 0.9) * min(1.0, wide))
            lines = [fixed(self.pixels(line) - corner) for line in tree]
            cv2.polylines(ink, lines[:1], False, strength, max(1, round(1.6 * wide)), cv2.LINE_AA, SHIFT)
            cv2.polylines(ink, lines[1:], False, int(0.8 * strength), max(1, round(wide)), cv2.LINE_AA, SHIFT)
        tone = triple(inks[rng.integers(len(inks))])
        rgb += (tone - rgb) * blur(ink.astype(np.float32) / 255, self.scale * 0.004)

    def _folds(self, rgb: Field, relief: Field, layer: Layer, box: Box) -> None:
        """Lines along which the surface sinks in, and is darker; or, where ``fold`` is negative, stands out."""
        ink = np.zeros(relief.shape, np.uint8)
        wide = max(1.0, 0.5 * layer.crease * self.scale)
        lines = [fixed(self.pixels(line) - (box[1].start, box[0].start)) for line in layer.folds]
        cv2.polylines(ink, lines, False, 255, round(wide), cv2.LINE_AA, SHIFT)
        depth = blur(ink.astype(np.float32) / 255, 2 * wide)
        relief -= layer.fold * layer.crease * depth
        rgb *= 1 - max(layer.fold, 0.0) * 0.5 * depth * triple((0.7, 1.0, 1.0))

    def add(self, layer: Layer) -> None:
        rng, scale = self.rng, self.scale
        material = layer.material or MATERIALS[layer.label]
        spread, depth = rng.uniform(0.03, 0.1), rng.uniform(0.2, 0.7)  # of the shadow around the organ
        box, outline = self.box(layer.outline, spread + layer.soft)
        shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
        if not min(shape):
            return  # an organ beyond the edge of the canvas
        inside = fill(shape, outline)
        far = cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        profile = 1 - np.minimum(far, scale * layer.edge) / (scale * layer.edge)
        dome = blur(np.sqrt(np.maximum(1 - profile * profile, 0)), 0.02 * scale)
        rgb, relief = self._surface(material, box)
        if layer.vessels:
            self._vessels(rgb, layer, material.inks, box)
        if layer.folds:
            self._folds(rgb, relief, layer, box)
        alpha = layer.opacity * blur(inside, layer.soft * scale)
        shade = 1 - depth * blur(alpha, spread * scale) * (1 - alpha)
        behind = blur(
            self.height[box], 0.25 * scale
        )  # what lies behind carries an organ, but its edges must not show through
        self.rgb[:, *box] = self.rgb[:, *box] * (shade * (1 - alpha)) + rgb * alpha
        self.height[box] += (behind + layer.rise * dome + relief - self.height[box]) * alpha
        self.gloss[box] += (rng.uniform(*material.gloss) - self.gloss[box]) * alpha
        self.mobility[box] += (layer.mobility - self.mobility[box]) * alpha
        self.label[box][alpha > 0.5] = layer.label

    def _stain(self, tones: tuple[Colour, ...], dull: float) -> None:
        """What work leaves on all tissue alike, in patches: colours are multiplied by a tone."""
        rng, grain = self.rng, self.grain
        patches = grain.flipped(grain.coarse, int(rng.integers(4))) + 0.5 * grain.flipped(
            grain.middle, int(rng.integers(4))
        )
        share = np.clip(1.5 * (patches - rng.uniform(0.2, 1.4)), 0, 1) * np.float32(rng.uniform(0.3, 0.95))
        self.rgb *= 1 - (1 - triple(tones[rng.integers(len(tones))])) * share
        self.gloss *= 1 - dull * share

    def finish(self) -> Canvas:
        """The canvas: stained at times, its floor tilted, as one side of a scene lies deeper than the other."""
        if self.rng.random() < 0.3:
            self._stain(FILM, 0.0)
        if self.rng.random() < 0.12:
            self._stain(CHAR, 0.8)
        height, width = self.shape
        for axis, size in ((0, (height, 1)), (1, (1, width))):
            ramp = np.linspace(-0.5, 0.5, max(size), dtype=np.float32).reshape(size)
            self.height += np.float32(self.rng.normal(0, 0.12) * self.shape[axis] / self.scale) * ramp
        fields = cv2.merge([*self.rgb, self.gloss])
        albedo = (np.clip(fields, 0, 1) * 255).astype(np.uint8)
        return Canvas(self.scale, albedo, self.height, self.label, blur(self.mobility, 0.15 * self.scale))
