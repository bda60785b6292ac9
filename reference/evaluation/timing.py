"""Milliseconds of each model by engine and precision, on one thread, as the device runs it."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from inframe.core.clock import MonotonicClock
from inframe.core.config import Device
from inframe.core.yamlfile import read_device
from inframe.pipeline.model import load_model
from inframe.resolve import resolve

RUNS, WARM = 300, 20


def _spent(device: Device, base: Path, name: str, update: dict[str, object]) -> dict[str, list[float]]:
    """Milliseconds of preprocess, inference, decode, and all three, for frames of noise in turn."""
    config = device.models[name].model_copy(update=update)
    stream = device.streams[config.stream]
    model = load_model(name, config, base, (stream.width, stream.height))
    frames = [
        np.random.default_rng(k).integers(0, 256, (stream.height, stream.width, 3), dtype=np.uint8) for k in range(4)
    ]
    clock = MonotonicClock()
    spent: dict[str, list[float]] = {"preprocess": [], "infer": [], "decode": [], "all": []}
    for k in range(WARM + RUNS):
        _, steps = model.run(frames[k % 4], clock)
        if k >= WARM:
            marks = (steps.started, steps.preprocessed, steps.inferred, steps.decoded)
            for key, (a, b) in zip(spent, (*pairwise(marks), (marks[0], marks[3])), strict=True):
                spent[key].append((b - a) / 1e6)
    model.close()
    return spent


def measure(folder: Path, file: Path) -> dict[str, dict[str, dict[str, float]]]:
    """By "model precision engine", by step: p5, p50 and p99 in ms. Models that are not there are left out."""
    device = read_device(file)
    models = {
        name: model.model_copy(update={"file": str((folder / f"{name}.onnx").absolute())})
        for name, model in device.models.items()
    }
    device = resolve(device.model_copy(update={"models": models}), file)
    found = {}
    for name in device.models:
        for precision, suffix in (("fp32", ""), ("int8", "-int8")):
            path = folder / f"{name}{suffix}.onnx"
            if not path.exists():
                continue
            for engine in ("onnxruntime", "openvino"):
                settings = device.models[name].engine.model_copy(update={"name": engine})
                spent = _spent(device, file.parent, name, {"file": str(path.absolute()), "engine": settings})
                found[f"{name} {precision} {engine}"] = {
                    step: dict(
                        zip(("p5", "p50", "p99"), np.percentile(values, [5, 50, 99]).round(2).tolist(), strict=True)
                    )
                    for step, values in spent.items()
                }
    return found
