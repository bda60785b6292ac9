"""Inference engines, one file each. An engine's module is imported only when a device file names it: each costs tens of
megabytes and up to a second."""

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
