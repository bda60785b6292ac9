"""What a model's inputs must look like, and who feeds each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframe.core.errors import ConfigError
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import COUNTER, HEAT, counter, each_engine, load, score


@pytest.mark.parametrize(
    ("shape", "preprocess"),
    [
        ((1, 3, 32, 32), {}),
        (("n", 3, "h", "w"), {}),
        ((1, "c", "h", "w"), {"colour": "gray"}),
        ((1, 1, 3, 32, 32), {}),
        ((1, 32, 32, 3), {"layout": "nhwc"}),
        (("n", None, None, 3), {"layout": "nhwc", "size": [24, 16]}),
        ((1, 32, 32), {"colour": "gray"}),
        (("n", 32, 32), {"colour": "gray", "layout": "nhwc"}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
@each_engine
def test_shapes_of_the_image_input(
    tmp_path: Path, engine: dict[str, Any], shape: om.Shape, preprocess: dict[str, Any], dtype: str
) -> None:
    axes = list(range(len(shape)))
    data = om.model(
        [om.node("Cast", "x", "f", to=1), om.node("ReduceMean", "f", "y", axes=axes, keepdims=0)],
        om.image(shape, dtype),
        [om.value("y", ())],
    )
    scale = {"scale": 1.0} if dtype == "uint8" else {"scale": 0.25}
    model = load(tmp_path, data, preprocess=preprocess | {"dtype": dtype} | scale, **HEAT, **engine)
    assert score(model, 100) == pytest.approx(100 * scale["scale"], rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "preprocess", "message"),
    [
        (
            (1, 224, 224, 3),
            {"size": [224, 224]},
            r"preprocess.layout: found nchw, expected nhwc \(input 'x' is 1x224x224x3",
        ),
        ((1, 3, 32, 32), {"layout": "nhwc"}, r"preprocess.layout: found nhwc, expected nchw \(input 'x' is 1x3x32x32"),
        ((1, 3, 40, 24), {}, r"preprocess.size: found 32x32, expected 24x40 \(input 'x' is 1x3x40x24\)"),
        ((1, 40, 24, 3), {"layout": "nhwc"}, r"preprocess.size: found 32x32, expected 24x40"),
        (
            (1, 1, 32, 32),
            {},
            r"preprocess.colour: found rgb, 3 channels, expected 1 channels \(input 'x' is 1x1x32x32\)",
        ),
        ((1, 3, 32, 32), {"colour": "gray"}, r"preprocess.colour: found gray, 1 channels, expected 3 channels"),
        ((1, 9, 32, 32), {}, r"preprocess.colour: found rgb, 3 channels, expected 9 channels"),
        ((4, 3, 32, 32), {}, r"preprocess.input: found input 'x' of 4x3x32x32, expected a batch of 1"),
        (
            (1, 1000),
            {},
            r"preprocess.input: found input 'x' of 1x1000, expected a model that takes an image of 1x3x32x32",
        ),
        ((3, 32, 32), {}, r"preprocess.input: found input 'x' of 3x32x32, expected a model that takes an image"),
        ((1, 32, 24), {"colour": "gray"}, r"preprocess.size: found 32x32, expected 24x32"),
        (
            (1, 3, 32, 32),
            {"dtype": "uint8"},
            r"preprocess.dtype: found uint8, expected float32 \(input 'x' is float32\)",
        ),
        ((1, 3, 32, 32), {"input": "image"}, r"preprocess.input: found 'image', expected one of the model's inputs: x"),
    ],
)
def test_an_image_input_that_does_not_fit(
    tmp_path: Path, shape: om.Shape, preprocess: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=r"model.onnx: models.organs." + message):
        load(tmp_path, om.identity(shape), preprocess=preprocess)


def two_inputs() -> bytes:
    return om.model([om.node("Add", "x z", "y")], [*om.image(), *om.image(name="z")], [om.value("y", (1, 3, 32, 32))])


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (two_inputs(), {}, r"preprocess.input: found nothing, expected one of the model's inputs: x, z"),
        (
            two_inputs(),
            {"preprocess": {"input": "x"}},
            r"state: found nothing that feeds input 'z' \(1x3x32x32 float32\), expected state: \{OUTPUT: z\}",
        ),
        (
            counter(),
            COUNTER | {"state": {"nobody": "h"}},
            r"state: found output 'nobody', expected one of .*: y, h_out",
        ),
        (counter(), COUNTER | {"state": {"h_out": "g"}}, r"state: found input 'g', expected one of .*: x, h"),
        (
            counter(),
            COUNTER | {"state": {"h_out": "h", "y": "h"}},
            r"state: found input 'h' twice, expected each input once",
        ),
        (
            om.identity((1, 3, 32, 32)),
            {"state": {"y": "x"}, "preprocess": {"input": "x"}},
            r"preprocess.input: found 'x', which is in state or inputs too",
        ),
        (counter(), COUNTER | {"shapes": {"h": [2]}}, r"shapes.h: found 2, expected 1"),
        (counter(), COUNTER | {"shapes": {"k": [2]}}, r"shapes: found 'k', expected one of the model's inputs: x, h"),
        (om.convolution(), {"shapes": {"x": [1, 3, 8, 8]}}, r"shapes.x: found 1x3x8x8, expected 1x3x32x32"),
    ],
)
def test_inputs_that_nobody_feeds(tmp_path: Path, data: bytes, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=r"model.onnx: models.organs." + message):
        load(tmp_path, data, **changes)


def test_state_of_open_size_needs_a_shape(tmp_path: Path) -> None:
    data = om.model(
        [om.node("ReduceMean", "x", "y", axes=[1, 2, 3], keepdims=0), om.node("Identity", "h", "h_out")],
        [*om.image(), om.value("h", ("n", 4))],
        [om.value("y", (1,)), om.value("h_out", ("n", 4))],
    )
    with pytest.raises(ConfigError, match=r"shapes.h: found nothing, expected the state's size \(input 'h' is \?x4\)"):
        load(tmp_path, data, **COUNTER)
    assert score(load(tmp_path, data, **COUNTER, shapes={"h": [2, 4]}), 255) == 1.0


@pytest.mark.parametrize(("shape", "dtype"), [((2,), np.float32), ((1,), np.float16), ((1, 1), np.float32)])
def test_state_that_comes_back_different(tmp_path: Path, shape: om.Shape, dtype: type) -> None:
    data = om.model(
        [om.node("ReduceMean", "x", "y", axes=[1, 2, 3], keepdims=0), om.node("Identity", "k", "h_out")],
        [*om.image(), om.value("h", (1,))],
        [om.value("y", (1,)), om.value("h_out", shape, dtype)],
        {"k": np.zeros([int(n or 0) for n in shape], dtype)},
    )
    with pytest.raises(ConfigError, match=r"state: found output 'h_out' of .* expected 1 float32 \(input 'h'\)"):
        load(tmp_path, data, **COUNTER)


def test_state_that_grows_is_seen_at_the_first_run(tmp_path: Path) -> None:
    data = om.model(
        [om.node("ReduceMean", "x", "y", axes=[1, 2, 3], keepdims=0), om.node("Concat", "h h", "h_out", axis=0)],
        [*om.image(), om.value("h", ("n",))],
        [om.value("y", (1,)), om.value("h_out", ("m",))],
    )
    with pytest.raises(ConfigError, match=r"state: found output 'h_out' of 6, expected 3 \(input 'h'\)"):
        load(tmp_path, data, **COUNTER, shapes={"h": [3]})
