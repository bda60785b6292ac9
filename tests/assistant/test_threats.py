"""The threat model is whole: each threat has its ids, a control, and tests that exist and are run."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MODEL: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "threats.yaml").read_text("utf-8"))
THREATS: list[dict[str, Any]] = MODEL["threats"]
KEYS = {"id", "threat", "entry_point", "assets", "owasp", "atlas", "control", "tests"}
OWASP = {f"LLM{n:02}" for n in range(1, 11)}
NOT_OURS = {"LLM08": "there is no vector store and no embedding: passages are found by their words"}


@cache
def known_tests() -> dict[str, ast.FunctionDef]:
    """Every test of the tree by file and name."""
    folders = (ROOT / "tests" / room for room in ("assistant", "console", "machine", "."))
    files = [file for folder in folders for file in folder.glob("test_*.py")]
    return {
        f"{file.name}::{node.name}": node
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def missing(threat: dict[str, Any], there: dict[str, ast.FunctionDef]) -> list[str]:
    """The tests that a threat names and that are not there, or never run; one entry where it names none."""
    named = threat["tests"] or ["(none)"]
    return [
        name for name in named if name not in there or any("xfail" in ast.dump(d) for d in there[name].decorator_list)
    ]


@pytest.mark.parametrize("threat", THREATS, ids=[one["id"] for one in THREATS])
def test_a_threat_is_whole(threat: dict[str, Any]) -> None:
    assert set(threat) == KEYS
    assert threat["entry_point"] in MODEL["entry_points"]
    assert set(threat["assets"]) <= set(MODEL["assets"])
    assert threat["owasp"]
    assert set(threat["owasp"]) <= OWASP
    assert threat["atlas"]
    assert all(re.fullmatch(r"AML\.T\d{4}(\.\d{3})?", one) for one in threat["atlas"])
    assert missing(threat, known_tests()) == []


def test_a_threat_without_a_test_is_noticed() -> None:
    there = known_tests()
    assert missing({"tests": []}, there)
    assert missing({"tests": ["test_box.py::test_that_nobody_wrote"]}, there)


def test_nothing_is_forgotten() -> None:
    assert {one["entry_point"] for one in THREATS} == set(MODEL["entry_points"])
    assert {asset for one in THREATS for asset in one["assets"]} == set(MODEL["assets"])
    assert OWASP - {name for one in THREATS for name in one["owasp"]} == set(NOT_OURS)
    assert len({one["id"] for one in THREATS}) == len(THREATS)
