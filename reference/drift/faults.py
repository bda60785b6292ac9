"""DRIFTS: what changes at the onset, each at one strength; the simulator scales the effect that was measured of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.optics import Picture
from reference.scene.script import Script

KINDS = ("instrument", "case mix")


@dataclass(frozen=True)
class Drift:
    """`picture` changes how a picture is taken, `script` what is in it; neither: the same procedures in other proportions, so that
    the first of `named` shifts."""

    kind: str
    named: tuple[str, ...]
    """Signals of which any one, named first, says what drifted."""
    picture: Callable[[Picture], Picture] | None = None
    script: Callable[[Script], Script] | None = None


def _scaled(picture: Picture, by: tuple[float, float, float]) -> Picture:
    return np.asarray(np.clip(picture * np.array(by, np.float32), 0, 255), np.uint8)


def _blur(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.uint8)


@dataclass
class _Veil:
    plane: NDArray[np.float32] | None = None

    def __call__(self, picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        if self.plane is None or self.plane.shape[:2] != (height, width):
            coarse = np.random.default_rng(7).uniform(0.1, 0.4, (5, 8)).astype(np.float32)
            self.plane = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))[..., None]
        lit = picture.max(axis=2, keepdims=True) >= 16
        veil = self.plane * lit
        return np.asarray(picture * (1 - veil) + 190 * veil, np.uint8)


def _camera(picture: Picture) -> Picture:
    """Another camera head: warmer, softer, brighter in the shadows."""
    toned = 255 * (_scaled(picture, (1.06, 1.0, 0.88)) / np.float32(255)) ** np.float32(0.85)
    return np.asarray(cv2.GaussianBlur(np.asarray(toned, np.uint8), (0, 0), 0.7), np.uint8)


def _site_camera(picture: Picture) -> Picture:
    return _scaled(_blur(picture), (0.9, 0.98, 1.1))


def _instruments(script: Script) -> Script:
    """Thicker instruments of one kind, in every procedure."""
    uses = tuple(
        replace(use, kind="clip applier", radius=min(0.1, use.radius * 1.8), defect=None) for use in script.uses
    )
    return replace(script, uses=uses)


def _site_cases(script: Script) -> Script:
    return replace(script, blood=script.blood + 3)


COLOURS = ("red", "blue", "saturation")
BRIGHTNESS = ("luma", "contrast", "glare")
AREAS = tuple(f"anatomy.area.{label}" for label in ("instrument shaft", "instrument tip"))

WATCHED = ("anatomy.area.gallbladder",)
"""What the reference device's rule protects."""

DRIFTS: dict[str, Drift] = {
    "blur": Drift("instrument", ("sharpness", "change"), _blur),
    "smoke": Drift("instrument", (*COLOURS, *BRIGHTNESS, "sharpness"), _Veil()),
    "colour cast": Drift("instrument", COLOURS, lambda picture: _scaled(picture, (1.0, 1.0, 1.2))),
    "gain": Drift("instrument", BRIGHTNESS, lambda picture: _scaled(picture, (0.75, 0.75, 0.75))),
    "new camera": Drift("instrument", (*COLOURS, *BRIGHTNESS, "sharpness", "change"), _camera),
    "new instrument": Drift("case mix", AREAS, script=_instruments),
    "new site": Drift("instrument", (*COLOURS, *BRIGHTNESS, "sharpness", "change"), _site_camera, _site_cases),
    "label shift": Drift("case mix", ("anatomy.area.gallbladder",)),
}  # fmt: skip
