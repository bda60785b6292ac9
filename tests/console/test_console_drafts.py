"""Drafts on the page: with their sources, signed by a person who has logged in, and that in the trail."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import PASSWORDS
from tests.console.stand import Browser, Stand, device_of, until


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, users: Path) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("drafts")
    assistant = {"socket": str(folder / "asked"), "model": None}
    with Stand(device_of(folder, screen={"users": str(users)}, assistant=assistant), recorder=True) as made:
        made.start("assistant")
        yield made


def logged_in(stand: Stand, name: str) -> Browser:
    browser = stand.browser()
    assert browser.log_in(name, PASSWORDS[name]) == 200
    return browser


@pytest.fixture
def otto(stand: Stand) -> Browser:
    browser = logged_in(stand, "otto")
    until(lambda: browser.ask("GET", "/api/draft?kind=note")[0] == 200)  # something is in the trail
    return browser


def recorded(browser: Browser) -> list[dict[str, object]]:
    found = browser.get("/api/trail?minutes=10&text=NOTE_SIGNED")["lines"]
    return [line for line in found if line["name"] == "NOTE_SIGNED"]


def test_a_draft_shows_its_sources_and_is_signed_into_the_record(stand: Stand, otto: Browser) -> None:
    told = otto.get("/api/draft?kind=note")
    assert all(sentence["cites"] for sentence in told["draft"]["sentences"])
    assert told["draft"]["signed"] is None
    assert otto.post("/api/sign", {"sha256": told["sha256"]}) == 200
    until(lambda: recorded(otto))
    (line,) = recorded(otto)
    assert line["kind"] == "EXPORT"
    assert line["data"] == {
        "sha256": told["sha256"],
        "procedure": told["draft"]["procedure"],
        "draft": "note",
        "signed_by": "otto",
        "role": "operator",
        "at": "console",
    }


def test_a_draft_that_the_record_has_left_behind_is_not_signed(stand: Stand, otto: Browser) -> None:
    told = otto.get("/api/draft?kind=note")
    stand.tell("FAULT", "WORKER_LOST", "", "worker.worker")
    stand.tell("FAULT", "PROCESS_DIED", "", "worker.worker")
    until(lambda: otto.get("/api/draft?kind=note")["draft"]["sentences"] != told["draft"]["sentences"])
    before = len(recorded(otto))
    status, _, said = otto.ask("POST", "/api/sign", json.dumps({"sha256": told["sha256"]}).encode())
    assert status == 409, said
    assert len(recorded(otto)) == before


def test_who_may(stand: Stand, otto: Browser) -> None:
    vera = logged_in(stand, "vera")
    told = vera.get("/api/draft?kind=handover")
    assert vera.post("/api/sign", {"sha256": told["sha256"]}) == 403
    assert stand.browser().ask("GET", "/api/draft?kind=note")[0] == 401
    assert otto.post("/api/sign", {"sha256": "0" * 64}) == 409  # never shown
    assert otto.post("/api/sign", {"sha256": told["sha256"]}, **{"X-CSRF": None}) == 403


def test_a_device_without_an_assistant(guarded: Stand) -> None:
    assert logged_in(guarded, "otto").ask("GET", "/api/draft?kind=note")[0] == 409
