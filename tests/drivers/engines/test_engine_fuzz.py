"""Damaged and random files: one clear error or a model that runs; never a hang or another exception."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError
from inframe.drivers.engines import load_engine
from inframe.drivers.onnxfile import read_facts
from tests.drivers import onnx_models as om
from tests.drivers.engines.fuzz import attempt

GOOD = om.convolution(labels=2, size=4)
CASES, CRASHES = 300, 6


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_damaged_models(name: str) -> None:
    """A vendor's reader that crashes takes its own process only (see fuzz.py); that stays rare, and everything else is ours."""
    pytest.importorskip(name)
    first = crashes = 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    while first < CASES:
        command = [sys.executable, "-m", "tests.drivers.engines.fuzz", name, str(first), str(CASES)]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False, env=environment)
        assert done.returncode <= 0, done.stderr.decode()[-2000:]
        if done.returncode == 0:
            break
        crashes += 1
        assert crashes <= CRASHES
        first = int(done.stdout.split()[-1]) + 1


@settings(max_examples=60, deadline=None)
@given(end=st.integers(0, len(GOOD) - 1))
def test_cut_off(end: int) -> None:
    with pytest.raises(ConfigError):
        load_engine(GOOD[:end], "m.onnx", EngineConfig(name="onnxruntime"))


def test_the_good_one_is_good() -> None:
    attempt(GOOD, "onnxruntime")
    assert read_facts(GOOD, "m.onnx").operators == {"Conv": 1}
