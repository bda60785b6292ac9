"""Int8 weights and activations by ONNX Runtime's static quantisation, and what they cost in accuracy."""

import os


def quantise(path: Path, to: Path, calibration: Frames, unseen: Frames) -> dict[str, float]:
    """Write an int8 model beside a float32 one; the accuracy of both in every engine."""
    step = max(1, len(calibration[0]) // CALIBRATION)
    to_int8(path, to, (image(picture) for picture in np.asarray(calibration[0][::step])))
    return {
        f"{precision} {engine} mean iou": accuracy(file, unseen, engine)
        for precision, file in (("fp32", path), ("int8", to))
        for engine in ENGINES
    }
