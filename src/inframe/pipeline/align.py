"""A stream of samples at the moment when a frame was captured. Bounded in time, and never waits for a sensor: what has not come by
now is not there.

Only a sample of quality OK is a value. The sample nearest to the moment decides: where it is none, an older one is not taken in its
place, since it is known by then that something is wrong. Nothing is interpolated across a gap longer than `max_age_ms`, and no
window reaches across one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inframe.core.clock import NS_PER_MS
from inframe.core.samples import Absent, Aligned, Quality, Sample, Samples
from inframe.core.sensor import SensorBase, period_ns
from inframe.pipeline.samplering import SampleReader

LOOKS = 64
"""Rows looked at to find a moment, at most; a search by halves needs a dozen."""
NEAR = 4
"""So many of them are neighbours of where the rate says that the moment is."""
WINDOW_GAP = 2.5
"""Two samples of a window further apart than so many periods have a gap between them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One stream's alignment, worked out."""

    how: str
    max_age_ns: int
    period_ns: int
    rotation: tuple[int, ...]
    """The indices of the quaternion's channels, x y z w; none: no rotation."""
    samples: int
    over: str

    @property
    def looks_ahead(self) -> bool:
        """Whether a sample after the moment is of use."""
        return self.how in ("nearest", "interpolate")


def plan_of(sensor: SensorBase) -> Plan:
    """From the device file."""
    order = list(sensor.channels)
    rotation = tuple(order.index(name) for name in sensor.rotation or ())
    align = sensor.align
    max_age = int(align.max_age_ms * NS_PER_MS)
    return Plan(align.how, max_age, period_ns(sensor), rotation, align.samples or 1, align.over or "")


@dataclass
class Aligner:
    """All sample streams of a device, read at one moment."""

    plans: Mapping[str, Plan]
    rings: Mapping[str, SampleReader]

    def rehearse(self, at_ns: int) -> None:
        """The same once, where it delays nobody: code and rows that have not been used for a frame period have left the caches."""
        self.at(at_ns)

    def at(self, at_ns: int) -> Samples:
        """Each stream's value at the moment `at_ns`, as far as it is known now."""
        return {name: align(plan, self.rings[name], at_ns) for name, plan in self.plans.items()}


def align(plan: Plan, ring: SampleReader, at_ns: int, upto: int | None = None) -> Aligned | Absent:
    """The stream's value at `at_ns`, from the samples up to number `upto` (None: the newest)."""
    newest = ring.newest() if upto is None else upto
    before, after = _around(plan, ring, at_ns, newest)
    chosen = after if plan.how == "nearest" and _is_nearer(after, before, at_ns) else before
    if chosen is None:
        return Absent(Quality.STALE, upto=newest)
    age = at_ns - chosen.captured_ns
    if abs(age) > plan.max_age_ns:
        return Absent(Quality.STALE, chosen.seq, age, newest)
    if chosen.quality is not Quality.OK:
        return Absent(chosen.quality, chosen.seq, age, newest)
    if plan.how == "interpolate" and before is not None and after is not None:
        return _between(plan, before, after, at_ns, newest)
    if plan.how == "window":
        return _window(plan, ring, chosen, age, newest)
    return Aligned(chosen.values, chosen.seq, age, chosen.uncertain_ns, newest)


def _is_nearer(after: Sample | None, before: Sample | None, at_ns: int) -> bool:
    if after is None or before is None:
        return after is not None
    return after.captured_ns - at_ns < at_ns - before.captured_ns


def _around(plan: Plan, ring: SampleReader, at_ns: int, newest: int) -> tuple[Sample | None, Sample | None]:
    """The newest sample not after the moment, and the one behind it. Times grow with numbers: first a guess by the rate, then a
    search by halves."""
    times = ring.captured
    last_ns = times(newest) if newest else None
    if last_ns is None or last_ns <= at_ns:
        return (ring.row(newest) if newest else None), None
    low, high = max(0, newest - ring.slots), newest  # low: not after the moment, or no longer there
    guess = newest - (last_ns - at_ns) // plan.period_ns - 1
    for look in range(LOOKS):
        if high - low <= 1:
            break
        middle = min(max(guess, low + 1), high - 1)
        ns = times(middle)
        if ns is None or ns <= at_ns:
            low, guess = middle, middle + 1
        else:
            high, guess = middle, middle - 1
        if look >= NEAR:
            guess = (low + high) // 2
    return (ring.row(low) if low else None), (ring.row(high) if plan.looks_ahead else None)


def _between(plan: Plan, before: Sample, after: Sample, at_ns: int, newest: int) -> Aligned | Absent:
    """On the straight line from one to the other, rotations on the shortest arc."""
    age = at_ns - before.captured_ns
    span = after.captured_ns - before.captured_ns
    if after.quality is not Quality.OK or span > plan.max_age_ns or after.seq != before.seq + 1:
        return Aligned(before.values, before.seq, age, before.uncertain_ns, newest)
    share = age / span
    values = [a + share * (b - a) for a, b in zip(before.values, after.values, strict=True)]
    if plan.rotation:
        for i, value in zip(plan.rotation, _slerp(plan.rotation, before.values, after.values, share), strict=True):
            values[i] = value
    uncertain = max(before.uncertain_ns, after.uncertain_ns)
    return Aligned(tuple(values), after.seq, at_ns - after.captured_ns, uncertain, newest)


def _slerp(at: Sequence[int], before: Sequence[float], after: Sequence[float], share: float) -> list[float]:
    """Spherical linear interpolation (Shoemake 1985). q and -q are the same rotation: the nearer one is meant."""
    a, b = [before[i] for i in at], [after[i] for i in at]
    a, b = _unit(a), _unit(b)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    if dot < 0:
        dot, b = -dot, [-x for x in b]
    if dot > 0.9995:  # the arc is a straight line, and its sine too small to divide by
        return _unit([x + share * (y - x) for x, y in zip(a, b, strict=True)])
    angle = math.acos(min(dot, 1.0))
    wa, wb = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    return [wa * x + wb * y for x, y in zip(a, b, strict=True)]


def _unit(q: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in q))
    return [x / length for x in q] if length > 0 else q


def _window(plan: Plan, ring: SampleReader, newest_in: Sample, age: int, newest: int) -> Aligned | Absent:
    """Of the last n samples; all of them good, and no gap between them."""
    rows = [newest_in]
    for seq in range(newest_in.seq - 1, newest_in.seq - plan.samples, -1):
        row = ring.row(seq) if seq > 0 else None
        if row is None or rows[-1].captured_ns - row.captured_ns > WINDOW_GAP * plan.period_ns:
            return Absent(Quality.GAP, newest_in.seq, age, newest)
        if row.quality is not Quality.OK:
            return Absent(row.quality, newest_in.seq, age, newest)
        rows.append(row)
    rows.reverse()
    uncertain = max(row.uncertain_ns for row in rows)
    return Aligned(_over(plan.over, [row.values for row in rows]), newest_in.seq, age, uncertain, newest)


def _over(over: str, rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    if over == "last":
        return tuple(value for row in rows for value in row)
    columns = list(zip(*rows, strict=True))
    if over == "mean":
        return tuple(math.fsum(column) / len(column) for column in columns)
    return tuple((min if over == "min" else max)(column) for column in columns)


def aligner_of(sensors: Mapping[str, SensorBase], rings: Mapping[str, SampleReader]) -> Aligner:
    """All streams of a device file."""
    return Aligner({name: plan_of(sensor) for name, sensor in sensors.items()}, rings)
