"""Int8 weights and activations by ONNX Runtime's static quantisation, and what they cost in accuracy."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import

import onnxruntime
import openvino
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from reference.calibrate import iou
from reference.data import MEAN, STD, Frames

CALIBRATION = 64  # frames
Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


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


def _onnxruntime(path: Path) -> Infer:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda picture: np.asarray(session.run(None, {"image": image(picture)})[0])


def _openvino(path: Path) -> Infer:
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda picture: np.array(request.infer([image(picture)])[0])


ENGINES: dict[str, Callable[[Path], Infer]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}


def open_model(path: Path, engine: str = "onnxruntime") -> Infer:
    """A model file on one thread: RGB uint8 (192, 320, 3) -> logits (1, classes, 96, 160)."""
    return ENGINES[engine](path)


def accuracy(path: Path, frames: Frames, engine: str) -> float:
    """Mean intersection over union of a model file's answers."""
    infer = open_model(path, engine)
    found = [infer(picture).argmax(axis=1) for picture in frames[0]]
    return iou(np.concatenate(found), np.asarray(frames[1][:, ::2, ::2]).astype(np.int64))["mean"]


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
    """Write an int8 model beside a float32 one; the accuracy of both in every engine."""
    step = max(1, len(calibration[0]) // CALIBRATION)
    to_int8(path, to, (image(picture) for picture in np.asarray(calibration[0][::step])))
    return {
        f"{precision} {engine} mean iou": accuracy(file, unseen, engine)
        for precision, file in (("fp32", path), ("int8", to))
        for engine in ENGINES
    }
