"""Reads YAML and JSON into a part of the schema, `device.yaml` first of all. Everything wrong with it becomes one ConfigError:
file, field, found, expected."""

import difflib
import json
import re
import types
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.part import PATTERNS, Part

MAX_BYTES = 1 << 18
"""A thousand times a usual device file; PyYAML reads it in some seconds at worst."""
P = TypeVar("P", bound=Part)
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
"""YAML 1.2, core schema (10.3.2): what is not text. PyYAML's own is 1.1, where `on` is true, 1e-3 text and 12:30 a number."""


class _Loader(yaml.SafeLoader):
    """SafeLoader without what a device file never needs: aliases (a few lines of them can expand to gigabytes), duplicate
    keys (the last one would win in silence), tags, dates, merge keys, integers beyond 64 bits, control characters."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's parser is not typed
        if isinstance(event, yaml.AliasEvent):
            raise _refuse("an alias", "plain values", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refuse(f"the tag {event.tag}", "plain values", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _refuse(f"the key {_shown(key)}", "text", key_node.start_mark)
            if key in seen:
                raise _refuse(f"the key {_shown(key)} twice", "each key once", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def _text(self, node: yaml.ScalarNode) -> str:
        value = str(self.construct_scalar(node))
        odd = next((c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
        if odd is not None:  # such a text reaches paths, a terminal, the screen: none of them takes it
            raise _refuse(f"the character {odd!a} in a text", "text on one line", node.start_mark)
        return value

    def _number(self, node: yaml.ScalarNode) -> int | float:
        if node.tag == _TAG + "float":
            text = node.value.lower()
            return float(text.replace(".", "") if text.endswith(("inf", "nan")) else text)
        if len(node.value) > 18:
            raise _refuse(_shown(node.value), "a number of at most 18 digits", node.start_mark)
        return int(node.value)


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern})$"), None)
_Loader.add_constructor(_TAG + "str", _Loader._text)
_Loader.add_constructor(_TAG + "int", _Loader._number)
_Loader.add_constructor(_TAG + "float", _Loader._number)


def _refuse(found: str, expected: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, f"found {found}, expected {expected}", mark)


def read_device(path: Path) -> Device:
    """The checked device file. Relative paths in it stay as written: `resolve` makes them absolute.

    Raises ConfigError for everything that can be wrong with the file or its content.
    """
    return parse_device(read_bytes(path), path)


def read_bytes(path: Path, kind: str = "device file") -> bytes:
    """The file's bytes, at most 256 KiB; `kind`: what it should be. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise ConfigError(path, "file", getattr(error, "strerror", None) or error, f"a readable {kind}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(path, "file", "more than 256 KiB", f"a {kind} of at most 256 KiB")
    return data


def parse_device(data: bytes, path: Path) -> Device:
    """As `read_device`, from bytes; `path` is only named in errors."""
    return parse_yaml(data, path, Device, "device file")


