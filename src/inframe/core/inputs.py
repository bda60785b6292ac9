"""What a model is fed: its own image, and beside it values of sensors, other streams' pictures, other models' answers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.part import Name, Part, PositiveMs, Side
from inframe.core.sensor import Align, SensorBase

if TYPE_CHECKING:
    from inframe.core.config import Device, ModelConfig

MAX_INPUTS = 16


class Preprocess(Part):
    """From the frame (RGB, 0..255) to the model's image input: value = ((pixel * scale) - mean) / std."""

    input: str | None = Field(None, description="the model's input of this name; null: its only image input")
    size: tuple[Side, Side] = Field(description="width and height that the model gets")
    fit: Literal["stretch", "letterbox", "crop"] = Field(
        description="stretch: both sides to size; letterbox: keep the aspect and pad; crop: keep the aspect and cut the middle"
    )
    interpolation: Literal["linear", "area", "nearest", "cubic"] = "linear"
    pad: Annotated[int, Field(ge=0, le=255)] = Field(114, description="letterbox: pixel value of the bars, 0..255")
    colour: Literal["rgb", "bgr", "gray"]
    layout: Literal["nchw", "nhwc"]
    dtype: Literal["float32", "float16", "uint8", "int8"]
    scale: float = Field(description="1 keeps 0..255; 0.00392156862745098 (1/255) makes 0..1")
    mean: tuple[float, ...] = Field((0.0,), min_length=1, max_length=3)
    std: tuple[float, ...] = Field((1.0,), min_length=1, max_length=3)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        channels = 1 if self.colour == "gray" else 3
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(
                    f"{key}: found {len(values)} values, expected 1 or {channels} for colour {self.colour}"
                )
        if 0.0 in self.std:
            raise ValueError("std: found 0, expected values other than 0")
        return self


class Input(Part):
    """One input: exactly one of sensor, stream and model says where it comes from."""

    sensor: Name | None = Field(None, description="values of a stream of samples at the frame's capture time")
    channels: tuple[Name, ...] | None = Field(None, min_length=1, description="sensor: these, in this order; null: all")
    align: Align | None = Field(None, description="sensor: how it is read for this model; null: as the sensor says")
    with_age: bool = Field(
        False, description="sensor: two more numbers behind the values: 1 if there is a value, else 0; its age, s"
    )
    stream: Name | None = Field(
        None, description="the picture of another stream, the newest that was there at the frame's capture"
    )
    preprocess: Preprocess | None = Field(None, description="stream: from that picture to the model's input")
    max_age_ms: PositiveMs | None = Field(None, description="stream: an older picture is none")
    model: Name | None = Field(
        None, description="what a model before this one, of the same worker and stream, says of the same frame"
    )
    absent: Literal["miss", "fill"] = Field(
        description="while there is none. miss: the model says nothing of this frame; fill: it gets `fill` in place of each number"
    )
    fill: float = 0.0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = [key for key in ("sensor", "stream", "model") if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"found {' and '.join(sources) or 'none'} of sensor, stream and model, expected exactly one"
            )
        for key in ("channels", "align"):
            if getattr(self, key) is not None and self.sensor is None:
                raise ValueError(f"{key}: found it with {sources[0]}, expected it with sensor only")
        for key in ("preprocess", "max_age_ms"):
            if (getattr(self, key) is not None) != (self.stream is not None):
                raise ValueError(
                    f"{key}: found {'it' if self.stream is None else 'nothing'}, expected it with stream only"
                )
        if self.with_age and (self.sensor is None or self.absent == "miss"):
            raise ValueError(
                "with_age: found true, expected it with a sensor and absent: fill only: else there always is a value"
            )
        return self


def aligned_as(put: Input, sensor: SensorBase) -> Align:
    """How the sensor is read for this input."""
    return put.align or sensor.align


def numbers_of(put: Input, sensor: SensorBase) -> int:
    """How many numbers the input gets."""
    align = aligned_as(put, sensor)
    each = len(put.channels if put.channels is not None else sensor.channels)
    return each * (align.samples or 1 if align.over == "last" else 1) + 2 * put.with_age


def problem(device: "Device", name: str, model: "ModelConfig") -> tuple[str, str, str] | None:
    """The first thing about a model's inputs that can't be: field, found, expected."""
    for key, put in model.inputs.items():
        field = f"models.{name}.inputs.{key}"
        wrong = _of_sensor(put, device.sensors) or _of_stream(put, device, model) or _of_model(put, device, name, model)
        if wrong is not None:
            return f"{field}.{wrong[0]}", wrong[1], wrong[2]
    return None


def _of_sensor(put: Input, sensors: Mapping[str, SensorBase]) -> tuple[str, str, str] | None:
    if put.sensor is None:
        return None
    if put.sensor not in sensors:
        return "sensor", repr(put.sensor), f"one of sensors: {', '.join(sensors) or 'there is none'}"
    sensor = sensors[put.sensor]
    for channel in put.channels or ():
        if channel not in sensor.channels:
            return "channels", repr(channel), f"one of: {', '.join(sensor.channels)}"
    align = aligned_as(put, sensor)
    if align.how == "window" and align.over != "last" and sensor.rotation is not None:
        return "align.over", str(align.over), "last: a rotation has no mean, min or max"
    return None


def _of_stream(put: Input, device: "Device", model: "ModelConfig") -> tuple[str, str, str] | None:
    if put.stream is None or (put.stream in device.streams and put.stream != model.stream):
        return None
    others = ", ".join(name for name in device.streams if name != model.stream)
    return "stream", repr(put.stream), f"another stream than the model's own: {others or 'there is none'}"


def _of_model(put: Input, device: "Device", name: str, model: "ModelConfig") -> tuple[str, str, str] | None:
    if put.model is None:
        return None
    before = list(device.models)[: list(device.models).index(name)]
    fit = [one for one in before if _runs_before(device.models[one], model)]
    if put.model not in fit:
        expected = "a model before it, with the same stream, worker and required, that looks at each of its frames"
        return "model", repr(put.model), f"{expected}: {', '.join(fit) or 'there is none'}"
    if device.models[put.model].decode.kind == "detection":
        return "model", f"{put.model}, which gives boxes", "one that gives segmentation, classification or heat"
    return None


def _runs_before(one: "ModelConfig", other: "ModelConfig") -> bool:
    """A worker runs its required models first, and each kind in the order of the device file."""
    same = one.stream == other.stream and one.worker == other.worker and other.every % one.every == 0
    return same and (one.required or not other.required)
