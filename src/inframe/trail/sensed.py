"""The part of a leaf that tells of sensors: of each stream which sample was known at each frame, how old it was, and which rules
read it. Leaves of version 2 have it, those of version 1 have none. No I/O.
"""

from dataclasses import dataclass

import numpy as np

from inframe.core.samples import Quality
from inframe.trail.columns import In, Ints, Out
from inframe.trail.records import FrameRecord, SampleUse, SensorUse

MAX_SENSORS = 64
MAX_RULES = 4096
_LAST_QUALITY = max(Quality)


@dataclass(frozen=True, slots=True)
class SensedColumns:
    """Of each sensor: why it had no value (0: it had), its sample's number, that one's age, ns."""

    sensors: tuple[SensorUse, ...] = ()
    columns: tuple[tuple[Ints, Ints, Ints], ...] = ()

    def rows(self, count: int) -> list[tuple[SampleUse, ...]]:
        """Of each frame, as records."""
        lists = [tuple(column.tolist() for column in columns) for columns in self.columns]
        return [tuple([SampleUse(Quality(why[i]), seq[i], age[i]) for why, seq, age in lists]) for i in range(count)]


def put_sensors(out: Out, sensors: tuple[SensorUse, ...], frames: tuple[FrameRecord, ...]) -> None:
    """Raises RuntimeError for frames that do not fit the sensors."""
    names = {sensor.stream for sensor in sensors}
    if not 1 <= len(sensors) <= MAX_SENSORS or len(names) < len(sensors):
        raise RuntimeError(f"{len(sensors)} sensors with {len(names)} names")
    if any(len(frame.samples) != len(sensors) for frame in frames):
        raise RuntimeError(f"frames whose samples do not fit {len(sensors)} sensors")
    out.varint(len(sensors))
    for sensor in sensors:
        out.text(sensor.stream)
        out.varint(len(sensor.rules))
        for rule in sensor.rules:
            out.text(rule)
    for i in range(len(sensors)):
        used = [frame.samples[i] for frame in frames]
        out.column(np.array([int(one.why) for one in used], np.int64))
        out.delta(np.array([one.seq for one in used], np.int64))
        out.column(np.array([one.age_ns for one in used], np.int64))


def take_sensors(data: In, count: int) -> SensedColumns:
    """Raises TrailDamaged."""
    total = data.varint(MAX_SENSORS)
    if not total:
        raise data.fail("no sensors", "a leaf of version 1 where there are none")
    sensors = []
    for _ in range(total):
        stream = data.text()
        sensors.append(SensorUse(stream, tuple([data.text() for _ in range(data.varint(MAX_RULES))])))
    if len({sensor.stream for sensor in sensors}) < total:
        raise data.fail("a stream twice", "each once")
    columns = []
    for _ in range(total):
        why = data.column(count)
        data.within("quality", 0, _LAST_QUALITY)
        columns.append((why, data.delta(count), data.column(count)))
    return SensedColumns(tuple(sensors), tuple(columns))
