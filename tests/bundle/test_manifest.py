"""What is refused although it was signed with the right keys: names and manifests that no device should have to understand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inframe.bundle import BundleError
from inframe.bundle.container import Header, check_names
from inframe.bundle.envelope import PAYLOAD_TYPE, Envelope, Signature
from inframe.bundle.making import pack
from inframe.bundle.manifest import problems, version_key
from inframe.bundle.opening import open_bundle
from inframe.bundle.statement import make
from tests.bundle import made
from tests.bundle.attack import memory, parts_of, refusal

Members = dict[str, bytes]


def signed(members: Members) -> bytes:
    """A bundle of any members, structure and signatures being right."""
    from hashlib import sha256

    payload = make("any", {name: sha256(data).hexdigest() for name, data in members.items()})
    unsigned = Envelope(payload, PAYLOAD_TYPE, ())
    keys = [made.signer("anna"), made.signer("otto")]
    envelope = Envelope(payload, PAYLOAD_TYPE, tuple(Signature(k.key.id, k.sign(unsigned.message)) for k in keys))
    header = Header(envelope, tuple((name, len(members[name])) for name in sorted(members)))
    return header.encoded() + b"".join(members[name] for name in sorted(members))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    parts = parts_of(made.write(tmp_path_factory.mktemp("bundle")).read_bytes())
    return {name: data for (name, _), data in zip(parts.members, parts.data, strict=True)}


def changed(members: Members, **values: Any) -> bytes:
    return json.dumps(json.loads(members["manifest.json"]) | values).encode()


CODE = {"kind": "function", "function": "os:system", "returns": "heat"}


def _model(members: Members, **values: Any) -> dict[str, Any]:
    models: dict[str, Any] = json.loads(members["manifest.json"])["models"]
    return {"anatomy": models["anatomy"] | values}


def test_the_way_of_making_them_is_right(members: Members) -> None:
    with memory(signed(members)) as fd:
        open_bundle(fd, made.policy()).close()


CASES: dict[str, tuple[Callable[[Members], Members], str]] = {
    "no manifest": (lambda m: {k: v for k, v in m.items() if k != "manifest.json"}, "members: found no manifest"),
    "no bill of materials": (lambda m: {k: v for k, v in m.items() if k != "bom.json"}, "members: found no bom.json"),
    "a model that is not there": (
        lambda m: {k: v for k, v in m.items() if k != "model.onnx"},
        "manifest.json: models.anatomy.file: found 'model.onnx', which is not in the bundle",
    ),
    "a member that nothing names": (lambda m: m | {"x.py": b""}, "members: found 'x.py', which nothing names"),
    "a manifest that is no JSON": (lambda m: m | {"manifest.json": b"{"}, "manifest.json: file: found "),
    "a manifest that is deep": (lambda m: m | {"manifest.json": b"[" * 100_000}, "manifest.json: file: found "),
    "a manifest that is empty": (lambda m: m | {"manifest.json": b""}, "manifest.json: file: found "),
    "another format": (
        lambda m: m | {"manifest.json": changed(m, format=2)},
        "manifest.json: format: found 2, expected 1",
    ),
    "an unknown key": (
        lambda m: m | {"manifest.json": changed(m, run="sh")},
        "manifest.json: run: found an unknown key",
    ),
    "a counter that is text": (
        lambda m: m | {"manifest.json": changed(m, counter="7")},
        "manifest.json: counter: found '7'",
    ),
    "a counter below one": (
        lambda m: m | {"manifest.json": changed(m, counter=-1)},
        "manifest.json: counter: found -1",
    ),
    "labels in a file": (
        lambda m: m | {"manifest.json": changed(m, models=_model(m, labels="labels.txt"))},
        "manifest.json: models.anatomy.labels: found 'labels.txt', expected the labels themselves",
    ),
    "code": (
        lambda m: m | {"manifest.json": changed(m, models=_model(m, decode=CODE))},
        "manifest.json: models.anatomy.decode.kind: found function, expected a decoder that needs no code of its own",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_signed_bundle_that_makes_no_sense_is_one_line(members: Members, case: str) -> None:
    change, said = CASES[case]
    assert said in str(refusal(signed(change(dict(members))), made.policy()))


NAMES = [
    *(["a", "a"], ["b", "a"], ["A", "a"], ["Golden/x", "golden/X"], ["a", "a/b"], ["A", "a/b"]),
    *(["../a"], ["/a"], ["a/"], [".a"], ["-a"]),
]


@pytest.mark.parametrize("names", NAMES)
def test_names_that_some_file_system_takes_for_others_are_refused(names: list[str]) -> None:
    with pytest.raises(BundleError, match=r"^x: members"):
        check_names("x", names)


def test_versions_are_compared_by_their_numbers() -> None:
    assert version_key("1.10.2") > version_key("1.9") > version_key("1") > version_key("not installed")
    assert version_key("2.0.0+cpu") == version_key("2.0.0")


def test_a_device_learns_of_everything_that_does_not_fit(tmp_path: Path) -> None:
    manifest, _, _ = pack(made.folder(tmp_path))
    assert problems(manifest, inframe="0.1.0", engines={"onnxruntime": "1.32.0"}, architecture="riscv64") == []
    wrong = problems(manifest, inframe="0.0.9", engines={"onnxruntime": "1.9"}, architecture="x86_64")
    assert [field for field, _, _ in wrong] == ["compatibility.inframe", "compatibility.engines"]
