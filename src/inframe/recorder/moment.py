"""The clocks, read together, so that a monotonic time in a record can be told in wall time."""

import time
from pathlib import Path

from inframe.core.clock import Clock
from inframe.machine.kernel import CLOCK_UNSYNCHRONIZED
from inframe.trail.records import NO_ID, Moment
from inframe.trail.write import Now

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> bytes:
    """The kernel's boot id, 16 bytes; zeros where it gives none."""
    try:
        return bytes.fromhex(BOOT_ID.read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return NO_ID


def moments(clock: Clock, wall_clock_state: int | None) -> Now:
    """What reads the clocks. `wall_clock_state`: what adjtimex(2) said to the parent, which a locked-down process can't ask; a
    step of the wall clock later on is an event of its own."""
    if wall_clock_state is None:
        kept = "unknown"
    else:
        kept = "unsynchronized" if wall_clock_state == CLOCK_UNSYNCHRONIZED else "synchronized"
    boot, name = boot_id(), f"CLOCK_MONOTONIC CLOCK_REALTIME {kept}"

    def now() -> Moment:
        before, wall, after = clock.now(), time.time_ns(), clock.now()
        return Moment(boot, (before + after) // 2, wall, name)

    return now
