"""One procedure after the other, begun at the page of a real device."""

import threading
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from inframe.demo import run_and_show
from tests import devices
from tests.console.conftest import PASSWORDS
from tests.console.stand import Browser, until


def status(browser: Browser, path: str) -> int:
    """Of an answer; 0 where nobody is there."""
    try:
        return browser.ask("GET", path)[0]
    except (OSError, HTTPException):
        return 0


def one_procedure(port: int, then: str, seen: list[Any]) -> None:
    """Come, log in, see frames, end it."""
    browser = Browser(port)
    until(lambda: status(browser, "/api/state") == 401)
    seen.append(browser.log_in("otto", PASSWORDS["otto"]))
    until(lambda: browser.get("/api/state")["frame"] > 5)
    seen.append(browser.post("/api/stop", {"then": then}))
    until(lambda: status(browser, "/api/state") != 200)


def visit(out: StringIO, seen: list[Any]) -> None:
    """Somebody who ends a procedure for the next one, and then for good."""
    try:
        until(lambda: "watch it: " in out.getvalue())
        port = int(out.getvalue().partition("watch it: ")[2].split("/")[2].split(":")[1])
        for then in ("next", "end"):
            one_procedure(port, then, seen)
    except (AssertionError, OSError) as error:
        seen.append(error)


def test_a_person_ends_a_procedure_and_begins_the_next_one(tmp_path: Path, users: Path) -> None:
    screens = [{"kind": "web", "port": 0, "users": str(users)}]
    changes = {"screens": screens, "trail": {"folder": "trail"}, "real_time": False}
    path, out, seen = devices.write(tmp_path, changes=changes), StringIO(), list[Any]()
    person = threading.Thread(target=visit, args=(out, seen))
    person.start()
    summary = run_and_show(Console(file=out, width=200), path, 20)
    person.join()
    assert seen == [200, 200, 200, 200]
    text = out.getvalue()
    addresses = {line for line in text.splitlines() if line.startswith("watch it: ")}
    assert (text.count("watch it: "), len(addresses)) == (2, 1), "at the same address again"
    assert text.count("frames captured") == 2
    assert summary["frames"] > 5
    assert "next_ports" not in summary
