"""Segmentation, classification and heat against plain references; what each refuses at load and at run time."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inframe.core.config import DecodeClassification, DecodeHeat, DecodeSegmentation
from inframe.core.errors import ConfigError
from inframe.core.ports import TensorSpec
from inframe.core.types import WHOLE, Heat, Masks, Region
from inframe.pipeline.decode import ClassificationDecoder, HeatDecoder, SegmentationDecoder
from inframe.pipeline.outputs import InvalidOutput, Setting, check_finite, logit, sigmoid, window


def setting(labels: int = 4, region: Region = WHOLE, size: tuple[int, int] = (32, 32)) -> Setting:
    return Setting("m.onnx", "m", tuple(f"label{i}" for i in range(labels)), size, region)


def spec(array: NDArray[np.generic], name: str = "y") -> dict[str, TensorSpec]:
    return {name: TensorSpec(name, array.shape, array.dtype)}


def segment(array: NDArray[np.generic], labels: int, region: Region = WHOLE, **config: Any) -> Masks:
    made = DecodeSegmentation.model_validate({"kind": "segmentation", **config})
    decoder = SegmentationDecoder(made, spec(array), setting(labels, region))
    masks = decoder({"y": array})
    assert masks.classes.dtype == np.uint8
    assert masks.classes.nbytes <= decoder.capacity
    return masks


# Few different numbers, so that equal scores are common.
logits = hnp.arrays(
    np.float32,
    st.tuples(st.just(1), st.integers(2, 12), st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(-3, 3).map(float) | st.floats(-(2.0**100), 2.0**100, width=32),
)


@settings(max_examples=150, deadline=None)
@given(array=logits, layout=st.sampled_from(["nchw", "nhwc"]))
def test_argmax_is_numpys(array: NDArray[np.float32], layout: str) -> None:
    expected = array[0].argmax(0)
    given_ = array if layout == "nchw" else np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    masks = segment(given_, array.shape[1], layout=layout)
    assert np.array_equal(masks.classes, expected)
    assert masks.region == WHOLE


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, np.int8, np.int32])
def test_argmax_of_other_numbers(dtype: type) -> None:
    array: NDArray[np.generic] = (np.random.default_rng(0).standard_normal((1, 5, 6, 7)) * 50).astype(dtype)
    assert np.array_equal(segment(array, 5).classes, array[0].argmax(0))


def test_many_labels() -> None:
    array = np.random.default_rng(0).standard_normal((1, 256, 3, 3)).astype(np.float32)
    assert np.array_equal(segment(array, 256).classes, array[0].argmax(0))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_scores_at_a_finer_size_find_an_edge_between_pixels(layout: str, dtype: type) -> None:
    """An edge at x = 21.3 of 64 pixels, answered in 16: scores are the distance from it."""
    centres = (np.arange(16) + 0.5) * 4
    plane = np.broadcast_to(centres - 21.3, (8, 16))
    array: NDArray[np.generic] = np.stack([-plane, plane])[None].astype(dtype)
    given_ = array if layout == "nchw" else np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    masks = segment(given_, 2, layout=layout, size=[64, 32])
    assert masks.classes.shape == (32, 64)
    assert (masks.classes == (np.arange(64) + 0.5 > 21.3)).all()
    assert segment(given_, 2, layout=layout, size=[16, 8]).classes.shape == (8, 16)
    with pytest.raises(ConfigError, match=r"decode.size: found 64x32, expected none: indices"):
        segment(np.zeros((1, 8, 16), np.int64), 2, activation="none", size=[64, 32])


@settings(max_examples=100, deadline=None)
@given(
    array=hnp.arrays(np.float32, (1, 1, 4, 5), elements=st.floats(-20, 20, width=32)),
    threshold=st.floats(0, 1),
)
def test_sigmoid_against_the_threshold(array: NDArray[np.float32], threshold: float) -> None:
    masks = segment(array, 2, activation="sigmoid", threshold=threshold)
    score = 1 / (1 + np.exp(-array[0, 0].astype(np.float64)))
    clear = np.abs(score - threshold) > 1e-5
    assert np.array_equal(masks.classes[clear], (score > threshold)[clear])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32, np.float32, np.bool_])
@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 1, 3, 4), (1, 1, 1, 3, 4)])
def test_indices_as_they_come(dtype: type, shape: tuple[int, ...]) -> None:
    array: NDArray[np.generic] = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    assert np.array_equal(segment(array, 2, activation="none").classes, array.reshape(3, 4))


@pytest.mark.parametrize("wrong", [4, -1, 255, 2**40])
def test_impossible_indices_are_invalid(wrong: int) -> None:
    array = np.zeros((1, 3, 4), np.int64)
    decoder = SegmentationDecoder(DecodeSegmentation(kind="segmentation", activation="none"), spec(array), setting(4))
    array[0, 1, 1] = wrong
    with pytest.raises(InvalidOutput, match="label index outside"):
        decoder({"y": array})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 1, 17, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_no_nan_gets_through(dtype: type, at: int, value: float) -> None:
    array: NDArray[Any] = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(dtype)
    decoder = SegmentationDecoder(DecodeSegmentation(kind="segmentation"), spec(array), setting(3))
    decoder({"y": array})
    array.reshape(-1)[at] = value
    with pytest.raises(InvalidOutput, match="NaN or infinity in output 'y'"):
        decoder({"y": array})


@settings(max_examples=200, deadline=None)
@given(
    array=hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(width=32) | st.sampled_from([3.4e38, -3.4e38]))
)
def test_the_finite_check_is_exact(array: NDArray[np.float32]) -> None:
    for view in (array, array[::-1], array[None, :, None]):
        if np.isfinite(array).all():
            check_finite(view, "y")
        else:
            with pytest.raises(InvalidOutput):
                check_finite(view, "y")


def test_opposite_infinities_and_huge_numbers() -> None:
    with pytest.raises(InvalidOutput):
        check_finite(np.array([np.inf, -np.inf], np.float32), "y")
    check_finite(np.full(100_000, np.finfo(np.float32).max), "y")


# --- geometry --------------------------------------------------------------------------------------------------------


def test_bars_are_cut_off() -> None:
    # 1280x720 letterboxed into 256x256: rows 56..200 of 256 are picture; in an output of 64x64 rows 14..50.
    region = (0.0, -56 / 144, 1.0, 200 / 144)
    array = np.zeros((1, 2, 64, 64), np.float32)
    array[0, 1, 14:50] = 1
    masks = segment(array, 2, region)
    assert masks.classes.shape == (36, 64)
    assert masks.classes.all(), "no bar is left, nothing else is gone"
    assert masks.region == pytest.approx(WHOLE)


@settings(max_examples=200, deadline=None)
@given(
    x0=st.floats(-2, 0.4),
    x1=st.floats(0.6, 3),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
)
def test_a_window_lies_on_the_frame_and_where_it_says(x0: float, x1: float, height: int, width: int) -> None:
    part = window((x0, 0.0, x1, 1.0), height, width)
    assert (part.rows.start, part.rows.stop) == (0, height)
    low, high = part.region[0], part.region[2]
    assert 0 <= part.columns.start < part.columns.stop <= width
    assert 0 <= low < high <= 1
    step = (x1 - x0) / width
    if step <= 0.5:  # at least one output pixel lies wholly on the frame: nothing had to be cut to it
        assert low == pytest.approx(x0 + part.columns.start * step, abs=1e-5)
        assert high == pytest.approx(x0 + part.columns.stop * step, abs=1e-5)
    if step < 0.1:
        assert low - max(0, x0) < step + 1e-5, "no whole pixel of the picture is lost"
        assert min(1, x1) - high < step + 1e-5


# --- classification and heat -----------------------------------------------------------------------------------------


def classify(array: NDArray[np.generic], activation: str) -> NDArray[np.float32]:
    made = DecodeClassification.model_validate({"kind": "classification", "activation": activation})
    decoder = ClassificationDecoder(made, spec(array), setting(array.size))
    scores = decoder({"y": array}).scores
    assert scores.dtype == np.float32
    assert scores.nbytes == decoder.capacity
    return scores


@settings(max_examples=100, deadline=None)
@given(array=hnp.arrays(np.float32, (1, 6), elements=st.floats(-500, 500, width=32)))
def test_classification(array: NDArray[np.float32]) -> None:
    wide = array[0].astype(np.float64)
    powers = np.exp(wide - wide.max())
    np.testing.assert_allclose(classify(array, "softmax"), powers / powers.sum(), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(classify(array, "sigmoid"), 0.5 * (1 + np.tanh(wide / 2)), rtol=1e-4, atol=1e-7)
    assert np.array_equal(classify(array, "none"), array[0])
    assert np.array_equal(classify(array.reshape(1, 6, 1, 1), "none"), array[0])


def heat(array: NDArray[np.generic], region: Region = WHOLE, **config: Any) -> Heat:
    made = DecodeHeat.model_validate({"kind": "heat", **config})
    decoder = HeatDecoder(made, spec(array), setting(1, region))
    found = decoder({"y": array})
    assert found.heat.nbytes <= decoder.capacity
    assert found.heat.dtype == np.float32
    return found


@pytest.mark.parametrize("shape", [(1, 1, 9, 11), (1, 9, 11), (1, 1, 1, 9, 11)])
def test_heat(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    plane = array.reshape(9, 11)
    assert np.array_equal(heat(array).heat, plane)
    assert heat(array).score == plane.max()
    assert heat(array, reduce="mean").score == pytest.approx(plane.mean(), abs=1e-6)
    assert heat(array, reduce="p99").score == np.percentile(plane, 99, method="inverted_cdf")
    np.testing.assert_allclose(heat(array, activation="sigmoid").heat, 1 / (1 + np.exp(-plane)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (), (1, 1, 1, 1, 1, 1, 1, 1, 1)])
def test_heat_of_one_number(shape: tuple[int, ...]) -> None:
    found = heat(np.full(shape, 0.25, np.float32))
    assert found.heat.tolist() == [[0.25]]
    assert found.score == 0.25


def test_bars_don_t_count_for_the_score() -> None:
    array = np.zeros((1, 1, 64, 64), np.float32)
    array[0, 0, :10] = 5  # on the upper bar
    assert heat(array, (0.0, -56 / 144, 1.0, 200 / 144)).score == 0


def test_logit_undoes_sigmoid() -> None:
    for p in (0.001, 0.25, 0.5, 0.9):
        assert float(sigmoid(np.array([logit(p)], np.float32))[0]) == pytest.approx(p, rel=1e-5)
    assert sigmoid(np.array([-1000, 1000], np.float32)).tolist() == [0, 1]


# --- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "shape", "labels", "message"),
    [
        (
            {},
            (1, 8, 4, 4),
            5,
            r"m.onnx: models.m.labels: found 5 labels, expected 8 \(output 'y' has 8 channels in layout nchw: 1x8x4x4",
        ),
        ({"layout": "nhwc"}, (1, 4, 4, 8), 4, r"found 4 labels, expected 8 \(output 'y' has 8 channels in layout nhwc"),
        ({}, (1, 1, 4, 4), 1, r"decode.activation: found argmax of one channel .* expected sigmoid .* or none"),
        ({"activation": "none"}, (1, 3, 4, 4), 3, r"decode.activation: found 3 channels .* expected one channel"),
        (
            {"activation": "sigmoid"},
            (1, 3, 4, 4),
            3,
            r"labels: found 3 labels, expected 4: background, then one for each",
        ),
        (
            {"activation": "sigmoid"},
            (1, 1, 4, 4),
            3,
            r"labels: found 3 labels, expected 2: background, then one for each",
        ),
        ({}, (1, 1000), 1000, r"decode.kind: found output 'y' of 1x1000, expected 1 x labels x h x w"),
        ({}, (2, 4, 4, 4), 4, r"decode.kind: found output 'y' of 2x4x4x4"),
        ({"output": "z"}, (1, 4, 4, 4), 4, r"decode.output: found 'z', expected one of the model's outputs: y"),
        ({"activation": "none"}, (1, 4, 4), 257, r"labels: found 257 labels, expected 1 to 256"),
    ],
)
def test_segmentation_that_does_not_fit(
    config: dict[str, Any], shape: tuple[int, ...], labels: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        segment(np.zeros(shape, np.float32), labels, **config)


def test_several_outputs_must_be_chosen_from() -> None:
    one, two = np.zeros((1, 4), np.float32), np.zeros((1, 5), np.float32)
    with pytest.raises(ConfigError, match=r"decode.output: found nothing, expected one of the model's outputs: a, b"):
        ClassificationDecoder(DecodeClassification(kind="classification"), spec(one, "a") | spec(two, "b"), setting(4))


@pytest.mark.parametrize(("shape", "labels"), [((2, 4), 8), ((1, 2, 4), 8), ((1, 4), 3)])
def test_classification_that_does_not_fit(shape: tuple[int, ...], labels: int) -> None:
    made = DecodeClassification(kind="classification")
    with pytest.raises(ConfigError):
        ClassificationDecoder(made, spec(np.zeros(shape, np.float32)), setting(labels))


@pytest.mark.parametrize(("shape", "labels"), [((1, 4), 1), ((1, 2, 4, 4), 1), ((1, 4, 4), 2)])
def test_heat_that_does_not_fit(shape: tuple[int, ...], labels: int) -> None:
    made = DecodeHeat(kind="heat")
    with pytest.raises(ConfigError):
        HeatDecoder(made, spec(np.zeros(shape, np.float32)), setting(labels))


def test_another_shape_at_run_time_is_invalid() -> None:
    array = np.zeros((1, 3, 4, 5), np.float32)
    decoder = SegmentationDecoder(DecodeSegmentation(kind="segmentation"), spec(array), setting(3))
    with pytest.raises(InvalidOutput, match="is 1x3x5x4, expected 1x3x4x5"):
        decoder({"y": array.transpose(0, 1, 3, 2)})


@pytest.mark.parametrize("activation", ["sigmoid", "threshold"])
def test_several_foreground_channels_leave_the_rest_to_the_background(activation: str) -> None:
    scores = np.array([[[0.9, 0.1, 0.6]], [[0.2, 0.3, 0.8]]])
    values = np.log(scores / (1 - scores)) if activation == "sigmoid" else scores
    values = values.astype(np.float32)[None]
    assert segment(values, 3, activation=activation).classes.tolist() == [[1, 0, 2]]
