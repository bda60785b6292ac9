"""Measures: the numbers that rules compare, taken from one output. Each is taken once per output, however many rules
use it.

Areas are counted in every pixel, distances and parts on a grid of at most GRID x GRID square cells, whatever the size
and aspect of mask and frame. Full resolution was rejected: a distance transform takes 0.3 ms at 320x192 and 5 ms at
1280x720, all of the time that there is for drawing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.samples import Quality
from inframe.core.types import Boxes, Heat, Masks, Output, Pixels, Result, Scores

GRID = 160
"""Cells across an output's region: a cell is 0.6 % of the frame's width."""


@dataclass(frozen=True, slots=True)
class Area:
    """Segmentation: the share of the region, 0..1, that the labels cover."""

    model: str
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distance:
    """Segmentation: the shortest distance between two labels as a fraction of the frame's width; 0: they touch.

    Whatever is in the mask is found, be it one pixel thin. Below 0.2 it reads at most 0.012 too near and 0.004 too far
    (found on random rectangles), beyond that at most 0.02 off. No value if a label is absent.
    """

    model: str
    source: int
    target: int
    aspect: float
    """The frame's height divided by its width."""


@dataclass(frozen=True, slots=True)
class Score:
    """Classification: the label's score; detection: its best box's, 0 without one; heat: the map's number (label
    None)."""

    model: str
    label: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """Detection: boxes of the label; segmentation: its 8-connected parts of at least `min_area` (share of the
    region)."""

    model: str
    label: int
    min_area: float
    aspect: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A sensor: one number of its stream's aligned value, in that channel's unit."""

    stream: str
    index: int
    absent: str
    """What becomes of the finding while there is none: end, keep, raise."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """A sensor: 1 where its stream is absent for one of these reasons, else 0."""

    stream: str
    among: frozenset[Quality]


Measure = Area | Distance | Score | Count
Sensed = Reading | Lacking


def model_of(measure: object) -> str:
    """The model whose outputs it measures; "": it looks at a sensor alone."""
    return str(getattr(measure, "model", ""))


Values = dict[Measure, float | None]
"""None: known to have no value. A measure that isn't in here is unknown."""


def take(measures: Iterable[Measure], results: Iterable[Result]) -> Values:
    """What the results say of the measures. A number that is not finite, or an output of the wrong kind, says
    nothing."""
    views = {result.model: _View(result.output) for result in results}
    values: Values = {}
    for measure in measures:
        view = views.get(measure.model)
        if view is None or measure in values:
            continue
        known, value = _value(measure, view)
        if known and (value is None or np.isfinite(value)):
            values[measure] = value
    return values


@dataclass(slots=True)
class _View:
    """One output and what has been worked out about it so far; lives for one call of `take`."""

    output: Output
    areas: dict[int, float] = field(default_factory=dict)
    cells: dict[int, Pixels] = field(default_factory=dict)

    def area(self, masks: Masks, label: int) -> float:
        """The label's share of the region."""
        if label not in self.areas:
            self.areas[label] = cv2.countNonZero(_mask(masks.classes, label)) / masks.classes.size
        return self.areas[label]

    def grid(self, masks: Masks, label: int, columns: int, rows: int) -> Pixels:
        """See _pooled."""
        if label not in self.cells:
            self.cells[label] = _pooled(masks.classes, label, columns, rows)
        return self.cells[label]


def _pooled(classes: NDArray[np.uint8], label: int, columns: int, rows: int) -> Pixels:
    """(rows, columns), 1 where any pixel of the cell has the label: a sample would lose what is thinner than a cell.

    Rows first, a few at a time: one dilation of the whole mask takes two buffers of its size from the system anew on
    each frame, page by page, which at 1280x720 cost six times the work itself.
    """
    height, width = classes.shape
    starts = np.arange(rows) * height // rows
    pooled = _mask(classes[starts], label)
    for offset in range(1, -(-height // rows)):
        pooled |= _mask(classes[np.minimum(starts + offset, height - 1)], label)
    across = -(-width // columns)
    if across > 1:
        pooled = np.asarray(cv2.dilate(pooled, np.ones((1, across), np.uint8), anchor=(0, 0)), np.uint8)
    return np.asarray(cv2.resize(pooled, (columns, rows), interpolation=cv2.INTER_NEAREST), np.uint8)


def _mask(classes: NDArray[np.uint8], label: int) -> Pixels:
    """(h, w) uint8, 1 where the label is. (cv2.compare was rejected: it takes masks of a few pixels for scalars.)"""
    return np.equal(classes, label).view(np.uint8)


def _value(measure: Measure, view: _View) -> tuple[bool, float | None]:
    """Whether the output says anything of the measure, and what."""
    if isinstance(view.output, Masks):
        return _of_masks(measure, view.output, view)
    match measure, view.output:
        case Count(), Boxes(_, _, classes):
            return True, float(np.count_nonzero(classes == measure.label))
        case Score(label=int(label)), Boxes(_, scores, classes):
            return True, float(scores[classes == label].max(initial=0.0))
        case Score(label=int(label)), Scores(scores) if label < len(scores):
            return True, float(scores[label])
        case Score(label=None), Heat(score=score):
            return True, score
    return False, None


def _of_masks(measure: Measure, masks: Masks, view: _View) -> tuple[bool, float | None]:
    x0, y0, x1, y1 = masks.region
    if not (x1 > x0 and y1 > y0 and masks.classes.size):  # an integrator's function may return anything
        return False, None
    match measure:
        case Area():
            return True, sum(view.area(masks, label) for label in set(measure.labels))
        case Distance():
            return True, _distance(measure, masks, view)
        case Count():
            return True, _parts(measure, masks)
    return False, None


def _grid(masks: Masks, aspect: float) -> tuple[int, int]:
    """Columns and rows of square cells that cover the region, at most GRID of each."""
    x0, y0, x1, y1 = masks.region
    tall = aspect * (y1 - y0) / (x1 - x0)
    columns = min(GRID, masks.classes.shape[1], max(1, int(GRID / tall)))
    return columns, min(GRID, max(1, round(columns * tall)))


def _distance(measure: Distance, masks: Masks, view: _View) -> float | None:
    columns, rows = _grid(masks, measure.aspect)
    source, target = (view.grid(masks, label, columns, rows) for label in (measure.source, measure.target))
    if not (source.any() and target.any()):
        return None
    away = cv2.distanceTransform((target == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    cells = cv2.minMaxLoc(away, source)[0]
    x0, _, x1, _ = masks.region
    return float(max(0.0, cells - 1) * (x1 - x0) / columns)


def _parts(measure: Count, masks: Masks) -> float:
    sampled = cv2.resize(masks.classes, _grid(masks, measure.aspect), interpolation=cv2.INTER_NEAREST)
    mask = _mask(np.asarray(sampled, np.uint8), measure.label)
    if not mask.any():
        return 0.0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)  # 32S takes 3x as long
    return float(np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] >= measure.min_area * mask.size))
