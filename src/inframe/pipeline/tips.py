"""What rules measure of a tool's tip: how far it is from a structure that a model sees, and when it would touch it. Pure.

The tip comes from kinematics, the structure from the model's mask of the very same frame: a mask of another moment says nothing of
where the tip is now.
"""

from dataclasses import dataclass

import numpy as np

from inframe.core.clock import NS_PER_S
from inframe.core.types import Masks, Result
from inframe.pipeline.project import Guide, Tip

TRACK_NS = NS_PER_S // 2
"""The speed of approach is that of so long."""
LEAST = 5
"""It takes so many distances to tell a speed."""
SLOWEST_PX_S = 3.0
"""Slower than this nothing approaches: the mask's edge trembles as much."""
Track = tuple[tuple[int, float], ...]
"""Moments and distances, ns and pixels, oldest first."""


@dataclass(frozen=True, slots=True)
class TipDistance:
    """From a tool's tip to the nearest pixel of a label; 0: on it."""

    model: str
    guide: Guide
    target: int
    width: int
    """Of the frame, pixels; with its height what a mask's region is a part of."""
    height: int
    unit: str
    """width, px or mm."""
    absent: str
    """What becomes of the finding while the tool's sensor has no value: end, keep, raise."""
    contact: bool = False
    """Not the distance is compared, but in how many seconds it would be 0."""


def distance_px(measure: TipDistance, masks: Masks, tip: Tip) -> float | None:
    """In frame pixels; None where the tip is not in the picture, or nothing has the label."""
    if not (0 <= tip.x < measure.width and 0 <= tip.y < measure.height):
        return None
    x0, y0, x1, y1 = masks.region
    rows, columns = masks.classes.shape
    wide, high = (x1 - x0) * measure.width / columns, (y1 - y0) * measure.height / rows  # of a mask's pixel
    if not (wide > 0 and high > 0):
        return None
    ys, xs = np.nonzero(masks.classes == measure.target)
    if not len(xs):
        return None
    left, top = x0 * measure.width + xs * wide, y0 * measure.height + ys * high
    dx = np.maximum(np.maximum(left - tip.x, tip.x - left - wide), 0)
    dy = np.maximum(np.maximum(top - tip.y, tip.y - top - high), 0)
    return float(np.sqrt(np.min(dx * dx + dy * dy)))


def in_unit(measure: TipDistance, px: float, tip: Tip) -> float:
    """A distance as the rule wants it."""
    return px / measure.width if measure.unit == "width" else px * tip.mm_px if measure.unit == "mm" else px


def follow(track: Track, at_ns: int, px: float) -> Track:
    """The track with one more distance, and without those older than TRACK_NS."""
    return (*(one for one in track if one[0] > at_ns - TRACK_NS), (at_ns, px))


def contact_s(track: Track) -> float | None:
    """In how many seconds the distance is 0, at the speed of the track; None where nothing approaches."""
    if track and track[-1][1] == 0:
        return 0.0
    if len(track) < LEAST:
        return None
    times = np.array([ns - track[-1][0] for ns, _ in track], np.float64) / NS_PER_S
    distances = np.array([px for _, px in track])
    times -= times.mean()
    speed = -float(times @ (distances - distances.mean()) / (times @ times))
    return track[-1][1] / speed if speed >= SLOWEST_PX_S else None


def own_result(measure: TipDistance, fresh: tuple[Result, ...], now_ns: int) -> Masks | None:
    """The model's mask of the very frame that was captured at `now_ns`."""
    for result in fresh:
        if result.model == measure.model and result.captured_ns == now_ns and isinstance(result.output, Masks):
            return result.output
    return None
