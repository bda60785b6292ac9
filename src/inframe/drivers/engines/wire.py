"""A look at an ONNX file's bytes before any engine sees them: is it one, is it whole, does it hold its own weights?

Engines answer these questions late, differently and in many lines, and read files that a model names beside itself.
A model's bytes are verified before they are loaded (see the design); weights in another file would not be. So such a
model is refused here. Only the protobuf wire format is walked (https://protobuf.dev/programming-guides/encoding), with
the field numbers of onnx.proto3; the onnx package stays out of the processes that run models.
"""

from collections.abc import Iterator

from inframe.core.errors import ConfigError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# What lies in what, on the way from the model to every tensor: message -> field number -> message.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_IR_VERSION, _GRAPH = 1, 7
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA = 8, 13


class _BrokenError(Exception):
    """The bytes don't follow the wire format. The argument says where."""


def check_onnx(model: bytes, where: str) -> None:
    """Raises ConfigError unless `model` is a whole ONNX file with its weights inside. `where` is named in the error."""
    if not model:
        raise ConfigError(where, "file", "an empty file", "an ONNX model")
    try:
        top = [(number, kind) for number, kind, _, _ in _fields(model, 0, len(model))]
    except _BrokenError as error:
        known = model[:1] == b"\x08"  # every exporter writes the IR version first
        begins = f"not an ONNX file: it begins with {model[:4].hex(' ')}"
        found = f"a file cut off or damaged {error}" if known else begins
        raise ConfigError(where, "file", found, "an ONNX model") from None
    if (_IR_VERSION, _VARINT) not in top or (_GRAPH, _BYTES) not in top:
        raise ConfigError(where, "file", "a file without an ONNX graph", "an ONNX model")
    try:
        external = _external_tensor(model)
    except _BrokenError as error:
        raise ConfigError(where, "file", f"a file damaged {error}", "an ONNX model") from None
    if external is not None:
        expected = "weights inside the model's file (onnx.save without save_as_external_data)"
        raise ConfigError(where, "file", f"weights of {external!r} in another file", expected)


def operators(model: bytes) -> set[str]:
    """The operators of a model that `check_onnx` has passed: "Name", or "domain:Name" outside the standard domain."""
    found = set()
    for message, fields in _messages(model):
        if message == "node":
            texts = {number: model[first:last].decode("utf-8", "replace") for number, kind, first, last in fields}
            domain = texts.get(_NODE_DOMAIN, "")
            found.add(f"{domain}:{texts.get(_NODE_OPERATOR, '')}".removeprefix("ai.onnx:").removeprefix(":"))
    return found


def _external_tensor(model: bytes) -> str | None:
    """The name of the first tensor whose data lie elsewhere."""
    for message, fields in _messages(model):
        if message == "tensor" and any(number == _TENSOR_EXTERNAL_DATA for number, *_ in fields):
            names = [model[first:last] for number, kind, first, last in fields if number == _TENSOR_NAME]
            return b"".join(names[-1:]).decode("utf-8", "replace")
    return None


def _messages(model: bytes) -> Iterator[tuple[str, list[tuple[int, int, int, int]]]]:
    """Every message on the way to a tensor, with its fields that hold bytes."""
    todo = [("model", 0, len(model))]
    while todo:
        message, start, end = todo.pop()
        fields = [field for field in _fields(model, start, end) if field[1] == _BYTES]
        yield message, fields
        inside = _INSIDE[message]
        todo += [(inside[number], first, last) for number, _, first, last in fields if number in inside]


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Field number, wire type, and where its content lies."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        first = at
        if kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind == _BYTES:
            length, first = _varint(data, at, end)
            at = first + length
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise _BrokenError(f"at byte {first}")
        if number == 0 or at > end:
            raise _BrokenError(f"at byte {first}")
        yield number, kind, first, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(end, at + 10)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise _BrokenError(f"at byte {at}")
