"""From a coarse mask to smooth outlines at the frame's own resolution.

A mask of 256x256 drawn at 1280x720 as it is shows a staircase of 5x3 pixels. Instead the boundary is traced at the
mask's resolution, smoothed as a closed curve, and drawn as polygons: the work grows with the boundary, not with the
frame. Rejected: scaling a soft mask of each label to the frame (over 0.5 ms a label on one core at 1280x720).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Region

SHIFT = 4
"""Fractional bits of polygon points, as OpenCV's drawing functions take them."""
PAD = 8
"""Mask pixels that the border is repeated outwards: so curves leave the frame instead of rounding off at its edge."""
MAX_MASK = 1 << 18
"""A mask of more pixels is thinned out first: 512x512 resolves 2.5 pixels of 1280."""
MAX_BOUNDARY = 10_000
"""Boundary pixels beyond which a mask is noise, and tracing it could take longer than a picture may. Five organs at
256x256 have about 3,000, at 512x512 twice as many."""
MAX_CURVES = 160
"""As above: each curve costs some 10 µs, however short."""
_SEGMENT = 9.0
"""Frame pixels between the points of a drawn curve."""
_SHORT = 12
"""Curves of fewer points are drawn as ellipses: too short to smooth."""

Polygon = NDArray[np.int32]
Points = NDArray[np.float32]


def _kernels(sigma: float = 2.6, reach: int = 7) -> tuple[Points, Points]:
    """(smoothing, derivative) for the points of a curve, each (1, n) float32.

    2g - g*g of a Gaussian g has no second moment: unlike g alone it does not shrink curves (compare Taubin 1995).
    """
    x = np.arange(-reach, reach + 1)
    g = np.exp(-(x**2) / (2 * sigma**2))
    g /= g.sum()
    smooth = 2 * np.pad(g, reach) - np.convolve(g, g)
    slope = np.convolve(smooth, [-0.5, 0.0, 0.5][::-1])
    return np.array([np.pad(smooth, 1)], np.float32), np.array([slope[::-1]], np.float32)


