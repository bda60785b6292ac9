"""Must show: every byte flipped, members added, removed, renamed, duplicated, swapped, linked. All of it is refused before anything
that parses what is inside a member sees a byte."""

import base64
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from inframe.bundle import BundleError, open_bundle
from inframe.bundle.container import MAX_HEADER
from tests.bundle import made
from tests.bundle.attack import ParserReachedError, Parts, memory, no_parser, parts_of, refusal

MASKS = (0x01, 0x20, 0x80, 0xFF)
"""The lowest bit, upper and lower case, the highest bit, all of them; within a member, whose digest knows no such things: all."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made.signed(tmp_path_factory.mktemp("bundle")).read_bytes()


def test_the_untouched_bundle_is_taken_and_reaches_the_parser(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with memory(whole) as fd:
        open_bundle(fd, made.policy()).close()
        with no_parser(monkeypatch) as reached, pytest.raises(ParserReachedError):
            open_bundle(fd, made.policy())
        assert reached() == 1


def test_every_byte_flipped_is_refused_before_any_parser(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, cases, header = made.policy(), 0, len(parts_of(whole).encoded()) - sum(map(len, parts_of(whole).data))
    with no_parser(monkeypatch) as reached:
        for at in range(len(whole)):
            for mask in MASKS if at < header else MASKS[-1:]:
                flipped = bytearray(whole)
                flipped[at] ^= mask
                refusal(bytes(flipped), policy)
                cases += 1
        assert reached() == 0
    assert cases == len(whole) + 3 * header
    assert cases > 10_000


def test_cut_off_anywhere_or_a_byte_less_or_twice_is_refused(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = made.policy()
    with no_parser(monkeypatch) as reached:
        for at in range(1, len(whole), 5):
            refusal(whole[:at], policy)
            refusal(whole[:at] + whole[at + 1 :], policy)
            refusal(whole[:at] + whole[at - 1 : at] + whole[at:], policy)
        assert reached() == 0


# --- members ---------------------------------------------------------------------------------------------------------


def _add(parts: Parts, name: Any = "zz.onnx", data: bytes = b"evil", at: int | None = None) -> None:
    at = len(parts.members) if at is None else at
    parts.members.insert(at, [name, len(data)])
    parts.data.insert(at, data)


def _remove(parts: Parts, at: int) -> None:
    del parts.members[at], parts.data[at]


def _rename(parts: Parts, at: int, name: Any) -> None:
    parts.members[at] = [name, parts.members[at][1]]


def _swap_data(parts: Parts, a: int, b: int) -> None:
    parts.data[a], parts.data[b] = parts.data[b], parts.data[a]
    parts.members[a][1], parts.members[b][1] = len(parts.data[a]), len(parts.data[b])


def _swap_order(parts: Parts, a: int, b: int) -> None:
    parts.data[a], parts.data[b] = parts.data[b], parts.data[a]
    parts.members[a], parts.members[b] = parts.members[b], parts.members[a]


def _swap_names(parts: Parts, a: int, b: int) -> None:
    parts.members[a][0], parts.members[b][0] = parts.members[b][0], parts.members[a][0]


def _move(parts: Parts, at: int, by: int) -> None:
    """The border between two members moves: the file is as long as before."""
    parts.members[at][1] += by
    parts.members[at + 1][1] -= by


NAMES: list[Any] = [
    *("", ".", "..", "/", "/etc/passwd", "../model.onnx", "a/../b", "a//b", "a/", "./a", "-rf", ".hidden", "a/.git"),
    *("a\\b", "a:b", "a b", "a\n", "a\0b", "\u00e4.onnx", "model.onnx\u202e", "~", "a" * 65, "a/b/c/d/e", "%2e%2e/x"),
    *(None, 7, ["a"], {"a": 1}, True),
]
"""Paths that mean something to somebody, and things that are no names."""


def _set_size(parts: Parts, size: Any) -> None:
    parts.members[4][1] = size


def _mapping(parts: Parts) -> None:
    members: list[Any] = parts.members
    members.append({"name": "zz.onnx", "link": "/etc/passwd"})


def _without(parts: Parts, at: int, what: str) -> None:
    del getattr(parts, what)[at]


def _renamed(parts: Parts, at: int) -> None:
    _rename(parts, at, parts.members[at][0] + "x")


def _twice(parts: Parts, at: int, by: int, data: bytes | None = None, upper: bool = False) -> None:
    name = parts.members[at][0]
    _add(parts, name.upper() if upper else name, parts.data[at] if data is None else data, at + by if not upper else 0)


def _nothing(parts: Parts) -> None:
    parts.members.clear()
    parts.data.clear()


def _many(parts: Parts) -> None:
    for number in range(300):
        _add(parts, f"z{number:04}", b"")


Attack = Callable[[Parts], object]
ATTACKS: dict[str, Attack] = {
    "a member added at the end": _add,
    "a member added in its place": partial(_add, name="labels.txt", data=b"a", at=3),
    "an empty member added": partial(_add, data=b""),
    "bytes behind the last member": lambda p: setattr(p, "tail", b"x"),
    "a second bundle behind the first": lambda p: setattr(p, "tail", p.encoded()),
    "a key added to the header": lambda p: p.extra.update(comment="x"),
    "a key added to the envelope": lambda p: p.envelope.update(x=1),
    "all members removed": _nothing,
    "a member that is a folder of others": partial(_add, name="golden", data=b"x", at=1),
    "linked: a third field": lambda p: p.members[4].append("/etc/passwd"),
    "linked: a target in place of the size": partial(_set_size, size="manifest.json"),
    "linked: a mapping": _mapping,
    "linked: an offset back into the file": lambda p: p.members.append(["zz.onnx", -4]),
    "oversized: more than there is": partial(_set_size, size=1 << 31),
    "oversized: more than allowed": partial(_set_size, size=1 << 40),
    "oversized: a number that no machine has": partial(_set_size, size=10**400),
    "a size that is no whole number": partial(_set_size, size=1.5),
    "a size that is true": partial(_set_size, size=True),
    "more members than allowed": _many,
    "members that are no list": lambda p: setattr(p, "members", {"a": 1}),
}
ATTACKS |= {f"a member added as {name!r}": partial(_add, name=name) for name in NAMES}
ATTACKS |= {f"member 4 renamed to {name!r}": partial(_rename, at=4, name=name) for name in NAMES}
for _i in range(5):
    ATTACKS |= {
        f"member {_i} removed": partial(_remove, at=_i),
        f"the bytes of member {_i} removed": partial(_without, at=_i, what="data"),
        f"the name of member {_i} removed": partial(_without, at=_i, what="members"),
        f"member {_i} renamed": partial(_renamed, at=_i),
        f"member {_i} twice": partial(_twice, at=_i, by=0),
        f"member {_i} twice, with other bytes": partial(_twice, at=_i, by=1, data=b"evil"),
        f"member {_i} in upper case too": partial(_twice, at=_i, by=0, upper=True),
    }
    for _j in range(_i):
        ATTACKS |= {
            f"the bytes of {_i} and {_j} swapped": partial(_swap_data, a=_i, b=_j),
            f"the names of {_i} and {_j} swapped": partial(_swap_names, a=_i, b=_j),
            f"{_i} and {_j} in another order": partial(_swap_order, a=_i, b=_j),
        }
    for _by in (-1, 1) if _i < 4 else ():
        ATTACKS[f"the border behind {_i} moved by {_by}"] = partial(_move, at=_i, by=_by)


@pytest.mark.parametrize("attack", ATTACKS)
def test_other_members_are_refused_before_any_parser(
    whole: bytes, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_of(whole)
    assert parts.encoded() == whole
    ATTACKS[attack](parts)
    with no_parser(monkeypatch) as reached:
        refusal(parts.encoded(), made.policy())
        assert reached() == 0


@pytest.mark.parametrize(
    "encoded",
    [
        lambda whole: whole.replace(b'{"envelope"', b'{ "envelope"', 1),
        lambda whole: whole.replace(b'"members":[[', b'"members":[["bom.json",1]],"members":[[', 1),
        lambda whole: whole.replace(b"=", b"", 1),
        lambda whole: whole.replace(b"\n{", b"\n\n{", 1),
        lambda whole: b"\xef\xbb\xbf" + whole,
        lambda whole: whole.replace(b"inframe bundle 1", b"inframe bundle 2"),
        lambda _: b"inframe bundle 1\nffffffff\n" + b"[" * 100,
        lambda _: b"inframe bundle 1\n%08x\n" % 100_000 + b"[" * 100_000,
        lambda _: b"inframe bundle 1\n%08x\n" % (MAX_HEADER + 1) + b" " * (MAX_HEADER + 1),
        lambda _: b"PK\x03\x04" + b"\0" * 100,
        lambda _: b"\0" * 1024,
    ],
)
def test_another_encoding_of_the_same_is_refused(
    whole: bytes, encoded: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(whole)
    if data.startswith(b"inframe bundle 1\n") and len(data) != len(whole) and data.count(b'"members"') >= 1:
        start, rest = data[:17], data[26:]  # with the length that it now has, so that this is not what is refused
        data = start + f"{int(data[17:25], 16) + len(data) - len(whole):08x}\n".encode() + rest
    with no_parser(monkeypatch) as reached:
        refusal(data, made.policy())
        assert reached() == 0


def test_members_of_another_bundle_that_is_signed_as_well_are_refused(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mix and match: the statement of one with the members, or one member, of another."""
    other = parts_of(made.signed(tmp_path, version="1.3.0", counter=8).read_bytes())
    with no_parser(monkeypatch) as reached:
        for mixed in range(5):
            parts = parts_of(whole)
            if parts.data[mixed] != other.data[mixed]:
                parts.data[mixed], parts.members[mixed] = other.data[mixed], other.members[mixed]
                refusal(parts.encoded(), made.policy())
        parts = parts_of(whole)
        parts.envelope = other.envelope
        refusal(parts.encoded(), made.policy())
        assert reached() == 0


