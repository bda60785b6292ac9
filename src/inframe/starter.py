"""A first device file for a model: what can be seen is written down, what is guessed says CHECK THIS."""

import json
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframe.core.ports import Engine, TensorSpec

CHECK = "  # CHECK THIS"
_OPEN_SIDE = 256
_STRIDES = (8, 16, 32)


class CannotGuess(Exception):  # says what happened
    """The model looks like nothing that a device file can describe without its author. The argument says why."""


@dataclass(frozen=True)
class Guess:
    """What a model seems to be. Every part of it may be wrong."""

    kind: str
    decode: Mapping[str, object]
    labels: list[str]
    note: str


@dataclass(frozen=True)
class ImageGuess:
    """Which input takes the picture, and how."""

    spec: TensorSpec
    size: tuple[int, int]
    colour: str
    layout: str
    shape: tuple[int, ...]
    state: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def guess_image(inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> ImageGuess:
    """The input that takes the picture; the others must look like a recurrent model's state. Raises CannotGuess."""
    inputs = list(inputs)
    images = [found for found in map(_as_image, inputs) if found is not None]
    if not images:
        raise CannotGuess("no input looks like a picture (float32, float16, uint8 or int8, with 1 or 3 channels)")
    image = max(images, key=lambda found: found.size[0] * found.size[1])
    state, shapes, free = {}, {}, list(outputs)
    for spec in inputs:
        if spec.name == image.spec.name:
            continue
        same = [o for o in free if o.dtype == spec.dtype and len(o.shape) == len(spec.shape) and _agree(o, spec)]
        if not same:
            raise CannotGuess(f"nothing is there that could feed input {spec.name!r}")
        free.remove(same[0])
        state[same[0].name] = spec.name
        if None in spec.shape:
            shapes[spec.name] = tuple(n or 1 for n in spec.shape)
    return ImageGuess(image.spec, image.size, image.colour, image.layout, image.shape, state, shapes)


def _agree(a: TensorSpec, b: TensorSpec) -> bool:
    return all(None in (n, m) or n == m for n, m in zip(a.shape, b.shape, strict=True))


def _as_image(spec: TensorSpec) -> ImageGuess | None:
    batch = spec.shape[:-3] if len(spec.shape) > 3 else spec.shape[:1]
    known = spec.dtype.name in ("float32", "float16", "uint8", "int8")
    if not known or len(spec.shape) < 3 or any(n not in (1, None) for n in batch):
        return None
    first, second, last = spec.shape[-3:]
    lead = (1,) * (len(spec.shape) - 3)
    if len(spec.shape) == 3:
        height, width = second or _OPEN_SIDE, last or _OPEN_SIDE
        return ImageGuess(spec, (width, height), "gray", "nchw", (1, height, width))
    if first in (1, 3) or (first is None and last not in (1, 3)):
        height, width, channels = second or _OPEN_SIDE, last or _OPEN_SIDE, first or 3
        return ImageGuess(spec, (width, height), _colour(channels), "nchw", (*lead, channels, height, width))
    if last in (1, 3):
        height, width = first or _OPEN_SIDE, second or _OPEN_SIDE
        return ImageGuess(spec, (width, height), _colour(last), "nhwc", (*lead, height, width, last))
    return None


def _colour(channels: int) -> str:
    return "gray" if channels == 1 else "rgb"


def first_run(engine: Engine, image: ImageGuess) -> Mapping[str, NDArray[np.generic]]:
    """The outputs for a picture of one grey and an empty state: their real shapes, and a first look at their values."""
    by_name = {spec.name: spec for spec in engine.inputs}
    feeds: dict[str, NDArray[np.generic]] = {}
    for target in image.state.values():
        spec = by_name[target]
        feeds[target] = np.zeros(image.shapes.get(target, spec.shape), spec.dtype)  # type: ignore[arg-type]  # None only with shapes
    grey = {"uint8": 128, "int8": 0}.get(image.spec.dtype.name, 0.5)
    feeds[image.spec.name] = np.full(image.shape, grey, image.spec.dtype)
    return {name: array for name, array in engine.run(feeds).items() if name not in image.state}


# --- what the outputs look like --------------------------------------------------------------------------------------


def guess_decode(outputs: Mapping[str, NDArray[np.generic]], size: tuple[int, int]) -> Guess:
    """What kind of model gives such outputs for an input of `size`. Raises CannotGuess."""
    if len(outputs) == 1:
        name, array = next(iter(outputs.items()))
        return _single(name, array, size)
    boxes = [name for name, array in outputs.items() if array.ndim in (2, 3) and array.shape[-1] == 4]
    for name in boxes:
        rows = outputs[name].shape[:-1]
        scores = [n for n, a in outputs.items() if n != name and a.shape[:-1] == rows and a.dtype.kind == "f"]
        if scores:
            return _boxes_scores(name, outputs[name], scores[0], outputs[scores[0]])
    for name, array in outputs.items():  # deep supervision and auxiliary heads: the first is the one meant
        found = _single(name, array, size)
        others = ", ".join(other for other in outputs if other != name)
        return Guess(found.kind, {**found.decode, "output": name}, found.labels, f"{found.note}; not read: {others}")
    raise CannotGuess("the model has no output that is not state")


def _single(name: str, array: NDArray[np.generic], size: tuple[int, int]) -> Guess:
    shape = array.shape
    if math.prod(shape) == 0:
        raise CannotGuess(f"output {name!r} is empty for a grey picture")
    if math.prod(shape) == 1:
        return _heat(array, "one number")
    if math.prod(shape) == max(shape) and shape[0] == 1 and len(shape) in (2, 4):
        return _classification(array)
    if len(shape) == 3 and shape[0] == 1 and (found := _yolo(shape, size)):
        return found
    while len(shape) > 4 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) == 4 and shape[0] == 1:
        return _map(array, (shape[1], shape[2], shape[3]))
    if len(shape) == 3 and shape[0] == 1:
        return _map(array, (1, shape[1], shape[2]))
    if len(shape) <= 2 or math.prod(shape[:-2]) != 1:
        raise CannotGuess(
            f"output {name!r} of {'x'.join(map(str, shape))} needs a decoder of your own (kind: function)"
        )
    return _heat(array, "a map of one channel")


