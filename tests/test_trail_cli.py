"""`inframe trail …` on a trail that a recorder has written, sound and damaged, here and on another machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframe import audit
from inframe.cli import app
from inframe.core.errors import ConfigError, InframeError
from inframe.core.types import Alert, Finding, Presence, Priority
from inframe.trail.records import EventKind
from inframe.trail.verify import verify
from scripts.docs import known_commands
from tests.recorder.desk import PROCEDURE, Desk

NEAR = Finding("near", "NEAR", Priority.MEDIUM, 70, 0.5)
ON = (Alert("near", "NEAR", Priority.MEDIUM, Presence.ON, 70),)
VERIFIER = Path(__file__).parent / "trail" / "independent_verifier.py"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Four seconds of a procedure, closed; something was near in the third."""
    made = Desk(tmp_path / "trail")
    made.load("a")
    made.second()
    made.second()
    made.second(findings=(NEAR,), alerts=ON)
    made.second()
    made.close()
    made.kill()
    return made


class Said:
    """What a command did."""

    def __init__(self, *words: object) -> None:
        done = CliRunner().invoke(app, ["trail", *map(str, words)])
        if done.exception is not None and not isinstance(done.exception, SystemExit | InframeError):
            raise done.exception
        self.refusal = done.exception if isinstance(done.exception, InframeError) else None
        self.code = self.refusal.exit_code if self.refusal is not None else done.exit_code
        self.text = f"{self.refusal}" if self.refusal is not None else done.output


def report(tmp_path: Path, *words: object) -> Any:
    said = Said(*words, "--json", tmp_path / "out.json")
    assert said.code == 0, said.text
    return json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize("name", [name for name in known_commands() if name.startswith("trail ")])
def test_every_command_has_help_and_an_exit_code_for_nonsense(name: str) -> None:
    words = name.split()[1:]
    said = Said(*words, "--help")
    assert said.code == 0
    assert known_commands()[name].help.splitlines()[0][:40] in " ".join(said.text.split())
    assert Said(*words, "--nonsense").code == 2


# --- trace -----------------------------------------------------------------------------------------------------------


def test_trace_answers_for_a_frame(desk: Desk, tmp_path: Path) -> None:
    told = report(tmp_path, "trace", desk.home.folder, "--frame", 65)
    assert (told["frame"], told["stream"], told["verdict"], told["mode"]) == (65, "endoscope", "SHOW", "NOMINAL")
    assert told["input"] == desk.input_digest(65).hex()
    assert told["output"] == desk.output_digest(65).hex()
    assert told["config"] == desk.config().hex()
    assert told["procedure"] == PROCEDURE.hex()
    assert [finding["rule"] for finding in told["findings"]] == ["near"]
    assert told["alerts"] == {"near": "ON"}
    assert [model["slot"] for model in told["models"]] == ["unsigned", "unsigned"]
    page = Said("trace", desk.home.folder, "--frame", 65).text
    for word in ("endoscope, frame 65", "verdict   SHOW", "NEAR (MEDIUM, 0.5)", "proven by", told["input"]):
        assert word in page


def test_trace_answers_for_a_moment(desk: Desk, tmp_path: Path) -> None:
    shown = report(tmp_path, "trace", desk.home.folder, "--frame", 40)["shown"]
    for at in (shown, shown[:-4] + "999Z"):  # the very moment is cut to microseconds
        assert report(tmp_path, "trace", desk.home.folder, "--at", at)["frame"] in (39, 40)
    assert Said("trace", desk.home.folder, "--at", "2001-01-01T00:00:00Z").code == 1
    assert Said("trace", desk.home.folder, "--frame", 999).code == 1
    assert report(tmp_path, "trace", desk.home.folder, "--at", "2100-01-01T00:00:00Z")["frame"] == 120


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ((), "--at, --frame: found both or none"),
        (("--at", "1", "--frame", "1"), "--at, --frame: found both or none"),
        (("--at", "yesterday"), "--at: found yesterday, expected a time such as 10:42:13, "),
        (("--frame", "1", "--procedure", "zz"), "--procedure: found zz, expected the id, or enough of its beginning, "),
        (("--frame", "1", "--key", "zz"), "--key: key: found zz, expected name+id+base64"),
    ],
)
def test_a_wrong_question_is_one_line(desk: Desk, words: tuple[str, ...], field: str) -> None:
    said = Said("trace", desk.home.folder, *words)
    assert said.code == 2
    assert isinstance(said.refusal, ConfigError)
    assert field in said.text
    assert "\n" not in said.text


