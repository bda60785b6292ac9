"""Streams of samples in the device file: sensors, their channels and units, and how they are aligned with frames."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.part import HOST, Name, Part, PositiveMs

MAX_CHANNELS = 64
MAX_WINDOW = 128
MAX_DRIFT_PPM = 500.0

Unit = Annotated[str, Field(max_length=16)]


class Channel(Part):
    """One number of each sample."""

    unit: Unit = Field(description='as the source says it, e.g. mmHg, mV, m, N; "" for numbers without one')
    source: str | None = Field(None, description="the source's own name for it; null: the channel's name")
    low: float | None = Field(None, description="at or below it the sensor can't measure: SATURATED")
    high: float | None = Field(None, description="at or above it the sensor can't measure: SATURATED")
    slope: float | None = Field(
        None, gt=0, description="the most that it can change in a second; more, repeatedly: NOISY"
    )
    flat: float | None = Field(None, ge=0, description="within it, peak to peak, for `frozen_ms`: flat, so STALE")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low: found {self.low}, expected less than high = {self.high}")
        return self


class Align(Part):
    """How a stream is read at the moment when a frame was captured; what is older than `max_age_ms` then is absent."""

    how: Literal["nearest", "hold", "interpolate", "window"] = Field(
        description="nearest: in time, also after the frame; hold: the newest before it; interpolate: between the two around it, "
        "and hold until the second has come; window: the newest ones before it"
    )
    max_age_ms: PositiveMs
    samples: int | None = Field(None, ge=2, le=MAX_WINDOW, description="window: of so many samples, without a gap")
    over: Literal["mean", "min", "max", "last"] | None = Field(
        None, description="window: what is made of them; last: all of them"
    )

    @model_validator(mode="after")
    def _window(self) -> Self:
        if (self.how == "window") != (self.samples is not None and self.over is not None):
            raise ValueError("found samples or over without the other, expected both with how: window, else neither")
        return self


class SensorBase(Part):
    """What every stream of samples has."""

    rate_hz: float = Field(ge=0.1, le=2000, description="samples a second")
    channels: dict[Name, Channel] = Field(min_length=1, max_length=MAX_CHANNELS)
    rotation: tuple[Name, Name, Name, Name] | None = Field(
        None, description="the channels that are a unit quaternion, x y z w: interpolated on the sphere (SLERP)"
    )
    align: Align
    frozen_ms: PositiveMs | None = Field(
        1000, description="the same values bit for bit for so long: STALE; null: never"
    )
    show: tuple[Name, ...] = Field(
        (), description="channels drawn on each picture, with their age; those of a standing finding are drawn anyway"
    )
    latency_ms: float = Field(0, ge=0, le=10_000, description="from the measurement to its arrival here, at the least")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for key, names in (("rotation", self.rotation or ()), ("show", self.show)):
            for name in names:
                if name not in self.channels:
                    raise ValueError(f"{key}: found {name!r}, expected one of channels: {', '.join(self.channels)}")
        if self.show and self.align.over == "last":
            raise ValueError("show: found a window of samples, expected none, or an alignment with one value")
        if self.rotation is not None and len(set(self.rotation)) < len(self.rotation):
            raise ValueError("rotation: found a channel twice, expected four")
        if self.align.how == "window" and self.rotation is not None and self.align.over != "last":
            raise ValueError(f"align.over: found {self.align.over}, expected last: a rotation has no mean, min or max")
        return self

    @property
    def width(self) -> int:
        """How many numbers its aligned value has."""
        return len(self.channels) * (self.align.samples or 1 if self.align.over == "last" else 1)


class CsvSensor(SensorBase):
    """A text file with a line for each sample, played at its true rate."""

    sensor: Literal["csv"]
    path: str
    time: str = Field("time", description="the column that holds the time")
    time_unit: Literal["s", "ms", "us", "ns"] = "s"


class WfdbSensor(SensorBase):
    """A PhysioNet record, played at its true rate. Channels of one stream have one rate."""

    sensor: Literal["wfdb"]
    path: str = Field(description="the record's header, NAME.hea")


class BagSensor(SensorBase):
    """A topic of a ROS 2 bag or of its MCAP file (the `ros` extra), played at its true rate. In CRTK names: PSM1/measured_cp."""

    sensor: Literal["bag"]
    path: str = Field(description="the bag's folder, or one of its files")
    topic: str = Field(min_length=1, description="a channel's `source` is a field, pose.position.x, or a joint's name")


class IgtlSensor(SensorBase):
    """OpenIGTLink: TRANSFORM messages of one device of a server. Its host is the only address that its process may reach."""

    sensor: Literal["igtl"]
    host: str = Field(pattern=HOST)
    port: int = Field(18944, ge=1, le=65535)
    name: str = Field(min_length=1, max_length=20, description="the device's name in each message")


class LslSensor(SensorBase):
    """Lab Streaming Layer: one outlet. Its host is the only address that its process may reach."""

    sensor: Literal["lsl"]
    host: str = Field(pattern=HOST)
    port: int = Field(
        16572,
        ge=1,
        le=65535,
        description="the outlet's data port; a channel's `source` is its label, or a number from 0",
    )


class Fault(Part):
    """Something that goes wrong with a simulated sensor."""

    what: Literal["stop", "freeze", "noise", "shift", "step", "saturate"] = Field(
        description="stop: no samples; freeze: the last value again and again; noise: random values; shift: delivered half a "
        "second late; step: the source's clock jumps ahead by a second; saturate: beyond what it can measure"
    )
    at_s: float = Field(ge=0)
    for_s: float = Field(gt=0)


class SimulatedSensor(SensorBase):
    """A made-up sensor: a tool's pose, a force, vital signs; on a clock of its own, with scripted faults."""

    sensor: Literal["simulator"]
    signal: Literal["kinematics", "force", "ecg", "pressure", "spo2", "sine"] = Field(
        description="kinematics: x y z in m, qx qy qz qw; force: N; ecg: mV; pressure: mmHg; spo2: %; sine: any number of channels"
    )
    drift_ppm: float = Field(0, ge=-MAX_DRIFT_PPM, le=MAX_DRIFT_PPM, description="how much faster its clock runs")
    jitter_ms: float = Field(0, ge=0, le=1000, description="samples arrive up to so much late, at random")
    seed: int = Field(1, ge=0, lt=1 << 31)
    faults: tuple[Fault, ...] = ()


Sensor = Annotated[
    CsvSensor | WfdbSensor | BagSensor | IgtlSensor | LslSensor | SimulatedSensor, Field(discriminator="sensor")
]


def period_ns(sensor: SensorBase) -> int:
    """From one sample to the next."""
    return int(1e9 / sensor.rate_hz)
