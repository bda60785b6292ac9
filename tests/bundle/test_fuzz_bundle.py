"""A fuzzer on the reader: whatever the bytes, it ends in a BundleError or in the very bundle that was signed."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inframe.bundle import UNSIGNED, BundleError, open_bundle
from inframe.bundle.container import MAGIC
from tests.bundle import made
from tests.bundle.attack import memory, parts_of

SETTINGS = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def whole() -> bytes:
    folder = Path(mkdtemp())
    data = made.signed(folder).read_bytes()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    return data


def taken(data: bytes, policy: Any) -> bool:
    with memory(data) as fd:
        try:
            open_bundle(fd, policy).close()
        except BundleError as error:
            said = str(error)
        else:
            return True
    assert said.isprintable()
    assert len(said) < 1000
    return False


@SETTINGS
@given(st.binary(min_size=1, max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert not taken(data, UNSIGNED)
    assert not taken(MAGIC + data, UNSIGNED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def header(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return MAGIC + f"{len(text):08x}\n".encode() + text


@SETTINGS
@given(JSON)
def test_any_header(value: Any) -> None:
    assert not taken(header(value) + b"x", UNSIGNED)


PATHS = [
    *("envelope", "envelope.payload", "envelope.payloadType", "envelope.signatures", "envelope.signatures.0"),
    *("envelope.signatures.0.keyid", "envelope.signatures.1.sig", "members", "members.0", "members.0.0", "members.0.1"),
]


@SETTINGS
@given(st.sampled_from(PATHS), JSON)
def test_any_value_in_the_place_of_each_one_in_the_header(path: str, value: Any) -> None:
    parts = parts_of(whole())
    found: Any = {"envelope": parts.envelope, "members": parts.members}
    at = found
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in way:
        at = at[key]
    before, at[last] = at[last], value
    data = header(found) + b"".join(parts.data)
    assert taken(data, made.policy()) == (json.dumps(before) == json.dumps(value))


@SETTINGS
@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 64), st.binary(max_size=64)), min_size=1, max_size=4))
def test_pieces_cut_out_and_put_in(cuts: list[tuple[int, int, bytes]]) -> None:
    data = whole()
    for at, length, new in cuts:
        data = data[:at] + new + data[at + length :]
    if data:
        assert taken(data, made.policy()) == (data == whole())


@SETTINGS
@given(st.integers(0, 12_000), st.integers(0, 12_000), st.integers(1, 200))
def test_pieces_exchanged(a: int, b: int, length: int) -> None:
    data = bytearray(whole())
    data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]
    assert taken(bytes(data), made.policy()) == (bytes(data) == whole())
