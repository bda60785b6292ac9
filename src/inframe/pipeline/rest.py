"""When to look at what the display has recorded: right behind each decision, when the frame path rests until the next frame.

Hashing or encoding while a model runs would take cache and memory bandwidth from it, and so, in small, would each waking to see
whether it has ended. So whoever looks sleeps until the next decision is surely there, a little more than a period behind the
last: it wakes once a frame. A little more, as a timer that goes off while the display draws holds it up: on the core that
they share, the two that keep the record cost each frame 96 µs so.
"""

from collections.abc import Callable

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.config import FileStream, Stream
from inframe.pipeline.record import RecordReader

GLANCE_S = 0.002
"""A decision that is due and not there is looked for so often."""
AFTER, LONGEST = 1.1, 1.3
"""So many periods behind the last decision comes the next look; and behind the last look, decision or none: a ring keeps a
frame for three."""


def period_of(stream: Stream) -> float:
    """How far apart decisions are, s; 0 of a file that is read as fast as it can be: who follows that only glances."""
    return 0.0 if isinstance(stream, FileStream) and stream.pace == "fast" else 1 / stream.fps


def rest(records: RecordReader, period_s: float, clock: Clock, stop: Callable[[float], bool]) -> bool:
    """Until there is a record that was not taken, but not for long. `stop` waits so many seconds, or until the process is to
    stop, and says whether it is; then this says False."""
    began = clock.now()
    until = began + int(LONGEST * period_s * NS_PER_S)
    due = records.shown_ns + int(AFTER * period_s * NS_PER_S)
    pause_s = GLANCE_S
    if began < due < until:
        pause_s = max((due - began) / NS_PER_S, GLANCE_S)
    while not stop(pause_s):
        if records.is_told() or clock.now() >= until:
            return True
        pause_s = GLANCE_S
    return False
