"""The training chain, as a few steps. It needs torch, which the product never installs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reference.scene import CLASSES


@pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("torch"),
    reason="torch is not installed (reference/requirements.txt)",
)
def test_smoke_training_exports_a_model_that_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reference.train", "--smoke", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tmp_path / "anatomy.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": np.zeros((1, 3, 192, 320), np.float32)})
    assert logits.shape == (1, len(CLASSES), 96, 160)
    assert (tmp_path / "labels.txt").read_text().split("\n")[:-1] == list(CLASSES)
