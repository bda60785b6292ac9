"""Text from outside has no effect: not on prompt, grammar or sentences, whichever field it comes through; no sink acts on it."""

import html
import json
import re

import pytest

from inframe.assistant import drafting, intent, manual, reading, timeline
from inframe.assistant.facts import NOTE_KINDS, Kind, Procedure
from inframe.assistant.reading import read
from inframe.assistant.sinks import SINKS
from inframe.core.errors import ConfigError
from inframe.trail.records import EventRecord
from tests.assistant.corpus import CANARY, FIELDS, ID, TRICKS, clean
from tests.assistant.stand_in import StandIn


def test_the_corpus_is_large_enough() -> None:
    assert len(FIELDS) * len(TRICKS) >= 300


def all_that_was_made(facts: Procedure) -> tuple[str, list[str]]:
    """Everything that a model or a person gets to see of a procedure; and the sentences."""
    writer = StandIn()
    sentences = [s.line() for kind in NOTE_KINDS for s in drafting.draft(facts, kind, writer).sentences]
    asked = timeline.answer(facts, "which alerts, faults, findings and modes were there?") or ()
    return "\n".join((*writer.prompts, *writer.grammars, *sentences, *(s.line() for s in asked))), sentences


@pytest.mark.parametrize("field", FIELDS)
def test_nothing_of_it_comes_through(field: str) -> None:
    plain = read(clean().entries(), ID)
    _, expected = all_that_was_made(plain)
    for trick, text in TRICKS.items():
        facts = read(FIELDS[field](clean(), text).entries(), ID)
        seen, sentences = all_that_was_made(facts)
        assert CANARY.lower() not in seen.lower(), trick
        assert seen.isascii(), trick
        unlisted = {fact.id for fact in facts.facts if fact.kind is Kind.UNLISTED}
        if not unlisted:
            assert sentences == expected, trick  # not a word differs
        assert len(unlisted) <= 1, trick
        # what is said of all other records is what was said of them before
        untouched = {line for line in expected if not unlisted & set(re.findall(r"[EF][\d.]+", line))}
        assert untouched - set(sentences) <= {line for line in expected if "No " in line}, trick


def test_the_corpus_reaches_the_record() -> None:
    """The check above would pass on a corpus that is never put in: each case differs from the clean log."""
    before = clean().entries()
    assert all(put(clean(), TRICKS["html"]).entries() != before for put in FIELDS.values())


def test_a_reader_that_lets_text_through_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_words: reading.Vocabulary, event: EventRecord) -> tuple[Kind, dict[str, str]]:
        return Kind.EVENT, {"name": event.name}

    monkeypatch.setattr(reading, "_RULES", (*reading._RULES, careless))
    facts = read(FIELDS["alert name"](clean(), CANARY).entries(), ID)
    assert CANARY in all_that_was_made(facts)[0]


@pytest.mark.parametrize("trick", TRICKS)
def test_no_command_and_no_answer_comes_of_it(trick: str) -> None:
    with pytest.raises(ConfigError) as refused:
        intent.understand(TRICKS[trick])
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500
    assert all(CANARY not in passage.text for passage in manual.answer(TRICKS[trick]))
    timeline.answer(read(clean().entries(), ID), TRICKS[trick])


@pytest.mark.parametrize("trick", TRICKS)
def test_every_sink_escapes(trick: str) -> None:
    text = TRICKS[trick]
    said = {name: sink(text) for name, sink in SINKS.items()}
    assert all(one.isprintable() for one in said.values())
    assert not re.search(r"[<>\"']", said["web"])
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt|quot|#x27);)*", said["web"])
    assert html.unescape(said["web"]) == said["terminal"]
    assert json.loads(said["json"]) == text[:2000]
    assert not re.search(r"[<>&]", said["json"])
    assert said["json"].isascii()
    assert not re.search(r"[|^~&]", said["hl7"])
    assert re.fullmatch(r"(?:[^\\]|\\[EFSTR]\\)*", said["hl7"])
    assert not re.search(r"(?<!\\)[`*_\[\]()]", said["markdown"].replace("\\\\", ""))
