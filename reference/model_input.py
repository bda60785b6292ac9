"""From pictures to a model's input, as the device file states it; numpy only, so that no torch is needed to use a model."""

import numpy as np
from numpy.typing import NDArray

MEAN, STD = (0.45, 0.30, 0.25), (0.28, 0.22, 0.20)  # of RGB scaled to 0..1


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (n, h, w, 3) -> float32 (n, 3, h, w)."""
    scaled = (pictures.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)
