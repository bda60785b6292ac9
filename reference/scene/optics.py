"""Light, lens and sensor: from fields of colour and height to a picture. Colours are float32 planes (3, h, w), 1.0 = full scale."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.canvas import blur, triple
from reference.scene.noise import Field, fractal

Grid = tuple[Field, Field]  # scene x and y of every pixel
STEEPEST = 3.0  # slope; a cut edge of one organ over another is no wall
TONES = 1024  # steps of the tone curve


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
    deep = (rng.uniform(0.15, 0.5), rng.uniform(0.05, 0.2), rng.uniform(0.05, 0.22))
    return Lamp(rng.normal(0, 0.12), rng.normal(0, 0.12), rng.uniform(0.1, 0.9), rng.uniform(0.8, 3.0), rng.uniform(40, 160),
                rng.uniform(0.8, 3.0), deep)


def light(lamp: Lamp, albedo: NDArray[np.uint8], height: Field, grid: Grid, scale: float) -> Field:
    """Shade tissue of (h, w, 4) colour and gloss.

    Lambert with a wrap that differs by channel stands for light scattered under the surface (red travels farthest);
    Blinn-Phong with the lamp beside the lens gives the highlights.
    """
    x, y = grid
    slope_x, slope_y = (
        np.clip(cv2.Sobel(height, cv2.CV_32F, *way, ksize=3, scale=scale / 8), -STEEPEST, STEEPEST) for way in ((1, 0), (0, 1))
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
    for plane, colour, deep in zip(rgb, colours, lamp.deep, strict=True):
        np.maximum((facing + deep) * (1 / (1 + deep)), 0.02, out=plane)
        plane *= colour
        plane *= near
        plane += shine
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


def draw_camera(rng: np.random.Generator) -> Camera:
    round_view = rng.random() < 0.65
    circle = (rng.normal(0, 0.05), rng.normal(0, 0.03), rng.uniform(0.5, 0.9) if round_view else 3.0)
    balance = (1.0, rng.uniform(0.88, 1.12), rng.uniform(0.8, 1.2))
    quality = int(rng.uniform(30, 90)) if rng.random() < 0.4 else 0
    return Camera(circle, rng.uniform(0.004, 0.03), rng.uniform(0, 0.7), rng.uniform(0.5, 1.1), balance, rng.uniform(0.85, 1.4),
                  max(0.0, rng.normal(0, 0.003)), rng.uniform(0, 0.02), quality, rng.uniform(0.75, 1.3))


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
        self._smoke = fractal(rng, (height, 2 * width), (2 * extent[0], extent[1]), 0.5, 4) * 0.25 + 0.5
        self._smear = np.clip(fractal(rng, x.shape, extent, 0.35, 2) * 1.5 - 0.3, 0, 1)
        self._noise = rng.standard_normal((height + 64, width + 64), dtype=np.float32)
        levels = np.arange(TONES) * (2 / TONES)
        curve = np.where(levels > 0.7, 0.7 + 0.3 * np.tanh((levels - 0.7) / 0.3), levels) ** camera.gamma
        self._tones = curve.astype(np.float32)
        self._gain = triple(camera.balance)

    def expose(self, rgb: Field) -> None:
        """Automatic exposure: set the gain from a lit picture."""
        bright = np.percentile(rgb.max(axis=0)[::4, ::4][self.view[::4, ::4] > 0.5], 85)
        self._gain = triple(self._camera.balance) * float(np.clip(self._camera.bright / max(bright, 0.02), 0.3, 6))

    def _blurred(self, rgb: Field, size: float) -> Field:
        return np.stack([blur(plane, size * self._scale) for plane in rgb])

    def picture(self, rgb: Field, haze: dict[str, float], drift: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        """RGB uint8 (h, w, 3). ``haze`` holds smoke, smear, fog and jolt (0..1), ``drift`` moves the smoke; ``rgb`` is overwritten."""
        camera, scale = self._camera, self._scale
        height, width = rgb.shape[1:]
        if haze["smoke"]:
            at = int(drift * scale) % width
            rgb += (triple([0.62, 0.62, 0.66]) / self._gain - rgb) * (np.clip(self._smoke[:, at : at + width], 0, 1) * haze["smoke"])
        if haze["smear"]:
            rgb += (self._blurred(rgb, 0.05) * 0.9 + 0.08 - rgb) * (self._smear * haze["smear"])
        if haze["fog"]:
            rgb += (self._blurred(rgb, 0.1) * 0.7 + 0.15 - rgb) * (0.7 * haze["fog"])
        rgb *= self._gain
        grey = rgb.mean(axis=0)
        rgb += (rgb - grey) * (camera.saturation - 1)
        rgb = self._tones[np.clip(rgb * (TONES / 2), 0, TONES - 1).astype(np.uint16)]
        rgb *= self._falloff
        if camera.noise:
            grain = [self._noise[a : a + height, b : b + width] for a, b in rng.integers(0, 64, (3, 2))]
            for plane, noise in zip(rgb, grain, strict=True):
                plane += camera.noise * (0.3 + plane) * noise
        picture = cv2.merge([np.clip(plane * 255, 0, 255).astype(np.uint8) for plane in rgb])
        return self._code(self._focus(picture, haze["jolt"], rng))

    def _focus(self, picture: NDArray[np.uint8], jolt: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Soft focus, and the smear of a camera that moves while the shutter is open."""
        if self._camera.defocus * self._scale > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), self._camera.defocus * self._scale)
        size = int(0.05 * jolt * self._scale) | 1
        if size < 3:
            return picture
        kernel, angle, middle = np.zeros((size, size), np.float32), rng.uniform(0, np.pi), size // 2
        end = np.array([np.cos(angle), np.sin(angle)]) * middle
        cv2.line(kernel, tuple(np.round(middle - end).astype(int).tolist()), tuple(np.round(middle + end).astype(int).tolist()), 1.0)
        return cv2.filter2D(picture, -1, kernel / kernel.sum())

    def _code(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self._camera.quality:
            return picture
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._camera.quality])[1]
        return cv2.imdecode(coded, cv2.IMREAD_COLOR)
