"""What an ONNX file says of itself, read with the onnx package. For `inframe inspect` only: no engine needs it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import onnx

from inframe.core.errors import ConfigError, one_line
from inframe.drivers.engines.wire import check_onnx

_LIMIT = 200
"""More of a model's own texts than anyone reads in a report."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An input or output as declared. An open dimension is its name, or "?"."""

    name: str
    shape: list[int | str]
    dtype: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """All that can be said without running it."""

    ir_version: int
    opsets: dict[str, int]
    """Version by domain; the standard domain is "ai.onnx"."""
    producer: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]
    operators: dict[str, int]
    """How often each occurs, subgraphs included; "domain:Name" outside the standard domain."""
    unknown_operators: list[str]
    """Those that the ONNX standard does not know, and that the file does not define itself."""
    parameters: int
    """Numbers in its weights and constants."""
    newest_opset: int
    """The newest opset of the standard domain that the installed onnx package knows."""


def read_facts(model: bytes, where: str) -> ModelFacts:
    """The facts of an ONNX file. Raises ConfigError, naming `where`, for bytes that are not one."""
    check_onnx(model, where)
    try:
        proto = onnx.load_model_from_string(model)
    except Exception as error:  # noqa: BLE001  # protobuf's errors depend on which of its backends is installed
        raise ConfigError(where, "file", error, "an ONNX model") from None
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    opsets = {one_line(o.domain or "ai.onnx", _LIMIT): o.version for o in proto.opset_import}
    operators = Counter(_key(node.domain, node.op_type) for node in _nodes(graph, proto))
    defined = {_key(f.domain, f.name) for f in proto.functions}
    return ModelFacts(
        ir_version=proto.ir_version,
        opsets=opsets,
        producer=one_line(f"{proto.producer_name} {proto.producer_version}".strip(), _LIMIT),
        inputs=[_tensor(value) for value in graph.input if value.name not in weights],
        outputs=[_tensor(value) for value in graph.output],
        operators=dict(operators.most_common()),
        unknown_operators=sorted(key for key in operators if key not in defined and not _in_standard(key)),
        parameters=sum(prod(tensor.dims) for tensor in _tensors(graph, proto)),
        newest_opset=onnx.defs.onnx_opset_version(),
    )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    todo = [graph]
    while todo:
        found = todo.pop()
        yield found
        todo += _subgraphs(found.node)


def _subgraphs(nodes: list[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    single = [a.g for a in attributes if a.type == onnx.AttributeProto.GRAPH]
    return single + [g for a in attributes for g in a.graphs]


def _nodes(graph: onnx.GraphProto, proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for part in _graphs(graph):
        yield from part.node
    for function in proto.functions:
        yield from function.node
        for inner in _subgraphs(function.node):
            for part in _graphs(inner):
                yield from part.node


def _tensors(graph: onnx.GraphProto, proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for part in _graphs(graph):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield sparse.values
    for node in _nodes(graph, proto):
        if node.op_type == "Constant" and not node.domain:
            yield from (a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR)


def _key(domain: str, name: str) -> str:
    return one_line(name if domain in ("", "ai.onnx") else f"{domain}:{name}", _LIMIT)


def _in_standard(key: str) -> bool:
    domain, _, name = key.rpartition(":")
    return bool(onnx.defs.has(name, domain))


def _tensor(value: onnx.ValueInfoProto) -> TensorFacts:
    name = one_line(value.name, _LIMIT)
    if not value.type.HasField("tensor_type"):
        return TensorFacts(name, [], one_line(value.type.WhichOneof("value") or "no type", _LIMIT))
    tensor = value.type.tensor_type
    known = tensor.elem_type in onnx.TensorProto.DataType.values()
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if known else f"type {tensor.elem_type}"
    dims: list[int | str] = [
        dim.dim_value if dim.WhichOneof("value") == "dim_value" else one_line(dim.dim_param or "?", _LIMIT)
        for dim in tensor.shape.dim
    ]
    return TensorFacts(name, dims, dtype)
