"""What the anomaly model must beat: a plain colour model of the pixels, and the anatomy model's own doubt.

Both give a score for each cell of the anomaly model; their thresholds are chosen as the model's are.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import STRIDE
from reference.anomaly.data import CUT
from reference.anomaly.watch import CELLS

BINS = 24  # of each colour, in the histogram
Scores = NDArray[np.float32]  # (count, 44, 80): higher is odder


def _cells(planes: NDArray[np.float32]) -> Scores:
    count = len(planes)
    return np.asarray(planes.reshape(count, CELLS[0], STRIDE, CELLS[1], STRIDE).mean(axis=(2, 4)), np.float32)


@dataclass(frozen=True)
class ColourModel:
    """How often each colour is seen in frames that show nothing wrong: a histogram of RGB."""

    surprise: NDArray[np.float32]  # (24, 24, 24): -log of the share of pixels

    @staticmethod
    def _index(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
        bins = (pictures.astype(np.uint16) * BINS // 256).astype(np.uint8)
        return bins[..., 0], bins[..., 1], bins[..., 2]

    @classmethod
    def learn(cls, pictures: list[NDArray[np.uint8]]) -> "ColourModel":
        """From frames (n, h, w, 3) of several procedures."""
        counts = np.full((BINS, BINS, BINS), 0.5)
        for some in pictures:
            r, g, b = cls._index(np.asarray(some[::5, ::3, ::3]))
            flat = np.ravel_multi_index((r.ravel(), g.ravel(), b.ravel()), counts.shape)
            counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        return cls((-np.log(counts / counts.sum())).astype(np.float32))

    def scores(self, pictures: NDArray[np.uint8]) -> Scores:
        """The mean surprise of each cell's pixels; pictures (count, 360, 640, 3)."""
        return np.concatenate([_cells(self.surprise[self._index(one[None, CUT])]) for one in pictures])

    def save(self, path: Path) -> None:
        np.save(path, self.surprise)

    @classmethod
    def load(cls, path: Path) -> "ColourModel":
        return cls(np.load(path))


def doubt(logits: NDArray[np.float32]) -> Scores:
    """1 - the highest chance that the anatomy model gives any class; logits (count, classes, 96, 160)."""
    sure = np.exp(logits - logits.max(axis=1, keepdims=True))
    unsure = 1 - 1 / sure.sum(axis=1)
    edge = CUT.start / 360 * logits.shape[2]  # rows that the anomaly model does not see
    rows = slice(round(edge), round(logits.shape[2] - edge))
    return np.stack([cv2.resize(one[rows], CELLS[::-1], interpolation=cv2.INTER_AREA) for one in unsure])


def as_maps(scores: Scores, threshold: float) -> NDArray[np.float32]:
    """Scores as the maps of an anomaly model that knows one kind of anomaly: above 0 where above the threshold."""
    maps = np.full((len(scores), 3, *CELLS), -99, np.float32)
    maps[:, 0] = scores - threshold
    return maps
