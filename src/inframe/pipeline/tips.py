"""What rules measure of a tool's tip: how far it is from a structure that a model sees, and when it would touch it. Pure.

The tip comes from kinematics, the structure from the model's mask of the very same frame: a mask of another moment says nothing of
where the tip is now.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Masks, Result
from inframe.pipeline.project import Guide, Tip


@dataclass(frozen=True, slots=True)
class Structure:
    """What the distance is to."""

    model: str
    target: int
    behind: frozenset[int]
    """Labels that hide what they stand before: a tool's own pixels."""
    width: int
    """Of the frame, pixels; with its height what a mask's region is a part of."""
    height: int


@dataclass(frozen=True, slots=True)
class TipDistance:
    """From a tool's tip to the nearest pixel of a label; 0: on it."""

    structure: Structure
    tool: str
    guide: Guide
    unit: str
    """width, px or mm."""
    absent: str
    """What becomes of the finding while the tool's sensor has no value: end, keep, raise."""
    contact: bool = False
    """Not the distance is compared, but in how many seconds it would be 0."""

    @property
    def model(self) -> str:
        """Whose masks are looked at."""
        return self.structure.model


@dataclass(frozen=True, slots=True)
class Away:
    """How far a tip is from a structure, frame pixels."""

    px: float
    """To the nearest edge; negative inside."""
    cell_px: float
    """The size of the mask's pixels."""


def away_of(structure: Structure, masks: Masks, tip: Tip) -> Away | None:
    """None where the tip is not in the picture, or nothing has the label."""
    if not (0 <= tip.x < structure.width and 0 <= tip.y < structure.height):
        return None
    x0, y0, x1, y1 = masks.region
    rows, columns = masks.classes.shape
    wide, high = (x1 - x0) * structure.width / columns, (y1 - y0) * structure.height / rows  # of a mask's pixel
    if not (wide > 0 and high > 0):
        return None
    there = uncovered(masks.classes, structure.behind) == structure.target
    if not there.any():
        return None
    x, y = (tip.x - x0 * structure.width) / wide, (tip.y - y0 * structure.height) / high  # in the mask's pixels
    inside = 0 <= x < columns and 0 <= y < rows and bool(there[int(y), int(x)])
    ys, xs = np.nonzero(~there if inside else there)
    if not len(xs):  # it fills the picture: its edge is beyond
        return Away(-float(structure.width), max(wide, high))
    dx = np.maximum(np.maximum(xs - x, x - xs - 1), 0) * wide
    dy = np.maximum(np.maximum(ys - y, y - ys - 1), 0) * high
    px = float(np.sqrt(np.min(dx * dx + dy * dy)))
    return Away(-px if inside else px, max(wide, high))


def uncovered(classes: NDArray[np.uint8], behind: frozenset[int]) -> NDArray[np.uint8]:
    """The mask without what stands before: each pixel of a label in `behind` has the label of the nearest pixel that has none."""
    if not behind:
        return classes
    hides = np.zeros(256, np.uint8)
    hides[list(behind)] = 1
    covered = hides[classes]
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if not len(rows) or len(rows) * len(columns) == 0 or covered.all():
        return classes
    # Only around what hides: one pixel more on each side has the labels that are nearest to its edge.
    part = (slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2))
    seen, hidden = classes[part], covered[part]
    _, nearest = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    label_of = np.zeros(int(nearest.max()) + 1, np.uint8)
    label_of[nearest[hidden == 0]] = seen[hidden == 0]
    whole = classes.copy()
    whole[part] = label_of[nearest]
    return whole


def in_unit(measure: TipDistance, px: float, tip: Tip) -> float:
    """A distance as the rule wants it; 0 inside of the structure."""
    px = max(px, 0.0)
    return px / measure.structure.width if measure.unit == "width" else px * tip.mm_px if measure.unit == "mm" else px


def own_result(model: str, fresh: tuple[Result, ...], now_ns: int) -> Masks | None:
    """The model's mask of the very frame that was captured at `now_ns`."""
    for result in fresh:
        if result.model == model and result.captured_ns == now_ns and isinstance(result.output, Masks):
            return result.output
    return None
