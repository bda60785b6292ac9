"""A hog of memory bandwidth that the frame path must feel: the positive control of `interference`. For 3 ms in each 12 it reads
through memory far larger than a core's caches, at a priority between the camera's and the models', on the models' core: what a
language model would be that nobody has put in its place.

At ordinary priority such hogs are not seen here, whatever their size (two to four of them, 64 MiB to 1.2 GiB each, copying,
reading in order and at random: median and p99 within 1 ms of the device alone): that is what real-time priority is for.

    python -m reference.assistant.bursts CORE…      runs until it is killed
"""

import os
import signal
import sys
import time

import numpy as np

from inframe.machine import kernel

BYTES = 64 << 20
BUSY_S, REST_S = 0.003, 0.009
PRIORITY = 65


def main() -> None:
    """Without end."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, {int(core) for core in sys.argv[1:]})
    numbers = np.ones(BYTES // 8, np.uint64)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    at = 0
    while True:
        until = time.monotonic() + BUSY_S
        while time.monotonic() < until:
            numbers[at : at + (1 << 15)].sum()  # 256 KiB, some 20 us
            at = (at + (1 << 15)) % len(numbers)
        time.sleep(REST_S)


if __name__ == "__main__":
    main()
