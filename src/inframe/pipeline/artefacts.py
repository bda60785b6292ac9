"""What of a stream's numbers is not to be believed: gaps, numbers at the sensor's limits, noise that no body makes, a line that
does not move. So a lead that has come off reads as flat or noisy, and never as a heart that has stopped. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.samples import Quality
from inframe.core.sensor import SensorBase

HISTORY = 20
JUMPS = 3
"""Faster than `slope` in so many of the last HISTORY samples: the line is noisy, and what lies between is no value either."""
UNIT = 0.01
"""A quaternion's length may be off by so much."""


@dataclass
class Judge:
    """Looks at a stream's samples one after the other."""

    sensor: SensorBase
    _before: tuple[float, ...] = ()
    _before_ns: int = 0
    _jumps: int = 0
    _same_ns: int = 0
    """Since when all numbers have been the same."""
    _calm: dict[int, tuple[float, float, int]] = field(default_factory=dict)
    """Of each channel with `flat`: the lowest and highest number of a stretch without movement, and when that began."""

    def __post_init__(self) -> None:
        channels = list(self.sensor.channels.values())
        names = list(self.sensor.channels)
        self._limits = [(i, c.low, c.high) for i, c in enumerate(channels) if c.low is not None or c.high is not None]
        self._slopes = [(i, c.slope) for i, c in enumerate(channels) if c.slope is not None]
        self._flat = [(i, c.flat) for i, c in enumerate(channels) if c.flat is not None]
        self._rotation = [names.index(name) for name in self.sensor.rotation or ()]
        self._frozen_ns = None if self.sensor.frozen_ms is None else int(self.sensor.frozen_ms * NS_PER_MS)

    def of(self, captured_ns: int, numbers: Sequence[float]) -> Quality:
        """The quality of the next sample."""
        values = tuple(numbers)
        if not math.isfinite(sum(values)) or not self._is_rotation(
            values
        ):  # a sum with one of them is not finite either
            return Quality.GAP
        noisy, still = self._is_noisy(captured_ns, values), self._is_still(captured_ns, values)
        self._before, self._before_ns = values, captured_ns
        for i, low, high in self._limits:
            if (low is not None and values[i] <= low) or (high is not None and values[i] >= high):
                return Quality.SATURATED
        if noisy:
            return Quality.NOISY
        return Quality.STALE if still else Quality.OK

    def _is_rotation(self, values: Sequence[float]) -> bool:
        if not self._rotation:
            return True
        x, y, z, w = self._rotation
        return abs(math.hypot(values[x], values[y], values[z], values[w]) - 1) <= UNIT

    def _is_noisy(self, captured_ns: int, values: Sequence[float]) -> bool:
        if not self._slopes:
            return False
        seconds = (captured_ns - self._before_ns) / NS_PER_S
        jumped = bool(self._before) and any(
            abs(values[i] - self._before[i]) > slope * seconds for i, slope in self._slopes
        )
        self._jumps = (self._jumps << 1 | jumped) & ((1 << HISTORY) - 1)
        return jumped or self._jumps.bit_count() >= JUMPS

    def _is_still(self, captured_ns: int, values: tuple[float, ...]) -> bool:
        """Whether all channels are the same bit for bit, or one with `flat` hardly moves, for `frozen_ms`."""
        if self._frozen_ns is None:
            return False
        if values != self._before:
            self._same_ns = captured_ns
        still = captured_ns - self._same_ns >= self._frozen_ns
        for i, flat in self._flat:
            low, high, since = self._calm.get(i, (values[i], values[i], captured_ns))
            low, high = min(low, values[i]), max(high, values[i])
            if high - low > flat:
                low, high, since = values[i], values[i], captured_ns
            self._calm[i] = (low, high, since)
            still = still or captured_ns - since >= self._frozen_ns
        return still
