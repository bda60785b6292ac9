"""Detection formats against plain references: made from known boxes, read back."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inframe.core.config import DecodeDetection
from inframe.core.errors import ConfigError
from inframe.core.ports import TensorSpec
from inframe.core.types import WHOLE, Boxes, Region
from inframe.pipeline.detection import DetectionDecoder, suppress, yolox_grid
from inframe.pipeline.outputs import InvalidOutput, Setting

SIZE = (64, 32)
Floats = NDArray[np.float32]
Outputs = dict[str, NDArray[Any]]


def decoder(outputs: Outputs, labels: int = 3, region: Region = WHOLE, **config: Any) -> DetectionDecoder:
    made = DecodeDetection.model_validate({"kind": "detection", **config})
    specs = {name: TensorSpec(name, array.shape, array.dtype) for name, array in outputs.items()}
    return DetectionDecoder(made, specs, Setting("m.onnx", "m", tuple("abcdefgh"[:labels]), SIZE, region))


def decode(outputs: Outputs, labels: int = 3, region: Region = WHOLE, **config: Any) -> Boxes:
    made = decoder(outputs, labels, region, **config)
    found = made(outputs)
    assert [str(a.dtype) for a in (found.boxes, found.scores, found.classes)] == ["float32", "float32", "int32"]
    assert found.boxes.nbytes + found.scores.nbytes + found.classes.nbytes <= made.capacity
    return found


# --- suppression -----------------------------------------------------------------------------------------------------


def plain_iou(a: list[float], b: list[float]) -> tuple[float, float]:
    """Intersection and union."""
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (max(0.0, x[2] - x[0]) * max(0.0, x[3] - x[1]) for x in (a, b))
    return w * h, sum(areas) - w * h


def plain_suppress(boxes: Floats, scores: Floats, classes: NDArray[np.int32], iou: float, limit: int) -> list[int]:
    """Each box against each: goes if a better one of its label that stayed covers it."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for i in order:
        for j in kept:
            inter, union = plain_iou(boxes[i].tolist(), boxes[j].tolist())
            if classes[i] == classes[j] and inter > iou * union:
                break
        else:
            kept.append(i)
    return kept[:limit]


# Whole numbers, so that float32 and Python's floats agree to the last bit, and ties are common.
corner = st.integers(0, 12)
box = st.tuples(corner, corner, st.integers(-1, 8), st.integers(-1, 8)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(box, st.integers(0, 6), st.integers(0, 2)), max_size=25),
    iou=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    limit=st.integers(1, 10),
)
def test_suppression_is_the_plain_one(rows: list[tuple[tuple[int, ...], int, int]], iou: float, limit: int) -> None:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] / 8 for row in rows], np.float32)
    classes = np.array([row[2] for row in rows], np.int32)
    assert suppress(boxes, scores, classes, iou, limit).tolist() == plain_suppress(boxes, scores, classes, iou, limit)


# --- formats: known boxes written as the network would, read back ----------------------------------------------------

Known = tuple[tuple[float, float, float, float], float, int]
KNOWN: list[Known] = [((8, 4, 24, 20), 0.875, 2), ((40, 8, 56, 24), 0.75, 0), ((0, 0, 8, 8), 0.5, 1)]


def rows_of(known: list[Known], labels: int = 3) -> Floats:
    """(n, 4 + labels): centre, width, height, scores."""
    out = np.zeros((len(known), 4 + labels), np.float32)
    for i, ((x0, y0, x1, y1), score, label) in enumerate(known):
        out[i, :4] = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
        out[i, 4 + label] = score
    return out


def as_yolov8(known: list[Known], inverse: Callable[[Floats], Floats]) -> Outputs:
    rows = rows_of(known)
    rows[:, 4:] = inverse(rows[:, 4:])
    filler = np.zeros((20, 7), np.float32)
    filler[:, 4:] = inverse(filler[:, 4:])
    return {"y": np.ascontiguousarray(np.concatenate((filler, rows)).T[None])}


def as_yolov5(known: list[Known], inverse: Callable[[Floats], Floats]) -> Outputs:
    rows = rows_of(known)
    scores = rows[:, 4:]
    objects = np.where(scores.max(1, keepdims=True) > 0, 0.9375, 0.0).astype(np.float32)
    made = np.concatenate((rows[:, :4], inverse(objects), inverse((scores / 0.9375).astype(np.float32))), axis=1)
    return {"y": made[None]}


def as_yolox(known: list[Known], inverse: Callable[[Floats], Floats]) -> Outputs:
    grid, stride = yolox_grid(SIZE)
    out = np.zeros((len(grid), 8), np.float32)
    out[:, 4:] = inverse(out[:, 4:])
    for i, row in enumerate(rows_of(known)):
        at = i * 5
        out[at, :2] = row[:2] / stride[at] - grid[at]
        out[at, 2:4] = np.log(row[2:4] / stride[at])
        out[at, 4] = inverse(np.array([0.9375], np.float32))[0]
        out[at, 5:] = inverse((row[4:] / 0.9375).astype(np.float32))
    return {"y": out[None]}