def test_provenance_and_proof_are_written(desk: Desk, tmp_path: Path) -> None:
    files = tmp_path / "p.json", tmp_path / "p.tlog-proof"
    assert Said("trace", desk.home.folder, "--frame", 65, "--prov", files[0], "--proof", files[1]).code == 0
    assert set(json.loads(files[0].read_text())) >= {"entity", "activity", "agent", "wasDerivedFrom"}
    shutil.rmtree(desk.home.folder / "log")  # a proof needs no log
    assert Said("verify", files[1], "--key", desk.key.text()).code == 0
    data = bytearray(files[1].read_bytes())
    data[300] ^= 1
    files[1].write_bytes(bytes(data))
    assert Said("verify", files[1], "--key", desk.key.text()).code == 1


# --- verify ----------------------------------------------------------------------------------------------------------


def test_a_sound_trail(desk: Desk, tmp_path: Path) -> None:
    told = report(tmp_path, "verify", desk.home.folder)
    assert (told["sound"], told["frames"], told["gaps"], told["damages"]) == (True, 120, [], [])
    assert told["key_from"].endswith("key.pub")
    said = Said("verify", desk.home.folder, "--key", desk.home.folder / "key.pub")
    assert said.code == 0
    assert "sound: nothing was changed" in said.text
    assert "give --key" not in said.text
    assert "give --key" in Said("verify", desk.home.folder).text
    for path in (desk.home.folder / "log", desk.home.folder):
        assert report(tmp_path, "verify", path, "--key", desk.key.text())["key"] == desk.key.text()


def test_a_changed_byte_is_named_and_the_exit_code_is_1(desk: Desk) -> None:
    (bundle,) = (desk.home.folder / "log" / "tile" / "entries").rglob("000.p/*")
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(bytes(data))
    said = Said("verify", desk.home.folder)
    assert said.code == 1
    assert "NOT SOUND" in said.text
    assert "DAMAGE  tile/entries/000.p/" in said.text


def test_another_key_verifies_nothing(desk: Desk, tmp_path: Path) -> None:
    other = Desk(tmp_path / "other")
    other.second()
    assert Said("verify", desk.home.folder, "--key", other.key.text()).code == 1


def test_a_range(desk: Desk, tmp_path: Path) -> None:
    told = report(tmp_path, "verify", desk.home.folder, "--from", 1, "--to", 3)
    assert (told["leaves_looked_at"], told["sound"]) == (2, True)


