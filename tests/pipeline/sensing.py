"""Sample streams made up from a seed: a source with a clock of its own, and a way here with delays, bursts and pauses. What is
true is known, so that what comes out can be compared with it."""

import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.samples import Quality
from inframe.core.sensor import SimulatedSensor
from inframe.pipeline.samplering import SampleReader, SampleWriter, create

BEGAN = 1000 * NS_PER_S


def sensor(**changes: Any) -> SimulatedSensor:
    """A checked part of the device file: one channel at 100 Hz, held for 50 ms."""
    values = {
        "sensor": "simulator",
        "signal": "sine",
        "rate_hz": 100,
        "channels": {"x": {"unit": "mm"}},
        "align": {"how": "hold", "max_age_ms": 50},
    }
    return SimulatedSensor.model_validate(values | changes)


def ring(slots: int = 256, channels: int = 1) -> tuple[SampleWriter, SampleReader]:
    """Both ends of a new ring."""
    fd = create("samples", slots, channels)
    ends = SampleWriter(fd), SampleReader(fd)
    os.close(fd)
    return ends


def fill(
    writer: SampleWriter, at: list[int], values: list[float] | None = None, bad: dict[int, Quality] | None = None
) -> None:
    """Samples measured at these moments; number `n` (from 0) of quality `bad[n]`."""
    for n, ns in enumerate(at):
        value = values[n] if values is not None else float(ns)
        writer.write(ns, ns, 0, (bad or {}).get(n, Quality.OK), (value,))


@dataclass
class Source:
    """Where samples come from: when each was measured (true time), what its clock said then, and when it arrived."""

    seed: int
    rate_hz: float = 100.0
    seconds: float = 20.0
    drift_ppm: float = 200.0
    offset_ns: int = 0
    jitter_ms: float = 4.0
    least_ms: float = 0.2
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.offset_ns = self.offset_ns or self.rng.randint(-(10**15), 10**15)

    def clock(self, true_ns: int) -> int:
        """What the source's clock says."""
        return round((true_ns - BEGAN) * (1 + self.drift_ppm * 1e-6)) + self.offset_ns

    def samples(self) -> Iterator[tuple[int, int, int]]:
        """(true, source, arrived) ns, in the order of arrival; some are held back and come in bursts, some never come."""
        period = NS_PER_S / self.rate_hz
        until, gap_until = 0, 0
        for n in range(int(self.seconds * self.rate_hz)):
            true = BEGAN + round(n * period)
            delay = round((self.least_ms + self.rng.expovariate(1 / self.jitter_ms)) * NS_PER_MS)
            if self.rng.random() < 0.005:
                until = true + self.rng.randint(20, 150) * NS_PER_MS
            if self.rng.random() < 0.002:
                gap_until = true + self.rng.randint(20, 400) * NS_PER_MS
            if true < gap_until:
                continue
            until = max(until, true + delay)  # TCP keeps the order
            yield true, self.clock(true), until


def wave(ns: float) -> float:
    """A quantity that changes all the time: 1 a second, so that an error in value is one in time."""
    return (ns - BEGAN) / NS_PER_S


def sway(ns: float) -> float:
    """A quantity that turns back."""
    return math.sin((ns - BEGAN) / NS_PER_S * 2 * math.pi * 0.7)
