"""A model's run: its output, its time stamps, what it misses; and recurrent state."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import Masks, MissedReason
from inframe.pipeline.model import load_model
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import (
    COUNTER,
    FRAME,
    HEAT,
    TickClock,
    configure,
    counter,
    each_engine,
    frame,
    load,
    logarithm,
    noise,
    quotient,
    score,
)


@each_engine
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


@each_engine
def test_nan_is_invalid_and_passes(tmp_path: Path, engine: dict[str, Any]) -> None:
    model = load(tmp_path, logarithm(), **HEAT, **engine)
    assert score(model, 255) == pytest.approx(np.log(0.8), rel=1e-5)
    assert score(model, 0) is MissedReason.INVALID
    assert model.last_fault == "NaN or infinity in output 'y'"
    assert score(model, 255) == pytest.approx(np.log(0.8), rel=1e-5)


@each_engine
def test_infinity_is_invalid_and_passes(tmp_path: Path, engine: dict[str, Any]) -> None:
    """Not by a logarithm: whether its argument is 0 or a little less is a matter of rounding."""
    model = load(tmp_path, quotient(), **HEAT, **engine)
    assert score(model, 0) is MissedReason.INVALID
    assert score(model, 255) == pytest.approx(1, rel=1e-5)


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


@each_engine
def test_state_goes_from_frame_to_frame(tmp_path: Path, engine: dict[str, Any]) -> None:
    model = load(tmp_path, counter(), **COUNTER, **engine)
    assert [score(model, 200) for _ in range(3)] == [1, 2, 3]
    model.forget()
    assert [score(model, 200) for _ in range(2)] == [1, 2]
    model.warm_up(TickClock())
    assert score(model, 200) == 1, "what warms up is forgotten"


@each_engine
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
