"""Models and configs for the tests of `pipeline.model`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframe.core.config import ModelConfig
from inframe.core.types import Heat, MissedReason, Pixels
from inframe.pipeline.model import Model, load_model
from tests.drivers import onnx_models as om

FRAME = (64, 48)
PREPROCESS: dict[str, Any] = {
    "size": [32, 32],
    "fit": "stretch",
    "colour": "rgb",
    "layout": "nchw",
    "dtype": "float32",
    "scale": 1 / 255,
}


each_engine = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            {"engine": {"name": name}},
            id=name,
            marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"),
        )
        for name in ("onnxruntime", "openvino")
    ],
)


class TickClock:
    """Each look at it is one later."""

    def __init__(self) -> None:
        self.count = 0

    def now(self) -> int:
        self.count += 1
        return self.count


def configure(**changes: Any) -> ModelConfig:
    """A segmentation of 4 labels by 32x32 float32 rgb; `preprocess` is merged, the rest replaced."""
    base: dict[str, Any] = {
        "stream": "camera",
        "file": "model.onnx",
        "budget_ms": 10,
        "decode": {"kind": "segmentation"},
        "labels": ["background", "liver", "gallbladder", "tool"],
    }
    preprocess = PREPROCESS | changes.pop("preprocess", {})
    return ModelConfig.model_validate(base | changes | {"preprocess": preprocess})


def load(folder: Path, data: bytes, **changes: Any) -> Model:
    """`data` saved in `folder` and loaded."""
    om.save(folder, data)
    return load_model("organs", configure(**changes), folder, FRAME)


def frame(value: int = 200, size: tuple[int, int] = FRAME) -> Pixels:
    """A frame of one grey."""
    return np.full((size[1], size[0], 3), value, np.uint8)


def noise(seed: int = 0, size: tuple[int, int] = FRAME) -> Pixels:
    """A frame of noise."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def quotient() -> bytes:
    """One number per frame, 1 / mean: infinite on black."""
    return om.model(
        [
            om.node("ReduceMean", "x", "mean", axes=[1, 2, 3], keepdims=0),
            om.node("Div", "one mean", "y"),
        ],
        om.image(),
        [om.value("y", (1,))],
        {"one": np.array([1], np.float32)},
    )


def logarithm() -> bytes:
    """One number per frame, log(mean - 0.2): finite on grey and white, NaN on black."""
    return om.model(
        [
            om.node("ReduceMean", "x", "mean", axes=[1, 2, 3], keepdims=0),
            om.node("Sub", "mean offset", "m"),
            om.node("Log", "m", "y"),
        ],
        om.image(),
        [om.value("y", (1,))],
        {"offset": np.array([0.2], np.float32)},
    )


def counter() -> bytes:
    """Recurrent: h_out = h + 1, and y = h_out + log(mean - 0.2) - log(mean - 0.2), so that black makes NaN of both."""
    return om.model(
        [
            om.node("ReduceMean", "x", "mean", axes=[1, 2, 3], keepdims=0),
            om.node("Sub", "mean offset", "m"),
            om.node("Log", "m", "l"),
            om.node("Sub", "l l", "nothing"),
            om.node("Add", "h one", "more"),
            om.node("Add", "more nothing", "h_out"),
            om.node("Identity", "h_out", "y"),
        ],
        [*om.image(), om.value("h", (1,))],
        [om.value("y", (1,)), om.value("h_out", (1,))],
        {"offset": np.array([0.2], np.float32), "one": np.array([1], np.float32)},
    )


HEAT: dict[str, Any] = {"decode": {"kind": "heat"}, "labels": ["score"]}
COUNTER: dict[str, Any] = HEAT | {"preprocess": {"input": "x"}, "state": {"h_out": "h"}}


def score(model: Model, value: int) -> float | MissedReason:
    """A heat model's number for a frame of one grey, or why there is none."""
    output, _ = model.run(frame(value), TickClock())
    return output.score if isinstance(output, Heat) else output  # type: ignore[return-value]  # heat or missed


def fusing() -> bytes:
    """One number per frame out of all that it is given: image, classes of any size, one pose with its age, raw samples."""
    nodes = [
        om.node("ReduceMean", "x", "a", keepdims=0),
        om.node("Cast", "classes", "as_float", to=1),
        om.node("ReduceMean", "as_float", "b", keepdims=0),
        om.node("ReduceSum", "pose", "c", keepdims=0),
        om.node("ReduceSum", "raw", "d", keepdims=0),
        om.node("Sum", "a b c d", "e"),
        om.node("Reshape", "e shape", "y"),
    ]
    inputs = [
        om.value("x", (1, 3, 32, 32)),
        om.value("classes", (1, None, None), np.uint8),
        om.value("pose", (1, 3)),
        om.value("raw", (1, 3, 2)),
    ]
    return om.model(nodes, inputs, [om.value("y", (1, 1))], {"shape": np.array([1, 1], np.int64)})
