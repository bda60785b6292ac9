"""Both engines: the conformance suite, the shared identity models, and what each refuses."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError
from inframe.core.ports import Engine
from inframe.drivers.engines import installed_engines, load_engine
from tests.drivers import onnx_models as om
from tests.drivers.check_engine import check_engine, values_of

SHARED = Path("../shared/data/identity-models")
ENGINES = ("onnxruntime", "openvino")


def load(data: bytes, name: str, **settings: object) -> Engine:
    return load_engine(data, "m.onnx", EngineConfig.model_validate({"name": name, **settings}))


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip(name)
    return name


def test_conformance(engine_name: str, capfd: pytest.CaptureFixture[str]) -> None:
    check_engine(lambda data: load(data, engine_name))
    assert capfd.readouterr() == ("", ""), "engines write nothing to the terminal"


@pytest.mark.parametrize(
    ("file", "shapes"),
    [
        ("identity_model.onnx", [(1, 3, 256, 256)]),
        ("identity_model_5r.onnx", [(1, 1, 1, 1, 1)]),
        ("identity_model_9r.onnx", [(1,) * 9]),
        ("identity_model_dynamic.onnx", [(1, 256, 256), (3, 256, 256)]),
        ("identity_dynamic_multi.onnx", [(1, 7, 256), (2, 128, 256)]),
    ],
)
def test_shared_identity_models_bit_for_bit(engine_name: str, file: str, shapes: list[tuple[int, ...]]) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    engine = load((SHARED / file).read_bytes(), engine_name)
    for shape in shapes:
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        assert engine.run({"input": x})["output"].tobytes() == x.tobytes()


@pytest.mark.parametrize("rank", [5, 9])
def test_many_dimensions_bit_for_bit(engine_name: str, rank: int) -> None:
    shape = (2, 3, 1, 4, 2, 1, 3, 1, 2)[:rank]
    x = values_of(np.dtype(np.float32), shape)
    assert load(om.identity(shape), engine_name).run({"x": x})["y"].tobytes() == x.tobytes()


def test_engines_agree_on_a_convolution() -> None:
    pytest.importorskip("openvino")
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    one, two = (load(om.convolution(), name).run({"x": x})["y"] for name in ENGINES)
    # bfloat16, which OpenVINO would choose by itself on this kind of processor, is off by about 0.05.
    assert np.allclose(one.astype(np.float64), two.astype(np.float64), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "AzureExecutionProvider", "NoSuchProvider"])
def test_a_provider_that_is_not_there_is_not_replaced(provider: str) -> None:
    import onnxruntime as ort

    if provider in ort.get_available_providers() and not provider.startswith("Azure"):
        pytest.skip(f"{provider} is here")
    with pytest.raises(ConfigError) as caught:
        load(om.identity((1, 4)), "onnxruntime", providers=[provider, "CPUExecutionProvider"])
    assert caught.value.field == "engine.providers"
    assert caught.value.found == provider
    assert "CPUExecutionProvider" in caught.value.expected
    assert "Azure" not in caught.value.expected, "runs models on the vendor's servers"


def test_a_provider_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine with the GPU package but without the GPU: listed as available, then left out of the session.
    import onnxruntime as ort

    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session = ort.InferenceSession
    monkeypatch.setattr(ort, "get_available_providers", lambda: listed)
    monkeypatch.setattr(
        ort, "InferenceSession", lambda m, o, providers: session(m, o, providers=["CPUExecutionProvider"])
    )
    with pytest.raises(ConfigError, match="CUDAExecutionProvider, which can't start, expected one of: CPU"):
        load(om.identity((1, 4)), "onnxruntime", providers=listed)


@pytest.mark.parametrize("device", ["AUTO", "HETERO:GPU,CPU", "NPU7", "nonsense"])
def test_a_device_that_is_not_there_is_not_replaced(device: str) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(ConfigError, match=r"engine\.device") as caught:
        load(om.identity((1, 4)), "openvino", device=device)
    assert "CPU" in caught.value.expected


def test_threads_and_spinning_are_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    from inframe.drivers.engines import onnxruntime_engine as module

    options = module._options(EngineConfig(name="onnxruntime", threads=3))
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"


def test_openvino_runs_as_configured() -> None:
    ov = pytest.importorskip("openvino")
    from inframe.drivers.engines.openvino_engine import _settings

    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(om.identity((1, 4))), "CPU", _settings(EngineConfig(name="openvino", threads=1))
    )
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert "float" in str(compiled.get_property("INFERENCE_PRECISION_HINT"))
    assert compiled.get_property("NUM_STREAMS") == 1


def external(location: str) -> bytes:
    """A model whose weights are said to lie in the file `location`."""
    proto = onnx.load_model_from_string(om.convolution())
    (tensor,) = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    data: bytes = proto.SerializeToString()
    return data


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_weights_in_another_file_are_refused(engine_name: str, location: str) -> None:
    with pytest.raises(ConfigError, match=r"found weights of 'w' in another file, expected weights inside"):
        load(external(location), engine_name)


def test_weights_in_another_file_are_found_in_a_subgraph(engine_name: str) -> None:
    tensor = onnx.load_model_from_string(external("elsewhere")).graph.initializer[0]
    branch = helper.make_graph([om.node("Identity", "w", "out")], "b", [], [om.value("out", (4, 3, 3, 3))], [tensor])
    node = om.node("If", "c", "y", then_branch=branch, else_branch=branch)
    data = om.model([node], [om.value("c", (), np.bool_)], [om.value("y", (4, 3, 3, 3))])
    with pytest.raises(ConfigError, match="in another file"):
        load(data, engine_name)


def test_what_is_missing_is_named() -> None:
    x, y = om.value("x", (1, 4)), om.value("y", (1, 4))
    custom = om.model([om.node("Mine", "x", "y", domain="my.own")], [x], [y], domains=["my.own"])
    with pytest.raises(ConfigError, match=r"found operator my.own:Mine, expected operators that onnxruntime"):
        load(custom, "onnxruntime")
    with pytest.raises(ConfigError, match=r"found opset 99, expected at most opset \d+"):
        load(om.model([om.node("Relu", "x", "y")], [x], [y], opset=99), "onnxruntime")
    with pytest.raises(ConfigError, match=r"found IR version 99, expected at most \d+"):
        load(om.model([om.node("Relu", "x", "y")], [x], [y], ir_version=99), "onnxruntime")
    pytest.importorskip("openvino")
    with pytest.raises(ConfigError, match=r"found operators my.own.Mine, expected operators that openvino"):
        load(custom, "openvino")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04", "not an ONNX file: it begins with 50 4b 03 04"),
        (om.convolution()[:200], "a file cut off or damaged"),
        (b"\x08\x08", "a file without an ONNX graph"),
    ],
)
def test_what_is_not_a_model(data: bytes, found: str) -> None:
    with pytest.raises(ConfigError, match=f"m.onnx: file: found {found}.*, expected an ONNX model"):
        load(data, "onnxruntime")


@pytest.mark.parametrize("operator", ["QLinearAdd", "QLinearMul"])
def test_openvino_is_kept_from_operators_that_it_computes_wrongly(operator: str) -> None:
    pytest.importorskip("openvino")
    weights = {"s": np.array(0.1, np.float32), "z": np.array(128, np.uint8), "b": np.full((1, 4), 255, np.uint8)}
    x, y = om.value("x", (1, 4), np.uint8), om.value("y", (1, 4), np.uint8)
    data = om.model(
        [om.node(operator, "x s z b s z s z", "y", domain="com.microsoft")],
        [x],
        [y],
        weights,
        domains=["com.microsoft"],
    )
    high = np.full((1, 4), 255, np.uint8)
    assert (load(data, "onnxruntime").run({"x": high})["y"] == 255).all(), "saturates"
    with pytest.raises(ConfigError, match=f"found operators com.microsoft:{operator}, which openvino computes wrongly"):
        load(data, "openvino")


def test_installed_engines() -> None:
    assert "onnxruntime" in [config.name for config in installed_engines()]
