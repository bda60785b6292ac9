"""Links lead somewhere, pages are found, and nothing of the machine that wrote them is left in them."""

import re
from pathlib import Path

import pytest

from scripts.docs import ROOT, pages
from tests.docs.pages import NAMES, PAGES, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MACHINE = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|tmp/\w)|pypi|pythonhosted|conda\.io|--index-url", re.IGNORECASE
)
LARGEST = 200_000
LINES = 60


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """The links of `text` that lead nowhere from `page`."""
    found = []
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        if link.startswith(("http://", "https://")):
            continue
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links(page: Path) -> None:
    assert broken(page, prose(page)) == []


def test_a_broken_link_is_noticed() -> None:
    readme = ROOT / "README.md"
    assert broken(readme, "[a](docs/none.md) [b](#none) [c](docs/realtime.md#none)") == [
        "docs/none.md",
        "#none",
        "docs/realtime.md#none",
    ]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_path_of_a_machine_and_no_index(page: Path) -> None:
    assert _MACHINE.findall(page.read_text("utf-8")) == []


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    on_top = [page for page in pages() if page.parent == ROOT / "docs"]
    assert [page.name for page in on_top if f"(docs/{page.name})" not in text] == []


def test_decisions_are_numbered_and_one_page_each() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in decisions] == list(range(1, len(decisions) + 1))
    for page in decisions:
        text = page.read_text("utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert "**Decided.**" in text
        assert "**Rejected.**" in text
        assert len(text.splitlines()) <= LINES


def test_pictures_are_small_and_used() -> None:
    text = "".join(page.read_text("utf-8") for page in pages())
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert {picture.name for picture in pictures} >= {"demo.jpg", "states.jpg"}
    for picture in pictures:
        assert picture.stat().st_size < LARGEST
        assert f"pictures/{picture.name})" in text
