"""`inframe bundle …`, and the page that explains it, command by command."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from inframe.cli import app
from inframe.core.errors import ConfigError, InframeError
from inframe.reference_device import device_file
from scripts.docs import ROOT, known_commands
from tests.bundle import made
from tests.docs.pages import blocks
from tests.drivers import onnx_models as om

PAGE = ROOT / "docs" / "bundle.md"


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["bundle", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def report(folder: Path, *words: object, code: int = 0) -> Any:
    run(*words, "--json", folder / "report.json", code=code)
    return json.loads((folder / "report.json").read_text())


def refused(*words: object) -> str:
    with pytest.raises(InframeError) as caught:
        run(*words)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name in known_commands() if name.startswith("bundle ")])
def test_every_command_has_help_and_an_exit_code_for_nonsense(name: str) -> None:
    assert CliRunner().invoke(app, [*name.split(), "--help"]).exit_code == 0
    assert CliRunner().invoke(app, [*name.split(), "--nonsense"]).exit_code == 2


# --- the page --------------------------------------------------------------------------------------------------------


def page_files() -> dict[str, str]:
    """The page's YAML blocks, by the name in their first line."""
    named = [(re.match(r"# (\S+\.yaml)\n", block), block) for block in blocks(PAGE, "yaml")]
    return {match[1]: block for match, block in named if match}