def _yolo(shape: tuple[int, ...], size: tuple[int, int]) -> Guess | None:
    cells = sum((size[0] // s) * (size[1] // s) for s in _STRIDES)
    _, a, b = shape
    if b == cells and a >= 5:
        return _detection("yolov8", a - 4, f"as many columns ({b}) as cells at strides 8, 16, 32")
    if a == 3 * cells and b >= 6:
        return _detection("yolov5", b - 5, f"three rows ({a}) for each cell at strides 8, 16, 32")
    if a == cells and b >= 6:
        return _detection("yolox", b - 5, f"as many rows ({a}) as cells at strides 8, 16, 32")
    if b == 6:
        return _detection("end2end", 80, "rows of six numbers; how many labels there are can't be seen")
    return None


def _detection(form: str, labels: int, note: str) -> Guess:
    decode: dict[str, object] = {
        "kind": "detection",
        "format": form,
        "units": "pixels",
        "activation": "none",
        "confidence": 0.25,
        "iou": 0.45,
    }
    return Guess(f"detection ({form})", decode, _labels(labels), note)


def _boxes_scores(name: str, boxes: NDArray[np.generic], scores_name: str, scores: NDArray[np.generic]) -> Guess:
    decode: dict[str, object] = {
        "kind": "detection",
        "format": "boxes_scores",
        "output": name,
        "scores_output": scores_name,
        "box": "xyxy",
    }
    small = boxes.size > 0 and float(np.abs(boxes).max()) <= 2
    decode |= {"units": "fraction" if small else "pixels", "activation": "none" if _is_share(scores) else "sigmoid"}
    decode |= {"confidence": 0.25, "iou": 0.45}
    return Guess("detection (boxes and scores)", decode, _labels(scores.shape[-1]), "two outputs with as many rows")


def _classification(array: NDArray[np.generic]) -> Guess:
    shares = _is_share(array) and abs(float(array.sum()) - 1) < 0.01
    note = "the scores sum to 1 already" if shares else "the scores don't sum to 1"
    decode: dict[str, object] = {"kind": "classification", "activation": "none" if shares else "softmax"}
    return Guess("classification", decode, _labels(max(array.shape)), note)


def _map(array: NDArray[np.generic], shape: tuple[int, int, int]) -> Guess:
    decode: dict[str, object] = {"kind": "segmentation", "activation": "argmax"}
    if shape[0] == 1 or (shape[2] == 1 and shape[1] > 1):
        decode["layout"] = "nchw" if shape[0] == 1 else "nhwc"
        if array.dtype.kind != "f":
            return Guess("segmentation (label indices)", decode | {"activation": "none"}, _labels(256), "whole numbers")
        if _is_share(array) or array.ndim == 3:
            return _heat(array, "a map of one channel")
        decode |= {"activation": "sigmoid", "threshold": 0.5}
        return Guess("segmentation (one foreground)", decode, ["background", "foreground"], "one map, not within 0..1")
    last = shape[2] < shape[0]
    labels = shape[2] if last else shape[0]
    if not 2 <= labels <= 256:
        raise CannotGuess(f"{labels} maps are more than a segmentation can have; a decoder of your own can read them")
    decode["layout"] = "nhwc" if last else "nchw"
    return Guess("segmentation", decode, _labels(labels), f"{labels} maps of one size")


def _heat(array: NDArray[np.generic], note: str) -> Guess:
    decode: dict[str, object] = {
        "kind": "heat",
        "activation": "none" if _is_share(array) else "sigmoid",
        "reduce": "max",
        "full_scale": 1.0,
    }
    return Guess("heat (score map)", decode, ["score"], note)


def _is_share(array: NDArray[np.generic]) -> bool:
    return array.size > 0 and float(array.min()) >= 0 and float(array.max()) <= 1


def _labels(count: int) -> list[str]:
    return [f"label_{i}" for i in range(count)]


# --- the file --------------------------------------------------------------------------------------------------------


def starter_text(file: str, engine: str, image: ImageGuess, guess: Guess) -> str:
    """The device file: a synthetic camera, no screen, this model."""
    signed = image.spec.dtype == np.int8
    scale = 1.0 if image.spec.dtype.kind in "iu" else 1 / 255
    check_size = CHECK if None in image.spec.shape[-3:] else ""
    lines = [
        "# Written by inframe inspect. It runs as it stands; whether the model sees what it was trained on,",
        "# only its author knows: go through every line that says CHECK THIS.",
        "device: starter",
        "streams:",
        "  camera: {camera: synthetic, width: 1280, height: 720, fps: 30}",
        "display: camera",
        "allow_unsigned: true  # for development: nobody has signed this model, and the screen says so",
        "models:",
        "  model:",
        "    stream: camera",
        f"    file: {yaml_text(file)}",
        f"    engine: {{name: {engine}, threads: 1}}",
        f"    budget_ms: 30{CHECK}",
        "    preprocess:",
        f"      input: {yaml_text(image.spec.name)}",
        f"      size: [{image.size[0]}, {image.size[1]}]{check_size}",
        f"      fit: stretch{CHECK}: stretch, letterbox or crop",
        f"      interpolation: linear{CHECK}",
        f"      colour: {image.colour}" + (f"{CHECK}: rgb or bgr" if image.colour != "gray" else ""),
        f"      layout: {image.layout}",
        f"      dtype: {image.spec.dtype.name}",
        f"      scale: {scale!r}{CHECK}: value = ((pixel * scale) - mean) / std",
        f"      mean: [{128.0 if signed else 0.0}]{CHECK}",
        f"      std: [1.0]{CHECK}",
        *_mapping("state", image.state),
        *_mapping("shapes", {name: list(shape) for name, shape in image.shapes.items()}),
        f"    decode:{CHECK}: a guess, {guess.note}",
        *(f"      {key}: {yaml_text(value)}" for key, value in guess.decode.items()),
        f"    labels:{CHECK}: their names, or a text file with one a line",
        *textwrap.wrap(f"[{', '.join(guess.labels)}]", 112, initial_indent=" " * 6, subsequent_indent=" " * 7),
    ]
    return "\n".join(lines) + "\n"


def _mapping(key: str, values: Mapping[str, object]) -> list[str]:
    if not values:
        return []
    return [f"    {key}:{CHECK}", *(f"      {yaml_text(name)}: {yaml_text(value)}" for name, value in values.items())]


def yaml_text(value: object) -> str:
    """A YAML scalar or flow value: JSON is YAML, but plain words read better bare."""
    plain = isinstance(value, str) and value.isidentifier() and value.lower() not in _YAML_WORDS
    return str(value) if plain else json.dumps(value)


_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
