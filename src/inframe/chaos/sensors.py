"""A tracker that can be broken: a real OpenIGTLink server on loopback whose probe swings as a known function of time, and its
faults. So each value that the device takes for good can be compared with the truth."""

import math
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from inframe.chaos.faults import Fault, Mend
from inframe.chaos.stage import FPS, Stage
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.samples import Aligned, Quality
from inframe.drivers.igtl import crc64
from inframe.pipeline.record import Shown

STREAM, PROBE = "tracker", "Probe"
RATE_HZ, MAX_AGE_MS, FROZEN_MS = 100, 200, 100
SWING_MM, SWING_HZ = 100.0, 0.5
LATE_NS, STEP_NS = NS_PER_S // 2, NS_PER_S
WRONG_MM = 10.0
"""A value that is further than this from the truth at its own moment is a wrong one: the probe moves 0.3 mm in a millisecond."""


def truth_mm(ns: int) -> float:
    """Where the probe is, at a moment of the device's clock."""
    return SWING_MM * math.sin(2 * math.pi * SWING_HZ * ns / NS_PER_S)


class Tracker:
    """Sends the probe's pose RATE_HZ times a second to whoever is connected; `silent`, `frozen`, `noisy`, `late_ns` and `ahead_ns`
    are what it may suffer."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port = self._server.getsockname()[1]
        self.silent = self.frozen = self.noisy = False
        self.late_ns = self.ahead_ns = 0
        self._random = random.Random(1)  # damage, not a secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="tracker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with client:
                try:
                    self._send(client)
                except OSError:
                    continue  # the client has just gone; it will come again

    def _send(self, client: socket.socket) -> None:
        waiting: list[tuple[int, bytes]] = []
        due, last_mm = time.monotonic_ns(), 0.0
        while not self._stop.is_set():
            due += NS_PER_S // RATE_HZ
            time.sleep(max(0.0, (due - time.monotonic_ns()) / NS_PER_S))
            now = time.monotonic_ns()
            if not self.silent:
                last_mm = last_mm if self.frozen else truth_mm(now)
                mm = last_mm + (self._random.gauss(0, SWING_MM) if self.noisy else 0.0)
                waiting.append((now + self.late_ns, message(mm, now + self.ahead_ns)))
            while waiting and waiting[0][0] <= now:
                client.sendall(waiting.pop(0)[1])


def message(x_mm: float, stamp_ns: int) -> bytes:
    """A TRANSFORM of the probe."""
    body = struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, x_mm, 0, 0)
    seconds, rest = divmod(stamp_ns, NS_PER_S)
    stamp = seconds << 32 | (rest << 32) // NS_PER_S
    return struct.pack(">H12s20sQQQ", 1, b"TRANSFORM", PROBE.encode(), stamp, len(body), crc64(body)) + body


def sensors(port: int) -> dict[str, Any]:
    """Of the device under test."""
    tracker = {
        "sensor": "igtl",
        "host": "127.0.0.1",
        "port": port,
        "name": PROBE,
        "rate_hz": RATE_HZ,
        "frozen_ms": FROZEN_MS,
        "channels": {"x": {"unit": "mm", "slope": 2 * math.pi * SWING_HZ * SWING_MM * 4}},
        "align": {"how": "hold", "max_age_ms": MAX_AGE_MS},
    }
    return {STREAM: tracker}


def _suffers(what: str, value: object) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        tracker = stage.tracker
        before = getattr(tracker, what)
        setattr(tracker, what, value)
        return lambda: setattr(tracker, what, before)

    return strike


def _process(number: signal.Signals) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        pid = stage.pid("sensor")
        os.kill(pid, number)
        return lambda: None

    return strike


FAULTS: tuple[Fault, ...] = (
    Fault("sensor_silent", _suffers("silent", True), 1.5, ("SENSOR_ABSENT",), sensor=(Quality.STALE,)),
    Fault("sensor_frozen", _suffers("frozen", True), 1.5, ("SENSOR_ABSENT",), sensor=(Quality.STALE,)),
    Fault("sensor_noisy", _suffers("noisy", True), 1.5, ("SENSOR_ABSENT",), sensor=(Quality.NOISY,)),
    Fault("sensor_late", _suffers("late_ns", LATE_NS), 2.0, ("SENSOR_ABSENT",), sensor=(Quality.STALE,)),
    Fault(
        "sensor_clock_stepped",
        _suffers("ahead_ns", STEP_NS),
        4.0,
        ("SENSOR_CLOCK_STEPPED",),
        sensor=(Quality.CALIBRATING, Quality.STALE),
    ),
    Fault(
        "sensor_killed", _process(signal.SIGKILL), 0.0, ("SENSOR_LOST",), sensor=(Quality.STALE, Quality.CALIBRATING)
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was known of the tracker after the strike."""

    quality: str | None
    """Why there was no value, at first."""
    quality_ms: float | None
    """How long after the strike the first frame was captured that had none."""
    wrong: int
    """Frames with a value that was not true at its own moment, once that could be known."""


def seen(records: list[Shown], struck: int) -> Seen:
    """From the records. A probe that stands still can't be told from one that is held until FROZEN_MS are over, nor one that has
    fallen silent before MAX_AGE_MS: the bar begins behind the longer of the two and a frame."""
    frames = [r for r in records if r.seq and r.captured_ns >= struck and STREAM in r.samples]
    lacking = [(r, said) for r in frames if not isinstance(said := r.samples[STREAM], Aligned)]
    known_ns = struck + MAX_AGE_MS * NS_PER_MS + NS_PER_S // FPS
    wrong = 0
    for record in frames:
        said = record.samples[STREAM]
        if isinstance(said, Aligned) and record.captured_ns > known_ns:
            wrong += abs(said.values[0] - truth_mm(record.captured_ns - said.age_ns)) > WRONG_MM
    first = lacking[0] if lacking else None
    if first is None:
        return Seen(None, None, wrong)
    return Seen(first[1].why.name, (first[0].captured_ns - struck) / NS_PER_MS, wrong)


def broken_bars(fault: Fault, found: Seen) -> list[str]:
    """What did not hold of the tracker."""
    limit_ms = MAX_AGE_MS + 1000 / FPS
    broken = []
    if found.quality not in {quality.name for quality in fault.sensor}:
        broken.append(f"quality {found.quality}")
    if found.quality_ms is None or found.quality_ms > limit_ms:
        broken.append(f"no quality within {limit_ms:.0f} ms")
    if found.wrong:
        broken.append(f"{found.wrong} wrong values")
    return broken
