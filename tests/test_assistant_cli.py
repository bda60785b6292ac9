"""`inframe assistant …` on a trail that a recorder has written."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframe.assistant.intent import understand
from inframe.cli import app
from inframe.core.errors import InframeError
from inframe.core.types import Alert, Finding, Presence, Priority
from inframe.trail.errors import TrailDamaged
from inframe.trail.report import Report
from tests.recorder.desk import Desk, no_desk_is_left

__all__ = ["no_desk_is_left"]

NEAR = Finding("near", "NEAR <script>", Priority.MEDIUM, 70, 0.5)
ON = (Alert("near", "NEAR <script>", Priority.MEDIUM, Presence.ON, 70),)


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a procedure; something was near in the second."""
    desk = Desk(tmp_path_factory.mktemp("desk") / "trail")
    desk.load("a")
    desk.second()
    desk.second(findings=(NEAR,), alerts=ON)
    desk.second()
    desk.close()
    desk.kill()
    return desk.home.folder


def said(*words: object) -> str:
    done = CliRunner().invoke(app, ["assistant", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: object) -> InframeError:
    done = CliRunner().invoke(app, ["assistant", *map(str, words)])
    assert isinstance(done.exception, InframeError), done.output
    return done.exception


def test_a_note(trail: Path) -> None:
    text = said("note", trail)
    assert text.startswith("DRAFT, not signed")
    assert "The procedure began at" in text
    assert "[E0.0]" in text
    assert "script" not in text


def test_a_handover_is_shorter(trail: Path) -> None:
    assert len(said("note", trail, "--handover")) < len(said("note", trail))


@pytest.mark.parametrize(("form", "begins"), [("json", "{"), ("html", "<h1>"), ("hl7", "OBX|1|TX"), ("markdown", "# ")])
def test_formats(trail: Path, form: str, begins: str, tmp_path: Path) -> None:
    said("note", trail, "--format", form, "--out", tmp_path / "note")
    text = (tmp_path / "note").read_bytes().decode()
    assert text.startswith(begins)
    assert "E0.0" in text.replace("\\", "")


def test_no_note_rests_on_a_changed_record(trail: Path, tmp_path: Path) -> None:
    """Refused; or, where a file is changed that is not read (a second copy of the newest leaves), not a word differs."""
    copy = tmp_path / "trail"
    shutil.copytree(trail, copy)
    plain, outcomes = said("note", copy), []
    for path in [path for path in copy.rglob("*") if path.is_file() and b"NOMINAL" in path.read_bytes()]:
        good = path.read_bytes()
        path.write_bytes(good.replace(b"NOMINAL", b"DREADED"))
        done = CliRunner().invoke(app, ["assistant", "note", str(copy)])
        outcomes.append("refused" if isinstance(done.exception, TrailDamaged) else done.output == plain)
        path.write_bytes(good)
    assert "refused" in outcomes
    assert False not in outcomes


def test_what_verification_finds_is_the_end_of_it(trail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves further back than the trail's opening looks at: here as if one of them were damaged."""
    spans: list[tuple[int, int] | None] = []

    def check(_place: object, span: tuple[int, int] | None, *_others: object) -> Report:
        spans.append(span)
        report = Report("x")
        report.damage("leaf 0", "another hash", "its own")
        return report

    monkeypatch.setattr("inframe.audit.check", check)
    assert isinstance(refused("note", trail), TrailDamaged)
    assert spans
    assert spans[0] is not None
    assert spans[0][0] == 0


def test_ask_the_record_the_manual_and_an_alert(trail: Path) -> None:
    assert "[E0.0]" in said("ask", "when did the procedure begin?", "--trail", trail)
    assert "bundle.md, line" in said("ask", "how do I sign a bundle with a token?", "--trail", trail)
    assert "NO_SIGNAL" in said("ask", "what does NO CAMERA SIGNAL mean?", "--trail", trail)
    done = CliRunner().invoke(app, ["assistant", "ask", "who won the cup?", "--trail", str(trail)])
    assert done.exit_code == 1


def test_sign_checks_again_and_records(trail: Path, tmp_path: Path) -> None:
    file, signed = tmp_path / "note.json", tmp_path / "signed.json"
    said("note", trail, "--format", "json", "--out", file)
    assert "recorded in the trail" in said("sign", file, "--trail", trail, "--who", "Dr A. Smith", "--out", signed)
    assert json.loads(signed.read_text())["signed"]["by"] == "Dr A. Smith"
    listed = CliRunner().invoke(app, ["trail", "show", str(trail), "--json", str(tmp_path / "show.json")])
    assert listed.exit_code == 0
    events: list[dict[str, Any]] = json.loads((tmp_path / "show.json").read_text())
    assert any(one["name"] == "NOTE_SIGNED" and one["data"]["signed_by"] == "Dr A. Smith" for one in events)


def test_a_changed_draft_is_not_signed(trail: Path, tmp_path: Path) -> None:
    file = tmp_path / "note.json"
    said("note", trail, "--format", "json", "--out", file)
    told = json.loads(file.read_text())
    told["sentences"][0]["text"] = "The procedure began at 00:00:01."
    file.write_text(json.dumps(told))
    assert "the time is not the event's" in str(refused("sign", file, "--trail", trail, "--who", "Dr A. Smith"))
    file.write_text("{}")
    assert "an unsigned draft" in str(refused("sign", file, "--trail", trail, "--who", "Dr A. Smith"))


def test_a_model_must_be_signed_by_somebody_trusted(trail: Path, tmp_path: Path) -> None:
    """Packed and signed, it is refused without a policy, and with one that trusts another key."""
    runner, keys = CliRunner(), [tmp_path / "own", tmp_path / "other"]
    for key in keys:
        assert runner.invoke(app, ["bundle", "key", str(key)]).exit_code == 0
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert "signed" in said("pack", tmp_path / "m.gguf", "--out", tmp_path / "m.bundle", "--sign", keys[0])
    assert "expected whose signatures" in str(refused("note", trail, "--model", tmp_path / "m.bundle"))
    policy = tmp_path / "policy.yaml"
    policy.write_text("keys: [{name: other, role: maker, file: other.pub}]\nthresholds: {maker: 1}\n")
    assert "0 of role maker" in str(refused("note", trail, "--model", tmp_path / "m.bundle", "--policy", policy))
    policy.write_text("keys: [{name: own, role: maker, file: own.pub}]\nthresholds: {maker: 1}\n")
    assert "no GGUF model" in str(refused("note", trail, "--model", tmp_path / "m.bundle", "--policy", policy))


class Page(BaseHTTPRequestHandler):
    """What a device's page would be asked; the real one is in tests/console/test_console_intents.py."""

    protocol_version = "HTTP/1.1"
    taken: list[tuple[str, dict[str, Any]]]

    def do_GET(self) -> None:
        body = b'{"csrf": "secret"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        assert self.headers["X-CSRF"] == "secret"
        self.taken.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base names it
        pass


@pytest.fixture
def page() -> Iterator[HTTPServer]:
    Page.taken = []
    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_command_needs_its_confirmation(page: HTTPServer) -> None:
    code, port = understand("overlay off").code, page.server_port
    assert code in said("command", "overlay off", "--page", port)
    assert code in str(refused("command", "overlay off", "--page", port, "--confirm", "123456"))
    assert Page.taken == []
    assert "done" in said("command", "overlay off", "--page", port, "--confirm", code)
    assert Page.taken == [("/api/control", {"wish": "overlay", "value": 0.0})]
