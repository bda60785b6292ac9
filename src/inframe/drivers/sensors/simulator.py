"""Made-up sensors: what a tool's pose, a force or vital signs look like, on a clock of their own that drifts, with faults at known
moments. What is true at each moment is known (`truth`), so that what a device makes of it can be compared."""

import math
import random
from collections.abc import Callable

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.errors import ConfigError
from inframe.core.ports import Block
from inframe.core.sensor import Fault, SimulatedSensor
from inframe.drivers.sensors.play import MOST, look_ns, pause, sleep_ns

SHIFT_NS = NS_PER_S // 2
STEP_NS = NS_PER_S
HEART_HZ = 1.2
BEHIND_NS = NS_PER_S
POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
"""The channels of `kinematics`, by the names that they must have, or have as their `source`. The others have one, of any name."""
ALWAYS_BEYOND = 1e9


def truth(signal: str, seconds: float, channels: int) -> tuple[float, ...]:
    """What the sensor measures so long after its beginning."""
    beat = seconds * HEART_HZ % 1.0
    match signal:
        case "kinematics":
            angle = math.radians(30) * math.sin(1.3 * seconds)
            position = (
                0.05 * math.sin(0.9 * seconds),
                0.04 * math.cos(0.7 * seconds),
                0.1 + 0.01 * math.sin(2 * seconds),
            )
            return (*position, 0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))
        case "force":
            return (2.0 + 1.5 * math.sin(1.7 * seconds) + 0.2 * math.sin(11 * seconds),)
        case "ecg":  # P, Q, R, S and T as bells: after McSharry et al., IEEE Trans. Biomed. Eng. 2003
            waves = ((0.12, 0.15, 0.025), (-0.1, 0.23, 0.01), (1.1, 0.25, 0.011), (-0.2, 0.27, 0.01), (0.3, 0.5, 0.04))
            return (
                sum(a * math.exp(-((beat - at) ** 2) / (2 * w**2)) for a, at, w in waves)
                + 0.02 * math.sin(1.5 * seconds),
            )
        case "pressure":
            pulse = math.exp(-((beat - 0.3) ** 2) / 0.02) + 0.3 * math.exp(-((beat - 0.6) ** 2) / 0.01)
            return (75 + 42 * pulse + math.sin(1.5 * seconds),)
        case "spo2":
            return (97.5 + 0.8 * math.sin(0.2 * seconds),)
        case _:
            return tuple(math.sin(2 * math.pi * (0.5 + 0.1 * i) * seconds) for i in range(channels))


def _order(sensor: SimulatedSensor) -> list[int]:
    """Where in `truth` each channel stands."""
    names = [channel.source or name for name, channel in sensor.channels.items()]
    if sensor.signal == "kinematics":
        if sorted(names) != sorted(POSE):
            raise ConfigError("simulator", "channels", ", ".join(names), f"{', '.join(POSE)} for signal kinematics")
        return [POSE.index(name) for name in names]
    if sensor.signal != "sine" and len(names) != 1:
        raise ConfigError("simulator", "channels", f"{len(names)}", f"1 for signal {sensor.signal}")
    return list(range(len(names)))


class Simulator:
    """A `core.ports.Sensor`: sample n is measured at its beginning + n / rate, and arrives up to `jitter_ms` later."""

    def __init__(self, sensor: SimulatedSensor, clock: Clock, sleep: Callable[[int], None] = sleep_ns) -> None:
        self._order = _order(sensor)
        self._sensor, self._clock, self._sleep = sensor, clock, sleep
        self._random = random.Random(sensor.seed)  # noqa: S311  # what it makes is no secret
        self.began_ns = clock.now()
        self._offset = self._random.randrange(1 << 50)
        self._period, self._count, self._late_ns = NS_PER_S / sensor.rate_hz, 0, 0
        self._handed, self._look = 0, look_ns(sensor.rate_hz)
        self._last: tuple[float, ...] = ()
        self._closed = False

    def read(self, timeout_s: float) -> Block | None:
        """See core.ports.Sensor."""
        if self._closed:
            raise RuntimeError("read after close")
        now = self._clock.now()
        wait = pause(self._arrives(self._count), now, self._handed + self._look, timeout_s)
        if wait > 0:
            self._sleep(wait)
            now = self._clock.now()
        if (
            self._arrives(self._count) < now - BEHIND_NS
        ):  # it was not read for long: a real source would not have kept all that
            self._count = int((now - self.began_ns) / self._period)
        stamps: list[int] = []
        values: list[tuple[float, ...]] = []
        while self._arrives(self._count) <= now and len(values) < MOST:
            self._measure(self._count, stamps, values)
            self._count += 1
            self._late_ns = round(self._random.random() * self._sensor.jitter_ms * NS_PER_MS)
        self._handed = now
        return Block(values, now, stamps) if values else None

    def _due(self, count: int) -> int:
        return self.began_ns + round(count * self._period)

    def _arrives(self, count: int) -> int:
        shifted = SHIFT_NS if self._is("shift", count) else 0
        return self._due(count) + self._late_ns + shifted

    def _is(self, what: str, count: int) -> Fault | None:
        if not self._sensor.faults:
            return None
        seconds = count * self._period / NS_PER_S
        return next((f for f in self._sensor.faults if f.what == what and f.at_s <= seconds < f.at_s + f.for_s), None)

    def _measure(self, count: int, stamps: list[int], values: list[tuple[float, ...]]) -> None:
        if self._is("stop", count):
            return
        seconds = count * self._period / NS_PER_S
        whole = truth(self._sensor.signal, seconds, len(self._order))
        true = tuple(whole[i] for i in self._order)
        if self._is("noise", count):
            true = tuple(value + self._random.gauss(0, 10 * (1 + abs(value))) for value in true)
        if self._is("saturate", count):
            highs = [channel.high for channel in self._sensor.channels.values()]
            true = tuple(ALWAYS_BEYOND if high is None else high for high in highs)
        if self._is("freeze", count) and self._last:
            true = self._last
        self._last = true
        stamp = self._due(count) - self.began_ns
        stamps.append(
            round(stamp * (1 + self._sensor.drift_ppm * 1e-6))
            + self._offset
            + (STEP_NS if self._is("step", count) else 0)
        )
        values.append(true)

    def close(self) -> None:
        """See core.ports.Sensor."""
        self._closed = True
