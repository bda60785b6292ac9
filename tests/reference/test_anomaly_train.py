"""The anomaly model's training, as a few steps. It needs torch, which the product never installs."""

import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from reference.anomaly.channels import CHANNELS, SIZE
from reference.anomaly.choose import write_shift
from reference.anomaly.watch import CELLS
from tests.reference.test_train import PYTHON, ROOT

needs_torch = pytest.mark.skipif(
    PYTHON is None,
    reason="torch is not installed: put reference/requirements.txt into a venv, name its python in INFRAME_TORCH_PYTHON",
)


@needs_torch
def test_the_model_cuts_out_what_the_training_was_shown_and_puts_it_back() -> None:
    command = [str(PYTHON), "-m", "tests.reference.close_up_geometry"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_torch
def test_smoke_training_exports_models_that_run_and_take_thresholds(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(PYTHON), "-m", "reference.anomaly.train", "--smoke", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    image = {"image": np.random.default_rng(1).standard_normal((1, 3, *SIZE), np.float32)}
    answers = []
    for shift in (0.0, 2.5):
        write_shift(tmp_path / "anomaly.onnx", np.full(len(CHANNELS), shift, np.float32))
        session = onnxruntime.InferenceSession(tmp_path / "anomaly.onnx", providers=["CPUExecutionProvider"])
        maps, heat = session.run(["maps", "heat"], image)
        assert maps.shape == (1, len(CHANNELS), *CELLS)
        assert np.allclose(heat[0, 0], 1 / (1 + np.exp(-maps[0, :2].max(axis=0))), atol=1e-5)
        answers.append(maps)
    assert np.allclose(answers[0] - answers[1], 2.5, atol=1e-4)
    write_shift(tmp_path / "anomaly-int8.onnx", np.zeros(len(CHANNELS), np.float32))
    session = onnxruntime.InferenceSession(tmp_path / "anomaly-int8.onnx", providers=["CPUExecutionProvider"])
    assert session.run(["maps"], image)[0].shape == answers[0].shape