# --- the proof -------------------------------------------------------------------------------------------------------


def modules_run(action: Callable[[], object]) -> set[str]:
    """The names of all modules of which any function, Python or native, is called meanwhile in this thread."""
    seen: set[str] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            seen.add(str(frame.f_globals.get("__name__")))
        elif event == "c_call":
            owner = getattr(argument, "__self__", None)
            seen.add(str(getattr(argument, "__module__", None) or type(owner).__module__))

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return seen


PARSERS = (
    "pydantic",
    "yaml",
    "numpy",
    "onnx",
    "inframe.bundle.manifest",
    "inframe.drivers",
    "inframe.pipeline",
    "google",
    "openvino",
)


def parsers_in(modules: set[str]) -> set[str]:
    return {module for module in modules if module.startswith(PARSERS)}


def attempt(data: bytes) -> Callable[[], object]:
    def opened() -> None:
        with memory(data) as fd:
            try:
                open_bundle(fd, made.policy()).close()
            except BundleError:
                return

    return opened


def test_the_interpreter_itself_sees_no_parser_run_on_what_is_refused(whole: bytes) -> None:
    """Not by what we think of replacing: every call that the interpreter makes is looked at."""
    assert "inframe.bundle.manifest" in parsers_in(modules_run(attempt(whole)))  # the profile sees them
    assert any(module.startswith("pydantic") for module in modules_run(attempt(whole)))
    for at in range(0, len(whole), 41):
        flipped = bytearray(whole)
        flipped[at] ^= 0x01
        assert parsers_in(modules_run(attempt(bytes(flipped)))) == set()
    for attack in ATTACKS.values():
        parts = parts_of(whole)
        attack(parts)
        assert parsers_in(modules_run(attempt(parts.encoded()))) == set()


