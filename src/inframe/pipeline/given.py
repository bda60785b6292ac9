"""What a model is given beside its image, as arrays: values of sensors, the pictures of other streams, what other models say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S
from inframe.core.config import Device, ModelConfig
from inframe.core.inputs import Input, numbers_of
from inframe.core.ports import TensorSpec
from inframe.core.samples import Absent, Aligned
from inframe.core.sensor import SensorBase
from inframe.core.types import Heat, Masks, Output, Pixels, Scores
from inframe.pipeline.outputs import InvalidOutput, Setting, fits, shape_text
from inframe.pipeline.preprocess import Preprocessor

Value = Aligned | Absent | Pixels | Output | None
"""None: there is no picture, or the other model says nothing."""
Given = Mapping[str, Value]
"""By the input's name."""
NOTHING: Given = {}
_NUMBERS = "iuf"


class NotThere(Exception):  # a fact about the frame, not an error
    """A model's input has no value at this frame, and the device file says that the model then says nothing."""


@dataclass(frozen=True, slots=True)
class Around:
    """What else is on the device, as far as the inputs of one model need it."""

    sensors: Mapping[str, SensorBase] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of the streams: width and height."""
    models: Mapping[str, ModelConfig] = field(default_factory=dict)


def around(device: Device) -> Around:
    """Of a resolved device."""
    sizes = {name: (stream.width, stream.height) for name, stream in device.streams.items()}
    return Around(device.sensors, sizes, device.models)


class Port:
    """One input, made once for a model; its array is overwritten by the next frame."""

    def __init__(self, name: str, put: Input, spec: TensorSpec, shape: tuple[int, ...], around: Around) -> None:
        """`shape`: of the input, all known."""
        self.model = put.model or ""
        """The model that it comes from; empty: it does not come from one."""
        self.name, self._put, self._dtype, self.shape = name, put, spec.dtype, shape
        self._array = np.zeros(shape, spec.dtype)
        self._open = spec.shape
        self._order: list[int] | None = None
        if put.sensor is not None and put.channels is not None:
            channels = list(around.sensors[put.sensor].channels)
            self._order = [channels.index(channel) for channel in put.channels]
            self._each = len(channels)
        self._preprocessor: Preprocessor | None = None
        if put.stream is not None and put.preprocess is not None:
            self._preprocessor = Preprocessor(put.preprocess, *around.sizes[put.stream])

    @property
    def grey(self) -> NDArray[np.generic]:
        """What stands for a value when the model is tried."""
        return np.zeros(self.shape, self._dtype)

    def array(self, value: Value) -> NDArray[np.generic]:
        """The value as the model wants it. Raises NotThere, and InvalidOutput for what another model says in another shape."""
        if isinstance(value, Absent) or value is None:
            if self._put.absent == "miss":
                raise NotThere(f"{self.name}: no value{f' ({value.why.name})' if isinstance(value, Absent) else ''}")
            self._array.fill(self._put.fill)
            if self._put.with_age:
                self._array.reshape(-1)[-2:] = 0
            return self._array
        if isinstance(value, Aligned):
            return self._numbers(value)
        if isinstance(value, np.ndarray):
            if self._preprocessor is None:
                raise RuntimeError(f"a picture for {self.name}")
            return self._preprocessor.run(value).reshape(self.shape)
        return self._said(value)

    def _numbers(self, value: Aligned) -> NDArray[np.generic]:
        numbers = np.array(value.values, np.float64)
        if self._order is not None:
            numbers = numbers.reshape(-1, self._each)[:, self._order].reshape(-1)
        flat = self._array.reshape(-1)
        flat[: len(numbers)] = numbers
        if self._put.with_age:
            flat[-2:] = 1, value.age_ns / NS_PER_S
        return self._array

    def _said(self, output: Output) -> NDArray[np.generic]:
        match output:
            case Masks(classes=said) | Heat(heat=said) | Scores(scores=said):
                shape = (1,) * (len(self._open) - said.ndim) + said.shape
            case _:
                raise RuntimeError(f"boxes for {self.name}")
        if not fits(self._open, shape):
            raise InvalidOutput(f"input {self.name!r} of {shape_text(shape)}, expected {shape_text(self._open)}")
        return said.astype(self._dtype).reshape(shape)


def ports_of(config: ModelConfig, specs: Mapping[str, TensorSpec], around: Around, setting: Setting) -> dict[str, Port]:
    """Raises ConfigError where the model's inputs and what they are given do not fit."""
    ports = {}
    for name, put in config.inputs.items():
        if name not in specs:
            raise setting.wrong("inputs", repr(name), f"one of the model's inputs: {', '.join(specs)}")
        spec = specs[name]
        if spec.dtype.kind not in _NUMBERS:
            raise setting.wrong(f"inputs.{name}", f"an input of {spec.dtype}", "one of numbers")
        shape = _shape(name, put, spec, config, around, setting)
        ports[name] = Port(name, put, spec, shape, around)
    return ports


def _shape(
    name: str, put: Input, spec: TensorSpec, config: ModelConfig, around: Around, setting: Setting
) -> tuple[int, ...]:
    """The input's shape with what it leaves open filled in."""
    where, model = f"inputs.{name}", f"(input {name!r} is {shape_text(spec.shape)})"
    if put.sensor is not None:
        if put.sensor not in around.sensors:  # a model on its own, without its device
            raise setting.wrong(f"{where}.sensor", put.sensor, "a device that has it: this one runs on a device only")
        count = numbers_of(put, around.sensors[put.sensor])
        shape = _filled(spec.shape, config.shapes.get(name), count)
        if prod(shape) != count:
            raise setting.wrong(f"{where}.sensor", f"{count} numbers of {put.sensor}", f"{prod(shape)} {model}")
        return shape
    if put.stream is not None and put.preprocess is not None:
        if put.stream not in around.sizes:
            raise setting.wrong(f"{where}.stream", put.stream, "a device that has it: this one runs on a device only")
        made = Preprocessor(put.preprocess, *around.sizes[put.stream])
        shape = (1,) * (len(spec.shape) - 4) + made.shape
        if not fits(spec.shape, shape) or made.dtype != spec.dtype:
            found = f"{shape_text(shape)} {made.dtype}"
            raise setting.wrong(f"{where}.preprocess", found, f"{shape_text(spec.shape)} {spec.dtype} {model}")
        return shape
    width, height = _answer(around.models.get(put.model or ""), config)
    sizes = (height, width) if len(spec.shape) >= 2 else (height,)
    fixed = [n if n is not None else 1 for n in spec.shape[: -len(sizes)]]
    ends = [n if n is not None else size for n, size in zip(spec.shape[-len(sizes) :], sizes, strict=True)]
    return (*fixed, *ends)


def _answer(other: ModelConfig | None, own: ModelConfig) -> tuple[int, int]:
    """A size to try an input with that takes any: that of the other model's mask, as far as it is known before it runs."""
    size = getattr(other.decode, "size", None) if other is not None else None
    return size or (other or own).preprocess.size


def _filled(spec: tuple[int | None, ...], fixed: tuple[int, ...] | None, count: int) -> tuple[int, ...]:
    """A shape for so many numbers: the one open dimension that is left takes them."""
    known = list(fixed) if fixed is not None else list(spec)
    opened = [i for i, n in enumerate(known) if n is None]
    for i in opened[:-1]:
        known[i] = 1
    if opened:
        known[opened[-1]] = max(1, count // max(1, prod(n for n in known if n is not None)))
    return tuple(n or 1 for n in known)
