"""Which of a model's inputs gets what: the image, its own state from the frame before, or what the device file says under `inputs`.
Anything else is an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import ModelConfig
from inframe.core.ports import TensorSpec
from inframe.pipeline.given import Around, Port, ports_of
from inframe.pipeline.outputs import Setting, fits, shape_text
from inframe.pipeline.preprocess import Preprocessor


@dataclass(frozen=True, slots=True)
class Inputs:
    """How a model is fed."""

    image: str
    image_shape: tuple[int, ...]
    """The image array's, without moving a byte: models may want more leading axes of 1, or no channel axis for grey."""
    state: Mapping[str, tuple[str, NDArray[np.generic]]]
    """Output name -> the input that gets it on the next frame, and that input's array, zero at the start."""
    beside: Mapping[str, Port] = field(default_factory=dict)


def match_inputs(
    config: ModelConfig,
    specs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    preprocessor: Preprocessor,
    setting: Setting,
    around: Around,
) -> Inputs:
    """Raises ConfigError where config and model don't fit together."""
    by_name = {spec.name: spec for spec in specs}
    for name in config.shapes:
        if name not in by_name:
            raise setting.wrong("shapes", repr(name), f"one of the model's inputs: {', '.join(by_name)}")
    state = _match_state(config, by_name, {spec.name: spec for spec in outputs}, setting)
    fed = {target for target, _ in state.values()}
    for name in config.inputs:
        if name in fed:
            raise setting.wrong(f"inputs.{name}", "an input that is in state too", "each input once")
    fed |= config.inputs.keys()
    image = _image_input(config, [spec for spec in specs if spec.name not in fed], by_name, setting)
    for spec in specs:
        if spec.name != image.name and spec.name not in fed:
            found = f"nothing that feeds input {spec.name!r} ({shape_text(spec.shape)} {spec.dtype})"
            expected = f"state: {{OUTPUT: {spec.name}}}, inputs: {{{spec.name}: …}}, or a model without this input"
            raise setting.wrong("state", found, expected)
    _check_dtype(image, preprocessor, setting)
    beside = ports_of(config, by_name, around, setting)
    return Inputs(image.name, _image_shape(config, image, preprocessor, setting), state, beside)


def _image_input(
    config: ModelConfig, free: list[TensorSpec], by_name: Mapping[str, TensorSpec], setting: Setting
) -> TensorSpec:
    wanted, listed = config.preprocess.input, ", ".join(spec.name for spec in free)
    if wanted is None:
        if len(free) == 1:
            return free[0]
        raise setting.wrong("preprocess.input", "nothing", f"one of the model's inputs: {listed}")
    if wanted not in by_name:
        raise setting.wrong("preprocess.input", repr(wanted), f"one of the model's inputs: {', '.join(by_name)}")
    if by_name[wanted] not in free:
        raise setting.wrong("preprocess.input", f"{wanted!r}, which is in state or inputs too", f"one of: {listed}")
    return by_name[wanted]


def _check_dtype(spec: TensorSpec, preprocessor: Preprocessor, setting: Setting) -> None:
    if spec.dtype != preprocessor.dtype:
        expected = f"{spec.dtype} (input {spec.name!r} is {spec.dtype})"
        raise setting.wrong("preprocess.dtype", preprocessor.dtype, expected)


def _image_shape(
    config: ModelConfig, spec: TensorSpec, preprocessor: Preprocessor, setting: Setting
) -> tuple[int, ...]:
    """The shape in which the image is fed. Raises the ConfigError that names the one setting that is wrong."""
    rank = len(spec.shape)
    shape: tuple[int, ...] = (1,) * (rank - 4) + preprocessor.shape
    pre = config.preprocess
    width, height = pre.size
    if pre.colour == "gray" and rank == 3:
        shape = (1, height, width)
    if rank < len(shape):
        expected = f"a model that takes an image of {shape_text(preprocessor.shape)}"
        raise setting.wrong("preprocess.input", f"input {spec.name!r} of {shape_text(spec.shape)}", expected)
    if not fits(spec.shape, shape):
        raise _mismatch(config, spec, shape, setting)
    fixed = config.shapes.get(spec.name, shape)
    if fixed != shape:
        raise setting.wrong(f"shapes.{spec.name}", shape_text(fixed), f"{shape_text(shape)}, which preprocess makes")
    return shape


def _mismatch(config: ModelConfig, spec: TensorSpec, shape: tuple[int, ...], setting: Setting) -> Exception:
    pre, model = config.preprocess, f"(input {spec.name!r} is {shape_text(spec.shape)})"
    if not fits(spec.shape[:-3], shape[:-3]):
        return setting.wrong("preprocess.input", f"input {spec.name!r} of {shape_text(spec.shape)}", "a batch of 1")
    if len(spec.shape) == 3:
        found, expected = spec.shape[1:], shape[1:]
        return setting.wrong("preprocess.size", shape_text(expected[::-1]), f"{shape_text(found[::-1])} {model}")
    first, middle, last = spec.shape[-3:]
    channels = 1 if pre.colour == "gray" else 3
    planar = pre.layout == "nchw"
    theirs, other = (first, last) if planar else (last, first)
    if theirs not in (None, channels) and other in (None, channels):
        return setting.wrong("preprocess.layout", pre.layout, f"{'nhwc' if planar else 'nchw'} {model}")
    if theirs not in (None, channels):
        return setting.wrong("preprocess.colour", f"{pre.colour}, {channels} channels", f"{theirs} channels {model}")
    height, width = (middle, last) if planar else (first, middle)
    return setting.wrong("preprocess.size", shape_text(pre.size), f"{shape_text((width, height))} {model}")


def _match_state(
    config: ModelConfig, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec], setting: Setting
) -> dict[str, tuple[str, NDArray[np.generic]]]:
    state: dict[str, tuple[str, NDArray[np.generic]]] = {}
    for source, target in config.state.items():
        if source not in outputs:
            raise setting.wrong("state", f"output {source!r}", f"one of the model's outputs: {', '.join(outputs)}")
        if target not in inputs:
            raise setting.wrong("state", f"input {target!r}", f"one of the model's inputs: {', '.join(inputs)}")
        if target in (name for name, _ in state.values()):
            raise setting.wrong("state", f"input {target!r} twice", "each input once")
        spec, back = inputs[target], outputs[source]
        shape = config.shapes.get(target, spec.shape)
        if not fits(spec.shape, shape):
            raise setting.wrong(f"shapes.{target}", shape_text(shape), shape_text(spec.shape))
        known = tuple(n for n in shape if n is not None)
        if len(known) != len(shape):
            expected = f"the state's size (input {target!r} is {shape_text(spec.shape)})"
            raise setting.wrong(f"shapes.{target}", "nothing", expected)
        if back.dtype != spec.dtype or not fits(back.shape, known):
            found = f"output {source!r} of {shape_text(back.shape)} {back.dtype}"
            raise setting.wrong("state", found, f"{shape_text(known)} {spec.dtype} (input {target!r})")
        state[source] = (target, np.zeros(known, spec.dtype))
    return state