def as_boxes_scores(known: list[Known], inverse: Callable[[Floats], Floats]) -> Outputs:
    rows = rows_of(known)
    boxes = np.array([k[0] for k in known], np.float32)
    return {"b": boxes[None], "s": np.ascontiguousarray(inverse(rows[:, 4:])[None])}


def as_end2end(known: list[Known], inverse: Callable[[Floats], Floats]) -> Outputs:
    out = np.zeros((len(known) + 4, 6), np.float32)
    out[:, 4] = inverse(out[:, 4])
    out[len(known) :, 5] = -1  # padding
    for i, (corners, score, label) in enumerate(known):
        out[i] = (*corners, inverse(np.array([score], np.float32))[0], label)
    return {"y": out[None]}


WRITERS = {
    "yolov5": as_yolov5,
    "yolov8": as_yolov8,
    "yolox": as_yolox,
    "boxes_scores": as_boxes_scores,
    "end2end": as_end2end,
}
TWO: dict[str, Any] = {"boxes_scores": {"output": "b", "scores_output": "s"}}


def logit(p: Floats) -> Floats:
    inside = np.clip(p, 1e-7, 1 - 1e-7)
    x: Floats = np.log(inside / (1 - inside)).astype(np.float32)
    return x


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
@pytest.mark.parametrize("form", list(WRITERS))
def test_known_boxes_come_back(form: str, activation: str) -> None:
    outputs = WRITERS[form](KNOWN, logit if activation == "sigmoid" else lambda x: x)
    found = decode(outputs, format=form, activation=activation, confidence=0.4, **TWO.get(form, {}))
    scale = np.array([*SIZE, *SIZE])
    np.testing.assert_allclose(found.boxes * scale, [k[0] for k in KNOWN], atol=1e-3)
    np.testing.assert_allclose(found.scores, [k[1] for k in KNOWN], atol=1e-5)
    assert found.classes.tolist() == [2, 0, 1]
    strict = decode(outputs, format=form, activation=activation, confidence=0.8, **TWO.get(form, {}))
    assert strict.classes.tolist() == [2]
    few = decode(outputs, format=form, activation=activation, confidence=0.4, limit=2, **TWO.get(form, {}))
    assert few.classes.tolist() == [2, 0]
    none = decode(outputs, format=form, activation=activation, confidence=1.0, **TWO.get(form, {}))
    assert none.boxes.shape == (0, 4)


@pytest.mark.parametrize("form", list(WRITERS))
def test_float16_is_read_too(form: str) -> None:
    outputs = {name: array.astype(np.float16) for name, array in WRITERS[form](KNOWN, lambda x: x).items()}
    found = decode(outputs, format=form, confidence=0.4, **TWO.get(form, {}))
    np.testing.assert_allclose(found.boxes * np.array([*SIZE, *SIZE]), [k[0] for k in KNOWN], atol=0.05)


@pytest.mark.parametrize("form", list(WRITERS))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_nan_gets_through(form: str, value: float) -> None:
    outputs = WRITERS[form](KNOWN, lambda x: x)
    made = decoder(outputs, format=form, **TWO.get(form, {}))
    for array in outputs.values():
        for at in range(0, array.size, 7):
            before = array.reshape(-1)[at]
            array.reshape(-1)[at] = value
            with pytest.raises(InvalidOutput):
                made(outputs)
            array.reshape(-1)[at] = before
    made(outputs)


def test_a_box_that_explodes_is_invalid() -> None:
    outputs = as_yolox(KNOWN, lambda x: x)
    outputs["y"][0, 0, 2] = 1000  # exp(1000)
    with pytest.raises(InvalidOutput, match="infinite"):
        decode(outputs, format="yolox")


@pytest.mark.parametrize("order", ["xyxy", "cxcywh", "yxyx"])
@pytest.mark.parametrize("units", ["pixels", "fraction"])
def test_orders_and_units(order: str, units: str) -> None:
    boxes = np.array([[8, 4, 24, 20]], np.float32)
    written = {"xyxy": [8, 4, 24, 20], "cxcywh": [16, 12, 16, 16], "yxyx": [4, 8, 20, 24]}[order]
    array = np.array([[written]], np.float32)
    if units == "fraction":
        w, h = SIZE
        array /= np.array([h, w, h, w] if order == "yxyx" else [w, h, w, h], np.float32)
    outputs: Outputs = {"b": array.astype(np.float32), "s": np.array([[[0, 0.5, 0]]], np.float32)}
    found = decode(outputs, format="boxes_scores", output="b", scores_output="s", box=order, units=units)
    np.testing.assert_allclose(found.boxes * np.array([*SIZE, *SIZE]), boxes, atol=1e-4)


