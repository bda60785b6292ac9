"""Time is passed in: no decision reads a clock of its own, so a test and a replay make time an input (after trio's MockClock)."""

import time
from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Nanoseconds of the device's monotonic clock (CLOCK_MONOTONIC: never stepped, the same in all processes)."""

    def now(self) -> int:
        """The present moment, ns."""
        ...


class MonotonicClock:
    """The clock of a running device."""

    def now(self) -> int:
        """ns since an arbitrary start, CLOCK_MONOTONIC."""
        return time.monotonic_ns()


class ManualClock:
    """The clock of a test or a replay: it moves only when told to."""

    def __init__(self, start_ns: int = NS_PER_S) -> None:
        self._now = start_ns

    def now(self) -> int:
        """The moment last set, ns."""
        return self._now

    def advance(self, ns: int) -> None:
        """Move on by `ns` >= 0."""
        if ns < 0:
            raise RuntimeError("a monotonic clock never goes back")
        self._now += ns

    def set(self, ns: int) -> None:
        """Move on to the moment `ns`, not before the present one."""
        self.advance(ns - self._now)