# --- what a careless or hostile signer can do ------------------------------------------------------------------------


def signed_again(parts: Parts, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The parts with another statement, signed with the right keys."""
    statement = json.loads(base64.b64decode(parts.envelope["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    return with_payload(parts, payload)


def with_payload(parts: Parts, payload: bytes, kind: str = "application/vnd.in-toto+json") -> bytes:
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    keys = [made.signer("anna"), made.signer("otto")]
    parts.envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"keyid": one.key.id, "sig": base64.b64encode(one.sign(message)).decode()} for one in keys],
    }
    return parts.encoded()


def test_a_statement_signed_anew_is_taken_if_it_says_the_same(whole: bytes) -> None:
    with memory(signed_again(parts_of(whole), lambda _: None)) as fd:
        open_bundle(fd, made.policy()).close()


STATEMENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another type": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "another predicate": lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
    "another subject": lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "no subject": lambda s: s.update(subject=[]),
    "two subjects": lambda s: s["subject"].append(s["subject"][0]),
    "by shards": lambda s: s["predicate"]["serialization"].update(method="shards"),
    "by another hash": lambda s: s["predicate"]["resources"][0].update(algorithm="blake2b"),
    "a digest too short": lambda s: s["predicate"]["resources"][0].update(digest="00"),
    "a resource twice": lambda s: s["predicate"]["resources"].insert(0, s["predicate"]["resources"][0]),
    "a resource more": lambda s: s["predicate"]["resources"].append({**s["predicate"]["resources"][0], "name": "zz"}),
    "a resource fewer": lambda s: s["predicate"]["resources"].pop(),
    "a strange path": lambda s: s["predicate"]["resources"][0].update(name="../bom.json"),
    "resources that are none": lambda s: s["predicate"].update(resources="all"),
    "no predicate": lambda s: s.pop("predicate"),
}


@pytest.mark.parametrize("change", STATEMENTS)
def test_a_signed_statement_that_is_wrong_is_refused_before_any_parser(
    whole: bytes, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_parser(monkeypatch) as reached:
        error = refusal(signed_again(parts_of(whole), STATEMENTS[change]), made.policy())
        assert error.field.startswith(("statement", "members"))
        assert reached() == 0


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b"{}", b"\xff", b'{"_type":1,"_type":2}', b"[" * 100_000, b'"x"']
)
def test_signed_nonsense_is_refused(whole: bytes, payload: bytes) -> None:
    assert refusal(with_payload(parts_of(whole), payload), made.policy()).field.startswith("statement")


def test_a_signature_over_another_type_of_payload_is_not_one_over_this(whole: bytes) -> None:
    parts = parts_of(whole)
    payload = base64.b64decode(parts.envelope["payload"])
    assert refusal(with_payload(parts, payload, "text/plain"), made.policy()).field == "envelope.payloadType"
    parts.envelope["payloadType"] = "application/vnd.in-toto+json"
    assert "does not verify" in str(refusal(parts.encoded(), made.policy()))
