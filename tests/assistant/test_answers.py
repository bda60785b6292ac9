"""Answers: the manual in its own words, the timeline with its events, an alert explained from its row."""

import pytest

from inframe.assistant import manual, timeline
from inframe.assistant.facts import Kind, Procedure
from inframe.assistant.reading import read
from inframe.assistant.verify import wrong_with
from inframe.core.events import EVENTS
from reference.assistant.procedures import procedure


@pytest.fixture(scope="module")
def facts() -> Procedure:
    return read(*procedure(1004, "busy"))


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("How do I sign a bundle with a token?", "bundle.md"),
        ("How do I recover a recording that was cut off?", "recording.md"),
        ("What does the witness cosign?", "trail.md"),
        ("How is a release rolled back?", "update.md"),
        ("which camera drivers are there", "cameras.md"),
    ],
)
def test_the_manual_is_quoted(question: str, page: str) -> None:
    found = manual.answer(question)
    assert page in {passage.page for passage in found}
    for passage in found:
        lines = (manual.folder() / passage.page).read_text("utf-8").splitlines()
        quoted = " ".join(line.strip() for line in lines[passage.line - 1 :])
        assert quoted.startswith(passage.text), "not the manual's own words, or not on that line"


@pytest.mark.parametrize(
    "question", ["What is the capital of France?", "give me the patient's name", "", "\x1b[2J", "the of and"]
)
def test_what_the_manual_does_not_say(question: str) -> None:
    assert manual.answer(question) == ()


@pytest.mark.parametrize("name", [event.name for event in EVENTS.values() if event.text])
def test_every_alert_is_explained_by_what_the_operator_reads(name: str) -> None:
    found = manual.explain(f"What does {EVENTS[name].text} mean?")
    assert found is not None
    assert found.event.text == EVENTS[name].text


def test_the_timeline_by_name(facts: Procedure) -> None:
    said = timeline.answer(facts, "When did the alert lens dirty come on?")
    assert said
    ids = {fact.id for fact in facts.facts if fact.values.get("name") == "lens dirty"}
    assert {one for sentence in said for one in sentence.cites} == ids


def test_the_timeline_by_time(facts: Procedure) -> None:
    one = next(fact for fact in facts.facts if fact.kind is Kind.SETTING)
    said = timeline.answer(facts, f"what happened at {one.values['time']}?")
    assert said
    assert one.id in {name for sentence in said for name in sentence.cites}


def test_the_timeline_by_side(facts: Procedure) -> None:
    said = timeline.answer(facts, "which alerts were on the left?")
    assert said
    assert all("left side" in sentence.text for sentence in said)


def test_no_question_about_the_timeline(facts: Procedure) -> None:
    assert timeline.answer(facts, "how do I sign a bundle?") is None


def test_every_answer_holds(facts: Procedure) -> None:
    for question in ("which alerts were there?", "any faults?", "what is missing?", "when did it end?", "which mode?"):
        said = timeline.answer(facts, question)
        assert said
        assert [wrong_with(facts, sentence.line()) for sentence in said] == [None] * len(said)
