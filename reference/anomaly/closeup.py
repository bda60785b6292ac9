"""Close-ups: the end of an instrument, however it lies in the picture, turned to one side and brought to one size.

In a close-up the tip points left and the shaft goes on to the right; the hinge, where the body of the instrument ends and
its jaws or its hook begin, is always at the same place. The hinge, not the tip: that may be what is broken.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.instruments import TIP_AT, Instrument, Pose, hinge_point

SHAPE = (48, 128)  # height, width, pixels
SCALE = 7.0  # pixels to half the width of the shaft
HINGE = (24.0, 54.5)  # row, column, counted from the corner: a pixel's middle is at a half
STRIDE = 8  # pixels for which there is one answer, each way
Places = NDArray[
    np.float32
]  # (n, 5): the hinge's x, y; the way from shaft to tip, x, y, unit; half of the width. Pixels


def place(tool: Instrument, pose: Pose, size: tuple[int, int]) -> Places:
    """Where an instrument is in a picture of ``size`` (height, width): one row."""
    height, width = size
    x, y = hinge_point(tool, pose) * height + (width / 2, height / 2)
    half = pose.radius * height * (1 + pose.taper * max(tool.hinge - TIP_AT, 0) * pose.radius)
    return np.array([[x, y, np.cos(pose.angle), np.sin(pose.angle), half]], np.float32)


def jittered(rng: np.random.Generator, at: Places) -> Places:
    """One row as it might have been found: most often about right, at times quite wrong."""
    x, y, a, b, half = (float(value) for value in at)
    wild = 1.0 if rng.random() < 0.85 else 4.0
    along, across, turn = wild * rng.normal(0, (0.3, 0.2, 0.06))
    along, across, grown = along * half, across * half, float(np.exp(rng.normal(0, 0.12 * wild**0.5)))
    cos, sin = np.cos(turn), np.sin(turn)
    row = [x + along * a - across * b, y + along * b + across * a, a * cos - b * sin, a * sin + b * cos]
    return np.array([*row, half * grown], np.float32)


def cut(picture: NDArray[np.uint8], at: Places, nearest: bool = False, margin: int = 0) -> NDArray[np.uint8]:
    """The close-up (48, 128[, 3]) of one row, with so many pixels more on all sides; black where the picture has ended."""
    x, y, a, b, half = (float(value) for value in at)
    step = half / SCALE
    row, column = HINGE[0] - 0.5 + margin, HINGE[1] - 0.5 + margin
    matrix = np.array([[-a * step, -b * step, 0], [-b * step, a * step, 0]])
    matrix[:, 2] = np.array([x - 0.5, y - 0.5]) - matrix[:, :2] @ (column, row)
    how = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    return np.asarray(
        cv2.warpAffine(picture, matrix, (SHAPE[1] + 2 * margin, SHAPE[0] + 2 * margin), flags=how), np.uint8
    )
