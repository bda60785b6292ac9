"""Small whole devices on disk, good and bad, for the tests of the commands."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from inframe.chaos.stage import FPS
from tests.drivers import onnx_models as om
from tests.pipeline import script

GOOD = om.convolution(labels=3, size=32)
PREPROCESS = {"size": [32, 32], "fit": "stretch", "colour": "rgb", "layout": "nchw", "dtype": "float32", "scale": 1}


def values(**model: Any) -> dict[str, Any]:
    """A device with the synthetic camera and one model, `model.onnx`."""
    preprocess = PREPROCESS | model.pop("preprocess", {})
    return {
        "device": "test",
        "streams": {"endoscope": {"camera": "synthetic", "width": 64, "height": 48, "fps": FPS}},
        "display": "endoscope",
        "trail": None,
        "allow_unsigned": True,
        "models": {"m": script.model(file="model.onnx", labels=["a", "b", "c"]) | {"preprocess": preprocess} | model},
    }


def write(folder: Path, data: bytes | None = GOOD, changes: dict[str, Any] | None = None, **model: Any) -> Path:
    """The device file in `folder`, the model (None: there is none) beside it."""
    if data is not None:
        om.save(folder, data)
    path = folder / "device.yaml"
    path.write_text(yaml.safe_dump(values(**model) | (changes or {}), sort_keys=False), "utf-8")
    return path


def flipped(data: bytes, seed: int, count: int = 20) -> bytes:
    """`data` with so many bytes inverted."""
    found = np.frombuffer(data, np.uint8).copy()
    found[np.random.default_rng(seed).integers(0, len(found), count)] ^= 255
    return found.tobytes()


NOISE = np.random.default_rng(1).bytes(500)
LARGE = om.model(
    [om.node("Resize", "x r s", "y", mode="nearest")],
    om.image(),
    [om.value("y", (1, 3, 512, 512))],
    {"r": np.array([], np.float32), "s": np.array([1, 1, 16, 16], np.float32)},
)

BAD_MODELS: dict[str, tuple[bytes | None, dict[str, Any], str]] = {
    "random bytes": (NOISE, {}, "models.m.file: found not an ONNX file: "),
    "cut off": (GOOD[: len(GOOD) // 2], {}, "models.m.file: found a file cut off or damaged at byte "),
    "bits flipped": (flipped(GOOD, 1), {}, "models.m.file: found "),
    "empty": (b"", {}, "models.m.file: found an empty file, expected an ONNX model"),
    "missing": (None, {}, "models.m.file: found model.onnx, expected a file that exists"),
    "a folder": (None, {"file": "."}, "models.m.file: found ., expected a file that exists"),
    "wrong rank": (om.identity((1, 1000)), {}, "models.m.preprocess.input: found input 'x' of 1x1000, expected "),
    "wrong size": (GOOD, {"preprocess": {"size": [16, 32]}}, "models.m.preprocess.size: found 16x32, expected 32x32 "),
    "wrong type": (
        GOOD,
        {"preprocess": {"dtype": "uint8"}},
        "models.m.preprocess.dtype: found uint8, expected float32 ",
    ),
    "other labels": (om.convolution(labels=5), {}, "models.m.labels: found 3 labels, expected 5 "),
    "an output that is not there": (
        GOOD,
        {"decode": {"kind": "segmentation", "output": "nope"}},
        "models.m.decode.output: found 'nope', expected one of the model's outputs: y",
    ),
    "an input that is not there": (
        GOOD,
        {"preprocess": {"input": "nope"}},
        "models.m.preprocess.input: found 'nope', expected one of the model's inputs: x",
    ),
    "NaN": (
        om.constant({"y": np.full((1, 3, 32, 32), np.nan, np.float32)}, om.image()),
        {},
        "models.m.decode: found NaN or infinity in output 'y', expected finite numbers on a grey test frame",
    ),
    "an unknown provider": (
        GOOD,
        {"engine": {"providers": ["NopeExecutionProvider"]}},
        "models.m.engine.providers: found NopeExecutionProvider, expected one of: ",
    ),
    "an unknown operator": (
        om.model(
            [om.node("Mine", "x", "y", domain="my.own")],
            om.image(),
            [om.value("y", (1, 3, 32, 32))],
            domains=["my.own"],
        ),
        {},
        "models.m.file: found operator my.own:Mine, expected operators that ",
    ),
    "an output larger than its ring": (
        LARGE,
        {},
        "models.m.decode: found outputs of 262,144 bytes, expected at most 65,536, ",
    ),
    "a colour for no label": (
        GOOD,
        {"colours": {"nope": "#ffffff"}},
        "models.m.colours: found 'nope', expected one of the labels: ",
    ),
    "a function that is not there": (
        GOOD,
        {"decode": {"kind": "function", "function": "os:nope", "returns": "heat"}},
        "models.m.decode.function: found nothing named 'nope' in os, expected a function",
    ),
}
"""Model files and configurations that do not fit: the bytes, what else the model's section says, and what is said of it."""
