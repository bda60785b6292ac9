"""Corruption of what shows nothing wrong, in the manner of CutPaste and DRAEM, before the camera sees it.

An instrument is a layer that is laid over the tissue: it is bent, dislocated, swollen, bitten into, cut short, patched, or has
something attached. Tissue gets something that does not belong there, lit as tissue is. Light, lens and sensor come after, so
that no seam gives a corruption away. None of it shares code with ``reference/scene/defects.py`` or ``litter.py``.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.shapes import Colours, Plane, peak, shape, texture, waves

Layer = NDArray[np.float32]  # (h, w, 4): RGB as it is lit, times coverage; coverage 0..1
Way = NDArray[np.float64]  # (x, y)


def over(above: Layer, below: NDArray[np.float32]) -> NDArray[np.float32]:
    """One layer upon another, or upon a picture of three channels."""
    return np.asarray(above[..., : below.shape[2]] + below * (1 - above[..., 3:]), np.float32)


@dataclass(frozen=True)
class Worn:
    """An instrument in two layers, and where they are: ``part`` is one jaw, or the hook."""

    body: Layer
    part: Layer
    tip: Way  # pixels
    axis: Way  # unit, from shaft to tip
    half: float  # pixels from the shaft's axis to its edge
    hinge: float  # of those, from the tip to where the part begins

    @property
    def whole(self) -> Layer:
        return over(self.part, self.body)


@dataclass(frozen=True)
class Spot:
    """A window about a place on an instrument, and coordinates in it: towards the tip and across, pixels."""

    window: tuple[slice, slice]
    along: Plane
    across: Plane
    at: Way  # in the window
    half: float


def _spot(rng: np.random.Generator, worn: Worn, layer: Layer, jaws: bool) -> Spot | None:
    """A random place on a layer: between tip and wrist, or on the shaft."""
    height, width = layer.shape[:2]
    u = rng.uniform(0.1, worn.hinge + 1.5) if jaws else worn.hinge + rng.uniform(0.5, 12)
    middle = worn.tip - worn.axis * u * worn.half
    reach = 1.3 * worn.half + 2
    x0, x1 = np.clip([middle[0] - reach, middle[0] + reach + 1], 0, width).astype(int)
    y0, y1 = np.clip([middle[1] - reach, middle[1] + reach + 1], 0, height).astype(int)
    rows, columns = np.nonzero(layer[y0:y1, x0:x1, 3] > 0.6)
    if len(rows) < 12:
        return None
    k = rng.integers(len(rows))
    x, y = float(x0 + columns[k]), float(y0 + rows[k])
    far = min((worn.hinge + 2.5) * worn.half + 12, 190) if jaws else min(4 * worn.half + 12, 110)
    left, top = int(max(0, x - far)), int(max(0, y - far))
    window = (slice(top, int(min(height, y + far + 1))), slice(left, int(min(width, x + far + 1))))
    rows_, columns_ = np.mgrid[window].astype(np.float32)
    dx, dy = columns_ - np.float32(x), rows_ - np.float32(y)
    a, b = np.float32(worn.axis[0]), np.float32(worn.axis[1])
    return Spot(window, dx * a + dy * b, dy * a - dx * b, np.array([x - left, y - top]), worn.half)


def _sign(rng: np.random.Generator) -> np.float32:
    return np.float32(rng.choice([-1.0, 1.0]))


def _moved(worn: Worn, layer: Layer, spot: Spot, to_along: Plane, to_across: Plane) -> Layer:
    """The window of a layer, each pixel looking at the place with these coordinates."""
    a, b = np.float32(worn.axis[0]), np.float32(worn.axis[1])
    x, y = np.float32(spot.at[0]), np.float32(spot.at[1])
    at_x, at_y = x + to_along * a - to_across * b, y + to_along * b + to_across * a
    some = np.ascontiguousarray(layer[spot.window])
    return np.asarray(cv2.remap(some, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def _put(layer: Layer, spot: Spot, some: Layer) -> Layer:
    changed = layer.copy()
    changed[spot.window] = some
    return changed


def _bend(rng: np.random.Generator, worn: Worn, layer: Layer, spot: Spot) -> Layer:
    """All that lies beyond the spot turns about it: a kink or an arc."""
    ramp = spot.half * np.float32(np.exp(rng.uniform(np.log(0.3), np.log(3))))
    angle = _sign(rng) * np.float32(rng.uniform(0.35, 1.2))
    turn = angle * np.clip(spot.along / ramp, 0, 1)
    cos, sin = np.cos(turn), np.sin(turn)
    u = spot.along * cos + spot.across * sin
    v = spot.across * cos - spot.along * sin
    behind = spot.along <= 0  # stays, and nothing from beyond is seen there
    some = _moved(worn, layer, spot, np.where(behind, spot.along, np.maximum(u, 0)), np.where(behind, spot.across, v))
    return _put(layer, spot, some)


def _dislocate(rng: np.random.Generator, worn: Worn, layer: Layer, spot: Spot) -> Layer:
    """A layer, or what of it lies beyond the spot, is out of its place and turned as it never is."""
    beyond = spot.along > -3 * spot.half
    angle = _sign(rng) * np.float32(rng.uniform(0.0, 0.7))
    shift = rng.normal(0, 0.45, 2).astype(np.float32) * spot.half
    cos, sin = np.cos(angle), np.sin(angle)
    u = spot.along * cos + spot.across * sin + shift[0]
    v = spot.across * cos - spot.along * sin + shift[1]
    return _put(layer, spot, _moved(worn, layer, spot, u, v) * beyond[..., None])


def _swell(rng: np.random.Generator, worn: Worn, layer: Layer, spot: Spot) -> Layer:
    """A swelling, a waist, or an S: the outline is not where it was."""
    reach = spot.half * rng.uniform(0.8, 2.5)
    near = np.clip(1 - (spot.along**2 + spot.across**2) / reach**2, 0, 1) ** 0.7
    if rng.random() < 0.5:
        factor = 1 + _sign(rng) * np.float32(rng.uniform(0.4, 0.7)) * near
        return _put(layer, spot, _moved(worn, layer, spot, spot.along * factor, spot.across * factor))
    aside = _sign(rng) * np.float32(rng.uniform(0.5, 1.1) * spot.half) * near
    return _put(layer, spot, _moved(worn, layer, spot, spot.along, spot.across + aside))


def _cut(rng: np.random.Generator, layer: Layer, spot: Spot) -> Layer:
    """All beyond a ragged line is gone, or a bite out of the side."""
    size_of = spot.along.shape
    ragged = waves(rng, size_of, max(1.5, spot.half * rng.uniform(0.2, 0.8)))
    ragged = ragged * np.float32(spot.half * rng.uniform(0.05, 0.35))
    if rng.random() < 0.7:
        lean = np.float32(rng.uniform(-0.7, 0.7))
        gone = spot.along + lean * spot.across + ragged > 0
    else:
        side = spot.half * _sign(rng)
        gone = np.hypot(spot.along, spot.across - side) + ragged < spot.half * rng.uniform(0.6, 1.3)
    left = 1 - cv2.GaussianBlur(gone.astype(np.float32), (0, 0), 0.5)
    return _put(layer, spot, layer[spot.window] * left[..., None])


def _stuff(rng: np.random.Generator, layer: Layer, spot: Spot, scene: Colours) -> Colours:
    """What something on an instrument is made of, lit about as the instrument is."""
    some, size_of = layer[spot.window], spot.along.shape
    own = some[..., :3] / np.maximum(some[..., 3:], 0.05)
    solid = some[..., 3] > 0.6
    light = float(np.percentile(peak(own)[solid], 75)) if solid.any() else float(np.percentile(scene, 75))
    way = rng.choice(5, p=[0.4, 0.15, 0.1, 0.15, 0.2])
    if way == 0:
        return texture(rng, size_of) * np.float32(light * rng.uniform(0.7, 1.8))
    if way == 1:  # tissue, from somewhere else in the frame
        y, x = (int(rng.integers(0, max(1, scene.shape[k] - size_of[k]))) for k in (0, 1))
        return scene[y : y + size_of[0], x : x + size_of[1]]
    if way == 2:  # the instrument itself, from elsewhere
        return np.roll(own, tuple(rng.integers(10, 50, 2) * rng.choice([-1, 1], 2)), (0, 1))
    if way == 3:  # the same, tarnished or worn bright
        factor = rng.choice([rng.uniform(0.1, 0.5), rng.uniform(1.8, 3.5)])
        return own * np.float32(factor) * (1 + 0.15 * waves(rng, size_of, rng.uniform(1.5, 5))[..., None])
    grey = np.float32(light * rng.uniform(0.05, 1.6)) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    bands = 0.7 + 0.3 * waves(rng, size_of, max(1.5, spot.half * rng.uniform(0.2, 0.8)))  # a rod of metal or plastic
    return np.asarray(grey * np.maximum(bands, 0.1)[..., None], np.float32)


def _patch(rng: np.random.Generator, layer: Layer, spot: Spot, scene: Colours) -> Layer:
    """Another material on the surface."""
    some = layer[spot.window]
    size_of = spot.along.shape
    alpha = np.zeros(size_of, np.float32)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        aside = rng.normal(0, 0.4, 2) * spot.half
        alpha = np.maximum(alpha, shape(rng, size_of, spot.at + aside, spot.half * rng.uniform(0.35, 1.4)))
    alpha = (alpha * np.float32(rng.uniform(0.8, 1.0)))[..., None]
    stuff = np.concatenate([_stuff(rng, layer, spot, scene), np.ones_like(alpha)], axis=2)
    return _put(layer, spot, some + (stuff * some[..., 3:] - some) * alpha)


def _attach(rng: np.random.Generator, worn: Worn, layer: Layer, spot: Spot, scene: Colours) -> Layer:
    """Something that stands out from the side, before the instrument or behind it."""
    some = layer[spot.window]
    aside = np.array([-worn.axis[1], worn.axis[0]]) * float(_sign(rng)) * spot.half
    size_of = spot.along.shape
    alpha = np.zeros(size_of, np.float32)
    for _ in range(rng.choice([1, 1, 2])):
        at = spot.at + aside * rng.uniform(0.5, 1.3) + rng.normal(0, 0.2, 2) * spot.half
        alpha = np.maximum(alpha, shape(rng, size_of, at, spot.half * rng.uniform(0.35, 1.1)))
    thing = np.concatenate([_stuff(rng, layer, spot, scene), np.ones((*alpha.shape, 1), np.float32)], axis=2)
    thing = thing * alpha[..., None]
    return _put(layer, spot, over(thing, some) if rng.random() < 0.7 else over(some, thing))


def corrupt_tool(rng: np.random.Generator, worn: Worn, scene: Colours) -> Worn:
    """One corruption of an instrument; the same where there is no place for it. ``scene``: the picture behind."""
    way = str(
        rng.choice(["bend", "dislocate", "swell", "cut", "patch", "attach"], p=[0.26, 0.08, 0.06, 0.26, 0.2, 0.14])
    )
    jaws = rng.random() < (0.8 if way != "patch" else 0.5)
    one = jaws and way in ("bend", "dislocate", "cut") and rng.random() < 0.65  # a part alone
    layer = worn.part if one else worn.whole
    spot = _spot(rng, worn, layer, jaws)
    if spot is None:
        return worn
    match way:
        case "bend":
            changed = _bend(rng, worn, layer, spot)
        case "dislocate":
            changed = _dislocate(rng, worn, layer, spot) if one else _swell(rng, worn, layer, spot)
        case "swell":
            changed = _swell(rng, worn, layer, spot)
        case "cut":
            changed = _cut(rng, layer, spot)
        case "patch":
            changed = _patch(rng, layer, spot, scene)
        case _:
            changed = _attach(rng, worn, layer, spot, scene)
    if one:
        return replace(worn, part=changed)
    return replace(worn, body=changed, part=np.zeros_like(changed))


def corrupt_tissue(
    rng: np.random.Generator, albedo: NDArray[np.uint8], height: Plane, view: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], Plane, Plane]:
    """Something that does not belong there: the new colours and gloss (h, w, 4), the new relief, and where it is, 0..1."""
    rows, columns = np.nonzero(view[::8, ::8])
    k = rng.integers(len(rows))
    middle, size = np.array([8 * columns[k], 8 * rows[k]]), float(np.exp(rng.uniform(np.log(7), np.log(60))))
    far = 2.2 * size + 12
    low, high = np.maximum(middle - far, 0).astype(int), np.minimum(middle + far, height.shape[::-1]).astype(int)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    size_of = (high[1] - low[1], high[0] - low[0])
    alpha = shape(rng, size_of, (middle - low).astype(np.float64), size)
    what = texture(rng, size_of)
    tone = what[alpha > 0.5].mean(axis=0) if (alpha > 0.5).any() else np.zeros(3)
    if tone[0] - tone[1:].mean() > 0.08:  # red, pink or yellow may be blood, an organ or fat: made grey, it may not
        what = what + (what.mean(axis=2, keepdims=True) - what) * np.float32(rng.uniform(0.7, 1.0))
    colours, relief, where = albedo.copy(), height.copy(), np.zeros_like(height)
    dark = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(2, 5)) * (1 - alpha) * np.float32(rng.uniform(0, 0.7))
    some = albedo[window].astype(np.float32)
    some[..., :3] *= 1 - dark[..., None]
    gloss = np.full((*size_of, 1), 255 * rng.uniform(0, 1), np.float32)
    new = np.concatenate([255 * what, gloss], axis=2)
    colours[window] = (some + (new - some) * alpha[..., None]).astype(np.uint8)
    relief[window] += np.float32(rng.uniform(0, 0.02)) * cv2.GaussianBlur(alpha, (0, 0), rng.uniform(1, 4))
    relief[window] += np.float32(rng.choice([0, 0.004])) * waves(rng, size_of, rng.uniform(3, 12)) * alpha
    where[window] = alpha
    return colours, relief, where