def parse_yaml(data: bytes, path: Path, part: type[P], kind: str) -> P:
    """A part of the schema from the bytes of a YAML file. `path`, `kind` (what it is): for errors. Raises ConfigError."""
    try:
        raw = yaml.load(data.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506  # a SafeLoader that refuses more
        if not isinstance(raw, dict):
            found = type(raw).__name__ if raw is not None else "an empty file"
            raise ConfigError(path, "file", found, f"a mapping ({next(iter(part.model_fields))}: …)")
        return parse_json(json.dumps(raw), path, part, kind)
    except UnicodeDecodeError as error:
        raise ConfigError(path, f"byte {error.start}", f"0x{data[error.start]:02x}", "UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        raise ConfigError(path, where, *_found_expected(error.problem or "something else")) from None
    except yaml.reader.ReaderError as error:
        found = f"U+{error.character:04X}"
        raise ConfigError(path, f"character {error.position + 1}", found, "printable text") from None
    except RecursionError:
        raise ConfigError(path, "file", "a structure nested too deeply", f"a {kind}") from None


def parse_json(data: bytes | str, path: Path, part: type[P], kind: str) -> P:
    """As `parse_yaml`, from JSON. YAML comes this way too, since strict means here what it should there: a list makes a tuple,
    "30" and true make no number."""
    try:
        return part.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise _as_config_error(path, error, part, kind) from None


def _found_expected(problem: str) -> tuple[str, str]:
    """PyYAML says "expected X, but found Y", "found Y", or something else."""
    if match := re.fullmatch(r"expected (.+?),? but (?:found|got) (.+)", problem):
        return match[2], match[1]
    found, _, expected = problem.removeprefix("but ").removeprefix("found ").partition(", expected ")
    return found, expected or "valid YAML"


# --- what pydantic says, in our words --------------------------------------------------------------------------------


def _as_config_error(path: Path, error: ValidationError, part: type[Part], kind: str) -> ConfigError:
    """The first of pydantic's errors in one line; unknown keys first, since they are most often the cause of the others."""
    errors: list[Any] = error.errors(include_url=False)
    if errors[0]["type"] == "json_invalid":  # it was JSON before, so what is left is its depth
        return ConfigError(path, "file", "a structure nested too deeply", f"a {kind}")
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    field, _ = _field(first["loc"], part)
    others = len({_field(e["loc"], part)[0] for e in errors} - {field})
    more = f" (and {others} more)" if others else ""
    if first["type"] == "value_error":  # our own validators: "NAME: found FOUND, expected EXPECTED"
        head, _, expected = str(first["ctx"]["error"]).partition(", expected ")
        name, _, found = head.rpartition("found ")
        field = ".".join(part for part in (field, name.strip().rstrip(":")) if part)
        return ConfigError(path, field or "file", found, expected + more)
    if first["type"].startswith("union_tag"):
        field += "." + _discriminator(first)
    return ConfigError(path, field or "file", _found(first), _expected(first, part) + more)


def _found(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "an unknown key"
        case "missing" | "union_tag_not_found":
            return "nothing"
        case "union_tag_invalid":
            return _shown(error["input"][_discriminator(error)])
        case "too_short" | "too_long":
            return f"{len(error['input'])} items"
    return _shown(error["input"])


def _discriminator(error: Any) -> str:
    return str(error["ctx"]["discriminator"]).strip("'")


def _shown(value: object) -> str:
    """A value as somebody wrote it, or what kind of thing it is."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case str() if len(value) > 60:
            return f"{value[:50]!r}… ({len(value)} characters)"
    return repr(value)


def _expected(error: Any, part: type[Part]) -> str:
    kind = str(error["type"])
    context: dict[str, Any] = error.get("ctx", {})
    context = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in context.items()}
    if kind == "extra_forbidden":
        return _closest(str(error["loc"][-1]), _field(error["loc"], part)[1])
    if kind.startswith("union_tag"):
        return "one of " + ", ".join(_tags(_field(error["loc"], part)[1]))
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
    return _WORDS[kind].format(**context) if kind in _WORDS else error["msg"].removeprefix("Input should be ")


_WORDS = {
    "missing": "a value",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}
"""What pydantic's kinds of error expect, in a device file's words."""


def _closest(key: str, part: Any) -> str:
    known = list(part.model_fields) if isinstance(part, type) and issubclass(part, Part) else []
    near = difflib.get_close_matches(key, known, 1)
    return f"{near[0]} (known here: {', '.join(known)})" if near else f"one of {', '.join(known)}"


def _field(loc: tuple[int | str, ...], part: type[Part]) -> tuple[str, Any]:
    """Pydantic's location as the path that one sees in the file, and what the schema has where that path leads (for an unknown
    key: where it stands). Left out is what only pydantic knows: which member of a union it is in."""
    path: list[str] = []
    here: Any = part
    for key in loc:
        members = list(_members(here))
        if len(members) > 1:  # the key is a member's tag or name, which nobody has written there
            here = next((m for m in members if key in (*_tags(m), str(m), getattr(m, "__name__", ""))), members[0])
        elif key != "[key]":
            path.append(str(key))
            here = _inside(members[0], key)
    return ".".join(path), here


def _members(annotation: Any) -> Iterator[Any]:
    """The types that a value may be of, None left out."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from () if one is type(None) else _members(one)
    else:
        yield annotation


def _inside(annotation: Any, key: int | str) -> Any:
    """The type of what a mapping, a list or a part holds under `key`; the part itself for a key that it doesn't know."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        field = annotation.model_fields.get(str(key))
        return annotation if field is None else field.annotation
    arguments = get_args(annotation) or (annotation,)
    return arguments[1 if get_origin(annotation) is dict else 0]


def _tags(annotation: Any) -> tuple[str, ...]:
    """How the members of a union of parts are told apart."""
    found: list[str] = []
    for member in _members(annotation):
        fields = member.model_fields if isinstance(member, type) and issubclass(member, Part) else {}
        tag = fields.get("camera") or fields.get("kind") or fields.get("sensor")
        if tag is not None and get_origin(tag.annotation) is Literal:
            found += get_args(tag.annotation)
    return tuple(found)
