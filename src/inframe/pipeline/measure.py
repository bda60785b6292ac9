"""Measures: the numbers that rules compare, taken from one output. Each is taken once per output, however many rules
use it.

Costs must not grow with the resolution of a model's mask: areas are counted in every pixel (a compare and a count, 7
µs at 320x192), distances and parts on a grid of at most GRID square cells across the frame, whatever the aspect of
frame and mask. Full resolution was rejected: at 1280x720 a distance transform takes 5 ms, the whole drawing budget.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

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
    Within 1.5 cells of the true one; whatever is in the mask is found, be it one pixel thin. No value if a label is
    absent."""

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


Measure = Area | Distance | Score | Count
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
    masks: dict[int, Pixels] = field(default_factory=dict)
    areas: dict[int, float] = field(default_factory=dict)

    def mask(self, classes: NDArray[np.uint8], label: int) -> Pixels:
        """(h, w) uint8, 255 where the label is."""
        if label not in self.masks:
            self.masks[label] = np.asarray(cv2.compare(classes, float(label), cv2.CMP_EQ), np.uint8)
        return self.masks[label]

    def area(self, classes: NDArray[np.uint8], label: int) -> float:
        """The label's share of the region."""
        if label not in self.areas:
            self.areas[label] = cv2.countNonZero(self.mask(classes, label)) / classes.size
        return self.areas[label]


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
    match measure:
        case Area():
            return True, sum(view.area(masks.classes, label) for label in set(measure.labels))
        case Distance():
            return True, _distance(measure, masks, view)
        case Count():
            return True, _parts(measure, masks, view)
    return False, None


def _grid(masks: Masks, aspect: float) -> tuple[int, int]:
    """Columns and rows of square cells that cover the region."""
    x0, y0, x1, y1 = masks.region
    columns = min(GRID, masks.classes.shape[1])
    return columns, max(1, round(columns * aspect * (y1 - y0) / (x1 - x0)))


def _distance(measure: Distance, masks: Masks, view: _View) -> float | None:
    if not (view.area(masks.classes, measure.source) and view.area(masks.classes, measure.target)):
        return None
    columns, rows = _grid(masks, measure.aspect)
    source, target = (_cells(view.mask(masks.classes, m), columns, rows) for m in (measure.source, measure.target))
    away = cv2.distanceTransform(cv2.bitwise_not(target), cv2.DIST_L2, cv2.DIST_MASK_5)
    cells = cv2.minMaxLoc(away, source)[0]
    x0, _, x1, _ = masks.region
    return float(max(0.0, cells - 1) * (x1 - x0) / columns)


def _cells(mask: Pixels, columns: int, rows: int) -> Pixels:
    """A cell holds a label if any of its pixels does: sampling alone would lose what is thinner than a cell."""
    height, width = mask.shape
    cell = np.ones((-(-height // rows), -(-width // columns)), np.uint8)
    whole = cv2.dilate(mask, cell) if cell.size > 1 else mask
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_NEAREST), np.uint8)


def _parts(measure: Count, masks: Masks, view: _View) -> float:
    if not view.area(masks.classes, measure.label):
        return 0.0
    mask = view.mask(masks.classes, measure.label)
    grid = cv2.resize(mask, _grid(masks, measure.aspect), interpolation=cv2.INTER_NEAREST)
    _, _, stats, _ = cv2.connectedComponentsWithStats(grid, connectivity=8)
    return float(np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] >= measure.min_area * grid.size))
