"""A set of cases is what its manifest says, file by file; whatever else lies there is one clear line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inframe.core.errors import ConfigError
from inframe.revalidation.cases import CaseSet, open_set, write_manifest
from tests.revalidation import made


def test_the_digest_is_what_sha256sum_says(discs: CaseSet) -> None:
    assert discs.digest == hashlib.sha256((discs.folder / "cases.json").read_bytes()).hexdigest()
    assert [case.name for case in discs.cases] == [f"case-{k:02}" for k in range(8)]
    for case in discs.cases:
        case.verify()
    assert len({case.digest for case in discs.cases}) == 8


def test_a_manifest_is_written_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder for each case"):
        write_manifest(tmp_path, "none", "locked")
    made.case(tmp_path / "one", 1)
    write_manifest(tmp_path, "one", "locked")
    with pytest.raises(ConfigError, match="a manifest that exists"):
        write_manifest(tmp_path, "again", "development")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "one" / "masks.npz").unlink(), "No such file"),
        (lambda f: (f / "one" / "masks.npz").write_bytes(b""), "sha256"),
        (lambda f: (f / "one" / "more").write_bytes(b""), "more, which is not in cases.json"),
        (lambda f: (f / "cases.json").write_text("{"), "expected JSON"),
        (lambda f: (f / "cases.json").write_text("[" * 100_000), "expected JSON"),
        (lambda f: (f / "cases.json").write_text('{"name": "x", "purpose": "any", "cases": {}}'), "purpose|cases"),
        (lambda f: (f / "cases.json").write_text('{"name": "x", "purpose": "locked", "cases": {"../x": {}}}'), "cases"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    made.case(tmp_path / "one", 1)
    write_manifest(tmp_path, "one", "locked")
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=words) as error:
        open_set(tmp_path).cases[0].verify()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": 0}, "frames"),
        ({"findings": [{"rule": "other_rule", "first": 1, "last": 2}]}, "one of judged"),
        ({"findings": [{"rule": "green_seen", "first": 5, "last": 2}]}, "at least first"),
        ({"pictures": "../pictures.mkv"}, "pictures"),
        ({"attributes": {"Site": "x"}}, "attributes"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_case_that_contradicts_itself(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = made.case(tmp_path / "one", 1) / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=words):
        write_manifest(tmp_path, "one", "locked")
    assert not (tmp_path / "cases.json").exists()
