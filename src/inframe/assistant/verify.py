"""The verifier: takes each sentence apart again and compares every word that could be wrong with the facts that it cites.

It knows nothing of who wrote the sentence, and shares no code with the writers but the table of forms. What it can't read is
refused: a sentence outside the controlled language is unsupported by definition.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inframe.assistant.conflicts import CONFLICTS
from inframe.assistant.cover import required, still_open, whole
from inframe.assistant.facts import Fact, NoteKind, Procedure, Sentence
from inframe.assistant.forms import FORMS, MUST_SAY, Form, Says

LONGEST = 4000
_LINE = re.compile(r"(?P<text>[^\[\]]+) \[(?P<ids>[EF]\d+(?:\.\d+){1,2}(?:, [EF]\d+(?:\.\d+){1,2})*)\]")


_READINGS = tuple((form, form.pattern) for form in sorted(FORMS, key=lambda form: -len(form.slots)))
"""Those with the most slots first: where a sentence can be read in several ways and none holds, that one says what is wrong."""


class Wrong(StrEnum):
    """Why a sentence, or a draft, is refused."""

    FORM = "not a sentence of the controlled language"
    CITATION = "no event of this procedure is cited by that id"
    KIND = "the events cited say something else"
    TIME = "the time is not the event's"
    NUMBER = "the number is not the event's"
    SIDE = "the side is not the event's, or is left out"
    WORD = "a name, mode or priority is not the event's"
    CLAIM = "the record does not bear it out"
    TWICE = "said before"
    MISSING = "an event that must be in the draft is not"


_OF_SLOT: Mapping[str, Wrong] = {
    "time": Wrong.TIME,
    "until": Wrong.TIME,
    "side": Wrong.SIDE,
    "frames": Wrong.NUMBER,
    "dropped": Wrong.NUMBER,
    "count": Wrong.NUMBER,
    "seconds": Wrong.NUMBER,
    "settings": Wrong.NUMBER,
}
"""Every other slot: WORD."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong."""

    wrong: Wrong
    line: str
    """The sentence as it was written; an id where one is missing."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it: the sentences that hold, and what does not."""

    sentences: tuple[Sentence, ...]
    refusals: tuple[Refusal, ...]


def check(procedure: Procedure, lines: Iterable[str], must: Iterable[str] = ()) -> Checked:
    """Each line on its own, then that each id of `must` is cited by a sentence that holds."""
    held: list[Sentence] = []
    refusals: list[Refusal] = []
    for line in lines:
        wrong = wrong_with(procedure, line)
        sentence = None if wrong is not None else _parsed(line)
        if sentence is not None and sentence in held:
            wrong = Wrong.TWICE
        if wrong is None and sentence is not None:
            held.append(sentence)
        else:
            refusals.append(Refusal(wrong or Wrong.FORM, line))
    cited = {name for sentence in held for name in sentence.cites}
    refusals += [Refusal(Wrong.MISSING, name) for name in must if name not in cited]
    return Checked(tuple(held), tuple(refusals))


def check_draft(procedure: Procedure, kind: NoteKind, lines: Iterable[str]) -> Checked:
    """A whole draft: also that it leaves nothing out, contradictions included."""
    lines = tuple(lines)
    checked = check(procedure, lines, sorted(required(procedure, kind)))
    said = {(s.text, frozenset(s.cites)) for s in checked.sentences}
    unsaid = [
        Refusal(Wrong.MISSING, f"{conflict.what} {', '.join(conflict.ids)}")
        for conflict in procedure.conflicts
        if (f"The record contradicts itself: {CONFLICTS[conflict.what]}.", frozenset(conflict.ids)) not in said
    ]
    return Checked(checked.sentences, (*checked.refusals, *unsaid))


def wrong_with(procedure: Procedure, line: str) -> Wrong | None:
    """What is wrong with one line; None: it holds."""
    sentence = _parsed(line)
    if sentence is None:
        return Wrong.FORM
    known = procedure.by_id()
    if len(set(sentence.cites)) != len(sentence.cites) or any(name not in known for name in sentence.cites):
        return Wrong.CITATION
    facts = [known[name] for name in sentence.cites]
    readings = [(form, found.groupdict()) for form, pattern in _READINGS if (found := pattern.fullmatch(sentence.text))]
    if not readings:
        return Wrong.FORM
    faults = [_faults(procedure, form, values, facts) for form, values in readings]
    return None if None in faults else faults[0]


def _parsed(line: str) -> Sentence | None:
    if len(line) > LONGEST or not line.isascii() or not line.isprintable():
        return None
    found = _LINE.fullmatch(line)
    return Sentence(found["text"], tuple(found["ids"].split(", "))) if found else None


def _faults(procedure: Procedure, form: Form, values: Mapping[str, str], facts: Sequence[Fact]) -> Wrong | None:
    match form.says:
        case Says.EACH:
            return _one(form, values, facts)
        case Says.OPEN:
            wrong = _one(form, values, facts)
            return wrong or (None if facts[0].id in still_open(procedure) else Wrong.CLAIM)
        case Says.TOGETHER:
            return _many(form, values, facts)
        case Says.NONE:
            there = any(fact.kind is form.kind for fact in procedure.facts)
            cites = {fact.id for fact in facts}
            return Wrong.CLAIM if there or cites != set(whole(procedure)) or not cites else None
        case Says.CONFLICT:
            cites = {fact.id for fact in facts}
            named = any(CONFLICTS[c.what] == values["what"] and set(c.ids) == cites for c in procedure.conflicts)
            return None if named else Wrong.CLAIM


def _one(form: Form, values: Mapping[str, str], facts: Sequence[Fact]) -> Wrong | None:
    if len(facts) != 1 or facts[0].kind is not form.kind:
        return Wrong.KIND
    fact = facts[0]
    must = [slot for slot in MUST_SAY if slot in fact.values and not (slot == "was" and form.says is Says.OPEN)]
    if "side" in must and "side" not in values:
        return Wrong.SIDE
    if any(slot not in values for slot in must):
        return Wrong.WORD
    return next(_differing(values, fact.values), None)


def _differing(found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Wrong]:
    for slot, value in found.items():
        if expected.get(slot) != value:
            yield _OF_SLOT.get(slot, Wrong.WORD)


def _many(form: Form, values: Mapping[str, str], facts: Sequence[Fact]) -> Wrong | None:
    """Counted, summed and spanned anew, from the facts themselves."""
    if len(facts) < 2 or any(fact.kind is not form.kind for fact in facts):
        return Wrong.KIND
    ordered = sorted(facts, key=lambda fact: fact.at_ns)
    last = ordered[-1].values
    tenths = sum(round(float(fact.values.get("seconds", "0")) * 10) for fact in facts)
    total = f"{tenths // 10}.{tenths % 10}"
    same = ({fact.values.get(slot) for fact in facts} for slot in ("name", "priority"))
    wrong = (
        (Wrong.SIDE, any("side" in fact.values for fact in facts)),
        (Wrong.WORD, any(len(found) > 1 for found in same)),
        (
            Wrong.WORD,
            any(values[slot] != ordered[0].values.get(slot) for slot in ("name", "priority") if slot in values),
        ),
        (Wrong.TIME, values["time"] != ordered[0].values["time"]),
        (Wrong.TIME, values["until"] != last.get("until", last["time"])),
        (Wrong.NUMBER, values["count"] != str(len(facts))),
        (Wrong.NUMBER, values.get("seconds", total) != total),
    )
    return next((what for what, is_wrong in wrong if is_wrong), None)
