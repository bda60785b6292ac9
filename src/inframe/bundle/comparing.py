"""What differs between two bundles."""

from collections.abc import Iterator
from typing import Any

from inframe.bundle.opening import Bundle


def differences(old: Bundle, new: Bundle) -> list[tuple[str, object, object]]:
    """(where, in the old one, in the new one), None for what is not there: the manifest field by field, members by digest."""
    before = dict(_flat("", old.manifest.model_dump(mode="json")))
    after = dict(_flat("", new.manifest.model_dump(mode="json")))
    before |= {f"member {name}": digest for name, digest in old.digests.items()}
    after |= {f"member {name}": digest for name, digest in new.digests.items()}
    keys = sorted(before.keys() | after.keys())
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _flat(path: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}".lstrip("."), inner)
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{path}.{number}", inner)
    else:
        yield path, value