_SMOOTH, _SLOPE = _kernels()
_WRAP = _SMOOTH.size // 2
_CIRCLE: Points = np.stack([f(np.arange(12) * (math.pi / 6)) for f in (np.cos, np.sin)], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Outline:
    """One label's boundary in pixels of the tracer's window, times 2**SHIFT."""

    fill: list[Polygon]
    """Outer and inner curves, to be filled together (even-odd)."""
    strokes: list[list[Polygon]]
    """The same curves, one copy per pixel of line width from the inside out: OpenCV draws several lines of one pixel
    five times faster than a thick one."""
    anchor: tuple[int, int]
    """A point inside the largest part, pixels of the window: where its name belongs."""
    area: float
    """Of the largest part, as a share of the mask."""


def thin_out(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`mask`, or every n-th pixel of it where it has more than MAX_MASK; (h, w) uint8, a view."""
    n = 1
    while (mask.shape[0] // n) * (mask.shape[1] // n) > MAX_MASK:
        n += 1
    return mask[n // 2 :: n, n // 2 :: n]


def _too_fine(mask: NDArray[np.uint8]) -> bool:
    across = np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    down = np.count_nonzero(mask[1:] != mask[:-1])
    return bool(across + down > MAX_BOUNDARY)


class Tracer:
    """Traces masks of one shape and region onto a frame of `width` x `height`; `line` is the line width in pixels."""

    def __init__(self, shape: tuple[int, int], region: Region, width: int, height: int, line: int) -> None:
        rows, columns = shape
        x0, y0, x1, y1 = region[0] * width, region[1] * height, region[2] * width, region[3] * height
        left, top = min(max(0, round(x0)), width), min(max(0, round(y0)), height)
        self.window = (left, top, max(left, min(width, round(x1))), max(top, min(height, round(y1))))
        """The part of the frame that the mask covers: x0, y0, x1, y1 in pixels. Outlines are relative to its corner and
        may reach beyond it: draw them into that part of the picture, and they are cut off there."""
        self._scale: Points = np.array([(x1 - x0) / columns, (y1 - y0) / rows], np.float32)
        # a mask pixel's centre is at +0.5; OpenCV's frame coordinates have pixel centres at whole numbers
        self._origin: Points = np.array([x0 - left - 0.5, y0 - top - 0.5], np.float32) + self._scale * (0.5 - PAD)
        self._step = max(1, int(_SEGMENT / float(self._scale.max())))
        self._offsets = [0.9 * i for i in range(-(line - 1), 1)]
        self._padded = np.empty((rows + 2 * PAD, columns + 2 * PAD), np.uint8)
        self._one = np.empty_like(self._padded)
        self._pixels = rows * columns
        self.reach = self.window
        """The part of the frame that the last traced outlines can touch; x0, y0, x1, y1 in pixels."""

    def trace(self, mask: NDArray[np.uint8], values: Sequence[int], nested: bool = False) -> dict[int, Outline] | None:
        """Outlines by value, for those of `values` that occur; `nested`: of value and more, instead of just value.

        `mask`: (rows, columns) uint8 of the shape given at the start. Returns None for a mask too broken up to be
        traced in the time that a picture may take.
        """
        if _too_fine(mask):
            return None
        cv2.copyMakeBorder(mask, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE, dst=self._padded)
        curves: list[Polygon] = []
        owners: dict[int, tuple[int, int]] = {}
        for value in values:
            cv2.compare(self._padded, value, cv2.CMP_GE if nested else cv2.CMP_EQ, dst=self._one)
            found, _ = cv2.findContours(self._one, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            if len(curves) + len(found) > MAX_CURVES:
                return None
            if found:
                owners[value] = (len(curves), len(curves) + len(found))
                curves.extend(found)
        if not curves:
            return {}
        fills, strokes = self._polygons(curves)
        return {
            value: Outline(fills[a:b], [stroke[a:b] for stroke in strokes], *self._anchor(max(curves[a:b], key=len)))
            for value, (a, b) in owners.items()
        }

    def _polygons(self, curves: list[Polygon]) -> tuple[list[Polygon], list[list[Polygon]]]:
        """All curves smoothed in one go: (for filling, for each stroke)."""
        wrapped = [cv2.copyMakeBorder(c, _WRAP, _WRAP, 0, 0, cv2.BORDER_WRAP) for c in curves]
        # one row of x, one of y: OpenCV filters rows 20 times faster than a column of pairs
        raw = np.ascontiguousarray(np.concatenate(wrapped)[:, 0].T, np.float32)
        points = cv2.filter2D(raw, -1, _SMOOTH, borderType=cv2.BORDER_REPLICATE)
        slope = cv2.filter2D(raw, -1, _SLOPE, borderType=cv2.BORDER_REPLICATE)
        normal = _normals(slope)
        # curves run through the centres of the outermost pixels; their edge is half a pixel outwards, less on diagonals
        points += normal * (0.5 * np.abs(normal).max(axis=0))
        points = points * self._scale[:, None] + self._origin[:, None]
        self._note_reach(points)
        outward = _normals(slope * self._scale[:, None])
        ellipses = self._ellipses([curve for curve in curves if len(curve) < _SHORT])
        fill = self._cut(points, curves, ellipses)
        return fill, [self._cut(points + outward * np.float32(o), curves, ellipses) for o in self._offsets]

    def _note_reach(self, points: Points) -> None:
        x0, y0, x1, y1 = self.window
        spare = self._scale * (_SHORT / 2) + 3  # ellipses of short curves reach further than their smoothed points
        left, top = (points.min(axis=1) - spare).astype(int).tolist()
        right, bottom = (points.max(axis=1) + spare).astype(int).tolist()
        self.reach = (max(x0, x0 + left), max(y0, y0 + top), min(x1, x0 + right), min(y1, y0 + bottom))

    def _cut(self, points: Points, curves: list[Polygon], ellipses: list[Polygon]) -> list[Polygon]:
        """The curves' own parts of `points` as polygons; for short ones their ellipses, in order."""
        fixed = np.ascontiguousarray(np.rint(points * (1 << SHIFT)).T, np.int32)
        out: list[Polygon] = []
        at, short = 0, iter(ellipses)
        for curve in curves:
            n = len(curve)
            own = fixed[at + _WRAP : at + _WRAP + n : self._step]
            out.append(next(short) if n < _SHORT else np.ascontiguousarray(own))
            at += n + 2 * _WRAP
        return out

    def _ellipses(self, curves: list[Polygon]) -> list[Polygon]:
        """Short curves as ellipses with the area of the smallest box around their pixels (around the hole, for inner
        ones); all in one go, as a speckled mask has many."""
        if not curves:
            return []
        boxes = np.array([(*centre, *size, angle) for centre, size, angle in map(cv2.minAreaRect, curves)], np.float32)
        hole = np.array([len(curve) > 3 and cv2.contourArea(curve, oriented=True) > 0 for curve in curves])
        angle = np.radians(boxes[:, 4])
        cos, sin = np.cos(angle), np.sin(angle)
        # half a pixel at each side, less on diagonals: as for longer curves
        grow = np.maximum(np.abs(cos), np.abs(sin)) * np.where(hole, np.float32(-1), np.float32(1))
        size = np.maximum(boxes[:, 2:4] + grow[:, None], np.float32(0.1)) / np.float32(math.sqrt(math.pi))
        turn = np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
        turned = (_CIRCLE * size[:, None]) @ turn + boxes[:, None, :2]
        return list(np.rint((turned * self._scale + self._origin) * (1 << SHIFT)).astype(np.int32))

    def _anchor(self, curve: Polygon) -> tuple[tuple[int, int], float]:
        """(a point inside `curve`, pixels of the window; the share of the mask that it encloses)."""
        m = cv2.moments(curve)
        if m["m00"] > 0:
            x, y = m["m10"] / m["m00"], m["m01"] / m["m00"]
            if cv2.pointPolygonTest(curve, (x, y), measureDist=False) < 0:
                x = _inside(curve[:, 0], round(y))
        else:
            x, y = (float(v) for v in curve[:, 0].mean(axis=0))
        fx, fy = (np.array([x, y], np.float32) * self._scale + self._origin).tolist()
        return (int(fx), int(fy)), float(m["m00"] + len(curve) / 2 + 1) / self._pixels


def _normals(slope: Points) -> Points:
    """Unit vectors to the outside of the label, (2, n), for the slopes of its curves as OpenCV runs along them."""
    x, y = slope
    length = np.sqrt(x * x + y * y) + np.float32(1e-6)
    return np.stack([-y / length, x / length])


def _inside(points: NDArray[np.int32], y: int) -> float:
    """The middle of the longest stretch between the curve's crossings of row `y`: a point inside a bent shape."""
    crossings = np.sort(points[points[:, 1] == y, 0])
    if len(crossings) < 2:
        return float(points[0, 0])
    gaps = np.diff(crossings)
    widest = int(gaps.argmax())
    return float(crossings[widest] + crossings[widest + 1]) / 2
