"""From a source's clock to the device's: offset, drift and uncertainty, from when samples arrived here.

A sample measured at `s` on the source's clock arrives at `a` on ours, `a - s = offset + drift * s + delay`, and no delay is
negative. So the line that is sought lies below all points and as near to them as can be, whatever bursts and pauses do: the
edge of the lower convex hull above which the middle of the points lies (Moon, Skelly, Towsley: INFOCOM 1999; Zhang, Liu, Xia:
INFOCOM 2002). Least squares were rejected: one burst bends them. What is the same for all samples, the least delay of the way,
can't be seen from here: `latency_ms` in the device file says it.

    later than the line        a delay: the sample is old, and its age says so
    earlier than the line      impossible: the source's clock has been stepped ahead, all is forgotten
    not later than the last    impossible: it was stepped back; three in a row, and all is forgotten

The line may rise no faster than WANDER_PPM above the best that was known. So a way that has become half a second longer, at once or
little by little, is not taken for a clock that is half a second behind: the samples are late, and stay so. Pure: no clock is read.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.sensor import MAX_DRIFT_PPM

CALIBRATE_NS = 2 * NS_PER_S
"""So long a source is heard before its clock is believed."""
BUCKET_NS = NS_PER_S // 4
"""Of the samples of so long only the one with the least delay counts."""
BUCKETS = 128
"""So many are remembered: half a minute, in which no clock's drift changes much."""
TOLERANCE_NS = 5 * NS_PER_MS
"""A sample that comes earlier than the line by more than this, and than what is uncertain, shows a stepped clock."""
BACKWARD = 3
WANDER_PPM = 50.0
"""How much a clock's drift may be off from what was measured of it over all intervals remembered, or may change."""
_STEEPEST = MAX_DRIFT_PPM * 1e-6
_FLAT_NS = 2 * NS_PER_S
"""Over less than this a drift can't be told from delays."""

Point = tuple[int, int]
"""A time on the source's clock, and by how much less it is than that of the arrival here, ns."""


@dataclass(frozen=True, slots=True)
class Line:
    """`delay(s) = at_ns + slope * (s - s0)`: what is to be added to the source's clock."""

    s0: int
    at_ns: float
    slope: float
    uncertain_ns: int
    """How far above the line the least delays of nine of ten intervals lie: so much it may be off."""

    def of(self, source_ns: int) -> float:
        """What is to be added at `source_ns`."""
        return self.at_ns + self.slope * (source_ns - self.s0)


@dataclass
class ClockFit:
    """One source's clock. `heard` of each arrival, then `at` for each sample."""

    stepped: int = 0
    """How often the source's clock was found to have been stepped."""
    _points: list[Point] = field(default_factory=list)
    _first: int | None = None
    _last: int = 0
    _backward: int = 0
    _line: Line | None = None
    _anchor: Line | None = None
    """The best that was known: the longest measured, or the lowest since."""

    @property
    def is_known(self) -> bool:
        """Whether the source has been heard for long enough."""
        return self._first is not None and self._last - self._first >= CALIBRATE_NS

    @property
    def uncertain_ns(self) -> int:
        """How far off a mapped time may be, beyond the least delay of the way."""
        return self._line.uncertain_ns if self._line is not None else 0

    @property
    def drift_ppm(self) -> float:
        """How much faster the source's clock runs than ours."""
        return -1e6 * self._line.slope if self._line is not None else 0.0

    @property
    def offset_ns(self) -> int:
        """Our clock minus the source's, at the newest sample."""
        return round(self._line.of(self._last)) if self._line is not None else 0

    def at(self, source_ns: int) -> int:
        """The moment on our clock. Only after something was heard."""
        if self._line is None:
            raise RuntimeError("nothing was heard of this clock")
        return source_ns + round(self._line.of(source_ns))

    def heard(self, source_ns: int, arrived_ns: int) -> bool:
        """A sample of `source_ns` arrived; False where its time can't be right."""
        if self._first is not None and source_ns <= self._last:
            self._backward += 1
            if self._backward < BACKWARD:
                return False
            self._begin_anew()
        self._backward = 0
        point = (source_ns, arrived_ns - source_ns)
        line = self._line
        if line is not None:
            early = line.of(source_ns) - point[1]
            if self.is_known and early > TOLERANCE_NS + 3 * line.uncertain_ns:
                self._begin_anew()
            elif early > 0:
                self._line = Line(source_ns, float(point[1]), line.slope, line.uncertain_ns)
        if self._first is None:
            self._first = source_ns
        self._last = source_ns
        self._take(point)
        return True

    def _begin_anew(self) -> None:
        self.stepped += 1
        self._points, self._first, self._line, self._anchor = [], None, None, None

    def _take(self, point: Point) -> None:
        points = self._points
        if points and point[0] // BUCKET_NS == points[-1][0] // BUCKET_NS:
            if point[1] < points[-1][1]:
                points[-1] = point
            if self._line is None:
                self._line = Line(point[0], float(point[1]), 0.0, 0)
            return
        if len(points) > 1 or self._line is None:
            self._fit(point[0])
        points.append(point)
        del points[:-BUCKETS]
        if self._line is None:
            self._line = Line(point[0], float(point[1]), 0.0, 0)

    def _fit(self, now: int) -> None:
        """A new line through what is known."""
        if not self._points:
            return
        fitted, anchor = fit(self._points), self._anchor
        if anchor is not None:
            slack = TOLERANCE_NS + 3 * anchor.uncertain_ns + WANDER_PPM * 1e-6 * (now - anchor.s0)
            if fitted.of(now) > anchor.of(now) + slack:
                self._line = anchor
                return
        self._line = fitted
        is_long = self._points[-1][0] - self._points[0][0] >= _FLAT_NS
        if is_long and (anchor is None or len(self._points) < BUCKETS or fitted.of(now) < anchor.of(now)):
            self._anchor = fitted


def fit(points: list[Point]) -> Line:
    """The line below all points that is nearest to them."""
    hull = _lower_hull(points)
    middle = sum(s for s, _ in points) / len(points)
    span = points[-1][0] - points[0][0]
    slope = 0.0
    if span >= _FLAT_NS:
        for (s1, d1), (s2, d2) in pairwise(hull):
            slope = (d2 - d1) / (s2 - s1)
            if s2 >= middle:
                break
    slope = min(max(slope, -_STEEPEST), _STEEPEST)
    s0 = points[-1][0]
    at = min(d - slope * (s - s0) for s, d in points)
    above = sorted(d - at - slope * (s - s0) for s, d in points)
    return Line(s0, at, slope, round(above[int(0.9 * (len(above) - 1))]))


def _lower_hull(points: list[Point]) -> list[Point]:
    """Andrew's monotone chain; the points are in order of time."""
    hull: list[Point] = []
    for s, d in points:
        while len(hull) > 1:
            (s1, d1), (s2, d2) = hull[-2:]
            if (s2 - s1) * (d - d1) > (d2 - d1) * (s - s1):
                break
            hull.pop()
        hull.append((s, d))
    return hull
