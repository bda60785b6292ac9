"""Boxes from the outputs of detection networks: one function per format, one suppression for all.

Formats after their own sources: ultralytics/yolov5 `Detect.forward` and yolov8 `Detect.forward` (export form),
Megvii-BaseDetection/YOLOX `demo_postprocess` (the grids), WongKinYiu/yolov7 end2end and YOLOv10 (suppression inside).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import DecodeDetection
from inframe.core.ports import TensorSpec
from inframe.core.types import Boxes, Region
from inframe.pipeline.outputs import InvalidOutput, Outputs, Setting, logit, pick, shape_text, sigmoid, take

Floats = NDArray[np.float32]
Candidates = tuple[Floats, Floats, NDArray[np.int32]]
"""Boxes (k, 4) as x0, y0, x1, y1 in input pixels or fractions, scores (k,), label indices (k,)."""

_STRIDES = (8, 16, 32)
_BYTES_PER_BOX = 4 * 4 + 4 + 4


class DetectionDecoder:
    """Reads one of the formats of `DecodeDetection`; see docs/models.md for each one's shapes."""

    def __init__(self, config: DecodeDetection, outputs: Mapping[str, TensorSpec], setting: Setting) -> None:
        """Raises ConfigError where the outputs don't have the format's shape or the labels' count."""
        self.capacity = config.limit * _BYTES_PER_BOX
        self._config, self._setting = config, setting
        self._read = self._reader(outputs)
        # From the numbers' unit to fractions of the model's input.
        w, h = setting.size if config.units == "pixels" else (1, 1)
        self._unit = np.array([w, h, w, h], np.float32)
        self._suppress = config.format != "end2end"
        self._gate = np.float32(logit(config.confidence) if config.activation == "sigmoid" else config.confidence)

    def __call__(self, outputs: Outputs) -> Boxes:
        """At most `limit` boxes, best first, clipped to the frame. Raises InvalidOutput."""
        boxes, scores, classes = self._read(outputs)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):  # before clipping makes infinity an edge
            raise InvalidOutput("a box of infinite size")
        if self._suppress:
            kept = suppress(boxes, scores, classes, self._config.iou, self._config.limit)
        else:
            kept = np.argsort(-scores, kind="stable")[: self._config.limit]
        boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        on_frame = to_frame(boxes / self._unit, self._setting.region)
        # A box that lies on a letterbox bar has nothing left on the frame.
        seen = (on_frame[:, 2] > on_frame[:, 0]) & (on_frame[:, 3] > on_frame[:, 1])
        return Boxes(on_frame[seen], scores[seen], classes[seen])

    # --- the formats -------------------------------------------------------------------------------------------------

    def _reader(self, outputs: Mapping[str, TensorSpec]) -> Callable[[Outputs], Candidates]:
        config, setting = self._config, self._setting
        if config.format == "boxes_scores":
            return self._boxes_scores(outputs)
        if config.scores_output is not None:
            raise setting.wrong("decode.scores_output", repr(config.scores_output), f"nothing (format {config.format})")
        spec = pick(outputs, config.output, setting)
        match config.format:
            case "yolov5":
                return self._yolov5(spec)
            case "yolox":
                return self._yolox(spec)
            case "yolov8":
                return self._yolov8(spec)
            case "end2end":
                return self._end2end(spec)

    def _yolov5(self, spec: TensorSpec) -> Callable[[Outputs], Candidates]:
        self._check_object_labels(spec)

        def read(outputs: Outputs) -> Candidates:
            rows, scores, classes = self._objects(_rows(take(outputs, spec)))[:3]
            return _corners(rows[:, :4]), scores, classes

        return read

    def _yolox(self, spec: TensorSpec) -> Callable[[Outputs], Candidates]:
        config, setting = self._config, self._setting
        self._check_object_labels(spec)
        if config.units != "pixels":
            raise setting.wrong("decode.units", repr(config.units), "'pixels' (yolox)")
        grid, stride = yolox_grid(setting.size)
        if spec.shape[-2] not in (None, len(grid)):
            expected = f"{len(grid)} (strides 8, 16, 32 of {setting.size[0]}x{setting.size[1]})"
            raise setting.wrong("decode.format", f"{spec.shape[-2]} rows in output {spec.name!r}", expected)

        def read(outputs: Outputs) -> Candidates:
            array = _rows(take(outputs, spec))
            if len(array) != len(grid):
                raise InvalidOutput(f"{len(array)} rows in output {spec.name!r}, expected {len(grid)}")
            rows, scores, classes, at = self._objects(array)
            boxes = np.empty((len(rows), 4), np.float32)
            np.multiply(rows[:, :2] + grid[at], stride[at], out=boxes[:, :2])
            with np.errstate(over="ignore"):  # infinity is caught where all boxes are
                np.multiply(np.exp(rows[:, 2:4]), stride[at], out=boxes[:, 2:])
            return _corners(boxes), scores, classes

        return read

    def _objects(self, rows: Floats) -> tuple[Floats, Floats, NDArray[np.int32], NDArray[np.intp]]:
        """Of rows of box, objectness and label scores, those whose objectness * best label score is confident."""
        # No label's score is above 1, so the objectness alone rules nearly every row out.
        at = np.flatnonzero(rows[:, 4] > self._gate)
        rows = rows[at]
        labels = rows[:, 5:]
        classes = labels.argmax(1)
        best = labels[np.arange(len(rows)), classes]
        scores = self._activate(rows[:, 4]) * self._activate(best)
        good = scores > np.float32(self._config.confidence)
        return rows[good], scores[good], classes[good].astype(np.int32), at[good]

    def _yolov8(self, spec: TensorSpec) -> Callable[[Outputs], Candidates]:
        shape = self._batchless(spec, "1 x (4 + labels) x n")
        if shape[0] is None or shape[0] < 5:
            raise self._shape_error(spec, "1 x (4 + labels) x n")
        self._setting.check_labels(shape[0] - 4, spec, "rows after the first 4")

        def read(outputs: Outputs) -> Candidates:
            columns = _rows(take(outputs, spec))
            boxes, best, classes = self._best(columns[:4].T, columns[4:].T)
            return _corners(boxes), best, classes

        return read

    def _boxes_scores(self, outputs: Mapping[str, TensorSpec]) -> Callable[[Outputs], Candidates]:
        config, setting = self._config, self._setting
        boxes, scores = (
            pick(outputs, config.output, setting),
            pick(outputs, config.scores_output, setting, "scores_output"),
        )
        if self._columns(boxes, "1 x n x 4", 4) != 4:
            raise self._shape_error(boxes, "1 x n x 4")
        setting.check_labels(self._columns(scores, "1 x n x labels", 1), scores, "columns")
        boxes, scores = _any_count(boxes), _any_count(scores)

        def read(outputs: Outputs) -> Candidates:
            b, s = _rows(take(outputs, boxes)), _rows(take(outputs, scores))
            if len(b) != len(s):
                raise InvalidOutput(f"{len(b)} boxes with {len(s)} scores")
            b, best, classes = self._best(b, s)
            match config.box:
                case "cxcywh":
                    b = _corners(b)
                case "yxyx":
                    b = b[:, [1, 0, 3, 2]]
            return b, best, classes

        return read

    def _best(self, boxes: Floats, scores: Floats) -> Candidates:
        """Each box's best label, where it is above the confidence. boxes (n, 4), scores (n, labels), not activated."""
        at = np.flatnonzero(scores.max(axis=1) > self._gate)
        chosen = scores[at]
        classes = chosen.argmax(axis=1)
        best = self._activate(chosen[np.arange(len(at)), classes])
        return boxes[at], best, classes.astype(np.int32)

    def _end2end(self, spec: TensorSpec) -> Callable[[Outputs], Candidates]:
        if self._columns(spec, "1 x n x 6", 6) != 6:
            raise self._shape_error(spec, "1 x n x 6")
        spec = _any_count(spec)
        labels = len(self._setting.labels)

        def read(outputs: Outputs) -> Candidates:
            rows = _rows(take(outputs, spec))
            rows = rows[rows[:, 4] > self._gate]
            if not ((rows[:, 5] >= 0) & (rows[:, 5] < labels)).all():
                raise InvalidOutput(f"an impossible label in output {spec.name!r}, expected 0..{labels - 1}")
            return rows[:, :4], self._activate(rows[:, 4]), rows[:, 5].astype(np.int32)

        return read

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _activate(self, scores: Floats) -> Floats:
        return sigmoid(scores) if self._config.activation == "sigmoid" else scores

    def _check_object_labels(self, spec: TensorSpec) -> None:
        columns = self._columns(spec, "1 x n x (5 + labels)", 5)
        self._setting.check_labels(columns - 5, spec, "columns after the first 5")

    def _columns(self, spec: TensorSpec, shape: str, least: int) -> int:
        columns = self._batchless(spec, shape)[-1]
        if columns is None or columns < least:
            raise self._shape_error(spec, shape)
        return columns

    def _batchless(self, spec: TensorSpec, shape: str) -> tuple[int | None, ...]:
        if spec.dtype.kind != "f":
            found = f"output {spec.name!r} of {spec.dtype}"
            raise self._setting.wrong("decode.output", found, "floating-point numbers")
        sizes = spec.shape[1:] if len(spec.shape) == 3 and spec.shape[0] in (1, None) else spec.shape
        if len(sizes) != 2:
            raise self._shape_error(spec, shape)
        return sizes

    def _shape_error(self, spec: TensorSpec, expected: str) -> Exception:
        return self._setting.wrong(
            "decode.format", f"output {spec.name!r} of {shape_text(spec.shape)}", f"{expected} ({self._config.format})"
        )


