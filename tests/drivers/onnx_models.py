"""Small ONNX models, made when a test needs them. None is kept as a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]

ELEMENTS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.bool_): TensorProto.BOOL,
}


def value(name: str, shape: Shape, dtype: object = np.float32) -> onnx.ValueInfoProto:
    """An input or output; a dimension that is a text or None is open. `dtype` may also be an ONNX element type."""
    element = dtype if isinstance(dtype, int) else ELEMENTS[np.dtype(dtype)]  # type: ignore[call-overload]  # a dtype-like
    return helper.make_tensor_value_info(name, element, list(shape))


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
    domains: Sequence[str] = (),
) -> bytes:
    """The bytes of a model."""
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), initializers)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    found: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString()
    return found


def identity(shape: Shape, dtype: object = np.float32) -> bytes:
    """y = x."""
    return model([node("Identity", "x", "y")], [value("x", shape, dtype)], [value("y", shape, dtype)])


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """One node; names separated by blanks."""
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def constant(outputs: dict[str, Any], inputs: Sequence[onnx.ValueInfoProto]) -> bytes:
    """A model that always says `outputs`: plus 0 times the first input's sum, which engines can't fold away."""
    nodes = [
        node("Cast", inputs[0].name, "as_float", to=TensorProto.FLOAT),
        node("ReduceSum", "as_float", "sum", keepdims=0),
        node("Mul", "sum zero", "nothing"),
    ]
    weights: dict[str, Any] = {"zero": np.array(0, np.float32)}
    made = []
    for name, array in outputs.items():
        element = ELEMENTS[array.dtype]
        weights[f"{name}_value"] = array
        nodes += [
            node("Cast", "nothing", f"{name}_nothing", to=element),
            node("Add", f"{name}_value {name}_nothing", name),
        ]
        made.append(value(name, array.shape, array.dtype))
    return model(nodes, inputs, made, weights)


def image(shape: Shape = (1, 3, 32, 32), dtype: object = np.float32, name: str = "x") -> list[onnx.ValueInfoProto]:
    """The usual input."""
    return [value(name, shape, dtype)]


def convolution(labels: int = 4, size: int = 32, seed: int = 0) -> bytes:
    """A segmentation model: 1x3xSxS to 1xLABELSxSxS, random weights."""
    weights = np.random.default_rng(seed).standard_normal((labels, 3, 3, 3)).astype(np.float32)
    return model(
        [node("Conv", "x w", "y", pads=[1, 1, 1, 1])],
        [value("x", (1, 3, size, size))],
        [value("y", (1, labels, size, size))],
        {"w": weights},
    )


def save(folder: Path, data: bytes, name: str = "model.onnx") -> Path:
    """`data` as a file."""
    path = folder / name
    path.write_bytes(data)
    return path
