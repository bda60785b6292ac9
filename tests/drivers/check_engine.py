"""What every engine must do, whatever is behind it (the port: `inframe.core.ports.Engine`)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Engine
from tests.drivers import onnx_models as om

Make = Callable[[bytes], Engine]


def check_engine(make: Make) -> None:
    """`make` loads a model or raises ConfigError."""
    _check_specs(make)
    for dtype in (np.float32, np.float16, np.uint8, np.int8, np.int32, np.int64, np.bool_):
        _check_bits(make, np.dtype(dtype))
    _check_several(make)
    _check_dynamic(make)
    _check_wrong_feeds(make)
    _check_close(make)
    _check_refusals(make)


def _check_specs(make: Make) -> None:
    engine = make(om.identity((1, "n", None, 4), np.uint8))
    (spec,) = engine.inputs
    assert (spec.name, spec.shape, spec.dtype) == ("x", (1, None, None, 4), np.dtype(np.uint8)), "inputs as declared"
    (spec,) = engine.outputs
    assert (spec.name, spec.dtype) == ("y", np.dtype(np.uint8)), "outputs as declared"
    assert len(engine.name.split()) == 3, "engine, version and where it runs"
    engine.close()


def values_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Every kind of number that `dtype` has: extremes, tiny ones, minus zero."""
    rng = np.random.default_rng(3)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu":
        # int64 stays within 32 bits: OpenVINO's CPU plugin computes no wider.
        limits = np.iinfo(np.int32 if dtype == np.int64 else dtype)
        return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    array = (rng.standard_normal(shape) * 1000).astype(dtype)
    flat = array.reshape(-1)
    flat[:4] = [np.finfo(dtype).max, np.finfo(dtype).tiny, -0.0, np.finfo(dtype).smallest_subnormal]
    return array


def _check_bits(make: Make, dtype: np.dtype[np.generic]) -> None:
    engine = make(om.identity((1, 3, 5, 7), dtype))
    x = values_of(dtype, (1, 3, 5, 7))
    for _ in range(2):
        y = engine.run({"x": x})["y"]
        assert y.dtype == dtype
        assert y.tobytes() == x.tobytes(), f"{dtype} comes through bit for bit"
        x = np.ascontiguousarray(x[:, :, ::-1])
    engine.close()


def _check_several(make: Make) -> None:
    data = om.model(
        [om.node("Add", "a b", "sum"), om.node("Identity", "c", "copy")],
        [om.value("a", (2, 2)), om.value("b", (2, 2)), om.value("c", (3,), np.int64)],
        [om.value("sum", (2, 2)), om.value("copy", (3,), np.int64)],
    )
    engine = make(data)
    assert [spec.name for spec in engine.inputs] == ["a", "b", "c"], "the file's order"
    assert [spec.name for spec in engine.outputs] == ["sum", "copy"], "the file's order"
    a, b = np.arange(4, dtype=np.float32).reshape(2, 2), np.full((2, 2), 10, np.float32)
    c = np.array([7, 8, 9])
    out = engine.run({"c": c, "b": b, "a": a})
    assert set(out) == {"sum", "copy"}
    assert np.array_equal(out["sum"], a + b)
    assert np.array_equal(out["copy"], c)
    engine.close()


def _check_dynamic(make: Make) -> None:
    engine = make(om.identity(("batch", 4)))
    for batch in (1, 3, 2):
        x = values_of(np.dtype(np.float32), (batch, 4))
        assert engine.run({"x": x})["y"].tobytes() == x.tobytes(), "open dimensions may change from run to run"
    engine.close()


def _check_wrong_feeds(make: Make) -> None:
    engine = make(om.identity((1, 4)))
    good = np.ones((1, 4), np.float32)
    for feeds in ({}, {"z": good}, {"x": good, "z": good}, {"x": good.astype(np.float64)}, {"x": good[:, :3]}):
        with pytest.raises(DeviceFault) as caught:
            engine.run(feeds)
        assert "\n" not in str(caught.value), "one line"
    assert np.array_equal(engine.run({"x": good})["y"], good), "a wrong feed breaks nothing"
    engine.close()


def _check_close(make: Make) -> None:
    engine = make(om.identity((1, 4)))
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="close"):
        engine.run({"x": np.ones((1, 4), np.float32)})


def _check_refusals(make: Make) -> None:
    for name, data in broken_models().items():
        try:
            make(data)
        except ConfigError as error:
            text = str(error)
        else:
            pytest.fail(f"{name}: loaded")
        assert "\n" not in text, f"{name}: one line"
        assert "onnxruntime_src" not in text, f"{name}: nothing of the engine's own source"
        assert "src/" not in text, f"{name}: nothing of the engine's own source"


def broken_models() -> dict[str, bytes]:
    """Each can't run anywhere, for another reason."""
    x, y, good = om.value("x", (1, 4)), om.value("y", (1, 4)), om.identity((1, 4))
    return {
        "empty": b"",
        "text": b"hello, this is not a model at all\n",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "ORT format": b"\x30\x00\x00\x00ORTM" + bytes(200),
        "cut off": om.convolution()[:-100],
        "no graph": good[:2],
        "custom operator": om.model([om.node("Mine", "x", "y", domain="my")], [x], [y], domains=["my"]),
        "unknown operator": om.model([om.node("Fooo", "x", "y")], [x], [y]),
        "wrong type": om.model([om.node("Relu", "x", "y")], [om.value("x", (1, 4), np.bool_)], [y]),
        "wrong shapes": om.model([om.node("MatMul", "x x", "y")], [x], [y]),
        "dangling": om.model([om.node("Relu", "nobody", "y")], [x], [y]),
        "no such output": om.model([], [x], [y]),
        "text tensor": om.identity((1, 4), 8),
    }
