"""How well one mask fits another: Dice, normalised surface distance (NSD) and the 95th percentile of surface distances (HD95).

Surfaces are those of Nikolov et al. (2021, arXiv:1809.04430, "surface-distance"): the outline runs between pixels; each square of
four neighbouring pixels that are not all alike holds a piece of it, a side long or half a diagonal for each odd corner.

Empty masks, as Metrics Reloaded has it (Maier-Hein, Reinke et al., Nature Methods 2024):
    truth and answer empty    no value: the frame says nothing of this label (their NaN); it is counted and left out
    one of them empty         the worst value: Dice and NSD 0, HD95 the mask's diagonal
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
SIDE, CORNER = 1.0, float(np.sqrt(0.5))
_PIECES = np.array([[0, 0], [0, 1], [0, 1], [1, 0], [0, 1], [1, 0], [0, 2], [0, 1]])
_LENGTHS = np.concatenate([_PIECES, _PIECES[::-1]]).astype(np.int64)
"""(16, 2): sides and corners of the outline in a square whose pixels, read as bits, make that number."""
PERCENT = 0.95
NOT_LABELLED = 255
"""In a true mask: nobody knows what this pixel shows."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels of one label in one frame."""

    both: int
    found: int
    true: int

    @property
    def dice(self) -> float | None:
        """0..1; None: no such pixel in either."""
        return 2 * self.both / (self.found + self.true) if self.found + self.true else None


@dataclass(frozen=True, slots=True)
class Distances:
    """From each piece of one outline to the other outline. Pieces are put together by distance."""

    squared: NDArray[np.int64]
    """Ascending, pixels², each once: exact."""
    sides: NDArray[np.int64]
    corners: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Of the outline at each distance, pixels."""
        return self.sides * SIDE + self.corners * CORNER


@dataclass(frozen=True, slots=True)
class Surfaces:
    """Two outlines."""

    true: Distances
    """From the truth's to the answer's."""
    found: Distances
    """From the answer's to the truth's."""
    diagonal: float
    """Of the mask, pixels: the worst distance that there can be."""

    def nsd(self, tolerance: float) -> float | None:
        """The share of both outlines that lies within `tolerance` pixels of the other; None: both masks are empty."""
        total = within = 0.0
        for one in (self.true, self.found):
            lengths = one.lengths
            near = one.squared <= tolerance * tolerance + 1e-9
            total += float(lengths.sum())
            within += float(lengths[near].sum()) if len(self.true.squared) and len(self.found.squared) else 0.0
        return within / total if total else None

    @property
    def hd95(self) -> float | None:
        """The larger of both directions' 95th percentiles, weighted by length, pixels; None: both masks are empty."""
        if not len(self.true.squared) and not len(self.found.squared):
            return None
        if not len(self.true.squared) or not len(self.found.squared):
            return self.diagonal
        return max(_percentile(self.true), _percentile(self.found))


def overlaps(found: NDArray[np.uint8], true: NDArray[np.uint8], labels: int) -> NDArray[np.int64]:
    """(labels + 1, labels + 1): pixels by truth (row) and answer (column) of two masks of one shape; the last row and column are
    for whatever is beyond the labels. Where the truth is NOT_LABELLED nothing is counted."""
    index = np.minimum(true, labels).astype(np.int32) * (labels + 1) + np.minimum(found, labels)
    index = index[true != NOT_LABELLED]
    return np.bincount(index, minlength=(labels + 1) ** 2).reshape(labels + 1, labels + 1).astype(np.int64)


def overlap(table: NDArray[np.int64], label: int) -> Overlap:
    """Of one label in such a table."""
    return Overlap(int(table[label, label]), int(table[:, label].sum()), int(table[label].sum()))


def surfaces(found: Mask, true: Mask) -> Surfaces:
    """The outlines of two masks of one shape. What lies outside the picture is not of the label."""
    diagonal = float(np.hypot(*true.shape))
    box = _box(found | true)
    if box is None:
        none = Distances(*(np.zeros(0, np.int64),) * 3)
        return Surfaces(none, none, diagonal)
    codes = [_codes(one[box]) for one in (true, found)]
    lines = [(code != 0) & (code != 15) for code in codes]
    (true_away, found_away) = (_away(line) for line in lines)
    return Surfaces(_distances(codes[0], lines[0], found_away), _distances(codes[1], lines[1], true_away), diagonal)


def _box(mask: Mask) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _codes(mask: Mask) -> NDArray[np.uint8]:
    """(h + 1, w + 1): the four pixels around each corner, as bits."""
    padded = np.pad(mask, 1).view(np.uint8)
    return 8 * padded[:-1, :-1] + 4 * padded[:-1, 1:] + 2 * padded[1:, :-1] + padded[1:, 1:]


def _away(line: Mask) -> NDArray[np.int64] | None:
    """The squared distance of each place to the nearest of the line, exact: the transform is, up to the rounding of its root."""
    if not line.any():
        return None
    away = cv2.distanceTransform((~line).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.rint(np.square(away, dtype=np.float64)), np.int64)


def _distances(codes: NDArray[np.uint8], line: Mask, away: NDArray[np.int64] | None) -> Distances:
    lengths = _LENGTHS[codes[line]]
    squared = away[line] if away is not None else np.zeros(len(lengths), np.int64)
    known, index = np.unique(squared, return_inverse=True)
    sides, corners = (np.bincount(index, column, len(known)).astype(np.int64) for column in lengths.T)
    return Distances(known, sides, corners)


def _percentile(one: Distances) -> float:
    shares = np.cumsum(one.lengths) / one.lengths.sum()
    return float(np.sqrt(one.squared[min(int(np.searchsorted(shares, PERCENT)), len(shares) - 1)]))
