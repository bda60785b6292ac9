"""The baseline: the same facts give the same sentences, in the order of the record. Writes where there is no model, and wherever a
model's words were refused.

It first makes a plan: an `Item` for each thing to be said, with every wording that says it. The template takes the first; a model
chooses among them, and may leave out what is optional.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from inframe.assistant.conflicts import CONFLICTS
from inframe.assistant.cover import OPTIONAL, required, still_open, whole
from inframe.assistant.facts import Conflict, Fact, Kind, NoteKind, Procedure, Sentence
from inframe.assistant.forms import CONFLICT_FORM, Says, fitting, forms

FEW, MANY = 3, 32
"""More than so many of one name are said together; at most so many in one sentence."""
GROUPED = (
    Kind.ALERT_ON,
    Kind.ALERT_OFF,
    Kind.FINDING,
    Kind.FAULT_ON,
    Kind.EVENT,
    Kind.GAP,
    Kind.UNLISTED,
)
_OPEN_FIRST = (Kind.MODE, Kind.ALERT_ON, Kind.FAULT_ON, Kind.ALERT_PAST)
_FRAME = (Kind.BEGIN, Kind.END)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be said."""

    wordings: tuple[Sentence, ...]
    """All that say it, the template's first."""
    optional: bool = False


def compose(procedure: Procedure, kind: NoteKind) -> tuple[Sentence, ...]:
    """All sentences of a draft."""
    return tuple(item.wordings[0] for item in plan(procedure, kind))


def plan(procedure: Procedure, kind: NoteKind) -> tuple[Item, ...]:
    """What a draft of that kind says, in order."""
    return tuple(_note(procedure) if kind == "note" else _handover(procedure))


def about(facts: Sequence[Fact]) -> tuple[Sentence, ...]:
    """Some facts, said."""
    return tuple(item.wordings[0] for item in _in_order(facts))


def _note(procedure: Procedure) -> Iterator[Item]:
    yield from _in_order(procedure.facts)
    yield from _nothing(procedure, (Kind.ALERT_ON, Kind.FINDING))
    yield from map(_conflict, procedure.conflicts)


def _handover(procedure: Procedure) -> Iterator[Item]:
    holding, must = still_open(procedure), required(procedure, "handover")
    facts = procedure.facts
    yield from _in_order([f for f in facts if f.kind in _FRAME])
    yield from _nothing(procedure, (Kind.END, Kind.ALERT_ON))
    for kind in _OPEN_FIRST:
        yield from (_one(fact, Says.OPEN) for fact in facts if fact.kind is kind and fact.id in holding)
    yield from map(_conflict, procedure.conflicts)
    yield from _in_order([f for f in facts if f.id in must and f.id not in holding and f.kind not in _FRAME])


def _one(fact: Fact, says: Says = Says.EACH) -> Item:
    wordings = tuple(Sentence(form.said(fact.values), (fact.id,)) for form in fitting(says, fact))
    return Item(wordings, optional=says is Says.EACH and fact.kind in OPTIONAL)


def _conflict(conflict: Conflict) -> Item:
    return Item((Sentence(CONFLICT_FORM.said({"what": CONFLICTS[conflict.what]}), conflict.ids),))


def _nothing(procedure: Procedure, kinds: tuple[Kind, ...]) -> Iterator[Item]:
    there, cites = {fact.kind for fact in procedure.facts}, whole(procedure)
    for kind in kinds:
        if cites and kind not in there:
            yield Item((Sentence(forms(Says.NONE, kind)[0].text, cites),))


def _in_order(facts: Sequence[Fact]) -> Iterator[Item]:
    """By time: a finding is recorded when it is over, and told where it began."""
    facts = sorted(facts, key=lambda fact: fact.at_ns)
    together = {members[0].id: members for members in _groups(facts)}
    grouped = {fact.id for members in together.values() for fact in members}
    for fact in facts:
        if fact.id in together:
            yield _together(together[fact.id])
        elif fact.id not in grouped:
            yield _one(fact)


def _groups(facts: Sequence[Fact]) -> Iterator[tuple[Fact, ...]]:
    """Those of one kind and name that are too many to be said one by one. Never where a side would be lost."""

    def name(fact: Fact) -> tuple[str, str]:
        return fact.kind, fact.values.get("name", "")

    able = sorted((f for f in facts if f.kind in GROUPED and "side" not in f.values), key=name)
    for _, same in groupby(able, name):
        members = list(same)
        if len(members) > FEW:
            parts = [tuple(members[at : at + MANY]) for at in range(0, len(members), MANY)]
            yield from (part for part in parts if len(part) > 1)


def _together(facts: tuple[Fact, ...]) -> Item:
    values, cites = _sums(facts), tuple(fact.id for fact in facts)
    wordings = tuple(Sentence(form.said(values), cites) for form in forms(Says.TOGETHER, facts[0].kind))
    return Item(wordings, optional=facts[0].kind in OPTIONAL)


def _sums(facts: Sequence[Fact]) -> dict[str, str]:
    """The values of several facts of one kind and name, together."""
    first, last = min(facts, key=lambda f: f.at_ns), max(facts, key=lambda f: f.at_ns)
    values = {**first.values, "count": str(len(facts)), "until": last.values.get("until", last.values["time"])}
    if "seconds" in first.values:
        values["seconds"] = f"{sum(float(f.values['seconds']) for f in facts):.1f}"
    return values