def test_the_page_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files and its commands, in order, but for those that need a token or a TPM."""
    monkeypatch.chdir(tmp_path)
    for name in ("anatomy.onnx", "labels.txt"):
        (tmp_path / name).write_bytes(device_file().with_name(name).read_bytes())
    np.save(tmp_path / "frames.npy", np.random.default_rng(1).integers(0, 256, (2, 72, 128, 3), np.uint8))
    for name, text in page_files().items():
        (tmp_path / name).write_text(text, "utf-8")
    assert set(page_files()) == {"bundle.yaml", "policy.yaml", "device.yaml"}
    lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines()]
    commands = [line for line in lines if not any(key in line for key in ("--pkcs11", "--tpm", "tpm2_"))]
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert done.exit_code == 0, (command, done.output)
    assert len(commands) == 9
    with np.load(tmp_path / "answers.npz", allow_pickle=False) as answers:
        assert {name: array.shape for name, array in answers.items()} == {"classes": (2, 1, 8, 96, 160)}
    assert "written: nothing" in run("golden", "bundle.yaml")


# --- one by one ------------------------------------------------------------------------------------------------------


def test_pack_makes_what_the_recipe_says_and_never_writes_over_a_file(tmp_path: Path) -> None:
    recipe, out = made.folder(tmp_path), tmp_path / "x.inframe"
    told = report(tmp_path, "pack", recipe, "--out", out, "--counter", 9)
    assert (told["bundle"], told["version"], told["counter"], told["signatures"]) == ("anatomy", "1.2.0", 9, [])
    assert [member["name"] for member in told["members"]] == [
        "bom.json", "golden/frames.npy", "golden/outputs.npz", "manifest.json", "model.onnx",
    ]  # fmt: skip
    assert "--out: found a file that exists" in refused("pack", recipe, "--out", out)
    assert not list(tmp_path.glob(".*"))


def test_the_same_recipe_gives_the_same_bundle(tmp_path: Path) -> None:
    files = [made.write(tmp_path / name) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def _link(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("/etc/hostname")


MODEL = made.recipe()["models"]["anatomy"]
RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "no counter": ({"counter": 0}, "counter: found 0, expected at least 1"),
    "an unknown key": ({"licence": "x"}, "licence: found an unknown key"),
    "a file that is not there": (
        {"documents": ["nope.pdf"]},
        "documents.0: found nope.pdf (No such file or directory)",
    ),
    "a file elsewhere": ({"documents": ["../x"]}, "documents.0: found ../x, expected a path of letters"),
    "an absolute path": ({"documents": ["/etc/passwd"]}, "documents.0: found /etc/passwd, expected a path of letters"),
    "a name that is taken": ({"documents": ["manifest.json"]}, "documents.0: found manifest.json, expected a path"),
    "code": (
        {"models": {"anatomy": {**MODEL, "decode": {"kind": "function", "function": "a.py:f", "returns": "heat"}}}},
        "models.anatomy.decode.kind: found function, expected a decoder that needs no code of its own",
    ),
    "another model": (
        {"golden": [{"model": "x", "frames": "a", "outputs": "b", "absolute": 0}]},
        "golden.0.model: found 'x', expected one of models: anatomy",
    ),
    "no golden input": ({"golden": []}, "golden: found 0 items, expected at least 1"),
    "no training data": ({"training": {"data": [], "code": "x"}}, "training.data: found 0 items, expected at least 1"),
    "a digest that is none": (
        {"training": {"data": [{"name": "x", "sha256": "abc"}], "code": "x"}},
        "training.data.0.sha256: found 'abc', expected a SHA-256: 64 hexadecimal digits",
    ),
    "a criterion without a bound": (
        {"acceptance": {"data": {"name": "x", "sha256": made.DATA}, "criteria": [{"metric": "m", "model": "anatomy"}]}},
        "acceptance.criteria.0: found both or neither of at_least and at_most, expected exactly one",
    ),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_mistake_in_a_recipe_is_one_line(tmp_path: Path, case: str) -> None:
    changes, said = RECIPES[case]
    assert f"bundle.yaml: {said}" in refused("pack", made.folder(tmp_path, **changes), "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_link_is_not_packed(tmp_path: Path) -> None:
    recipe = made.folder(tmp_path)
    _link(tmp_path)
    assert "models.anatomy.file: found model.onnx (Too many levels of symbolic links)" in refused("pack", recipe)


def test_sign_verify_show(tmp_path: Path) -> None:
    path = made.write(tmp_path)
    run("key", tmp_path / "anna")
    run("sign", path, "--key", tmp_path / "anna")
    run("sign", path, "--key", tmp_path / "anna")  # anew, in place of the first
    policy = tmp_path / "policy.yaml"
    policy.write_text("keys: [{name: anna, role: research, file: anna.pub}]\nthresholds: {research: 1}\n")
    told = report(tmp_path, "verify", path, "--policy", policy)
    assert told["signed_by"] == ["anna"]
    assert [(one["name"], one["role"]) for one in told["signatures"]] == [("anna", "research")]
    assert "UNSIGNED: no policy" in run("verify", path)
    assert "without --policy nobody has checked" in run("show", path)
    page = run("show", path, "--policy", policy, "--unpack", tmp_path / "out")
    assert "signed by anna" in page
    assert (tmp_path / "out" / "model.onnx").read_bytes() == made.MODEL
    assert "found File exists" in refused("show", path, "--unpack", tmp_path / "out")


def test_sign_takes_one_key(tmp_path: Path) -> None:
    path = made.write(tmp_path)
    assert "found 0 of them" in refused("sign", path)
    assert "found 2 of them" in refused("sign", path, "--key", "a", "--pkcs11", "b")
    assert "--scheme: found rsa, expected one of ed25519" in refused("key", tmp_path / "x", "--scheme", "rsa")


def test_a_damaged_bundle_is_neither_signed_nor_shown(tmp_path: Path) -> None:
    path = made.write(tmp_path)
    run("key", tmp_path / "anna")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    for words in (("sign", path, "--key", tmp_path / "anna"), ("verify", path), ("show", path), ("diff", path, path)):
        assert "members.model.onnx: found sha256 " in refused(*words)
    assert path.read_bytes() == data[:-1] + b"x"


def test_diff_says_what_differs(tmp_path: Path) -> None:
    old = made.write(tmp_path / "a")
    new = made.write(tmp_path / "b", counter=8, model=om.convolution(labels=3, size=32, seed=2))
    rows = {row["field"]: (row["old"], row["new"]) for row in report(tmp_path, "diff", old, new, code=1)}
    assert rows["counter"] == (7, 8)
    assert set(rows) == {"counter", "member bom.json", "member manifest.json", "member model.onnx"}
    assert report(tmp_path, "diff", old, old) == []


def test_frames_that_are_none_are_one_line(tmp_path: Path) -> None:
    recipe = made.folder(tmp_path)
    (tmp_path / "golden" / "outputs.npz").unlink()
    for data in (b"", b"x" * 100, (tmp_path / "model.onnx").read_bytes()):
        (tmp_path / "golden" / "frames.npy").write_bytes(data)
        with pytest.raises(ConfigError, match=r"golden\.0\.frames: found .*, expected an npy file of"):
            run("golden", recipe)
