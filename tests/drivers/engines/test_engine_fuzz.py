"""Damaged and random files: one clear error or a model that runs; never a crash, a hang or another exception."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError, DeviceFault
from inframe.drivers.engines import load_engine
from inframe.drivers.onnxfile import read_facts
from tests.drivers import onnx_models as om

GOOD = om.convolution(labels=2, size=4)


def attempt(data: bytes, name: str) -> None:
    config = EngineConfig.model_validate({"name": name})
    for read in (lambda: load_engine(data, "m.onnx", config).close(), lambda: read_facts(data, "m.onnx")):
        try:
            read()
        except (ConfigError, DeviceFault) as error:
            text = str(error)
        else:
            text = ""
        assert "\n" not in text


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
def test_random_bytes(name: str, data: bytes) -> None:
    pytest.importorskip(name)
    attempt(data, name)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(name: str, flips: list[tuple[int, int]]) -> None:
    pytest.importorskip(name)
    data = bytearray(GOOD)
    for at, new in flips:
        data[at] = new
    attempt(bytes(data), name)


@settings(max_examples=60, deadline=None)
@given(end=st.integers(0, len(GOOD) - 1))
def test_cut_off(end: int) -> None:
    with pytest.raises(ConfigError):
        load_engine(GOOD[:end], "m.onnx", EngineConfig(name="onnxruntime"))


def test_the_good_one_is_good(tmp_path: Path) -> None:
    attempt(GOOD, "onnxruntime")
    assert read_facts(GOOD, "m.onnx").operators == {"Conv": 1}
