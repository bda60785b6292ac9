"""Answers from the device's manual: its own words, with page and line. Nothing is put into other words, so nothing can be wrong
that the manual has right.

The manual is the documentation as shipped with this version (`manual/` in the package; `docs/` in a checkout).
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from inframe.core.events import EVENTS, Event

QUOTES, LONGEST = 3, 700
"""So many passages answer a question, of at most so many characters."""
ENOUGH = 0.6
"""A passage must hold words that make up so much of the question's weight, or it is no answer."""
ALERTS_PAGE = "rules-and-alerts.md"
_WORD, _OWN = re.compile(r"[a-z0-9]+"), re.compile(r"['\u2019]s\b")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from has have how i if in is it its me my of on or so that the their then"
        " there this to was what when where which who why will with would you your mean means happen happens device",
    )
)
_K1, _B = 1.2, 0.75  # BM25, Robertson and Zaragoza 2009
_HEADING_WEIGHT = 2


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, a list item or a table row of a page, as it stands there."""

    page: str
    line: int
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A row of EVENTS in words, and the page that has the table."""

    event: Event
    page: str = ALERTS_PAGE


def folder() -> Path:
    """Where the pages are. Raises FileNotFoundError for a broken installation."""
    here = Path(__file__).parents[1]
    for place in (here / "manual", here.parents[1] / "docs"):
        if (place / ALERTS_PAGE).is_file():
            return place
    raise FileNotFoundError(f"{here / 'manual'}: the manual is not installed")


@cache
def passages() -> tuple[Passage, ...]:
    """All of the manual."""
    return tuple(
        passage for page in sorted(folder().glob("*.md")) for passage in split(page.name, page.read_text("utf-8"))
    )


def split(page: str, text: str) -> Iterator[Passage]:
    """A page in passages. Code blocks stay with nothing: they are for copying, not for answering."""
    heading, block, began, fenced = page, list[str](), 0, False
    for number, line in enumerate((*text.splitlines(), ""), 1):
        if line.startswith("```"):
            fenced = not fenced
        is_break = not line.strip() or line.startswith(("#", "|", "```", "* ", "- ", "<!--")) or fenced
        if is_break and block:
            yield Passage(page, began, heading, " ".join(block))
            block = []
        if line.startswith("#") and not fenced:
            heading = line.lstrip("# ").strip()
        elif line.strip() and not fenced and not line.startswith(("```", "<!--", "| ---", "|---", "![")):
            began = began if block else number
            block.append(line.strip())


def words(text: str) -> list[str]:
    """The words that count, without their endings."""
    return [_stem(word) for word in _WORD.findall(_OWN.sub("", text.lower())) if word not in _STOP]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) >= len(ending) + 3:
            return word[: -len(ending)]
    return word


@cache
def _index() -> tuple[tuple[Counter[str], ...], dict[str, float], float]:
    counts = tuple(Counter((*words(p.text), *words(p.heading) * _HEADING_WEIGHT)) for p in passages())
    n = len(counts)
    having = Counter(word for one in counts for word in one)
    weights = {word: math.log(1 + (n - k + 0.5) / (k + 0.5)) for word, k in having.items()}
    return counts, weights, sum(map(Counter.total, counts)) / max(1, n)


def answer(question: str) -> tuple[Passage, ...]:
    """The passages that answer it, best first; none where the manual has nothing to say."""
    counts, weights, mean = _index()
    asked = list(dict.fromkeys(words(question[:LONGEST])))
    rarest = max(weights.values(), default=0.0)
    whole = sum(weights.get(word, rarest) for word in asked)
    scored = []
    for i, one in enumerate(counts):
        there = [word for word in asked if word in one]
        if there and sum(weights[word] for word in there) >= ENOUGH * whole:
            scored.append((-sum(_score(weights[word], one[word], one.total() / mean) for word in there), i))
    return tuple(passages()[i] for _, i in sorted(scored)[:QUOTES])


def _score(weight: float, times: int, length: float) -> float:
    return weight * times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * length))


def explain(question: str) -> Explanation | None:
    """The alert that a question names, by its name or by what the operator reads."""
    plain = " ".join(_WORD.findall(question.lower()))
    named = [
        event
        for event in EVENTS.values()
        if any(_holds(plain, " ".join(_WORD.findall(text.lower()))) for text in (event.name, event.text) if text)
    ]
    return Explanation(max(named, key=lambda event: len(event.text))) if named else None


def _holds(plain: str, words_of: str) -> bool:
    return bool(words_of) and f" {words_of} " in f" {plain} "


def pages_named(found: Sequence[Passage]) -> tuple[str, ...]:
    """The pages that were quoted, each once."""
    return tuple(dict.fromkeys(passage.page for passage in found))
