"""One frame's answer of a segmentation model beside its true mask -> numbers that a Tally adds up."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.config import ModelConfig
from inframe.core.errors import ConfigError
from inframe.core.types import Masks, Region
from inframe.revalidation import confidence
from inframe.revalidation.cases import Case, LabelMasks
from inframe.revalidation.masks import NOT_LABELLED, overlap, overlaps, surfaces
from inframe.revalidation.tally import BINS, Empty, Mean, fixed

BACKGROUND = "background"
"""A label of this name is what is left over: it is no structure, and not judged by itself."""
NOT_SEEN = 254
_UNKNOWN = 253
Ints = NDArray[np.uint8]


@dataclass
class Scores:
    """What is said of one model in one case."""

    name: str
    config: ModelConfig
    region: Region
    """Of the model's whole output on the frame, letterbox bars included."""
    case: Case
    masks: Ints
    """(n, height, width): the case's, in the model's labels."""
    every: int
    tolerance: float
    """For NSD, pixels of the frame."""
    sample: int
    """Surfaces and calibration are measured on each n-th frame with a mask."""
    means: dict[str, Mean] = field(default_factory=dict)
    empty: dict[str, Empty] = field(default_factory=dict)
    bins: confidence.Bins = field(default_factory=lambda: np.zeros((BINS, 3), np.int64))
    labelled: int = 0

    def __post_init__(self) -> None:
        self.labels = [(k, label) for k, label in enumerate(self.config.labels) if label != BACKGROUND]
        self.pixel = self.case.stream.width / self.masks.shape[2]
        """Of the mask, in pixels of the frame."""

    def true(self, seq: int) -> Ints | None:
        """The mask of a frame, where it has one."""
        nth, off = divmod(seq - 1, self.every)
        return None if off or nth >= len(self.masks) else self.masks[nth]

    def add(self, seq: int, answer: Masks | None, tap: confidence.Tap) -> float | None:
        """Count a frame that has a mask; None: the model had no answer, which finds nothing. Returns its labels' mean Dice."""
        true = self.true(seq)
        if true is None:
            return None
        found = laid(answer, true.shape) if answer is not None else np.full(true.shape, NOT_SEEN, np.uint8)
        table = overlaps(found, true, len(self.config.labels))
        sampled = self.labelled % self.sample == 0
        self.labelled += 1
        dices = []
        for k, label in self.labels:
            counted = overlap(table, k)
            dice = counted.dice
            self._empty(label, counted.true, counted.found)
            if dice is None:
                continue
            dices.append(dice)
            self._mean("dice", label, dice)
            if sampled:
                both = surfaces((found == k) & (true != NOT_LABELLED), true == k)
                self._mean("nsd", label, both.nsd(self.tolerance / self.pixel) or 0.0)
                self._mean("hd95", label, (both.hd95 or 0.0) * self.pixel)
        if sampled and answer is not None and confidence.is_estimable(self.config):
            self._calibration(answer, true, tap)
        return sum(dices) / len(dices) if dices else None

    def _mean(self, metric: str, label: str, value: float) -> None:
        key = f"{metric}/{self.name}/{label}"
        self.means[key] = self.means.get(key, Mean()).plus(Mean(count=1, total=fixed(value)))

    def _empty(self, label: str, true: int, found: int) -> None:
        key = f"{self.name}/{label}"
        before = self.empty.get(key, Empty())
        if not (true or found):
            self.empty[key] = before.model_copy(update={"both": before.both + 1})
        elif not true:
            self.empty[key] = before.model_copy(update={"true": before.true + 1})
        elif not found:
            self.empty[key] = before.model_copy(update={"found": before.found + 1})

    def _calibration(self, answer: Masks, true: Ints, tap: confidence.Tap) -> None:
        """On the model's own pixels: between them it has said nothing."""
        sure = confidence.confidence(self.config, tap.said, self.region)
        rows, columns = (
            np.clip(axis, 0, size - 1) for axis, size in zip(_centres(answer, true.shape), true.shape, strict=True)
        )
        here = true[rows[:, None], columns[None]]
        self.bins += confidence.bins(sure, answer.classes == here, here != NOT_LABELLED)


def laid(answer: Masks, shape: tuple[int, ...]) -> Ints:
    """An answer on the pixels of a true mask of that shape, nearest; NOT_SEEN where the model does not look."""
    height, width = shape
    x0, y0, x1, y1 = answer.region
    rows = _nearest(height, y0, y1, answer.classes.shape[0])
    columns = _nearest(width, x0, x1, answer.classes.shape[1])
    seen = (rows >= 0)[:, None] & (columns >= 0)[None]
    whole = answer.classes[np.maximum(rows, 0)][:, np.maximum(columns, 0)]
    return whole if seen.all() else np.where(seen, whole, np.uint8(NOT_SEEN))


def _nearest(count: int, low: float, high: float, cells: int) -> NDArray[np.intp]:
    """For each of `count` pixels across the frame the cell, of `cells` between low and high, that its middle lies in; -1: none."""
    at = np.floor(((np.arange(count) + 0.5) / count - low) / (high - low) * cells + 1e-9).astype(np.intp)
    return np.where((at >= 0) & (at < cells), at, -1)


def _centres(answer: Masks, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The true mask's pixel in which the middle of each of the answer's rows and columns lies."""
    x0, y0, x1, y1 = answer.region
    rows, columns = answer.classes.shape
    y = np.floor((y0 + (np.arange(rows) + 0.5) / rows * (y1 - y0)) * shape[0]).astype(np.intp)
    x = np.floor((x0 + (np.arange(columns) + 0.5) / columns * (x1 - x0)) * shape[1]).astype(np.intp)
    return y, x


def masks_of(where: str, case: Case, labels: LabelMasks, model_labels: tuple[str, ...], data: Ints) -> Ints:
    """The case's masks in the indices of the model's labels; what the model has no label for can't be found. Raises ConfigError
    for masks that are not of the pictures' proportion, or hold what is no label."""
    height, width = data.shape[1:] if data.ndim == 3 else (0, 0)
    aspect = case.stream.width / case.stream.height
    if data.dtype != np.uint8 or not width or abs(width / height / aspect - 1) > 0.01:
        expected = f"(n, height, width) uint8 in the pictures' proportion, {case.stream.width}:{case.stream.height}"
        raise ConfigError(where, "masks", f"{data.shape} {data.dtype}", expected)
    table = np.full(256, _UNKNOWN, np.uint8)
    for k, label in enumerate(labels.labels):
        if label in model_labels:
            table[k] = model_labels.index(label)
    table[NOT_LABELLED] = NOT_LABELLED
    worst = int(np.max(np.where(data == NOT_LABELLED, 0, data), initial=0))
    if worst >= len(labels.labels):
        raise ConfigError(where, "masks", f"the label {worst}", f"less than {len(labels.labels)}, or {NOT_LABELLED}")
    return np.asarray(cv2.LUT(data.reshape(len(data), -1), table), np.uint8).reshape(data.shape)
