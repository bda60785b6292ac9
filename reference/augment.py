"""What a training frame goes through each time it is seen: another place, another camera, another white balance."""

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.data import INPUT
from reference.scene.optics import streak

# Sensor noise, cut out somewhere else each time: drawing it anew cost as much as all else together.
_GRAIN = np.random.default_rng(0).standard_normal((INPUT[0] + 64, INPUT[1] + 64, 3), np.float32)


def _move(
    rng: np.random.Generator, picture: NDArray[np.uint8], mask: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Flip, turn, scale (most often closer) and shift; what comes from outside the frame is outside the view."""
    height, width = mask.shape
    scale, angle = float(np.exp(rng.normal(0.08, 0.22))), rng.normal(0, 0.35)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag(rng.choice([-1.0, 1.0], 2, p=[0.4, 0.6]))
    middle = np.array([width / 2, height / 2])
    shift = middle - turn @ middle + rng.normal(0, 0.08, 2) * (width, height)
    fit = np.array([[size[1] / width], [size[0] / height]])
    matrix = np.column_stack([turn, shift]) * fit
    border = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REFLECT
    return (
        cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border),
        cv2.warpAffine(mask, matrix, size[::-1], flags=cv2.INTER_NEAREST, borderMode=border),
    )


def _recolour(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A different sensor: colour matrix, gain and gamma by channel, black level."""
    grey = np.full((3, 3), 1 / 3)
    matrix = grey + (np.eye(3) - grey) * np.exp(rng.normal(0, 0.25)) + rng.normal(0, 0.04, (3, 3))
    picture = cv2.transform(picture, matrix)
    steps = np.arange(256) / 255
    gamma, gain = (
        np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3)),
        np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3)),
    )
    tables = np.clip(gain * steps[:, None] ** gamma + max(0.0, rng.normal(0, 0.02)), 0, 1) * 255
    toned: NDArray[np.uint8] = cv2.LUT(picture, tables.astype(np.uint8)[None])
    return toned


def _spoil(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur along a line (a fast camera), a soft focus, sensor noise."""
    if rng.random() < 0.2:
        picture = streak(picture, rng.uniform(2, 9), rng.uniform(0, np.pi))
    if rng.random() < 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:
        y, x = rng.integers(0, 64, 2)
        height, width = picture.shape[:2]
        grain = _GRAIN[y : y + height, x : x + width] * np.float32(rng.uniform(1, 8))
        picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
    return picture


def augment(
    rng: np.random.Generator, picture: NDArray[np.uint8], mask: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB uint8 (h, w, 3) and classes uint8 (h, w), changed alike and brought to ``size`` (height, width)."""
    picture, mask = _move(rng, picture, mask, size)
    return _spoil(rng, _recolour(rng, picture)), mask
