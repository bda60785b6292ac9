"""Plays recorded samples at their true rate. Their times become the device's: what a recording says of time is taken as exact."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.ports import Block, EndOfStream

LOOK_NS, MANY_HZ = 8 * NS_PER_MS, 250.0
"""Of a stream of more than MANY_HZ samples are handed over together, from one hand-over to the next LOOK_NS at the least: to
wake for each of 1,000 samples a second would cost more than they do."""
MOST = 4096
"""Samples in one block: whoever is late takes several."""


def sleep_ns(ns: int) -> None:
    """Sleep for so long."""
    time.sleep(ns / NS_PER_S)


def look_ns(rate_hz: float) -> int:
    """From one hand-over to the next, at the least."""
    return LOOK_NS if rate_hz > MANY_HZ else 0


def pause(due_ns: int, now: int, earliest_ns: int, timeout_s: float) -> int:
    """How long to sleep for the sample due at `due_ns`, not before `earliest_ns` and not for longer than one may."""
    return min(max(due_ns, earliest_ns) - now, int(timeout_s * NS_PER_S))


class Played:
    """A `core.ports.Sensor`. `times_ns`: (n,) int64 since the recording's beginning; `values`: (n, channels) float64.

    A time that goes back is handed on as it is, when the one before it is: whoever reads it says what becomes of it.
    """

    def __init__(
        self,
        times_ns: NDArray[np.int64],
        values: NDArray[np.float64],
        rate_hz: float,
        clock: Clock,
        began_ns: int,
        sleep: Callable[[int], None] = sleep_ns,
    ) -> None:
        self._times, self._values, self._clock, self._sleep = times_ns, values, clock, sleep
        self._due = np.maximum.accumulate(times_ns) + began_ns
        self._began, self._handed, self._closed = began_ns, 0, False
        self._look = look_ns(rate_hz)
        first = int(np.searchsorted(self._due, clock.now() - NS_PER_S))  # opened anew after a while: go on from now
        self._at = first if len(self._due) else 0

    def read(self, timeout_s: float) -> Block | None:
        """See core.ports.Sensor."""
        if self._closed:
            raise RuntimeError("read after close")
        if self._at >= len(self._due):
            raise EndOfStream
        now = self._clock.now()
        wait = pause(int(self._due[self._at]), now, self._handed + self._look, timeout_s)
        if wait > 0:
            self._sleep(wait)
            now = self._clock.now()
        end = min(int(np.searchsorted(self._due, now, "right")), self._at + MOST)
        if end == self._at:
            return None
        part = slice(self._at, end)
        self._at, self._handed = end, now
        captured = (self._times[part] + self._began).tolist()
        return Block(self._values[part].tolist(), now, self._times[part].tolist(), captured)

    def close(self) -> None:
        """See core.ports.Sensor."""
        self._closed = True
