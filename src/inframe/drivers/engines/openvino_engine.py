"""OpenVINO, the second engine: Intel's CPUs, GPUs and NPUs; the fastest here on int8 models.

Its CPU plugin computes int64 in 32 bits and drops the upper half in silence (seen with an Identity in 2026.4): fine for
label indices and shapes, wrong for anything larger.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import TensorSpec
from inframe.drivers.engines.wire import operators

try:
    import openvino as ov
except ImportError as error:
    raise ConfigError(
        "engine.name", "openvino", error, "the package openvino (pip install inframe[openvino])"
    ) from None

_DTYPES = {
    "f32": np.float32,
    "f16": np.float16,
    "f64": np.float64,
    "u8": np.uint8,
    "i8": np.int8,
    "u16": np.uint16,
    "i16": np.int16,
    "u32": np.uint32,
    "i32": np.int32,
    "u64": np.uint64,
    "i64": np.int64,
    "boolean": np.bool_,
}

# Lines of its errors that name its own source or say nothing.
_NOISE = re.compile(r"^(Exception from|Check '|FrontEnd API|Model wasn't|Summary|While validating|-- Conversion|\s*$)")


class OpenVinoEngine:
    """One compiled model and one request, run by one thread."""

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]

    def __init__(self, model: bytes, where: str, config: EngineConfig) -> None:
        """Raises ConfigError."""
        core = ov.Core()
        _check_device(where, config.device, core.available_devices)
        _check_operators(where, model)
        try:
            compiled = core.compile_model(core.read_model(model), config.device, _settings(config))
        except Exception as error:  # noqa: BLE001  # OpenVINO's errors are RuntimeErrors by habit, not by promise
            found, expected = _reduce(str(error))
            raise ConfigError(where, "file", found, expected) from None
        self.name = f"openvino {_version()} {config.device}"
        self.inputs = [_spec(where, "input", port) for port in compiled.inputs]
        self.outputs = [_spec(where, "output", port) for port in compiled.outputs]
        self._by_name = {spec.name: (i, spec) for i, spec in enumerate(self.inputs)}
        self._request: Any = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """See `Engine.run`. Raises DeviceFault, and RuntimeError after `close`."""
        if self._request is None:
            raise RuntimeError("run after close")
        try:
            self._request.infer(self._numbered(feeds), share_inputs=True, share_outputs=True)
            return {spec.name: self._request.get_output_tensor(i).data for i, spec in enumerate(self.outputs)}
        except DeviceFault:
            raise
        except Exception as error:  # noqa: BLE001  # OpenVINO's errors are RuntimeErrors by habit, not by promise
            raise DeviceFault(f"{self.name}: {_reduce(str(error))[0]}") from None

    def _numbered(self, feeds: Mapping[str, NDArray[np.generic]]) -> dict[int, NDArray[np.generic]]:
        """By input number. OpenVINO would cast another dtype, and take the last frame's array for a missing one."""
        if feeds.keys() != self._by_name.keys():
            raise DeviceFault(f"{self.name}: found inputs {', '.join(feeds)}, expected {', '.join(self._by_name)}")
        numbered: dict[int, NDArray[np.generic]] = {}
        for name, array in feeds.items():
            number, spec = self._by_name[name]
            if array.dtype != spec.dtype:
                raise DeviceFault(f"{self.name}: input {name!r} is {array.dtype}, expected {spec.dtype}")
            numbered[number] = array
        return numbered

    def close(self) -> None:
        """Free the request and the model; may be called twice."""
        self._request = None


def _settings(config: EngineConfig) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        # Its default on newer CPUs is bfloat16: other numbers than the model's supplier validated. With
        # it the known-answer model of our tests says lemon for an orange.
        "INFERENCE_PRECISION_HINT": "f32",
        "CACHE_DIR": "",
    }
    if config.device == "CPU":
        # Cores are chosen by the device's process table, not by each library for itself.
        settings |= {"INFERENCE_NUM_THREADS": config.threads, "ENABLE_CPU_PINNING": False}
    return settings


def _check_device(where: str, wanted: str, available: list[str]) -> None:
    # AUTO, MULTI and HETERO choose a device in silence: not among the available ones, so refused here.
    if not any(device == wanted or device.startswith(f"{wanted}.") for device in available):
        raise ConfigError(where, "engine.device", wanted, f"one of: {', '.join(available)}")


def _check_operators(where: str, model: bytes) -> None:
    """OpenVINO translates some of ONNX Runtime's own quantised operators, wrongly: QLinearAdd and QLinearMul wrap around
    where they must saturate (seen in 2026.4: 255 of 255 off). A model with them answers, only not what was validated."""
    wrong = sorted(name for name in operators(model) if name.startswith("com.microsoft:QLinear"))
    if wrong:
        expected = "the model quantised in QDQ form, or the engine onnxruntime"
        raise ConfigError(where, "file", f"operators {', '.join(wrong)}, which openvino computes wrongly", expected)


def _spec(where: str, role: str, port: Any) -> TensorSpec:
    name, kind = port.get_any_name(), port.get_element_type().get_type_name()
    if kind not in _DTYPES:
        raise ConfigError(where, f"{role} {name!r}", kind, "a tensor of numbers")
    partial = port.get_partial_shape()
    if partial.rank.is_dynamic:
        raise ConfigError(where, f"{role} {name!r}", "an open number of dimensions", "a fixed one")
    shape = tuple(None if n.is_dynamic else n.get_length() for n in partial)
    return TensorSpec(name, shape, np.dtype(_DTYPES[kind]))


def _version() -> str:
    return str(ov.__version__).partition("-")[0]


def _reduce(message: str) -> tuple[str, str]:
    """The heart of one of its messages, and what was expected instead."""
    known = f"a model that openvino {_version()} can run"
    if found := re.search(r"No conversion rule found for operations: (.+)", message):
        return f"operators {found[1].strip()}", f"operators that openvino {_version()} has"
    telling = [line.strip() for line in message.splitlines() if not _NOISE.match(line)]
    if not telling:
        return "an error without a message", known
    head = re.match(r"-- (\S+) with a message:", telling[0])
    return (f"{head[1]}: {telling[1]}" if head and len(telling) > 1 else telling[0]), known
