"""What it costs to hand something to another process and back: bare eventfds, and the ring on top of them."""

import os
import signal
import statistics
import time
from contextlib import suppress

import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from inframe.drivers.cameras.pace import sleep_until
from inframe.machine.partition import stay_awake
from inframe.pipeline import ring
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.worker import EARLY_NS

GAP_NS = 5 * NS_PER_MS
"""Between two round trips: long enough for an idle core to fall asleep, as it does between two frames. The side that begins
wakes a little early and polls the last stretch, as the cameras do, for the one and the other alike; through the rings both
sides rehearse before it, as capture and worker do."""
WARM = 20


def round_trips(cores: tuple[int, int], rounds: int, real_time: bool = True) -> dict[str, float]:
    """Medians in µs: `pingpong` (bare eventfds) and `handoff` (through two rings), interleaved, between two processes on
    these cores, with the priorities and the cores kept awake as for display and worker, where that is permitted."""
    held = []
    if real_time:
        with suppress(OSError):
            held.append(stay_awake())
    rings = [ring.create(f"bench{i}", 4, 4096) for i in range(2)]
    wakes = [ring.wake_fd() for _ in range(4)]
    child = os.fork()
    if child == 0:
        try:
            _place(cores[1], 60, real_time)
            _echo(rings, wakes, rounds)
        finally:
            os._exit(0)
    before = os.sched_getaffinity(0)
    try:
        _place(cores[0], 80, real_time)
        bare, handed = _ping(rings, wakes, rounds)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, before)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for fd in (*rings, *wakes, *held):
            os.close(fd)
    return {"pingpong": statistics.median(bare) / 1e3, "handoff": statistics.median(handed) / 1e3}


def _place(core: int, priority: int, real_time: bool) -> None:
    os.sched_setaffinity(0, {core})
    if real_time:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except PermissionError:
            return  # unprivileged: both are measured at the default class, and the report says which


def _wait(fd: int, clock: MonotonicClock) -> None:
    if not ring.wait(fd, clock.now() + NS_PER_S, clock):
        raise RuntimeError("the other side does not answer")


def _ping(rings: list[int], wakes: list[int], rounds: int) -> tuple[list[int], list[int]]:
    clock = MonotonicClock()
    to, back = RingWriter(rings[0], (wakes[2],)), RingReader(rings[1])

    def rehearse() -> None:
        to.rehearse()
        back.latest()

    wait_until, wait_rehearsing = sleep_until(clock), sleep_until(clock, rehearse)
    bare, handed = [], []
    for i in range(rounds + WARM):
        wait_until(clock.now() + GAP_NS)
        began = clock.now()
        os.eventfd_write(wakes[0], 1)
        _wait(wakes[1], clock)
        middle = clock.now()
        payload = to.begin()  # before the frame is there, as the capture process does it
        wait_rehearsing(clock.now() + GAP_NS)
        again = clock.now()
        payload[0] = i % 256
        to.commit(Header(0, tag=i))
        _wait(wakes[3], clock)
        header = back.latest()
        ended = clock.now()
        if header is None or header.tag != i:
            raise RuntimeError("the ring gave back something else")
        if i >= WARM:
            bare.append(middle - began)
            handed.append(ended - again)
    return bare, handed


def _echo(rings: list[int], wakes: list[int], rounds: int) -> None:
    clock = MonotonicClock()
    there, back = RingReader(rings[0]), RingWriter(rings[1], (wakes[3],))
    for _ in range(rounds + WARM):
        _wait(wakes[0], clock)
        os.eventfd_write(wakes[1], 1)
        payload = back.begin()
        if not ring.wait(wakes[2], clock.now() + GAP_NS - EARLY_NS, clock):
            there.latest()
            back.rehearse()
            _wait(wakes[2], clock)
        header = there.latest()
        if header is not None:
            payload[0] = there.payload(header.seq)[0]
            back.commit(Header(0, tag=header.tag))


class Probe:
    """An independent highest-priority task on one core: when it is not run, nobody could have been. A row of stalls in ns."""

    PERIOD_NS = 2 * NS_PER_MS
    STALL_NS = NS_PER_MS
    ROWS = 4096

    def __init__(self, core: int) -> None:
        import mmap

        self._map = mmap.mmap(-1, 16 * (self.ROWS + 1))
        self._rows = np.frombuffer(self._map, np.int64).reshape(self.ROWS + 1, 2)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _place(core, 99, real_time=True)
                self._watch(os.getppid())
            finally:
                os._exit(0)

    def _watch(self, parent: int) -> None:
        count = 0
        due = time.monotonic_ns()
        while os.getppid() == parent:
            due += self.PERIOD_NS
            time.sleep(max(0, due - time.monotonic_ns()) / NS_PER_S)
            now = time.monotonic_ns()
            if now - due > self.STALL_NS:
                count += 1
                self._rows[1 + (count - 1) % self.ROWS] = due, now
                self._rows[0, 0] = count
                due = now

    def stalls(self, begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """The stalls that touch this stretch of time, (begin, end) in ns, clipped to it."""
        known = self._rows[1 : 1 + min(int(self._rows[0, 0]), self.ROWS)]
        return [(max(int(a), begin_ns), min(int(b), end_ns)) for a, b in known if b > begin_ns and a < end_ns]

    def close(self) -> None:
        """End it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
