"""To stop a process at once. SIGSTOP alone is heeded when the process next gets its core, and one that gets idle time only waits
for it: 60 ms beside three busy programs. So it is told to stop, and then raised for as long as stopping takes: what it runs at
that priority is the kernel's few microseconds of stopping it, and none of its own instructions.
"""

import os
import signal
from contextlib import suppress

LOWEST = os.sched_param(1)
"""The lowest real-time priority: above every ordinary program, below all of the frame path."""


def stop(pid: int) -> bool:
    """Stop it; whether it could be raised, which takes CAP_SYS_NICE. One thread: a box has no other, and can't make one."""
    os.kill(pid, signal.SIGSTOP)  # first: raised before, it would run on
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, LOWEST)
        return True
    return False


def go(pid: int, *, is_idle: bool) -> None:
    """Let it go on, lowered before it does."""
    policy = os.SCHED_IDLE if is_idle else os.SCHED_OTHER
    if os.sched_getscheduler(pid) != policy:
        os.sched_setscheduler(pid, policy, os.sched_param(0))
    os.kill(pid, signal.SIGCONT)


def end(pid: int) -> None:
    """Kill it, at ordinary priority: idle it would hold its memory for long, raised it would keep others from their core."""
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    os.kill(pid, signal.SIGKILL)
