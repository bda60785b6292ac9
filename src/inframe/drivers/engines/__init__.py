"""Inference engines, one file each. An engine's module is imported only when a device file names it: each costs tens of
megabytes and up to a second."""

from importlib.util import find_spec

from inframe.core.config import EngineConfig
from inframe.core.ports import Engine
from inframe.drivers.engines.wire import check_onnx


def load_engine(model: bytes, where: str, config: EngineConfig) -> Engine:
    """An engine with `model` loaded, ready to run.

    model: the bytes of an ONNX file; `where` names that file in errors. Raises ConfigError where the bytes are not a
    model that this engine can run, or where the engine, a provider or a device is not there: nothing else is tried
    instead.
    """
    check_onnx(model, where)
    match config.name:
        case "onnxruntime":
            from inframe.drivers.engines.onnxruntime_engine import OnnxRuntimeEngine

            return OnnxRuntimeEngine(model, where, config)
        case "openvino":
            from inframe.drivers.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(model, where, config)


def installed_engines() -> list[EngineConfig]:
    """The engines whose packages are on this machine, each with its default settings."""
    found = [
        EngineConfig(name="onnxruntime") if find_spec("onnxruntime") else None,
        EngineConfig(name="openvino") if find_spec("openvino") else None,
    ]
    return [config for config in found if config is not None]
