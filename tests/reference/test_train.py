"""The training chain, as a few steps. It needs torch, which the product never installs."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from reference.scene import CLASSES

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("INFRAME_TORCH_PYTHON") or (sys.executable if find_spec("torch") else None)


@pytest.mark.skipif(
    PYTHON is None,
    reason="torch is not installed: put reference/requirements.txt into a venv, name its python in INFRAME_TORCH_PYTHON",
)
def test_smoke_training_exports_a_model_that_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(PYTHON), "-m", "reference.train", "--smoke", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("anatomy.onnx", "anatomy-int8.onnx"):
        session = onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"image": np.zeros((1, 3, 192, 320), np.float32)})
        assert logits.shape == (1, len(CLASSES), 96, 160)
    assert (tmp_path / "labels.txt").read_text().split("\n")[:-1] == list(CLASSES)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["iou"]) == {*CLASSES, "mean"}
    assert len(results["data_sha256"]) == 64
    assert results["confidence"]["ece"] > 0
