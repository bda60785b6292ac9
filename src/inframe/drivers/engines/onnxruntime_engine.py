"""ONNX Runtime, the portable engine: CPU, and CUDA, TensorRT, OpenVINO … by execution provider."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import TensorSpec

try:
    import onnxruntime as ort
except ImportError as error:
    raise ConfigError("engine.name", "onnxruntime", error, "the Python package onnxruntime") from None

ort.set_default_logger_severity(4)  # fatal only: what goes wrong is raised, once, in one line

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}

# Runs the model on the vendor's servers: no such thing in the frame path, whatever a device file says.
_REMOTE = {"AzureExecutionProvider"}


class OnnxRuntimeEngine:
    """One session, run by one thread.

    Plain `run` and not IOBinding: bound once to fixed buffers it saves 5 to 30 microseconds of a run (measured on a
    0.7 ms convolution with 2 MB of output, and on a bare Relu), for raw pointers whose lifetime nobody checks. The
    arena stays on: without it each run asks the operating system for its memory again (0.75 ms became 0.82).
    """

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]

    def __init__(self, model: bytes, where: str, config: EngineConfig) -> None:
        """Raises ConfigError."""
        _check_providers(where, config.providers)
        try:
            session = ort.InferenceSession(model, _options(config), providers=list(config.providers))
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no other base
            found, expected = _reduce(str(error))
            raise ConfigError(where, "file", found, expected) from None
        session.disable_fallback()
        # A provider whose libraries are missing is left out with no more than a warning.
        running = session.get_providers()
        missing = [name for name in config.providers if name not in running]
        if missing:
            found = f"{missing[0]}, which can't start"
            raise ConfigError(where, "engine.providers", found, f"one of: {', '.join(running)}")
        self.name = f"onnxruntime {ort.__version__} {config.providers[0]}"
        self.inputs = [_spec(where, "input", arg) for arg in session.get_inputs()]
        self.outputs = [_spec(where, "output", arg) for arg in session.get_outputs()]
        self._names = [spec.name for spec in self.outputs]
        self._session: ort.InferenceSession | None = session

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """See `Engine.run`. Raises DeviceFault, and RuntimeError after `close`."""
        if self._session is None:
            raise RuntimeError("run after close")
        try:
            arrays = self._session.run(self._names, dict(feeds))
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no other base
            raise DeviceFault(f"{self.name}: {_reduce(str(error))[0]}") from None
        return dict(zip(self._names, map(np.asarray, arrays), strict=True))

    def close(self) -> None:
        """Free the session; may be called twice."""
        self._session = None


def _options(config: EngineConfig) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A spinning thread burns the core that the display needs, at the same priority.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _check_providers(where: str, wanted: tuple[str, ...]) -> None:
    available = [name for name in ort.get_available_providers() if name not in _REMOTE]
    for name in wanted:
        if name not in available:
            raise ConfigError(where, "engine.providers", name, f"one of: {', '.join(available)}")


def _spec(where: str, role: str, arg: ort.NodeArg) -> TensorSpec:
    if arg.type not in _DTYPES:
        raise ConfigError(where, f"{role} {arg.name!r}", arg.type, "a tensor of numbers")
    shape = tuple(n if isinstance(n, int) and n >= 0 else None for n in arg.shape)
    return TensorSpec(arg.name, shape, np.dtype(_DTYPES[arg.type]))


def _reduce(message: str) -> tuple[str, str]:
    """The heart of one of its messages, and what was expected instead."""
    known = f"a model that onnxruntime {ort.__version__} can run"
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", message.strip())
    if found := re.search(r"(\S+) is not a registered function/op", text):
        return f"operator {found[1].removesuffix('(-1)')}", f"operators that onnxruntime {ort.__version__} has"
    if found := re.search(r"Could not find an implementation for (\S+?)\(?(\d*)\)? node", text):
        return f"operator {found[1]} (version {found[2] or '?'})", f"operators that onnxruntime {ort.__version__} has"
    if found := re.search(r"No [Oo]p registered for (\S+) with domain_version of (\d+)", text):
        return f"operator {found[1]} (opset {found[2]})", f"operators that onnxruntime {ort.__version__} has"
    if found := re.search(r"Opset (\d+) is under development", text):
        newest = re.search(r"till opset (\d+)", text) or re.search(r"is (\d+)", text)
        return f"opset {found[1]}", f"at most opset {newest[1]}" if newest else known
    if found := re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", text):
        return f"IR version {found[1]}", f"at most {found[2]} (onnxruntime {ort.__version__})"
    first = next((line for line in text.splitlines() if line.strip()), "an error without a message")
    # Source file, line and C++ signature tell the integrator nothing.
    first = re.sub(r"^\S*\.(cc|h|cpp):\d+ .*?\) ", "", first)
    return first.strip(), known


def lacks(operators: Iterable[str]) -> list[str]:
    """Which of these operators ("Name" or "domain:Name") it has no schema for: it names only the first by itself."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    known = {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    return [key for key in operators if (key.rpartition(":")[0], key.rpartition(":")[2]) not in known]