def test_it_goes_on_where_it_came(desk: Desk, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    for _ in range(2):
        assert report(tmp_path, "verify", desk.home.folder, "--resume", state)["sound"]
    told = json.loads(state.read_text())
    assert told["key"] == desk.key.text()
    for wrong in ("x", "{}", json.dumps(told | {"key": "other"}), json.dumps(told | {"size": 5})):
        state.write_text(wrong)
        assert Said("verify", desk.home.folder, "--resume", state).code == 2


@pytest.mark.parametrize("path", ["nowhere", "nowhere.zip", "nowhere.yaml"])
def test_what_is_not_there(path: str, tmp_path: Path) -> None:
    said = Said("verify", tmp_path / path, "--key", "a+b+c")
    assert said.code == 2
    assert path in said.text


def test_by_the_device_file(desk: Desk, tmp_path: Path) -> None:
    import yaml

    values = {
        "device": "test",
        "streams": {"e": {"camera": "synthetic", "width": 64, "height": 48, "fps": 30}},
        "display": "e",
        "trail": {"folder": "trail"},
    }
    path = tmp_path / "device.yaml"
    path.write_text(yaml.safe_dump(values))
    assert report(tmp_path, "verify", path)["frames"] == 120
    path.write_text(yaml.safe_dump(values | {"trail": None}))
    assert "trail: found null" in Said("verify", path).text


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_lists_events_and_seconds(desk: Desk) -> None:
    lines = Said("show", desk.home.folder).text.splitlines()
    assert [line.split()[1] for line in lines if "FRAMES" in line] == ["FRAMES"] * 4
    assert any("PROCEDURE [recorder]: a procedure begins" in line for line in lines)
    assert any("endoscope 61…90: SHOW 30; NOMINAL; 10.0 ms; near" in line for line in lines)
    assert len(Said("show", desk.home.folder, "--limit", 3).text.splitlines()) == 3


FILTERS: dict[str, tuple[tuple[str, ...], Callable[[list[Any]], bool]]] = {
    "kind": (("--kind", "alert"), lambda found: [line["data"]["presence"] for line in found] == ["ON", "OFF"]),
    "kinds": (
        ("--kind", "start", "--kind", "STOP"),
        lambda found: {line["kind"] for line in found} == {"START", "STOP"},
    ),
    "text": (("--text", "model was"), lambda found: [line["name"] for line in found] == ["MODEL_LOADED"]),
    "frames": (("--frames", "--text", "near"), lambda found: sum(line["kind"] == "FRAME" for line in found) == 30),
    "procedure": (("--procedure", PROCEDURE.hex()[:6]), lambda found: "CLOSED" not in [line["name"] for line in found]),
    "since": (("--since", "2100-01-01T00:00:00Z"), lambda found: not found),
    "until": (("--until", "2001-01-01T00:00:00Z"), lambda found: not found),
    "stream": (("--stream", "other"), lambda found: all("FRAME" not in line["kind"] for line in found)),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(desk: Desk, tmp_path: Path, name: str) -> None:
    words, holds = FILTERS[name]
    assert holds(report(tmp_path, "show", desk.home.folder, *words))


def test_the_settings_are_in_the_trail(desk: Desk, tmp_path: Path) -> None:
    (begin,) = report(tmp_path, "show", desk.home.folder, "--text", "a procedure begins")
    assert json.loads(begin["payload"])["device"] == "Theatre 7"


def test_a_kind_that_is_none(desk: Desk) -> None:
    assert (
        "--kind: found nonsense, expected one of: start, " in Said("show", desk.home.folder, "--kind", "nonsense").text
    )


# --- taken out -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.zip", "out"])
def test_an_export_verifies_elsewhere_and_is_itself_recorded(desk: Desk, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    told = report(tmp_path, "export", desk.home.folder, "--out", target)
    assert (told["procedure"], told["frames"], told["noted"]) == (PROCEDURE.hex(), 120, "recorded in the trail")
    key = desk.key.text()
    (event,) = desk.events("EXPORT")
    assert event.kind is EventKind.EXPORT
    assert (event.data["to"], event.data["procedure"]) == (name, PROCEDURE.hex())
    shutil.rmtree(desk.home.folder)
    told = report(tmp_path, "verify", target, "--key", key)
    assert (told["frames"], told["begins"], told["ends"], told["sound"]) == (120, True, True, True)
    assert "--key: found none" in Said("verify", target).text
    if target.is_dir():
        done = subprocess.run(
            [sys.executable, str(VERIFIER), str(target), key], capture_output=True, check=False, text=True
        )
        assert done.stdout == "leaves 0 to 7 verify\n", done.stderr


def test_an_export_while_the_device_runs_is_recorded_by_the_device(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "trail")
    desk.second()
    told = report(tmp_path, "export", desk.home.folder, "--out", tmp_path / "out.zip")
    assert told["noted"] == "recorded in the trail by the running device"
    assert desk.events("EXPORT") == []
    desk.second()
    assert len(desk.events("EXPORT")) == 1
    assert "its end is not in it" in Said("verify", tmp_path / "out.zip", "--key", desk.key.text()).text


def test_an_export_of_a_copy_says_that_it_could_not_be_recorded(desk: Desk, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(desk.home.folder, copy)
    (copy / "key").unlink()
    told = report(tmp_path, "export", copy, "--out", tmp_path / "out.zip")
    assert told["noted"] == "not recorded in the trail: this is a copy without its key"
    assert not (copy / "key").exists()


def test_an_export_writes_over_nothing(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert Said("export", desk.home.folder, "--out", tmp_path / "out").code == 2
    assert Said("export", desk.home.folder).code == 2


def test_a_proof_of_one_second(desk: Desk, tmp_path: Path) -> None:
    target = tmp_path / "second.tlog-proof"
    assert Said("prove", desk.home.folder, "--frame", 61, "--out", target).code == 0
    assert Said("verify", target, "--key", desk.key.text()).code == 0
    assert Said("prove", desk.home.folder, "--leaf", 99, "--out", target).code == 2
    assert Said("prove", desk.home.folder, "--frame", 999, "--out", target).code == 2
    assert Said("prove", desk.home.folder).code == 2


# --- what must go ----------------------------------------------------------------------------------------------------


def test_a_salt_is_erased_once_and_the_trail_says_so(desk: Desk, tmp_path: Path) -> None:
    words = ("forget", desk.home.folder, "--procedure", PROCEDURE.hex()[:4])
    assert Said(*words).code == 0
    assert desk.home.salts().get(PROCEDURE) is None
    assert len(desk.events("SALT_ERASED")) == 1
    assert report(tmp_path, "verify", desk.home.folder)["sound"]
    assert Said(*words).code == 2


def test_the_salt_of_a_procedure_that_goes_on_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "trail")
    desk.second()
    said = Said("forget", desk.home.folder, "--procedure", PROCEDURE.hex())
    assert (said.code, "stop the device first" in said.text) == (2, True)


def test_a_trail_that_is_being_written_is_looked_at_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between two reads looks like damage, once."""
    real: Any = verify
    calls: list[Any] = []

    def once(files: Any, key: Any, **more: Any) -> Any:
        found = real(files, key, **more)
        calls.append(found)
        if len(calls) == 1:
            found.damage("tail", "half a batch", "a whole one")
        return found

    monkeypatch.setattr(audit, "verify", once)
    assert Said("verify", desk.home.folder).code == 1, "nobody writes: it is damage"
    calls.clear()
    desk.begin()
    assert Said("verify", desk.home.folder).code == 0
    assert len(calls) == 2


def test_what_is_old_goes_and_the_rest_still_verifies(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "trail")
    for _ in range(300):
        desk.frame()
        desk.recorder._close_batch(desk.clock.now())
        desk.clock.advance(10**9)
    desk.write()
    assert Said("prune", desk.home.folder, "--before", "2100-01-01").code == 3, "the device runs"
    desk.close()
    desk.kill()
    assert Said("prune", desk.home.folder, "--before", "2100-01-01", "--why", "test").code == 0
    told = report(tmp_path, "verify", desk.home.folder)
    assert (told["sound"], told["pruned_before"]) == (True, 256)
    (event,) = [line for line in report(tmp_path, "show", desk.home.folder) if line["kind"] == "PRUNE"]
    assert event["text"] == "test"
    assert Said("trace", desk.home.folder, "--frame", 1).code == 1
    assert Said("trace", desk.home.folder, "--frame", 299).code == 0


# --- the witness -----------------------------------------------------------------------------------------------------


def test_a_witness_vouches_and_a_cut_is_then_found(desk: Desk, tmp_path: Path) -> None:
    trail, folder = desk.home.folder, tmp_path / "witness"
    ask, answer = tmp_path / "ask", tmp_path / "answer"
    before = tmp_path / "before"
    shutil.copytree(trail, before)
    assert report(tmp_path, "export", trail, "--out", tmp_path / "x.zip")["noted"] == "recorded in the trail"
    assert Said("witness", "ask", ask, trail).code == 0
    assert Said("witness", "sign", folder, ask, answer, "--log", desk.key.text()).code == 0
    said = Said("witness", "sign", folder, ask, answer, "--log", desk.key.text())
    assert (said.code, "409" in said.text) == (1, True), "it has signed that already: --old says how far"
    kept = (folder / "witness.pub").read_text()
    assert Said("witness", "keep", answer, trail, "--witness", kept).code == 0
    assert len(desk.events("WITNESSED")) == 1
    assert Said("verify", trail, "--witness", kept).code == 0
    shutil.copy(trail / "log" / "witnessed", before / "log" / "witnessed")
    said = Said("verify", before, "--witness", kept)
    assert (said.code, "that were seen (witnessed)" in said.text) == (1, True)


def test_a_witness_that_does_not_know_the_log_refuses(desk: Desk, tmp_path: Path) -> None:
    other = Desk(tmp_path / "other")
    other.second()
    ask = tmp_path / "ask"
    assert Said("witness", "ask", ask, desk.home.folder).code == 0
    said = Said("witness", "sign", tmp_path / "w", ask, tmp_path / "a", "--log", other.key.text())
    assert (said.code, "404" in said.text) == (1, True)


# --- through the program ---------------------------------------------------------------------------------------------


def test_exit_codes_of_the_program(desk: Desk, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

    def run(*words: object) -> tuple[int, str]:
        command = [sys.executable, "-m", "inframe", "trail", *map(str, words)]
        done = subprocess.run(command, capture_output=True, check=False, text=True, env=environment)
        return done.returncode, done.stderr

    assert run("verify", desk.home.folder)[0] == 0
    code, said = run("verify", tmp_path / "nowhere")
    assert (code, len(said.splitlines())) == (2, 1)
    (desk.home.folder / "log" / "tail").write_bytes(b"nonsense")
    assert run("verify", desk.home.folder)[0] == 1
    code, said = run("trace", desk.home.folder, "--frame", 1)
    assert (code, len(said.splitlines())) == (1, 1)
