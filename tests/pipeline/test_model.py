"""A model's run: its output, its time stamps, what it misses; and recurrent state."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import Heat, Masks, MissedReason, Scores
from inframe.pipeline.model import Model, load_model
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import (
    COUNTER,
    FRAME,
    HEAT,
    TickClock,
    configure,
    counter,
    frame,
    load,
    logarithm,
    noise,
)

KNOWN = Path("../shared/data/known-answer")


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest) -> dict[str, Any]:
    pytest.importorskip(str(request.param))
    return {"engine": {"name": request.param}}


def test_a_frame_becomes_masks(tmp_path: Path, engine: dict[str, Any]) -> None:
    model = load(tmp_path, om.convolution(), **engine)
    assert model.labels == ("background", "liver", "gallbladder", "tool")
    assert model.engine.name.startswith(engine["engine"]["name"])
    assert model.capacity == 32 * 32
    pixels = noise()
    output, steps = model.run(pixels, TickClock())
    assert isinstance(output, Masks)
    x = cv2.resize(pixels, (32, 32)).astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    assert np.array_equal(output.classes, model.engine.run({"x": np.ascontiguousarray(x)})["y"][0].argmax(0))
    assert (steps.started, steps.preprocessed, steps.inferred, steps.decoded) == (1, 2, 3, 4)
    model.close()
    model.close()


def score(model: Model, value: int) -> float | MissedReason:
    output, _ = model.run(frame(value), TickClock())
    return output.score if isinstance(output, Heat) else output  # type: ignore[return-value]  # heat or missed


def test_nan_is_invalid_and_passes(tmp_path: Path, engine: dict[str, Any]) -> None:
    model = load(tmp_path, logarithm(), **HEAT, **engine)
    assert score(model, 255) == pytest.approx(np.log(0.8), rel=1e-5)
    assert score(model, 0) is MissedReason.INVALID
    assert model.last_fault == "NaN or infinity in output 'y'"
    assert score(model, 51) is MissedReason.INVALID  # log(0): infinity
    assert score(model, 255) == pytest.approx(np.log(0.8), rel=1e-5)


def test_a_step_not_reached_ends_when_it_gave_up(tmp_path: Path) -> None:
    model = load(tmp_path, logarithm(), **HEAT)
    _, steps = model.run(frame(0), TickClock())
    assert (steps.started, steps.preprocessed, steps.inferred, steps.decoded) == (1, 2, 3, 4)
    _, steps = model.run(frame(0, (8, 8)), TickClock())
    assert (steps.started, steps.preprocessed, steps.inferred, steps.decoded) == (1, 2, 3, 4)


@pytest.mark.parametrize("error", [DeviceFault("the GPU is gone"), MemoryError("no more"), ValueError("what?")])
def test_an_engine_that_raises_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    model = load(tmp_path, om.convolution())

    def broken(feeds: object) -> object:
        raise error

    monkeypatch.setattr(model.engine, "run", broken)
    output, _ = model.run(frame(), TickClock())
    assert output is MissedReason.FAILED
    assert str(error) in model.last_fault
    monkeypatch.undo()
    assert isinstance(model.run(frame(), TickClock())[0], Masks)


# --- recurrent state -------------------------------------------------------------------------------------------------


def test_state_goes_from_frame_to_frame(tmp_path: Path, engine: dict[str, Any]) -> None:
    model = load(tmp_path, counter(), **COUNTER, **engine)
    assert [score(model, 200) for _ in range(3)] == [1, 2, 3]
    model.forget()
    assert [score(model, 200) for _ in range(2)] == [1, 2]
    model.warm_up(TickClock())
    assert score(model, 200) == 1, "what warms up is forgotten"


def test_state_starts_again_after_nan(tmp_path: Path, engine: dict[str, Any]) -> None:
    model = load(tmp_path, counter(), **COUNTER, **engine)
    assert [score(model, v) for v in (200, 200, 0, 200, 200)] == [1, 2, MissedReason.INVALID, 1, 2]


def test_state_starts_again_when_only_the_state_is_nan(tmp_path: Path) -> None:
    # The decoded output stays sound; unseen, the state would be NaN for ever.
    data = om.model(
        [
            om.node("ReduceMean", "x", "mean", axes=[1, 2, 3], keepdims=0),
            om.node("Sub", "mean offset", "m"),
            om.node("Log", "m", "l"),
            om.node("Add", "h l", "h_out"),
            om.node("Identity", "mean", "y"),
        ],
        [*om.image(), om.value("h", (1,))],
        [om.value("y", (1,)), om.value("h_out", (1,))],
        {"offset": np.array([0.2], np.float32)},
    )
    model = load(tmp_path, data, **COUNTER)
    assert score(model, 0) is MissedReason.INVALID
    assert model.last_fault == "NaN or infinity in output 'h_out'"
    assert score(model, 255) == 1.0


def test_a_failed_run_keeps_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, counter(), **COUNTER)
    assert score(model, 200) == 1
    with monkeypatch.context() as broken:
        broken.setattr(model.engine, "run", None)
        assert score(model, 200) is MissedReason.FAILED
    assert score(model, 200) == 2


def test_state_may_be_what_is_decoded(tmp_path: Path) -> None:
    data = om.model(
        [om.node("ReduceMean", "x", "mean", axes=[1, 2, 3], keepdims=0), om.node("Add", "h mean", "h_out")],
        [*om.image(), om.value("h", ("n",))],
        [om.value("h_out", ("n",))],
    )
    changes = COUNTER | {"decode": {"kind": "heat", "output": "h_out"}, "shapes": {"h": [1]}}
    model = load(tmp_path, data, **changes)
    assert [score(model, 255) for _ in range(3)] == [1, 2, 3]


# --- the inputs' shapes ----------------------------------------------------------------------------------------------


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
            r"preprocess.input: found 'x', which is in state too",
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


# --- other things that don't fit -------------------------------------------------------------------------------------


def test_open_output_shapes_are_checked_by_the_first_run(tmp_path: Path) -> None:
    data = om.identity(("n", 3, "h", "w"))
    with pytest.raises(ConfigError, match=r"labels: found 4 labels, expected 3 \(output 'y' has 3 channels"):
        load(tmp_path, data)
    model = load(tmp_path, data, labels=["a", "b", "c"])
    assert model.capacity == 32 * 32


def test_nan_on_a_grey_frame_is_refused_at_load(tmp_path: Path) -> None:
    data = om.model(
        [om.node("Log", "m", "l"), om.node("Mul", "x l", "y")],
        om.image((1, 3, 32, 32)),
        [om.value("y", (1, 3, 32, 32))],
        {"m": np.array(-1, np.float32)},
    )
    with pytest.raises(ConfigError, match=r"decode: found NaN or infinity in output 'y', expected finite numbers"):
        load(tmp_path, data, labels=["a", "b", "c"])


def test_a_model_that_can_not_run_is_refused_at_load(tmp_path: Path) -> None:
    data = om.model(
        [om.node("Reshape", "x s", "y")], om.image(("n", 3, "h", "w")), [om.value("y", (1, 7))], {"s": np.array([1, 7])}
    )
    with pytest.raises(
        ConfigError, match=r"models\.organs: found .* expected a model that runs on a grey test frame"
    ) as caught:
        load(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.onnx: models.organs.file: found No such file or directory"):
        load_model("organs", configure(), tmp_path, FRAME)


def test_colours_of_unknown_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"colours: found 'lever', expected one of the labels: background, liver"):
        load(tmp_path, om.convolution(), colours={"lever": "#ff0000"})


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"a\nb\nc\nd", b"a\nb\nc\nd\n", b"\xef\xbb\xbfa\r\nb\r\nc \r\nd\r\n\r\n"])
def test_labels_from_a_file(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(text)
    assert load(tmp_path, om.convolution(), labels="labels.txt").labels == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "found no labels, expected at least one"),
        (b"\n\n", "found no labels"),
        (b"a\n\nc\nd", r"found an empty label \(number 2\)"),
        (b"a\nb\xff\nc\nd", "found byte 3, not UTF-8"),
        (b"a\nb\nc\nd\ne", "found 5 labels, expected 4"),
        (None, "found No such file"),
    ],
)
def test_label_files_that_are_wrong(tmp_path: Path, text: bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "labels.txt").write_bytes(text)
    with pytest.raises(ConfigError, match=f"models.organs.labels: {message}"):
        load(tmp_path, om.convolution(), labels="labels.txt")


# --- the known answer ------------------------------------------------------------------------------------------------

RIGHT = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def known_answer(folder: Path, numbers: dict[str, Any], **changes: Any) -> tuple[int, str, float]:
    image = cv2.cvtColor(cv2.imread(str(KNOWN / "orange.png")), cv2.COLOR_BGR2RGB)
    labels = (KNOWN / "labels.txt").read_text().splitlines()[1:]  # the first row is a background that the model lacks
    config = configure(
        file="mobilenet_v2_quant.onnx",
        preprocess={"size": [224, 224]} | numbers,
        decode={"kind": "classification"},
        labels=labels,
        **changes,
    )
    model = load_model("fruit", config, folder, (image.shape[1], image.shape[0]))
    output, _ = model.run(image, TickClock())
    assert isinstance(output, Scores)
    best = int(output.scores.argmax())
    return best, model.labels[best], float(output.scores[best])


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        (RIGHT, 950),
        ({"scale": 1 / 127.5, "mean": (1.0,)}, 951),
        ({"scale": 1.0}, 644),
    ],
)
def test_known_answer(numbers: dict[str, Any], answer: int) -> None:
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    best, label, _ = known_answer(KNOWN, numbers)
    assert best == answer
    assert (label == "orange") == (answer == 950)


def test_known_answer_with_the_background_row_is_refused() -> None:
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    config = configure(
        file="mobilenet_v2_quant.onnx",
        preprocess={"size": [224, 224]},
        decode={"kind": "classification"},
        labels="labels.txt",
    )
    with pytest.raises(
        ConfigError, match=r"found 1001 labels, expected 1000 \(output 'output' has 1000 scores: 1x1000\)"
    ):
        load_model("fruit", config, KNOWN, FRAME)


def test_known_answer_by_openvino(tmp_path: Path) -> None:
    """OpenVINO lacks one of this file's operators and says so; with that one written out it gives the right answer."""
    pytest.importorskip("openvino")
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    openvino = {"engine": {"name": "openvino"}}
    with pytest.raises(
        ConfigError, match=r"found operators com.microsoft.QLinearGlobalAveragePool, expected operators"
    ):
        known_answer(KNOWN, RIGHT, **openvino)
    om.save(
        tmp_path, without_quantised_pool((KNOWN / "mobilenet_v2_quant.onnx").read_bytes()), "mobilenet_v2_quant.onnx"
    )
    # On this int8 model the two engines' scores are up to 8 apart, so what wrong preprocessing answers differs too.
    assert known_answer(tmp_path, RIGHT, **openvino)[:2] == (950, "orange")
    for numbers in ({"scale": 1 / 127.5, "mean": (1.0,)}, {"scale": 1.0}):
        assert known_answer(tmp_path, numbers, **openvino)[0] != 950


def without_quantised_pool(data: bytes) -> bytes:
    """QLinearGlobalAveragePool written as DequantizeLinear, GlobalAveragePool, QuantizeLinear."""
    import onnx

    proto = onnx.load_model_from_string(data)
    for i, node in enumerate(proto.graph.node):
        if node.op_type == "QLinearGlobalAveragePool":
            x, x_scale, x_zero, y_scale, y_zero = node.input
            replaced = [
                om.node("DequantizeLinear", f"{x} {x_scale} {x_zero}", "pool_in"),
                om.node("GlobalAveragePool", "pool_in", "pool_out"),
                om.node("QuantizeLinear", f"pool_out {y_scale} {y_zero}", node.output[0]),
            ]
            del proto.graph.node[i]
            for offset, new in enumerate(replaced):
                proto.graph.node.insert(i + offset, new)
            break
    changed: bytes = proto.SerializeToString()
    return changed
