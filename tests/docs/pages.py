"""The pages of the documentation, cut into what can be checked."""

import re
from pathlib import Path

from scripts.docs import ROOT, pages

PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language."""
    return [text for name, text in _FENCE.findall(page.read_text("utf-8")) if name == language]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def rows(page: Path, *columns: str) -> list[list[str]]:
    """The cells of the first table whose header begins with `columns`, without backticks."""
    lines = page.read_text("utf-8").splitlines()
    head = f"| {' | '.join(columns)} |"
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    body = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        body.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return body
