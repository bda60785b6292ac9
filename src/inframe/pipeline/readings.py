"""What the overlay says of sensors: of each stream that is shown, or that a standing finding was made from, its value with unit
and age, or that there is none and why. A value without its age is never drawn.
"""

from dataclasses import dataclass, replace

from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.core.rule import SampleCondition
from inframe.core.samples import Absent, Aligned, Quality
from inframe.core.types import Decision
from inframe.pipeline.text import Lettering, Sprite, Style

READING = Style(opacity=0.66)
LACKING = Style(ink=(0, 0, 0), paper=(255, 255, 255), opacity=0.9, weight=700)
ROWS = 4
"""Streams drawn at once; how many more there are is said."""
WHY = {
    Quality.STALE: "STALE",
    Quality.GAP: "GAP",
    Quality.SATURATED: "SATURATED",
    Quality.CALIBRATING: "CALIBRATING",
    Quality.NOISY: "NOISY",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One channel of a stream: where it stands in the value, its name and its unit."""

    index: int
    name: str
    unit: str


class Readings:
    """Rows of plates for the overlay; every piece is rendered once."""

    def __init__(self, device: Device, lettering: Lettering) -> None:
        self._letters = lettering
        self._always: dict[str, tuple[Shown, ...]] = {}
        self._of_rule: dict[str, dict[str, tuple[Shown, ...]]] = {name: {} for name in device.rules}
        for stream, sensor in device.sensors.items():
            order = {name: Shown(i, name, channel.unit) for i, (name, channel) in enumerate(sensor.channels.items())}
            if sensor.show:
                self._always[stream] = tuple(order[name] for name in sensor.show)
            for rule_name, rule in device.rules.items():
                if stream in device.sensors_of(rule):
                    read = (order[rule.when.channel],) if isinstance(rule.when, SampleCondition) else ()
                    self._of_rule[rule_name][stream] = read
        self._warm_up(device)

    def _warm_up(self, device: Device) -> None:
        """Render what may be needed at any frame."""
        if not device.sensors:
            return
        every = {s: self._always.get(s, ()) for s in device.sensors}
        for streams in self._of_rule.values():
            every |= {stream: (*every[stream], *read) for stream, read in streams.items()}
        for stream, shown in every.items():
            width = device.sensors[stream].width
            for why in WHY:
                self._row(stream, shown, Absent(why))
            for value in (0.0, -123.456, 7.89, 987654.0):
                self._row(stream, shown, Aligned((value,) * width, 1, 0, 0))

    def rows(self, decision: Decision) -> list[list[Sprite]]:
        """Of what was known when the frame was captured."""
        wanted: dict[str, tuple[Shown, ...]] = dict(self._always)
        for finding in decision.findings:
            for stream, read in self._of_rule.get(finding.rule, {}).items():
                wanted[stream] = tuple(dict.fromkeys((*wanted.get(stream, ()), *read)))
        rows = [self._row(s, shown, decision.samples[s]) for s, shown in wanted.items() if s in decision.samples]
        if len(rows) > ROWS:
            rows = [*rows[:ROWS], [self._letters.plate(f"+{len(rows) - ROWS} more sensors", READING)]]
        return rows

    def _row(self, stream: str, shown: tuple[Shown, ...], said: Aligned | Absent) -> list[Sprite]:
        if isinstance(said, Absent):
            return [self._letters.plate(f"{stream}: NO VALUE ({WHY[said.why]})", LACKING)]
        pieces = [self._letters.plate(f"{stream} ", READING, "left")]
        for one in shown:
            pieces += self._digits(f"{one.name} ", decimal(said.values[one.index]), f" {one.unit}  ")
        return [*pieces, *self._digits("", str(max(0, round(said.age_ns / NS_PER_MS))), " ms old"), self._end()]

    def _digits(self, before: str, number: str, after: str) -> list[Sprite]:
        style = replace(READING, pad=0.0)
        texts = [*([before] if before else []), *number, after]
        return [self._letters.plate(text, style, "none") for text in texts]

    def _end(self) -> Sprite:
        return self._letters.plate(" ", READING, "right")


def decimal(value: float) -> str:
    """Three digits or more, never in powers of ten: 0.051, 7.89, 98.8, 1234."""
    size = abs(value)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{places}f}"
