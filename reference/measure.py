"""Time one inference of a model on one thread, in every engine: ``python -m reference.measure MODEL.onnx``."""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import

import onnxruntime
import openvino

from reference.data import INPUT

RUNS, WARM = 300, 20


def _milliseconds(infer: Callable[[], object]) -> str:
    for _ in range(WARM):
        infer()
    spent = []
    for _ in range(RUNS):
        began = time.perf_counter()
        infer()
        spent.append(1e3 * (time.perf_counter() - began))
    low, middle, high = np.percentile(spent, [5, 50, 99])
    return f"p5 {low:.2f}  p50 {middle:.2f}  p99 {high:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    path = str(parser.parse_args().model)
    image = np.zeros((1, 3, *INPUT), np.float32)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    print("onnxruntime fp32 ", _milliseconds(partial(session.run, None, {"image": image})))
    for precision in ("f32", "bf16"):
        options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
        print(f"openvino {precision:4}    ", _milliseconds(partial(request.infer, [image])))


if __name__ == "__main__":
    main()
