"""Reads `device.yaml` into a `Device`. Everything wrong with it becomes one ConfigError: file, field, found, expected."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from inframe.core.config import Device
from inframe.core.errors import ConfigError

MAX_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """SafeLoader without what a device file never needs: aliases (a few lines of them can expand to gigabytes) and
    duplicate keys (the last one would win in silence)."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "found an alias, expected plain values", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"found the key {key!r}, expected text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"found the key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_device(path: Path) -> Device:
    """The checked device file. Relative paths in it stay as written: `resolve` makes them absolute.

    Raises ConfigError for everything that can be wrong with the file or its content.
    """
    return parse_device(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The file's bytes, at most 1 MiB. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable device file") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(path, "file", "more than 1 MiB", "a device file of at most 1 MiB")
    return data


def parse_device(data: bytes, path: Path) -> Device:
    """As `read_device`, from bytes; `path` is only named in errors."""
    try:
        raw = yaml.load(data.decode("utf-8"), Loader=_Loader)  # noqa: S506  # a SafeLoader that refuses more
    except UnicodeDecodeError as error:
        raise ConfigError(path, f"byte {error.start}", f"0x{data[error.start]:02x}", "UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        raise ConfigError(path, where, error.problem or "something else", "valid YAML") from None
    except yaml.YAMLError as error:
        raise ConfigError(path, "file", error, "valid YAML") from None
    except RecursionError:
        raise ConfigError(path, "file", "a structure nested too deeply", "a device file") from None
    except ValueError as error:  # PyYAML lets impossible dates and numbers through to Python's constructors
        raise ConfigError(path, "file", error, "valid YAML") from None
    if not isinstance(raw, dict):
        raise ConfigError(
            path, "file", type(raw).__name__ if raw is not None else "an empty file", "a mapping (device: …)"
        )
    try:
        return Device.model_validate(raw)
    except ValidationError as error:
        raise _as_config_error(path, error) from None


def _as_config_error(path: Path, error: ValidationError) -> ConfigError:
    """The first of pydantic's errors in one line; unknown keys first, since they are most often the cause of the others."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    field = ".".join(str(part) for part in first["loc"]) or "file"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    match first["type"]:
        case "extra_forbidden":
            return ConfigError(path, field, "an unknown key", f"a key that the device file knows{more}")
        case "missing":
            return ConfigError(path, field, "nothing", f"a value{more}")
        case "value_error":
            reason = str(first["ctx"]["error"])
            head, _, expected = reason.partition(", expected ")
            name, _, found = head.rpartition("found ")
            name = name.strip().rstrip(":")
            return ConfigError(
                path,
                ".".join(p for p in (field if field != "file" else "", name) if p) or "file",
                found,
                expected + more,
            )
        case _:
            message = first["msg"].removeprefix("Input should be ")
            return ConfigError(path, field, repr(first["input"])[:60], message + more)
