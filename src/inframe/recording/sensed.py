"""What a recording has of sensors: samples as they lie in their rings, and what the display knew of them; as messages, and back."""

import math
from collections.abc import Iterator, Mapping

from inframe.core.config import Device
from inframe.core.samples import NO_TIME, Absent, Aligned, Quality, Sample, Samples
from inframe.pipeline import samplering
from inframe.pipeline.align import align, plan_of
from inframe.pipeline.samplering import SampleReader, SampleWriter
from inframe.recording import schema

MOST = 1024
"""Samples in one message."""


def known(samples: Samples) -> dict[str, schema.Known] | None:
    """What was known of each stream, as a message; None on a device without sensors."""
    return {name: _known(said) for name, said in samples.items()} or None


def _known(said: Aligned | Absent) -> schema.Known:
    if isinstance(said, Absent):
        return schema.Known(upto=said.upto, seq=said.seq, age_ns=said.age_ns, why=said.why.name)
    return schema.Known(
        upto=said.upto, seq=said.seq, age_ns=said.age_ns, uncertain_ns=said.uncertain_ns, values=list(said.values)
    )


def message(stream: str, samples: list[Sample]) -> schema.Samples:
    """Samples whose numbers follow one another."""
    return schema.Samples(
        stream=stream,
        first=samples[0].seq,
        captured_ns=[s.captured_ns for s in samples],
        source_ns=[s.source_ns if s.source_ns != NO_TIME else None for s in samples],
        uncertain_ns=[s.uncertain_ns for s in samples],
        quality=[int(s.quality) for s in samples],
        values=[[value if math.isfinite(value) else None for value in s.values] for s in samples],
    )


def samples(message: schema.Samples) -> Iterator[Sample]:
    """And back."""
    for i, captured_ns in enumerate(message.captured_ns):
        source = message.source_ns[i]
        yield Sample(
            message.first + i,
            captured_ns,
            NO_TIME if source is None else source,
            message.uncertain_ns[i],
            Quality(message.quality[i]),
            tuple(math.nan if value is None else value for value in message.values[i]),
        )


def new(stream: str, ring: SampleReader, after: int) -> tuple[list[schema.Samples], int, int]:
    """The samples behind number `after`, as messages; the newest number; how many are no longer there."""
    newest, lost = ring.newest(), 0
    found: list[schema.Samples] = []
    run: list[Sample] = []
    for seq in range(max(after + 1, newest - ring.slots + 1), newest + 1):
        row = ring.row(seq)
        if row is None or len(run) == MOST:
            found += [message(stream, run)] if run else []
            run = []
        if row is None:
            lost += 1
        else:
            run.append(row)
    found += [message(stream, run)] if run else []
    lost += max(0, newest - ring.slots - after) if after else 0
    return found, newest, lost


class RecordedSensors:
    """The streams of samples: what was there when the display looked, aligned anew."""

    def __init__(self, device: Device) -> None:
        self._plans = {name: plan_of(sensor) for name, sensor in device.sensors.items()}
        self._writers: dict[str, SampleWriter] = {}
        self.readers: dict[str, SampleReader] = {}
        for name, sensor in device.sensors.items():
            memory = samplering.create(f"replay.{name}", samplering.slots_for(sensor), len(sensor.channels))
            self._writers[name], self.readers[name] = SampleWriter(memory), SampleReader(memory)
        self.seen: Mapping[str, schema.Known] = {}
        """What the display knew of each at the frame that comes next."""

    def lay(self, message: schema.Samples) -> None:
        """Samples were written. Some may have been recorded twice, by a process that was started again."""
        writer = self._writers.get(message.stream)
        if writer is None:
            return
        for one in samples(message):
            if one.seq >= writer.seq and one.captured_ns > writer.captured_ns:
                writer.seq = one.seq
                writer.write(one.captured_ns, one.source_ns, one.uncertain_ns, one.quality, one.values)

    def rehearse(self, at_ns: int) -> None:
        """See loop.Sensors."""

    def at(self, at_ns: int) -> Samples:
        """See loop.Sensors."""
        upto = {name: self.seen[name].upto if name in self.seen else 0 for name in self._plans}
        return {name: align(plan, self.readers[name], at_ns, upto[name]) for name, plan in self._plans.items()}
