"""From facts to a draft: a writer's words where they hold, the template's where they don't. Nothing unverified is in a draft."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from inframe.assistant.facts import Draft, NoteKind, Procedure, Sentence
from inframe.assistant.grammar import grammar
from inframe.assistant.template import Item, plan
from inframe.assistant.verify import check, check_draft

PART = 4
"""So many items are written at once: a short prompt, a small grammar, and one refusal costs the others little."""
LONGEST = 8192
"""Bytes that a writer may give for one part; what is longer is cut and then refused."""


class WriterGone(Exception):
    """The writer died, was frozen for too long, or has refused: the template writes on."""


class Writer(Protocol):
    """What writes text: a language model in its box, or a stand-in of a test. One small interface for every engine."""

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        """The text for `prompt` piece by piece, at most `most` bytes, under a GBNF grammar where one is given. Closing the iterator
        cancels. Raises WriterGone."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """Some items, and what the writer is told of them."""

    items: tuple[Item, ...]

    @property
    def prompt(self) -> str:
        """The facts as the template says them; nothing else ever stands in a prompt."""
        return "\n".join(item.wordings[0].line() for item in self.items) + "\n=>\n"

    @property
    def must(self) -> tuple[str, ...]:
        """The ids that may not be left out."""
        return tuple(name for item in self.items if not item.optional for name in item.wordings[0].cites)


def parts(items: Sequence[Item]) -> tuple[Part, ...]:
    """The plan, in parts."""
    return tuple(Part(tuple(items[at : at + PART])) for at in range(0, len(items), PART))


def draft(procedure: Procedure, kind: NoteKind, writer: Writer | None = None) -> Draft:
    """A draft, verified as a whole. Raises RuntimeError where the template's own words don't hold, which is our mistake."""
    sentences: list[Sentence] = []
    fallbacks: list[str] = []
    written = 0
    for part in parts(plan(procedure, kind)):
        own, why = _written(procedure, part, writer)
        written += own is not None
        sentences += own if own is not None else [item.wordings[0] for item in part.items]
        fallbacks += [why] if why else []
    checked = check_draft(procedure, kind, [sentence.line() for sentence in sentences])
    if checked.refusals and written:  # each part held, the whole does not: nothing of it is used
        refusal = checked.refusals[0]
        whole = draft(procedure, kind)
        return Draft(kind, procedure.id, whole.sentences, "template", (*fallbacks, f"{refusal.wrong}: {refusal.line}"))
    if checked.refusals:
        raise RuntimeError(f"the template wrote what the verifier refuses: {checked.refusals[0]}")
    return Draft(kind, procedure.id, checked.sentences, "model" if written else "template", tuple(fallbacks))


def _written(procedure: Procedure, part: Part, writer: Writer | None) -> tuple[list[Sentence] | None, str]:
    """The writer's sentences, or None and why the template's are taken."""
    if writer is None:
        return None, ""
    try:
        text = take(writer, part.prompt, grammar(part.items))
    except WriterGone as gone:
        return None, str(gone)
    checked = check(procedure, text.splitlines(), part.must)
    if checked.refusals:
        return None, checked.refusals[0].wrong
    return list(checked.sentences), ""


def take(writer: Writer, prompt: str, rules: str | None) -> str:
    """All that it writes, up to LONGEST. Raises WriterGone."""
    text = ""
    for piece in writer.write(prompt, rules, LONGEST):
        text += piece
        if len(text) >= LONGEST:
            break
    return text[:LONGEST]
