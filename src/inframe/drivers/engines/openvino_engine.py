"""OpenVINO, the second engine: Intel's CPUs, GPUs and NPUs; the fastest here on int8 models."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import TensorSpec

try:
    import openvino as ov
except ImportError as error:
    raise ConfigError("engine.name", "openvino", error, "the Python package openvino: pip install inframe[openvino]") from None
