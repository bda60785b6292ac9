"""Faithfulness of four ways to write: free decoding, a grammar, a grammar with the verifier, the template. On procedures that
neither the model nor anything else was made with.

    python -m reference.assistant.compare --procedures 200 --json compare.json

The engine runs in this process, outside its box, at ordinary priority: what is measured is what it writes. `--ways template`
needs no engine.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inframe.assistant import drafting, llamacpp, package
from inframe.assistant.cover import required
from inframe.assistant.drafting import Writer, WriterGone, parts, take
from inframe.assistant.facts import NoteKind, Procedure
from inframe.assistant.grammar import grammar
from inframe.assistant.reading import read
from inframe.assistant.template import plan
from inframe.assistant.verify import Wrong, wrong_with
from reference.assistant.procedures import SORTS, procedure

FIRST = 10_000
"""Seeds from here on are for this comparison alone."""
IDS = re.compile(r"[EF]\d+(?:\.\d+){1,2}")


class Direct:
    """The engine without its box (drafting.Writer)."""

    def __init__(self) -> None:
        self._engine = llamacpp.LlamaCpp()
        with package.shipped() as model:
            self._engine.load(model.sealed.fd, model.about.context)
        self.pieces, self.seconds = 0, 0.0

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        """See Writer."""
        began = time.monotonic()
        try:
            for piece in self._engine.write(prompt, grammar, most):
                self.pieces += 1
                yield piece
        except ValueError as error:
            raise WriterGone(str(error)) from None
        finally:
            self.seconds += time.monotonic() - began


Lines = tuple[list[str], int, int]
"""What reaches the reader, how many parts there were, and how many of them the template wrote in the model's place."""


def template(facts: Procedure, kind: NoteKind, _writer: Writer | None) -> Lines:
    """The baseline."""
    return [s.line() for s in drafting.draft(facts, kind).sentences], len(parts(plan(facts, kind))), 0


def verified(facts: Procedure, kind: NoteKind, writer: Writer | None) -> Lines:
    """As the product does it."""
    made = drafting.draft(facts, kind, writer)
    return [s.line() for s in made.sentences], len(parts(plan(facts, kind))), len(made.fallbacks)


def _unverified(facts: Procedure, kind: NoteKind, writer: Writer | None, *, is_free: bool) -> Lines:
    lines: list[str] = []
    all_parts = parts(plan(facts, kind))
    for part in all_parts:
        if writer is not None:
            most = 3 * len(part.prompt)
            rules = None if is_free else grammar(part.items)
            text = "".join(writer.write(part.prompt, rules, most)) if is_free else take(writer, part.prompt, rules)
            lines += [line for line in text.splitlines() if line.strip()]
    return lines, len(all_parts), 0


WAYS: dict[str, Callable[[Procedure, NoteKind, Writer | None], Lines]] = {
    "template": template,
    "grammar and verifier": verified,
    "grammar": lambda facts, kind, writer: _unverified(facts, kind, writer, is_free=False),
    "free": lambda facts, kind, writer: _unverified(facts, kind, writer, is_free=True),
}


def measure(way: str, count: int, writer: Writer | None) -> dict[str, Any]:
    """One way on so many procedures, a note and a handover of each."""
    wrongs: Counter[Wrong | None] = Counter()
    total = Counter[str]()
    for n in range(count):
        facts = read(*procedure(FIRST + n, SORTS[n % len(SORTS)]))
        known = facts.by_id()
        for kind in ("note", "handover"):
            lines, all_parts, fallen = WAYS[way](facts, kind, writer)
            wrongs.update(wrong_with(facts, line) for line in lines)
            cited = [name for line in lines for name in IDS.findall(line)]
            held = {name for line in lines if wrong_with(facts, line) is None for name in IDS.findall(line)}
            must = required(facts, kind)
            total.update(sentences=len(lines), cited=len(cited), valid=sum(name in known for name in cited))
            total.update(must=len(must), covered=len(must & held), parts=all_parts, fallen=fallen)
    bad = {wrong.name.lower(): times for wrong, times in wrongs.items() if wrong is not None}
    return {
        "procedures": count,
        "sentences": total["sentences"],
        "unsupported": sum(bad.values()),
        "why": bad,
        "event_coverage": _share(total["covered"], total["must"]),
        "citation_validity": _share(total["valid"], total["cited"]),
        "wrong_number_side_time": [wrongs[one] for one in (Wrong.NUMBER, Wrong.SIDE, Wrong.TIME)],
        "fallback_rate": _share(total["fallen"], total["parts"]),
    }


def _share(some: int, of: int) -> float | None:
    return round(some / of, 4) if of else None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--procedures", type=int, default=200)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    told = {}
    for way in options.ways:
        writer = Direct() if way != "template" else None
        told[way] = measure(way, options.procedures, writer)
        if writer is not None and writer.seconds:
            told[way]["tokens_per_second"] = round(writer.pieces / writer.seconds)
        print(way, json.dumps(told[way]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
