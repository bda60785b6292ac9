"""The command line: help everywhere, one line for what is wrong, the exit codes, reports as JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from inframe import __version__, cli
from inframe.core.errors import AlreadyTold, BundleError, ConfigError, DeviceFault
from tests import devices

COMMANDS = {
    "demo": {"--seconds", "--json"},
    "run": {"--seconds", "--json"},
    "check": {"--schema", "--json"},
    "doctor": {"--folder", "--json"},
    "inspect": {"--starter", "--json"},
    "calibrate": {"--columns", "--rows", "--square-mm", "--marker-mm", "--board", "--json"},
    "register": {"--device", "--tool", "--json"},
    "bench": {"--seconds", "--only", "--json"},
    "chaos": {"--only", "--json"},
}


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Inframe = Callable[..., Ended]


@pytest.fixture
def inframe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inframe:
    """`inframe ARGUMENTS…` in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["inframe", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        taken = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, taken.out, taken.err)

    return run


def refused(ended: Ended) -> str:
    """The one line of a command that refused its input."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("inframe: ")
    assert ended.err.endswith("\n")
    line = ended.err[:-1]
    assert line.isprintable()
    return line.removeprefix("inframe: ")


# --- help and usage --------------------------------------------------------------------------------------------------


def test_the_commands_are_these(inframe: Inframe) -> None:
    code, out, _ = inframe("--help")
    listed = [
        line.split()[0]
        for line in out[out.index("Commands:") :].splitlines()[1:]
        if line.startswith("  ") and line[2] != " "
    ]
    groups = [
        "cases",
        "pccp",
        "candidate",
        "monitor",
        "record",
        "console",
        "trail",
        "bundle",
        "update",
        "release",
        "assistant",
    ]
    assert (code, listed) == (0, [*COMMANDS, "replay", "revalidate", *groups])
    assert "Not a cleared medical device" in " ".join(out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_names_its_options(command: str, inframe: Inframe) -> None:
    code, out, err = inframe(command, "--help")
    assert (code, err) == (0, "")
    assert {word.strip(",") for word in out.split() if word.startswith("--")} == COMMANDS[command] | {"--help"}
    doc = getattr(cli, command).__doc__
    assert doc
    assert " ".join(out.split()).find(" ".join(doc.split())) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("run",),
        ("inspect",),
        *((command, "--nonsense") for command in COMMANDS),
        *((command, "--json") for command in COMMANDS),
        ("run", "a.yaml", "b.yaml"),
        ("run", "a.yaml", "--seconds", "0"),
        ("run", "a.yaml", "--seconds", "nan"),
        ("run", "a.yaml", "--seconds", "soon"),
        ("bench", "--seconds", "29"),
    ],
)
def test_what_is_no_command_is_said_and_exits_with_2(arguments: tuple[str, ...], inframe: Inframe) -> None:
    code, out, err = inframe(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert "Traceback" not in err


def test_nothing_at_all_shows_the_help(inframe: Inframe) -> None:
    code, out, err = inframe()
    assert code == 2
    assert "Commands:" in out + err


def test_the_version(inframe: Inframe) -> None:
    assert inframe("--version") == Ended(0, f"inframe {__version__}\n", "")


def test_it_is_also_a_module() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "inframe", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, f"inframe {__version__}\n")


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("f", "x", "a\nb", "c"), 2, "inframe: f: x: found a\\nb, expected c\n"),
        (
            BundleError("x.inframe", "signatures", "none", "one"),
            2,
            "inframe: x.inframe: signatures: found none, expected one\n",
        ),
        (DeviceFault("the disk"), 3, "inframe: the disk\n"),
        (AlreadyTold("worker"), 2, ""),
        (KeyboardInterrupt(), 130, None),
        (PermissionError(13, "Permission denied", "/x\n"), 3, "inframe: [Errno 13] Permission denied: '/x\\n'\n"),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, said: str | None, inframe: Inframe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("inframe.doctor.examine", fail)
    ended = inframe("doctor")
    if said is None:  # click's own, before it comes to us
        assert ended.code in (1, code)
    else:
        assert ended == Ended(code, "", said)


def test_files_that_are_not_there(inframe: Inframe, tmp_path: Path) -> None:
    for command in ("run", "check"):
        line = refused(inframe(command, tmp_path / "no.yaml"))
        assert line == f"{tmp_path}/no.yaml: file: found No such file or directory, expected a readable device file"
    assert refused(inframe("check")) == "inframe check: DEVICE: found nothing, expected a device file, or --schema"
    assert refused(inframe("chaos", "--only", "x")).startswith(
        "inframe chaos: --only: found x, expected one or more of: "
    )


# --- reports as JSON -------------------------------------------------------------------------------------------------

WORK = {
    "demo": ("inframe.demo.demo", ()),
    "run": ("inframe.demo.run_and_show", ("device.yaml",)),
    "check": ("inframe.checking.check_device", ("device.yaml",)),
    "doctor": ("inframe.doctor.examine", ()),
    "inspect": ("inframe.checking.inspect_model", ("model.onnx",)),
    "bench": ("inframe.bench.report.measure_and_show", ()),
    "calibrate": ("inframe.calibration.calibrate_and_show", ("photo.png",)),
    "register": (
        "inframe.registration.register_and_show",
        ("points.csv", "--device", "device.yaml", "--tool", "hook"),
    ),
    "chaos": ("inframe.chaos.campaign.break_and_show", ()),
}
REPORT = {"checked": [], "held": True, "value": 1.5, "text": "ä"}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_report_can_be_had_as_json(
    command: str, inframe: Inframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, arguments = WORK[command]
    done: Any = [] if command == "doctor" else REPORT
    monkeypatch.setattr(target, lambda *_: done)
    file = tmp_path / "report.json"
    file.write_text("what was there before, and is longer than the report" * 50)
    assert inframe(command, *arguments, "--json", file).code == 0
    expected = {"rows": []} if command == "doctor" else REPORT
    assert json.loads(file.read_text("utf-8")) == expected
    assert inframe(command, *arguments).code == 0


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("file", "reason"),
    [("no/such/folder/f.json", "No such file or directory"), (".", "Is a directory")],
)
def test_a_file_that_can_not_be_written_is_said_before_the_work_is_done(
    command: str, file: str, reason: str, inframe: Inframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target, arguments = WORK[command]
    monkeypatch.setattr(target, lambda *_: pytest.fail("the work was done first"))
    line = refused(inframe(command, *arguments, "--json", file))
    assert line.endswith(f": --json: found {reason}, expected a file that can be written")


def test_a_disk_that_fills_up_meanwhile_is_one_line_too(
    inframe: Inframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_bytes(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inframe.doctor.examine", lambda _: [])
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    ended = inframe("doctor", "--json", tmp_path / "f.json")
    assert ended.code == 2
    assert (
        ended.err
        == f"inframe: {tmp_path}/f.json: --json: found No space left on device, expected a file that can be written\n"
    )


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("worst", "code"), [("OK", 0), ("SKIP", 0), ("WARN", 0), ("FAIL", 1)])
def test_doctor_fails_only_on_fail(
    worst: str, code: int, inframe: Inframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"name": name, "status": status, "found": "[x]", "advice": ""} for name, status in (("a", "OK"), ("b", worst))
    ]
    monkeypatch.setattr("inframe.doctor.examine", lambda _: rows)
    ended = inframe("doctor", "--json", tmp_path / "f.json")
    assert ended.code == code
    assert "[x]" in ended.out
    assert f"{1 + (worst == 'OK')} OK" in ended.out
    assert json.loads((tmp_path / "f.json").read_text()) == {"rows": rows}


def test_doctor_says_what_this_machine_can_do(inframe: Inframe, tmp_path: Path) -> None:
    ended = inframe("doctor", "--folder", tmp_path, "--json", tmp_path / "f.json")
    rows = json.loads((tmp_path / "f.json").read_text())["rows"]
    assert {row["status"] for row in rows} <= {"OK", "WARN", "FAIL", "SKIP"}
    assert ended.code == int(any(row["status"] == "FAIL" for row in rows))
    engine = next(row for row in rows if row["name"] == "engine onnxruntime")
    assert engine["status"] == "OK"
    assert "CPUExecutionProvider" in engine["found"]
    assert all(row["advice"] for row in rows if row["status"] in ("WARN", "FAIL"))


@pytest.mark.parametrize(("held", "code"), [(True, 0), (False, 1)])
def test_chaos_fails_when_the_picture_did_not_hold(
    held: bool, code: int, inframe: Inframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[Any] = []

    def campaign(_out: object, only: list[str] | None) -> dict[str, Any]:
        chosen.append(only)
        return {"faults": [], "held": held}

    monkeypatch.setattr("inframe.chaos.campaign.break_and_show", campaign)
    assert inframe("chaos", "--only", "a", "--only", "b", "--json", tmp_path / "f.json").code == code
    assert json.loads((tmp_path / "f.json").read_text())["held"] is held
    assert inframe("chaos").code == code
    assert [list(one) if one else one for one in chosen] == [["a", "b"], chosen[1]]
    assert not chosen[1]


def test_check_lists_what_it_found_in_order(inframe: Inframe, tmp_path: Path) -> None:
    code, out, err = inframe("check", devices.write(tmp_path), "--json", tmp_path / "f.json")
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "f.json").read_text())
    assert out.splitlines() == [f"OK    {line}" for line in report["checked"]]
    assert (report["device"], report["file"]) == ("test", str(tmp_path / "device.yaml"))


def test_the_schema_is_printed_as_json(inframe: Inframe) -> None:
    code, out, err = inframe("check", "--schema")
    assert (code, err) == (0, "")
    assert json.loads(out)["title"] == "Device"


def test_inspect_passes_on_what_its_child_says(inframe: Inframe, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    line = refused(inframe("inspect", tmp_path / "m.onnx"))
    assert line.startswith(f"{tmp_path}/m.onnx: file: found not an ONNX file")


def test_options_reach_the_work(inframe: Inframe, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []

    def note(*given: object) -> dict[str, Any]:
        told.append(given[1:])
        return REPORT

    for command in ("demo", "run", "inspect", "bench"):
        monkeypatch.setattr(WORK[command][0], note)
    inframe("demo", "--seconds", 1.5)
    inframe("run", "d.yaml", "--seconds", 2)
    inframe("run", "d.yaml")
    inframe("inspect", "m.onnx", "--starter", "s.yaml")
    inframe("bench")
    inframe("bench", "--seconds", 30, "--only", "idle")
    assert told == [
        (1.5,),
        (Path("d.yaml"), 2.0),
        (Path("d.yaml"), None),
        (Path("m.onnx"), Path("s.yaml")),
        (240, None),
        (30.0, ["idle"]),
    ]


def test_a_board_is_written_and_what_does_not_suffice_is_one_line(inframe: Inframe, tmp_path: Path) -> None:
    board = tmp_path / "board.png"
    assert inframe("calibrate", "--board", str(board))[0] == 0
    code, _, err = inframe("calibrate", str(board))
    assert (code, err.count("\n")) == (2, 1)
    assert "photos: found 1 of 1, expected 5 or more" in err
