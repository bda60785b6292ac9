"""A decoder that is the integrator's own Python function. Its result is checked as strictly as a model's output."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import DecodeFunction
from inframe.core.errors import one_line
from inframe.core.types import Boxes, Heat, Masks, Output, Region, Scores
from inframe.pipeline.outputs import InvalidOutput, Outputs, Setting, Window, check_finite, fits, shape_text, window

_RETURNS: dict[str, type[Output]] = {
    "segmentation": Masks,
    "detection": Boxes,
    "classification": Scores,
    "heat": Heat,
}
_BYTES_PER_BOX = 4 * 4 + 4 + 4


class FunctionDecoder:
    """Calls `function(outputs: dict of arrays by name, region) -> Masks | Boxes | Scores | Heat`.

    The arrays are the engine's own and are overwritten by the next frame; `region` is the part of the frame that the
    model's input covers (with letterbox it reaches beyond 0..1).
    """

    def __init__(self, config: DecodeFunction, setting: Setting, base: Path) -> None:
        """Raises ConfigError where there is no such function."""
        self._config, self._setting = config, setting
        self._function = load_function(config.function, setting, base)
        self._type = _RETURNS[config.returns]
        self._map_shape = (config.size[1], config.size[0]) if config.size else None

    @property
    def capacity(self) -> int:
        """Bytes at most; for a map whose `size` is not configured, known after the first call."""
        height, width = self._map_shape or (0, 0)
        match self._config.returns:
            case "segmentation":
                return height * width
            case "heat":
                return 4 * height * width
            case "detection":
                return self._config.limit * _BYTES_PER_BOX
            case "classification":
                return 4 * len(self._setting.labels)

    def __call__(self, outputs: Outputs) -> Output:
        """What the function says, checked. Raises InvalidOutput, and whatever the function raises."""
        for name, array in outputs.items():
            check_finite(array, name)  # a function that takes an argmax would make a sound label of NaN
        result = self._function(dict(outputs), self._setting.region)
        if not isinstance(result, self._type):
            raise InvalidOutput(f"{type(result).__name__} from {self._config.function}, expected {self._type.__name__}")
        match result:
            case Masks():
                return self._masks(result)
            case Boxes():
                return self._boxes(result)
            case Scores():
                self._array(result.scores, "scores", np.float32, (len(self._setting.labels),))
                return result
            case Heat():
                return self._heat(result)

    def _masks(self, masks: Masks) -> Masks:
        self._map(masks.classes, "classes", np.uint8)
        if masks.classes.max() >= len(self._setting.labels):
            raise InvalidOutput(f"label index {masks.classes.max()}, expected 0..{len(self._setting.labels) - 1}")
        part = self._on_frame(masks.region, masks.classes)
        return Masks(masks.classes[part.rows, part.columns], part.region)

    def _heat(self, heat: Heat) -> Heat:
        self._map(heat.heat, "heat", np.float32)
        if not (isinstance(heat.score, (int, float, np.floating)) and math.isfinite(heat.score)):
            raise InvalidOutput(f"score {heat.score!r}, expected a finite number")
        part = self._on_frame(heat.region, heat.heat)
        return Heat(heat.heat[part.rows, part.columns], float(heat.score), part.region)

    def _boxes(self, boxes: Boxes) -> Boxes:
        self._array(boxes.boxes, "boxes", np.float32, (None, 4))
        count = len(boxes.boxes)
        self._array(boxes.scores, "scores", np.float32, (count,))
        self._array(boxes.classes, "classes", np.int32, (count,))
        if count and not (boxes.classes.min() >= 0 and boxes.classes.max() < len(self._setting.labels)):
            raise InvalidOutput(f"an impossible label in classes, expected 0..{len(self._setting.labels) - 1}")
        best = np.argsort(-boxes.scores, kind="stable")[: self._config.limit]
        return Boxes(np.clip(boxes.boxes[best], 0, 1), boxes.scores[best], boxes.classes[best])

    # --- checks ------------------------------------------------------------------------------------------------------

    def _map(self, array: Any, name: str, dtype: type) -> None:
        """The first map fixes the shape where the config does not: its place in shared memory can't grow later."""
        if self._map_shape is None and isinstance(array, np.ndarray) and array.ndim == 2 and array.size:
            self._map_shape = (array.shape[0], array.shape[1])
        self._array(array, name, dtype, self._map_shape or (None, None))

    def _array(self, array: Any, name: str, dtype: type, shape: tuple[int | None, ...]) -> None:
        expected = f"{shape_text(shape)} {np.dtype(dtype)}"
        if not isinstance(array, np.ndarray):
            raise InvalidOutput(f"{name} is {type(array).__name__}, expected an array of {expected}")
        if not fits(shape, array.shape) or array.dtype != dtype:
            raise InvalidOutput(f"{name} is {shape_text(array.shape)} {array.dtype}, expected {expected}")
        check_finite(array, name)

    def _on_frame(self, region: Region, array: NDArray[np.generic]) -> Window:
        """What lies on the frame: a function may hand on the region that it was given, letterbox bars and all."""
        sound = isinstance(region, tuple) and len(region) == 4 and all(math.isfinite(edge) for edge in region)
        if not (sound and region[0] < min(1, region[2]) and region[1] < min(1, region[3]) and min(region[2:]) > 0):
            raise InvalidOutput(f"region {one_line(region)}, expected x0 < x1 and y0 < y1 that overlap 0..1")
        return window(region, *array.shape)


def load_function(reference: str, setting: Setting, base: Path) -> Callable[..., Any]:
    """The function of `path/to/file.py:name` (relative to `base`) or `package.module:name`. Raises ConfigError."""
    place, _, name = reference.rpartition(":")
    try:
        module = _load_file(base / place) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # noqa: BLE001  # importing runs the integrator's code, which may raise anything
        found = f"{type(error).__name__}: {error}"
        raise setting.wrong("decode.function", found, f"{place} to be imported") from None
    function = getattr(module, name, None)
    if not callable(function):
        found = "nothing" if function is None else type(function).__name__
        raise setting.wrong("decode.function", f"{found} named {name!r} in {place}", "a function")
    return function  # type: ignore[no-any-return]  # callable narrows Any to nothing better


def _load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"inframe_function_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"can't import {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
