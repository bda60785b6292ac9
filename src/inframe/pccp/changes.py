"""Whether each difference between two bundles is one that a modification allows."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import onnx

from inframe.bundle import Bundle
from inframe.bundle.comparing import differences
from inframe.bundle.manifest import MANIFEST
from inframe.pccp.items import Item, Status
from inframe.pccp.plan import Bound

IMPLIED = ("version", "counter", "pccp", f"member {MANIFEST}", "member bom.json")
"""They change with every release, or say again what other fields say. The counter must grow."""
_MEMBER = "member "


def changes(bounds: tuple[Bound, ...], old: Bundle, new: Bundle) -> Iterator[Item]:
    """One item for each difference."""
    for field, before, after in differences(old, new):
        if field in IMPLIED:
            continue
        matching = [one for one in bounds if fnmatchcase(field, one.field)]
        if not matching:
            yield Item(
                field, Status.OUTSIDE, f"{_short(before)} -> {_short(after)}", "no change: the plan does not name it"
            )
            continue
        wrong = [_beyond(one, field, before, after, old, new) for one in matching]
        kept = [one for one in wrong if one is not None]
        said = f"{_short(before)} -> {_short(after)}"
        if len(kept) == len(wrong):  # one bound that holds is enough
            yield Item(field, Status.OUTSIDE, said, kept[0])
        else:
            yield Item(field, Status.HOLDS, said, "within its bounds")
    if new.counter <= old.counter:
        yield Item("counter", Status.OUTSIDE, f"{old.counter} -> {new.counter}", "one that grows")


def _beyond(bound: Bound, field: str, before: object, after: object, old: Bundle, new: Bundle) -> str | None:
    """What was expected of it; None: it is so."""
    if bound.change == "any":
        return None
    if bound.change == "weights":
        return None if _same_graph(field, old, new) else "an ONNX member of the same graph"
    if bound.one_of is not None:
        return None if after in bound.one_of else f"one of {', '.join(map(str, bound.one_of))}"
    return _too_far(bound, _number(before), _number(after))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _too_far(bound: Bound, before: float | None, after: float | None) -> str | None:
    if after is None:
        return "a number"
    if bound.by is not None:
        near = before is not None and abs(after - before) <= bound.by
        return None if near else f"at most {bound.by:g} from {before}"
    if bound.at_least is not None and after < bound.at_least:
        return f"at least {bound.at_least:g}"
    return f"at most {bound.at_most:g}" if bound.at_most is not None and after > bound.at_most else None


def _same_graph(field: str, old: Bundle, new: Bundle) -> bool:
    """The same inputs, operators and outputs; only the numbers in its weights may differ, not their shapes."""
    name = field.removeprefix(_MEMBER)
    if not field.startswith(_MEMBER) or name not in old.digests or name not in new.digests:
        return False
    try:
        graphs = [_graph(bytes(bundle.member(name))) for bundle in (old, new)]
    except Exception:  # noqa: BLE001  # protobuf raises its own kinds of errors for bytes that are no model
        return False
    return graphs[0] == graphs[1]


def _graph(data: bytes) -> bytes:
    model = onnx.ModelProto.FromString(data)
    for initializer in model.graph.initializer:
        for field in (
            "raw_data",
            "float_data",
            "int32_data",
            "int64_data",
            "double_data",
            "uint64_data",
            "string_data",
        ):
            initializer.ClearField(field)
    model.ClearField("metadata_props")
    found: bytes = model.SerializeToString(deterministic=True)
    return found


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:16]}…"
