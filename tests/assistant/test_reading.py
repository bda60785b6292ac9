"""What is taken of a record, and what it is taken for."""

from dataclasses import replace

import pytest

from inframe.assistant.facts import Kind, Procedure
from inframe.assistant.reading import OWN, read
from inframe.trail.records import EventKind, EventRecord
from tests.assistant.corpus import ID, S, clean


def with_event(event: EventRecord) -> Procedure:
    """The small procedure with one more event before its end."""
    log = clean()
    return read(replace(log, events=(*log.events[:-1], event, log.events[-1])).entries(), ID)


def of(event: EventRecord) -> tuple[Kind, str]:
    """What it became: its kind and its name."""
    fact = with_event(event).by_id()["E0.6"]
    return fact.kind, fact.values.get("name", "")


@pytest.mark.parametrize(("kind", "name"), list(OWN), ids=[name for _, name in OWN])
def test_an_event_of_its_own_is_said(kind: EventKind, name: str) -> None:
    assert of(EventRecord(kind, 45 * S, name)) == (Kind.EVENT, OWN[kind, name])


@pytest.mark.parametrize("kind", [EventKind.GAP, EventKind.LOGIN, EventKind.WITNESS])
def test_a_name_of_another_kind_says_something_else(kind: EventKind) -> None:
    assert of(EventRecord(kind, 45 * S, "DEVICE"))[1] == ""


def test_a_start_is_no_stop() -> None:
    assert of(EventRecord(EventKind.START, 45 * S, "DEVICE")) == (Kind.EVENT, "its start")
    assert of(EventRecord(EventKind.STOP, 45 * S, "DEVICE")) == (Kind.EVENT, "its stop")


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("bleeding", EventKind.ALERT, {"presence": "ON", "side": "LEFT"}),
        ("bleeding", EventKind.ALERT, {"presence": "ACKNOWLEDGED"}),
        ("bleeding", EventKind.FAULT, {"presence": "ON"}),
        ("PROCEDURE", EventKind.STOP, {"frames": "-1", "dropped": "0"}),
        ("CONTROLS", EventKind.CONFIG, {"opacity": "nan"}),
        ("CONTROLS", EventKind.CONFIG, {"overlay_on": "maybe", "opacity": "0.5"}),
        ("MODEL_LOADED", EventKind.START, {"model": "another", "slot": "active"}),
    ],
)
def test_what_makes_no_sense_is_not_guessed(name: str, kind: EventKind, data: dict[str, str]) -> None:
    assert of(EventRecord(kind, 45 * S, name, "", "", data))[0] is Kind.UNLISTED


def test_the_beginning_may_stand_before_what_happened_before_it() -> None:
    """A recorder writes it first, then what it was told while it was started."""
    log = clean()
    late = replace(log.events[0], at_ns=19 * S)
    assert read(replace(log, events=(late, *log.events[1:])).entries(), ID).conflicts == ()
