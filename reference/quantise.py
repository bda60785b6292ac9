"""Int8 weights and activations by ONNX Runtime's static quantisation, and what they cost in accuracy."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import

import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from reference.calibrate import iou
from reference.data import MEAN, STD, Frames

CALIBRATION = 64  # frames


def image(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (h, w, 3) -> what the model takes, float32 (1, 3, h, w)."""
    scaled = (picture / 255 - np.array(MEAN)) / np.array(STD)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # no types in onnxruntime
    def __init__(self, images: Iterable[NDArray[np.float32]]) -> None:
        self._images: Iterator[NDArray[np.float32]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        following = next(self._images, None)
        return None if following is None else {"image": following}


def open_model(path: Path) -> Any:
    """An ONNX Runtime session on one thread."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def accuracy(path: Path, frames: Frames) -> dict[str, float]:
    """Intersection over union of a model file's answers, by class."""
    session = open_model(path)
    found = [session.run(None, {"image": image(picture)})[0].argmax(axis=1) for picture in frames[0]]
    return iou(np.concatenate(found), np.asarray(frames[1][:, ::2, ::2]).astype(np.int64))


def to_int8(path: Path, to: Path, images: Iterable[NDArray[np.float32]]) -> None:
    """Write an int8 model beside a float32 one, its ranges taken from these inputs."""
    with TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(path), str(ready))
        quantize_static(
            str(ready),
            str(to),
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


def quantise(path: Path, to: Path, calibration: Frames, unseen: Frames) -> dict[str, float]:
    """Write an int8 model beside a float32 one; the accuracy of both."""
    step = max(1, len(calibration[0]) // CALIBRATION)
    to_int8(path, to, (image(picture) for picture in np.asarray(calibration[0][::step])))
    return {"fp32 mean iou": accuracy(path, unseen)["mean"], "int8 mean iou": accuracy(to, unseen)["mean"]}
