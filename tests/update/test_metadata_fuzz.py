"""No metadata makes the client do anything but verify or refuse: values replaced, bytes flipped, ends cut."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inframe.core.clock import ManualClock
from inframe.update.client import Source, ask
from inframe.update.repository import create
from inframe.update.transport import Transport
from inframe.update.trust import Trust
from tests.update.site import NOW_S

NASTY: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    float("inf"),
    "",
    "x" * 3000,
    "\ud800",
    "..",
    [],
    {},
    [[]],
    {"a": {}},
]
TIMES = 120


class Lying(Transport):
    """Reads a folder, but for one file."""

    def __init__(self, end: str, data: bytes) -> None:
        super().__init__(ManualClock())
        self._end, self._lie = end, data

    def read(self, url: str, start: int = 0) -> Iterator[bytes]:
        return iter([self._lie]) if url.endswith(self._end) else super().read(url, start)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(raw: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        at = rng.randrange(len(raw))
        return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]
    if kind == 1:
        return raw[: rng.randrange(len(raw))]
    whole = json.loads(raw)
    *way, last = rng.choice([path for path in places(whole) if path])
    inner = whole
    for key in way:
        inner = inner[key]
    inner[last] = rng.choice(NASTY)
    return json.dumps(whole).encode()


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_changed_metadata_is_refused_in_one_line(tmp_path: Path, role: str) -> None:
    repository = create(tmp_path / "repo", tmp_path / "keys", NOW_S)
    folder = tmp_path / "repo" / "metadata"
    source = Source(f"file://{tmp_path}/repo", (folder / "1.root.json").read_bytes())
    if role == "root":
        repository.rotate("timestamp")
    name = {"root": "2.root.json", "timestamp": "timestamp.json"}.get(role, f"1.{role}.json")
    raw = (folder / name).read_bytes()
    rng = random.Random(role)
    refused = 0
    for _ in range(TIMES):
        answer = ask(source, Trust(), Lying(name, changed(raw, rng)), NOW_S, 0)
        assert (answer.listed is None) == (answer.problem is not None)
        if answer.problem is not None:
            assert "\n" not in str(answer.problem)
            refused += 1
        else:  # white space, or a signature more than is needed
            assert answer.listed is not None
            assert answer.listed.releases == []
    assert refused > 0.8 * TIMES
