"""Nothing unsupported reaches a draft, whoever writes: checked with a second opinion that shares no code with the verifier.

The short form of `python -m reference.assistant.compare`.
"""

from collections.abc import Callable

import pytest

from inframe.assistant import drafting
from inframe.assistant.cover import required
from inframe.assistant.facts import NOTE_KINDS, Kind, Procedure
from inframe.assistant.reading import read
from inframe.assistant.verify import Wrong, check_draft, wrong_with
from reference.assistant.procedures import SORTS, procedure
from tests.assistant.oracle import objection
from tests.assistant.stand_in import Endless, StandIn, later, no_side, one_more, other_side

SEEDS = range(1000, 1040)
ALL = [(sort, seed) for sort in SORTS for seed in SEEDS]
"""200 procedures that nothing was made with."""


def test_the_template_on_two_hundred_unseen_procedures() -> None:
    assert len(ALL) >= 200
    sentences = 0
    for sort, seed in ALL:
        entries, name = procedure(seed, sort)
        facts = read(entries, name)
        for kind in NOTE_KINDS:
            draft = drafting.draft(facts, kind)
            lines = [sentence.line() for sentence in draft.sentences]
            assert {line: why for line in lines if (why := objection(entries, line))} == {}, (sort, seed)
            cited = {one for sentence in draft.sentences for one in sentence.cites}
            assert required(facts, kind) <= cited
            sentences += len(lines)
    assert sentences > 3000


@pytest.mark.parametrize(
    ("change", "wrong"),
    [(later, Wrong.TIME), (one_more, Wrong.NUMBER), (other_side, Wrong.SIDE), (no_side, Wrong.SIDE)],
)
def test_a_lying_writer_changes_nothing(change: Callable[[str], str], wrong: Wrong) -> None:
    """Each lie is refused for what it is, and the template's words stand in its place."""
    refused = 0
    for sort, seed in [("plain", n) for n in range(1000, 1010)] + [("busy", n) for n in range(1000, 1003)]:
        entries, name = procedure(seed, sort)  # type: ignore[arg-type]
        facts = read(entries, name)
        honest = drafting.draft(facts, "note")
        lied = drafting.draft(facts, "note", StandIn(change))
        assert lied.sentences == honest.sentences
        changed = [change(s.line()) for s in honest.sentences if change(s.line()) != s.line()]
        refused += len(changed)
        assert {wrong_with(facts, line) for line in changed} <= {wrong}
    assert refused > 5


def a_procedure() -> Procedure:
    """One with about everything in it."""
    return read(*procedure(1004, "busy"))


def test_an_honest_writer_is_taken_at_its_word() -> None:
    written = drafting.draft(a_procedure(), "note", StandIn())
    assert written.origin == "model"
    assert written.fallbacks == ()


def test_what_is_left_out_is_noticed() -> None:
    facts = a_procedure()
    lines = [sentence.line() for sentence in drafting.draft(facts, "note").sentences]
    for at, line in enumerate(lines):
        refusals = check_draft(facts, "note", [*lines[:at], *lines[at + 1 :]]).refusals
        is_optional = any(word in line for word in ("went off", "loaded", "was over", "was set", "a person"))
        assert is_optional or (refusals and refusals[0].wrong is Wrong.MISSING), line


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("The patient is stable. [E0.0]", Wrong.FORM),
        ("The procedure began at 08:01:40.", Wrong.FORM),
        ("The procedure began at 08:01:40. [E99.9]", Wrong.CITATION),
        ("The procedure began at 08:01:40. [E0.0, E0.0]", Wrong.CITATION),
        ("The procedure began at 08:01:40. [E1.0]", Wrong.KIND),
        ("No alert came on. [E0.0]", Wrong.CLAIM),
        ("The record contradicts itself: times run backwards. [E0.0]", Wrong.CLAIM),
        ("The procedure began at 08:01:4\N{FULLWIDTH DIGIT ZERO}. [E0.0]", Wrong.FORM),
        ("The procedure began at 08:01:40. [E0.0] [E0.1]", Wrong.FORM),
        ("The procedure began at 08:01:40. \x1b[31m [E0.0]", Wrong.FORM),
    ],
)
def test_other_lies(line: str, wrong: Wrong) -> None:
    assert wrong_with(a_procedure(), line) is wrong


def test_an_alert_that_is_over_is_not_said_to_be_on() -> None:
    facts = a_procedure()
    over = next(f for f in facts.facts if f.kind is Kind.ALERT_ON and "side" not in f.values)
    line = f"The alert {over.values['name']}, on since {over.values['time']}, is not over, priority"
    assert wrong_with(facts, f"{line} {over.values['priority']}. [{over.id}]") is Wrong.CLAIM


def test_an_empty_record_gives_an_empty_draft() -> None:
    assert drafting.draft(read([], bytes(16)), "note").sentences == ()


def test_nobody_says_that_there_was_nothing_where_records_are_missing() -> None:
    """A gap, or a record not understood: what was in it could have been an alert."""
    for seed in range(1000, 1040):
        facts = read(*procedure(seed, "adversarial"))
        text = "\n".join(sentence.text for sentence in drafting.draft(facts, "note").sentences)
        if any(fact.kind in (Kind.GAP, Kind.UNLISTED) for fact in facts.facts):
            assert "No alert" not in text


def test_an_endless_writer_is_cut_off() -> None:
    writer = Endless()
    draft = drafting.draft(read(*procedure(1000, "plain")), "note", writer)
    assert draft.origin == "template"
    assert set(draft.fallbacks) == {Wrong.FORM}
    assert writer.taken < 100 * len(draft.fallbacks)
