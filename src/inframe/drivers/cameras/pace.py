"""When a frame that does not come from a real camera is due, and how to wait for that moment."""

import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock

Wait = Callable[[int], None]
"""Return at this moment of the device clock (ns) or later. Injected: a test moves its clock instead of sleeping."""

SPIN_NS = NS_PER_MS // 4
"""The last stretch is polled: waking an idle core of a virtual machine alone takes 180 to 640 µs, and a due time that
is missed by that would be measured as latency of the device."""

LEAD_MARGIN_NS = 2 * NS_PER_MS
LEAD_MEMORY = 32

MAX_GAP_NS = 10 * NS_PER_S
"""Two time stamps further apart than this are a broken recording, not a pause."""


def sleep_until(clock: Clock, rehearse: Callable[[], object] = bool) -> Wait:
    """The Wait of a running device. `rehearse` is called once as the last stretch begins: there is nothing else to do."""

    def wait(moment_ns: int) -> None:
        while (left := moment_ns - clock.now()) > SPIN_NS:
            time.sleep((left - SPIN_NS) / NS_PER_S)
        if left > 0:
            rehearse()
        while moment_ns > clock.now():
            pass

    return wait


class Lead:
    """How long before a frame is due its making must begin: the second longest of the last makings, and a margin.

    Not the longest: a single one that was interrupted says nothing of the next, and would move all work forward for a
    second.

    Rejected: making the next frame right after handing out the last one. That is the time in which the worker runs the
    model, on the same core and at a lower priority than the capture process.
    """

    def __init__(self, limit_ns: int) -> None:
        self._limit = limit_ns
        self._recent: deque[int] = deque(maxlen=LEAD_MEMORY)

    def note(self, took_ns: int) -> None:
        """A frame took so long to make."""
        self._recent.append(took_ns)

    @property
    def ns(self) -> int:
        """The lead now; the whole limit as long as nothing is known."""
        if not self._recent:
            return self._limit
        return min(sorted(self._recent)[-2:][0] + LEAD_MARGIN_NS, self._limit)


class Timeline:
    """From a recording's time stamps to positions (ns since its first frame) that only grow, whatever the stamps do.

    A stamp that is missing, repeated, backward or more than MAX_GAP_NS ahead counts as one `step` after the last frame;
    the following stamps are then read relative to it. A loop is a backward jump like any other.
    """

    def __init__(self, step_ns: int) -> None:
        self.step_ns = step_ns
        self._origin: int | None = None
        self._position: int | None = None

    def place(self, pts: int | None, time_base: Fraction | None) -> int:
        """The position of the frame with this time stamp (in units of `time_base` seconds)."""
        stamp = None if pts is None or time_base is None else round(pts * time_base * NS_PER_S)
        if self._position is None:
            position = 0
        elif stamp is None or self._origin is None:
            position = self._position + self.step_ns
        else:
            position = stamp - self._origin
            if not 0 < position - self._position <= MAX_GAP_NS:
                position = self._position + self.step_ns
        if stamp is not None:
            self._origin = stamp - position
        self._position = position
        return position
