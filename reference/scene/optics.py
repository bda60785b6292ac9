"""Light, lens and sensor: from fields of colour and height to a picture.

Colours are float32 planes (3, h, w), 1.0 = full scale.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.canvas import blur, triple
from reference.scene.noise import Field, fractal

Picture = NDArray[np.uint8]  # RGB, (h, w, 3)
Grid = tuple[Field, Field]  # scene x and y of every pixel
STEEPEST = 1.2  # slope; a cut edge of one organ over another is no wall
TONES = 1024  # steps of the tone curve
SLACK = 64  # pixels by which the sensor's noise is larger than a picture, to be shifted at random


@dataclass
class Lamp:
    """The light beside the lens."""

    x: float
    y: float
    spot: float  # how fast it fades to the side
    reach: float  # how fast things grow dark with distance
    shininess: float
    sparkle: float
    deep: tuple[float, float, float]  # by channel: how much light shadow keeps inside the tissue


def draw_lamp(rng: np.random.Generator) -> Lamp:
    deep = (rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.4), rng.uniform(0.05, 0.4))
    return Lamp(
        rng.normal(0, 0.12),
        rng.normal(0, 0.12),
        rng.uniform(0.1, 0.9),
        rng.uniform(0.8, 3.0),
        rng.uniform(40, 160),
        rng.uniform(0.8, 3.0),
        deep,
    )


def light(lamp: Lamp, albedo: NDArray[np.uint8], height: Field, grid: Grid, scale: float) -> Field:
    """Shade tissue of (h, w, 4) colour and gloss.

    Lambert with a wrap that differs by channel stands for light scattered under the surface (red travels farthest);
    Blinn-Phong with the lamp beside the lens gives the highlights.
    """
    x, y = grid
    slope_x, slope_y = (
        np.clip(cv2.Sobel(height, cv2.CV_32F, *way, ksize=3, scale=scale / 8), -STEEPEST, STEEPEST)
        for way in ((1, 0), (0, 1))
    )
    steep = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    to_x, to_y = lamp.x - x, lamp.y - y  # towards a lamp one unit away
    aside = to_x * to_x + to_y * to_y
    facing = (1 - slope_x * to_x - slope_y * to_y) * steep / np.sqrt(1 + aside)
    half_x, half_y = 0.5 * lamp.x - x, 0.5 * lamp.y - y
    mirror = (1 - slope_x * half_x - slope_y * half_y) * steep / np.sqrt(1 + half_x * half_x + half_y * half_y)
    near = np.maximum(np.exp(lamp.reach * (height - 0.25)) * (1 - lamp.spot * aside), 0.05)
    *colours, gloss = cv2.split(albedo)
    shine = np.exp((6 * lamp.shininess) * (np.minimum(mirror, 1) - 1)) * gloss
    shine *= (lamp.sparkle / 255) ** 2 * gloss * np.minimum(near, 1.2) ** 2
    near *= 1 / 255
    rgb = np.empty((3, *height.shape), np.float32)
    for k, (colour, deep) in enumerate(zip(colours, lamp.deep, strict=True)):
        rgb[k] = np.maximum((facing + deep) * (1 / (1 + deep)), 0.02) * colour * near + shine
    return rgb


@dataclass
class Camera:
    """Everything between the tissue and the file, drawn once for a procedure."""

    circle: tuple[float, float, float]  # centre x, y and radius of the field of view, scene units
    feather: float
    vignette: float
    bright: float  # what the automatic exposure makes of the bright parts of the first frame
    balance: tuple[float, float, float]
    gamma: float
    defocus: float
    noise: float
    quality: int  # JPEG quality that stands for compression, 0 = none
    saturation: float
    veil: float  # light scattered in the lens: black is never black within the field of view
    crisp: float  # how far the processor sharpens edges


def draw_camera(rng: np.random.Generator) -> Camera:
    round_view = rng.random() < 0.65
    circle = (rng.normal(0, 0.05), rng.normal(0, 0.03), rng.uniform(0.5, 0.9) if round_view else 3.0)
    balance = (1.0, rng.uniform(0.88, 1.12), rng.uniform(0.8, 1.2))
    quality = int(rng.uniform(30, 90)) if rng.random() < 0.4 else 0
    return Camera(
        circle,
        rng.uniform(0.004, 0.03),
        rng.uniform(0, 0.7),
        rng.uniform(0.5, 1.1),
        balance,
        rng.uniform(0.85, 1.4),
        max(0.0, rng.normal(0, 0.003)),
        rng.uniform(0, 0.02),
        quality,
        rng.uniform(0.75, 1.3),
        max(0.0, rng.uniform(-0.04, 0.06)),
        max(0.0, rng.uniform(-1.0, 1.5)),
    )


class Lens:
    """The camera's fixed fields for one picture size."""

    def __init__(self, camera: Camera, grid: Grid, scale: float, rng: np.random.Generator) -> None:
        self._camera, self._scale = camera, scale
        x, y = grid
        radius = np.sqrt((x - camera.circle[0]) ** 2 + (y - camera.circle[1]) ** 2)
        self.view = np.clip((camera.circle[2] - radius) * (1 / camera.feather), 0, 1)
        self._falloff = self.view * np.clip(1 - camera.vignette * radius * radius, 0.1, 1)
        height, width = x.shape
        extent = (width / scale, height / scale)
        self._smoke = fractal(rng, (height, 2 * width), (2 * extent[0], extent[1]), 0.5, 4)
        self._smoke = np.clip(self._smoke * 0.25 + 0.5, 0, 1)
        self.smear = np.clip(fractal(rng, x.shape, extent, 0.35, 2) * 1.5 - 0.3, 0, 1)
        self._noise = rng.standard_normal((height + SLACK, width + SLACK), dtype=np.float32)
        levels = np.arange(TONES) * (2 / TONES)
        curve = np.where(levels > 0.7, 0.7 + 0.3 * np.tanh((levels - 0.7) / 0.3), levels) ** camera.gamma
        self._tones = curve.astype(np.float32)
        self._gain = triple(camera.balance)

    @property
    def gain(self) -> float:
        """What the automatic exposure multiplies light with."""
        return float(self._gain.max())

    def expose(self, rgb: Field) -> None:
        """Automatic exposure: set the gain from a lit picture."""
        bright = np.percentile(rgb.max(axis=0)[::4, ::4][self.view[::4, ::4] > 0.5], 85)
        self._gain = triple(self._camera.balance) * float(np.clip(self._camera.bright / max(bright, 0.02), 0.3, 6))

    def picture(self, rgb: Field, haze: dict[str, float], t: float, rng: np.random.Generator) -> Picture:
        """What the file holds at time ``t``. ``haze`` has the strength of each of HAZE; ``rgb`` is overwritten."""
        self._spoil(rgb, haze, t)
        rgb *= self._gain
        grey = rgb.mean(axis=0)
        rgb += (rgb - grey) * (self._camera.saturation - 1)
        rgb = self._tones[np.clip(rgb * (TONES / 2), 0, TONES - 1).astype(np.uint16)]
        rgb *= self._falloff
        rgb += np.float32(self._camera.veil) * self.view
        height, width = rgb.shape[1:]
        for k, (a, b) in enumerate(rng.integers(0, SLACK, (3, 2))):
            rgb[k] += self._camera.noise * (0.3 + rgb[k]) * self._noise[a : a + height, b : b + width]
        picture = cv2.merge([np.clip(plane * 255, 0, 255).astype(np.uint8) for plane in rgb])
        if self._camera.defocus * self._scale > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), self._camera.defocus * self._scale)
        if self._camera.crisp:
            picture = sharpen(picture, self._camera.crisp, 0.004 * self._scale)
        picture = streak(picture, 0.05 * haze["jolt"] * self._scale, rng.uniform(0, np.pi))
        return code(picture, self._camera.quality) if self._camera.quality else picture

    def _spoil(self, rgb: Field, haze: dict[str, float], t: float) -> None:
        """Smoke before the lens, smears and fog on it."""
        if haze["smoke"]:
            width = rgb.shape[2]
            at = int(0.1 * t * self._scale) % width
            rgb += (triple([0.62, 0.62, 0.66]) / self._gain - rgb) * (self._smoke[:, at : at + width] * haze["smoke"])
        if haze["smear"]:
            rgb += (self._blurred(rgb, 0.05) * 0.9 + 0.08 - rgb) * (self.smear * haze["smear"])
        if haze["fog"]:
            rgb += (self._blurred(rgb, 0.1) * 0.7 + 0.15 - rgb) * (0.7 * haze["fog"])

    def _blurred(self, rgb: Field, size: float) -> Field:
        return np.stack([blur(plane, size * self._scale) for plane in rgb])


def streak(picture: Picture, length: float, angle: float) -> Picture:
    """Motion blur of ``length`` pixels along a line."""
    size = int(length) | 1
    if size < 3:
        return picture
    kernel, middle = np.zeros((size, size), np.float32), size // 2
    x, y = round(middle * np.cos(angle)), round(middle * np.sin(angle))
    cv2.line(kernel, (middle - x, middle - y), (middle + x, middle + y), 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()))


def sharpen(picture: Picture, strength: float, size: float) -> Picture:
    """Edges with the halos that endoscope processors give them; ``size`` in pixels."""
    soft = cv2.GaussianBlur(picture, (0, 0), max(size, 0.6))
    return np.asarray(cv2.addWeighted(picture, 1 + strength, soft, -strength, 0))


def code(picture: Picture, quality: int) -> Picture:
    """There and back through JPEG."""
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
