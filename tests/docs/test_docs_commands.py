"""Every command on a page exists, with the options that the page gives it."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from scripts.docs import ROOT, known_commands
from tests.docs.pages import NAMES, PAGES, blocks, prose

_INLINE = re.compile(r"`((?:inframe|make|python -m|\.venv/bin/\S+|systemd-analyze) [^`]+)`")


def commands(page: Path) -> list[str]:
    """The lines of shell blocks, the `$` lines of console blocks, and commands within the text."""
    shell = [line for block in blocks(page, "sh") for line in block.splitlines()]
    console = [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in (*shell, *console, *_INLINE.findall(prose(page))) if line.strip()]


def problem(command: str) -> str | None:
    """What is wrong with one command, or None."""
    words = shlex.split(command, comments=True)
    if ">" in words:
        words = words[: words.index(">")]
    match words:
        case [("inframe" | ".venv/bin/inframe"), *rest]:
            return _inframe(rest)
        case ["make", target]:
            return (
                None if re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) else "no such target"
            )
        case [("python" | ".venv/bin/python"), "-m", module, *rest]:
            missing = [path for path in rest if "/" in path and not (ROOT / path).exists()]
            return None if importlib.util.find_spec(module) and not missing else f"no module {module} or path {missing}"
        case ["systemd-analyze", "verify"] | [
            (
                "tpm2_nvdefine"
                | "tpm2_nvincrement"
                | "tpm2_createprimary"
                | "tpm2_create"
                | "tpm2_load"
                | "tpm2_evictcontrol"
                | "tpm2_readpublic"
            ),
            *_,
        ]:  # tests/drivers/tpm.py and tests/bundle/test_tpm_key.py run these
            return None
    return "an unknown program"


def _inframe(words: list[str]) -> str | None:
    known = known_commands()
    name = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in known), None)
    if name is None:
        return f"no such command: {words[:1]}"
    options = {opt for param in known[name].params for opt in param.opts}
    unknown = [word for word in words if word.startswith("-") and word not in options]
    return f"no such option: {unknown}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist(page: Path) -> None:
    found = {command: problem(command) for command in commands(page)}
    assert {command: why for command, why in found.items() if why} == {}


def test_the_check_can_fail() -> None:
    for command in ("inframe fly", "inframe run --fast x", "make coffee", "python -m inframe.nothing", "curl x"):
        assert problem(command)


def test_every_command_is_on_a_page() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in known_commands() if f"inframe {name}" not in text] == []
