"""The page for people: whole, without a byte from elsewhere, and with nothing in it that a name could smuggle in."""

from html.parser import HTMLParser
from typing import Any

from inframe.revalidation.judging import judge
from inframe.revalidation.report import html
from inframe.revalidation.tally import Tallies
from tests.revalidation import made

EMPTY = {"meta", "img", "br", "line", "circle", "!doctype"}
NAME = '<script>alert("x")</script>'


class Tags(HTMLParser):
    """Which tags are open, and every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(tallies: Tallies, old: Tallies | None, **changes: Any) -> str:
    protocol = made.protocol()
    report = {
        "bundle": {"name": NAME, "sha256": "0" * 64},
        "against": None,
        "cases": {"name": NAME, "sha256": "1" * 64, "count": len(tallies)},
        "lock": "2" * 64,
        "code": "inframe",
        "figures_sha256": "3" * 64,
        "machines": ["one"],
        "counts": {"SHOW": 3},
        "frames": 320,
    }
    return html({**report, **changes}, protocol, tallies, judge(protocol, tallies, old), {"anatomy": made.LABELS})


def test_it_is_whole_and_alone(tallies: Tallies) -> None:
    text = page(tallies, tallies)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert {"table", "svg", "img", "figure"} <= tags.seen
    assert not tags.seen & {"script", "link", "iframe", "object", "base"}
    assert all(value.startswith("data:image/jpeg;base64,") for key, value in tags.attributes if key in ("src", "href"))
    assert not [key for key, _ in tags.attributes if key.startswith("on")]
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert text.count("<figure>") == len(tallies)


def test_it_says_what_came_of_it(tallies: Tallies) -> None:
    assert "PASSED" in page(tallies, tallies)
    spoilt = {key: one.model_copy(update={"means": {}, "bins": {}, "latency": {}}) for key, one in tallies.items()}
    text = page(spoilt, spoilt)
    assert "NOT PASSED" in text
    assert "not estimable" in text
    assert "nothing was locked" in page(tallies, None, lock=None)
    assert "machines that differ" in page(tallies, None, machines=["one", "two"])