def test_boxes_go_back_through_letterbox_and_crop() -> None:
    # The input shows the frame's middle half in x and twice its height (half of it bars).
    region = (0.25, -0.5, 0.75, 1.5)
    outputs = as_boxes_scores([((16, 8, 48, 24), 0.5, 0), ((0, 0, 64, 7), 0.5, 1)], lambda x: x)
    found = decode(outputs, region=region, format="boxes_scores", **TWO["boxes_scores"])
    # The second lies on the upper bar: nothing of it is on the frame.
    np.testing.assert_allclose(found.boxes, [[0.375, 0.0, 0.625, 1.0]], atol=1e-6)


def test_boxes_are_clipped_and_empty_ones_dropped() -> None:
    known: list[Known] = [((-10, -10, 32, 16), 0.9, 0), ((70, 10, 80, 20), 0.8, 0), ((30, 10, 30, 20), 0.7, 0)]
    found = decode(as_boxes_scores(known, lambda x: x), format="boxes_scores", **TWO["boxes_scores"])
    assert found.boxes.tolist() == [[0.0, 0.0, 0.5, 0.5]]


def test_suppression_is_per_label_and_off_for_end2end() -> None:
    twice: list[Known] = [((8, 4, 24, 20), 0.9, 1), ((8, 4, 24, 21), 0.8, 1), ((8, 4, 24, 20), 0.7, 2)]
    assert decode(as_yolov8(twice, lambda x: x), format="yolov8").classes.tolist() == [1, 2]
    assert decode(as_end2end(twice, lambda x: x), format="end2end").classes.tolist() == [1, 1, 2]


def test_number_of_boxes_may_change_where_the_network_chooses_them() -> None:
    outputs = as_end2end(KNOWN, lambda x: x)
    made = decoder(outputs, format="end2end", confidence=0.4)
    assert len(made({"y": outputs["y"][:, :1]}).scores) == 1
    assert len(made({"y": outputs["y"][:, :0]}).scores) == 0
    fixed = decoder(as_yolov8(KNOWN, lambda x: x), format="yolov8")
    with pytest.raises(InvalidOutput):
        fixed({"y": np.zeros((1, 7, 5), np.float32)})


@pytest.mark.parametrize("label", [3, -1, 1e9])
def test_impossible_labels_are_invalid(label: float) -> None:
    outputs = as_end2end(KNOWN, lambda x: x)
    outputs["y"][0, 0, 5] = label
    with pytest.raises(InvalidOutput, match="impossible label"):
        decode(outputs, format="end2end")


@pytest.mark.parametrize(
    ("form", "shape", "labels", "message"),
    [
        ("yolov5", (1, 10, 8), 4, r"models.m.labels: found 4 labels, expected 3 \(output 'y' has 3 columns after"),
        ("yolov8", (1, 7, 10), 4, r"labels: found 4 labels, expected 3 \(output 'y' has 3 rows after the first 4"),
        ("yolov8", (1, 4, 10), 3, r"decode.format: found output 'y' of 1x4x10, expected 1 x \(4 \+ labels\) x n"),
        (
            "yolox",
            (1, 41, 8),
            3,
            r"decode.format: found 41 rows in output 'y', expected 42 \(strides 8, 16, 32 of 64x32",
        ),
        ("end2end", (1, 10, 7), 3, r"decode.format: found output 'y' of 1x10x7, expected 1 x n x 6 \(end2end\)"),
        ("yolov5", (2, 10, 8), 3, r"found output 'y' of 2x10x8, expected 1 x n x \(5 \+ labels\)"),
        ("yolov5", (1, 1, 10, 8), 3, r"found output 'y' of 1x1x10x8"),
    ],
)
def test_shapes_that_do_not_fit(form: str, shape: tuple[int, ...], labels: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoder({"y": np.zeros(shape, np.float32)}, labels, format=form)


def test_settings_that_do_not_fit() -> None:
    y: Outputs = {"y": np.zeros((1, 42, 8), np.float32)}
    with pytest.raises(ConfigError, match="units: found 'fraction', expected 'pixels'"):
        decoder(y, format="yolox", units="fraction")
    with pytest.raises(ConfigError, match="scores_output: found 's', expected nothing"):
        decoder(y, format="yolov5", scores_output="s")
    two: Outputs = {"b": np.zeros((1, 5, 4), np.float32), "s": np.zeros((1, 5, 3), np.float32)}
    with pytest.raises(ConfigError, match=r"decode\.output: found nothing, expected one of the model's outputs: b, s"):
        decoder(two, format="boxes_scores")
    with pytest.raises(ConfigError, match=r"decode\.scores_output: found 'z'"):
        decoder(two, format="boxes_scores", output="b", scores_output="z")
    with pytest.raises(ConfigError, match="found output 'y' of int64, expected floating-point"):
        decoder({"y": np.zeros((1, 42, 8), np.int64)}, format="yolov5")
