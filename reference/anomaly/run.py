"""The models as the device runs them: ONNX Runtime, one thread."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import

import onnxruntime

from reference.anomaly.data import CUT, normalised
from reference.data import INPUT

Session = Any  # onnxruntime has no types


def session(path: Path) -> Session:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def maps_of(model: Session, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, 3, 44, 80) logits of the anomaly model; pictures RGB (count, 360, 640, 3)."""
    return np.concatenate([model.run(["maps"], {"image": normalised(one[None, CUT])})[0] for one in pictures])


def logits_of(model: Session, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, classes, 96, 160) logits of the anatomy model."""
    small = (cv2.resize(np.asarray(one), INPUT[::-1]) for one in pictures)
    return np.concatenate([model.run(None, {"image": normalised(one[None])})[0] for one in small])
