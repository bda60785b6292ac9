"""Corruption of frames that show nothing wrong, in the manner of CutPaste and DRAEM.

An instrument is warped, bitten into, cut short, patched, or has something attached; tissue gets something that does
not belong there. None of it shares code with ``reference/scene/defects.py`` or ``litter.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.shapes import Colours, Plane, peak, shape, texture, waves
from reference.scene.classes import TIP

Donor = Callable[[], Colours]  # makes a picture of another procedure
FAINT = 0.07  # a change smaller than this share of full scale is not one that a model could be asked to see


@dataclass
class Sample:
    """A frame in the making. Pictures are float32 RGB 0..1, (h, w, 3)."""

    picture: Colours
    bare: Colours  # the same without instruments
    label: NDArray[np.uint8]
    tool: Plane  # 0..1: where instruments are
    view: NDArray[np.bool_]  # the field of view
    on_tool: Plane  # 0..1: what is wrong with instruments
    on_tissue: Plane  # 0..1: what does not belong on the tissue


@dataclass(frozen=True)
class Spot:
    """A place on an instrument: (x, y), half its width there in pixels, and the direction of its axis."""

    at: NDArray[np.float64]
    half: float
    axis: NDArray[np.float64]


def _spot(rng: np.random.Generator, sample: Sample) -> Spot | None:
    """A random place on an instrument, most often on wrist or jaws."""
    solid = sample.tool > 0.5
    tips = solid & (sample.label == TIP)
    rows, columns = np.nonzero(tips if rng.random() < 0.7 and tips.sum() > 30 else solid)
    if len(rows) < 30:
        return None
    k = rng.integers(len(rows))
    at = np.array([columns[k], rows[k]], np.float64)
    reach = 24
    window = solid[max(0, rows[k] - reach) : rows[k] + reach, max(0, columns[k] - reach) : columns[k] + reach]
    half = float(np.clip(cv2.distanceTransform(window.astype(np.uint8), cv2.DIST_L2, 3).max(), 2.5, 24))
    points = np.argwhere(window)[:, ::-1].astype(np.float64)
    _, vectors = np.linalg.eigh(np.cov(points.T) + 1e-6 * np.eye(2))
    return Spot(at, half, vectors[:, 1] * rng.choice([-1.0, 1.0]))


def _grid(sample: Sample, spot: Spot) -> tuple[Plane, Plane]:
    """Coordinates about a spot: along the axis and across it, pixels."""
    height, width = sample.label.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - np.float32(spot.at[0]), y - np.float32(spot.at[1])
    a, b = np.float32(spot.axis[0]), np.float32(spot.axis[1])
    return x * a + y * b, y * a - x * b


def _erased(sample: Sample) -> Colours:
    """The frame without its instruments, with what they cast around them."""
    wide = cv2.dilate(sample.tool, np.ones((3, 3), np.uint8))[..., None]
    return np.asarray(sample.picture + (sample.bare - sample.picture) * wide, np.float32)


def _field(rng: np.random.Generator, sample: Sample, spot: Spot) -> tuple[Plane, Plane]:
    """How far each pixel looks away from itself, along the axis and across it: a turn, a shift, a swelling or a bend."""
    along, across = _grid(sample, spot)
    reach = spot.half * rng.uniform(1.5, 5)
    near = np.clip(1 - (along * along + across * across) / reach**2, 0, 1) ** 0.7
    turn, shift, swell = np.zeros_like(along), np.zeros(2), np.zeros_like(along)
    way = rng.integers(4)
    strength = np.float32(rng.choice([-1.0, 1.0]))
    if way == 0:
        turn = strength * np.float32(rng.uniform(0.3, 1.1)) * near
    elif way == 1:
        shift = rng.normal(0, 1, 2) * spot.half
    elif way == 2:
        swell = strength * np.float32(rng.uniform(0.3, 0.6)) * near
    else:  # all that lies beyond the spot, on one side of the axis or on both, turns about it
        turn = strength * np.float32(rng.uniform(0.3, 1.1)) * np.clip(along / (0.7 * reach), 0, 1)
        if rng.random() < 0.6:
            turn = turn * np.clip(0.5 + strength * across / spot.half * 2, 0, 1)
        near = np.clip(3 - np.hypot(along, across) / (2 * spot.half), 0, 1)
        turn = turn * near
    cos, sin = np.cos(turn) * (1 + swell), np.sin(turn) * (1 + swell)
    u = along * cos + across * sin - along + near * np.float32(shift[0])
    v = across * cos - along * sin - across + near * np.float32(shift[1])
    return np.asarray(u), np.asarray(v)


def _warp(rng: np.random.Generator, sample: Sample, spot: Spot) -> None:
    """Move a part of an instrument; what lies behind it stays."""
    u, v = _field(rng, sample, spot)
    a, b = np.float32(spot.axis[0]), np.float32(spot.axis[1])
    height, width = sample.label.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    at_x, at_y = x + u * a - v * b, y + u * b + v * a
    tool = cv2.remap(sample.tool, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = cv2.remap(sample.picture, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    far = np.hypot(u, v)
    base = _erased(sample)
    composed = base + (moved - base) * tool[..., None]
    seen = (peak(np.abs(composed - sample.picture)) > FAINT).astype(np.uint8)
    wrong = (tool > 0.5) & (far > 0.35 * spot.half) & (cv2.dilate(seen, np.ones((5, 5))) > 0)
    changed = far > 0.5
    sample.picture = np.where(changed[..., None], composed, sample.picture)
    sample.tool = np.where(changed, tool, sample.tool)
    sample.on_tool = np.maximum(sample.on_tool * (sample.tool > 0.5), wrong)


def _remove(rng: np.random.Generator, sample: Sample, spot: Spot) -> None:
    """Take away all beyond a jagged line, or a bite out of the side."""
    along, across = _grid(sample, spot)
    ragged = waves(rng, sample.label.shape, spot.half * rng.uniform(0.3, 1)) * np.float32(
        spot.half * rng.uniform(0.05, 0.35)
    )
    if rng.random() < 0.7:
        away = np.hypot(along, across) < spot.half * rng.uniform(3, 12)
        gone = (along + ragged > 0) & away
        if rng.random() < 0.4:
            gone &= across + ragged > spot.half * rng.uniform(-0.5, 0.3)
    else:
        side = spot.half * rng.choice([-1.0, 1.0])
        gone = np.hypot(along, across - side) + ragged < spot.half * rng.uniform(0.5, 1.0)
    gone = cv2.GaussianBlur(gone.astype(np.float32), (0, 0), 0.6)
    before = sample.picture
    sample.picture = before + (_erased(sample) - before) * gone[..., None]
    seen = (peak(np.abs(sample.picture - before)) > FAINT) & (sample.tool > 0.5)
    if seen.sum() < 12:
        return
    sample.tool = sample.tool * (1 - gone)
    width = 2 * int(0.6 * spot.half) + 3
    beside = cv2.dilate(seen.astype(np.uint8), np.ones((width, width))).astype(bool)
    sample.on_tool = np.maximum(sample.on_tool, beside & (sample.tool > 0.5))


def _paste(sample: Sample, alpha: Plane, what: Colours, opacity: float) -> Plane:
    """Blend into the picture; returns where it can be seen."""
    before = sample.picture
    sample.picture = before + (what - before) * (alpha * np.float32(opacity))[..., None]
    seen = (peak(np.abs(sample.picture - before)) > FAINT) & (alpha > 0.3) & sample.view
    return np.asarray(seen if seen.sum() >= 10 else np.zeros_like(seen), np.float32)


def _patch(rng: np.random.Generator, sample: Sample, spot: Spot, donor: Donor) -> None:
    """A patch on the instrument, or something that stands out from its side."""
    size_of = sample.label.shape
    outside = rng.random() < 0.35
    size = max(2.5, spot.half * rng.uniform(0.3, 1.3))
    side = np.array([-spot.axis[1], spot.axis[0]]) * spot.half * rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.3)
    alpha = shape(rng, size_of, spot.at + side * outside, size)
    if not outside and rng.random() < 0.75:
        alpha = alpha * sample.tool
    way = rng.integers(4)
    if way == 0:
        what = donor()
    elif way == 1:  # another part of this very frame
        what = np.roll(sample.picture, tuple(rng.integers(20, 120, 2) * rng.choice([-1, 1], 2)), (0, 1))
    else:
        what = texture(rng, size_of)
        what = what * np.float32(max(0.15, 1.3 * peak(sample.picture)[sample.tool > 0.5].mean()) ** 0.5)
    seen = _paste(sample, alpha, what, rng.uniform(0.7, 1.0))
    sample.on_tool = np.maximum(sample.on_tool, seen)


def corrupt_tool(rng: np.random.Generator, sample: Sample, donor: Donor) -> None:
    """One corruption of an instrument, in place; nothing where there is none."""
    spot = _spot(rng, sample)
    if spot is None:
        return
    way = rng.choice(3, p=[0.35, 0.25, 0.4])
    if way == 0:
        _warp(rng, sample, spot)
    elif way == 1:
        _remove(rng, sample, spot)
    else:
        _patch(rng, sample, spot, donor)


def corrupt_tissue(rng: np.random.Generator, sample: Sample) -> None:
    """Something that does not belong on the tissue, behind the instruments, in place."""
    rows, columns = np.nonzero(sample.view & (sample.tool < 0.5))
    if len(rows) < 200:
        return
    k = rng.integers(len(rows))
    size_of, size = sample.label.shape, float(np.exp(rng.uniform(np.log(7), np.log(60))))
    alpha = shape(rng, size_of, np.array([columns[k], rows[k]], np.float64), size) * (1 - sample.tool)
    what = texture(rng, size_of)
    middle = what[alpha > 0.5].mean(axis=0) if (alpha > 0.5).any() else np.zeros(3)
    red = middle[0] - middle[1:].mean()
    if red > 0.08:  # a red, pink or yellow patch may be blood, an organ or fat: made grey, it may not
        what = what + (what.mean(axis=2, keepdims=True) - what) * np.float32(rng.uniform(0.7, 1.0))
    lit = float(np.percentile(peak(sample.picture)[sample.view], 80))
    dark = cv2.GaussianBlur(alpha, (0, 0), 3) * (1 - alpha) * (1 - sample.tool) * np.float32(rng.uniform(0, 0.6))
    sample.picture = sample.picture * (1 - dark)[..., None]
    seen = _paste(sample, alpha, what * np.float32(rng.uniform(0.5, 1.2) * lit), rng.uniform(0.85, 1.0))
    sample.on_tissue = np.maximum(sample.on_tissue, seen)


def unsettle(rng: np.random.Generator, sample: Sample) -> None:
    """Changes that are no anomaly: highlights, soft stains, a soft light or dark place. In place."""
    size_of = sample.label.shape
    if rng.random() < 0.4:  # sparkles of wet tissue
        place = waves(rng, size_of, rng.uniform(20, 80)) > rng.uniform(0.8, 2)
        grains = waves(rng, size_of, rng.uniform(2, 6)) > rng.uniform(0.8, 1.8)
        alpha = cv2.GaussianBlur((place & grains).astype(np.float32), (0, 0), rng.uniform(0.5, 1.2)) * (1 - sample.tool)
        alpha = alpha * sample.view
        white = np.float32(rng.uniform(0.7, 1.0)) * np.array(
            [1.0, rng.uniform(0.92, 1), rng.uniform(0.95, 1)], np.float32
        )
        sample.picture = sample.picture + (white - sample.picture) * alpha[..., None]
    for _ in range(rng.integers(0, 3)):
        soft = waves(rng, size_of, rng.uniform(15, 60))
        alpha = np.clip(soft - rng.uniform(0.3, 1), 0, 1) * np.float32(rng.uniform(0.2, 0.6)) * sample.view
        tone = np.array([rng.uniform(0, 0.9), rng.uniform(0, 0.5), rng.uniform(0, 0.4)], np.float32)
        sample.picture = sample.picture + (tone - sample.picture) * alpha[..., None]
