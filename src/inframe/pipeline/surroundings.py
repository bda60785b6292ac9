"""What was known around a frame when a model began on it: each of its inputs beside the image, and which samples went in.

A worker looks at the sensors' rings as they are then; a replay at recorded ones, up to the very samples that the worker had.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.core.inputs import aligned_as
from inframe.core.samples import Absent, Aligned, Taken
from inframe.core.types import MissedReason, Output, Pixels
from inframe.pipeline.align import Plan, align, plan_of
from inframe.pipeline.given import Given, Value
from inframe.pipeline.ring import RingReader
from inframe.pipeline.samplering import SampleReader


@dataclass
class Aside:
    """Another stream, whose pictures a model takes."""

    reader: RingReader
    views: list[Pixels]
    looked: int = 0
    """The frame taken last."""

    def newest(self, at_ns: int, max_age_ns: int) -> Pixels | None:
        """The newest picture not after the moment, if it is young enough."""
        header = self.reader.latest()
        while header is not None and header.captured_ns > at_ns:
            header = self.reader.header(header.seq - 1) if header.seq > 1 else None
        if header is None or at_ns - header.captured_ns > max_age_ns:
            return None
        self.looked = header.seq
        return self.views[header.seq % self.reader.slots]

    def still(self) -> bool:
        """Whether that picture was not overwritten meanwhile."""
        return self.reader.holds(self.looked)


@dataclass
class Surroundings:
    """Of all models of one worker, or of one replay."""

    device: Device
    samples: Mapping[str, SampleReader]
    asides: Mapping[str, Aside] = field(default_factory=dict)
    _plans: dict[tuple[str, str], Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, model in self.device.models.items():
            for key, put in model.inputs.items():
                if put.sensor is not None:
                    sensor = self.device.sensors[put.sensor]
                    self._plans[name, key] = plan_of(sensor.model_copy(update={"align": aligned_as(put, sensor)}))

    def of(
        self,
        name: str,
        captured_ns: int,
        said: Callable[[str], Output | MissedReason | None],
        upto: tuple[Taken, ...] | None = None,
    ) -> tuple[Given, tuple[Taken, ...]]:
        """What the model `name` is given for the frame captured at that moment, and what it took of sensors, in the order of its
        inputs. `said`: what another model says of the frame. `upto`: the samples to look at, as they were taken before."""
        given: dict[str, Value] = {}
        taken: list[Taken] = []
        for key, put in self.device.models[name].inputs.items():
            if put.sensor is not None:
                last = upto[len(taken)].upto if upto is not None and len(taken) < len(upto) else None
                value = align(self._plans[name, key], self.samples[put.sensor], captured_ns, last)
                taken.append(taken_of(value))
                given[key] = value
            elif put.stream is not None:
                aside = self.asides.get(put.stream)
                age_ns = int((put.max_age_ms or 0) * NS_PER_MS)
                given[key] = aside.newest(captured_ns, age_ns) if aside is not None else None
            elif put.model is not None:
                other = said(put.model)
                given[key] = None if isinstance(other, MissedReason) else other
        return given, tuple(taken)

    def still(self, name: str) -> bool:
        """Whether the pictures that the model looked at were not overwritten meanwhile."""
        streams = {put.stream for put in self.device.models[name].inputs.values() if put.stream is not None}
        return all(self.asides[stream].still() for stream in streams if stream in self.asides)


def taken_of(value: Aligned | Absent) -> Taken:
    """What is kept of a value."""
    return Taken(value.upto, value.seq, value.age_ns, value.why if isinstance(value, Absent) else None)