def _any_count(spec: TensorSpec) -> TensorSpec:
    """Networks that choose their boxes themselves return another number of them for each picture."""
    return replace(spec, shape=(*spec.shape[:-2], None, spec.shape[-1]))


def _rows(array: NDArray[np.generic]) -> Floats:
    """Without the batch axis, float32 (no copy where it is that already)."""
    if array.ndim == 3 and array.shape[0] != 1:
        raise InvalidOutput(f"a batch of {array.shape[0]}, expected 1")
    return array.reshape(array.shape[-2:]).astype(np.float32, copy=False)


def _corners(boxes: Floats) -> Floats:
    """(k, 4) centre x, centre y, width, height -> x0, y0, x1, y1."""
    half = boxes[:, 2:4] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def yolox_grid(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The cell (n, 2) x, y and the stride (n, 1) of each row of a YOLOX output. size: the input's width and height."""
    cells, strides = [], []
    for stride in _STRIDES:
        columns, rows = size[0] // stride, size[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(boxes: Floats, scores: Floats, classes: NDArray[np.int32], iou: float, limit: int) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first, at most `limit`: greedy non-maximum suppression within each label.

    A box goes when its intersection over union with a better one of its label is above `iou`. Equal scores: the earlier
    box wins. Ends at `limit`, so its time is bounded by limit * n however many boxes a noisy picture makes;
    cv2.dnn.NMSBoxesBatched goes through them all.
    """
    rest = np.argsort(-scores, kind="stable")
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    kept: list[int] = []
    while len(rest) and len(kept) < limit:
        best = rest[0]
        kept.append(best)
        rest = rest[1:]
        corner = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        overlap = np.maximum(corner[:, 0], 0) * np.maximum(corner[:, 1], 0)
        # Multiplied out: no division by the union of two empty boxes.
        covered = overlap > np.float32(iou) * (area[best] + area[rest] - overlap)
        rest = rest[~(covered & (classes[rest] == classes[best]))]
    return np.array(kept, np.intp)


def to_frame(boxes: Floats, region: Region) -> Floats:
    """Boxes in fractions of the model's input -> fractions of the frame, clipped to it."""
    x0, y0, x1, y1 = region
    scale = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0], np.float32)
    offset = np.array([x0, y0, x0, y0], np.float32)
    frame: Floats = np.clip(boxes * scale + offset, np.float32(0), np.float32(1))
    return frame
