"""From a camera to a court: a real device runs, its recorder is killed in between, and its trail answers and verifies."""

import itertools
import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from inframe import audit, inquiry
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.trail.export import export
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import NO_DIGEST, EventKind, EventLeaf, EventRecord, FrameLeaf
from inframe.trail.verify import verify
from tests.test_device import go_on_until, open_device, run_program, write_device

VERIFIER = Path(__file__).parent / "trail" / "independent_verifier.py"
KILLS = int(os.environ.get("INFRAME_DEVICE_KILLS", "1"))


def read(folder: Path) -> tuple[list[FrameLeaf], list[EventRecord], Any]:
    """The frames' leaves, the events and the report of a trail that verifies."""
    home = Home(folder)
    (path,), (key,) = home.logs(), home.public_keys()
    report = verify(Disk(path), key)
    report.raise_if_damaged()
    leaves = [decode(entry) for _, entry in Log(Disk(path), key).entries()]
    events = [event for leaf in leaves if isinstance(leaf, EventLeaf) for event in leaf.events]
    return [leaf for leaf in leaves if isinstance(leaf, FrameLeaf)], events, report


def recorded(running: Running, frames: int) -> None:
    """Wait until so many more frames are safe, by a recorder that runs."""
    row = running.board.row("recorder")
    go_on_until(running, lambda: bool(row.get(Count.READY_NS)))
    enough = row.get(Count.FRAMES) + frames
    go_on_until(running, lambda: row.get(Count.FRAMES) >= enough)


def test_a_device_whose_recorder_is_killed_has_every_frame_and_a_gap(tmp_path: Path) -> None:
    path = write_device(tmp_path, trail={"folder": "trail"})
    with open_device(path) as running:
        row = running.board.row("recorder")
        for _ in range(KILLS):
            recorded(running, 40)
            os.kill(running.supervisor.pid("recorder") or 0, signal.SIGKILL)
            go_on_until(running, lambda: row.get(Count.READY_NS) == 0)
        recorded(running, 40)
        shown = running.board.row("display").get(Count.FRAMES)
    leaves, events, report = read(tmp_path / "trail")
    frames = [frame for leaf in leaves for frame in leaf.frames if frame.seq]
    gaps = [event.name for _, event in report.gaps]
    assert len(gaps) >= KILLS, "more, where this machine stood still for so long that the recorder was taken to hang"
    assert set(gaps) <= {"NOT_CLOSED", "TORN"}
    assert len(frames) >= shown
    for before, after in itertools.pairwise(frames):
        assert after.seq == before.seq + 1 + after.dropped, "a frame is missing, and nothing says so"
    # what it is made of
    model = sha256((tmp_path / "identity.onnx").read_bytes()).digest()
    assert {leaf.models[0].bundle for leaf in leaves} - {NO_DIGEST} == {model}
    assert leaves[-1].models[0].engine.startswith("onnxruntime ")
    with_input = [frame for frame in frames if frame.input != NO_DIGEST]
    assert len({frame.input for frame in with_input}) == len(with_input) >= 20, "the camera's pictures all differ"
    assert [event.name for event in events if event.kind is EventKind.STOP] == ["DEVICE", "PROCEDURE", "CLOSED"]
    assert {"DEVICE", "PROCEDURE", "MODEL_LOADED", "PROCESS_STARTED", "PROCESS_DIED"} <= {e.name for e in events}
    salts = list((tmp_path / "trail" / "salts").iterdir())
    assert len(salts) == 1, "one procedure, whichever recorder writes it"


def test_what_a_running_device_recorded_is_traced_exported_and_checked_by_others(tmp_path: Path) -> None:
    path = write_device(tmp_path, trail={"folder": "trail"})
    with open_device(path) as running:
        row = running.board.row("recorder")
        go_on_until(running, lambda: row.get(Count.FRAMES) >= 40)
        place = audit.find_log(path)
        (live,) = inquiry.by_number(place.log(), 20, None, None)  # while it runs
        assert live.frame.seq == 20
        go_on_until(running, lambda: row.get(Count.FRAMES) >= 80)
    log = place.log()
    (later,) = inquiry.by_number(log, 20, None, None)
    assert later.frame == live.frame
    (moment,) = inquiry.at_time(log, later.leaf.header.wall_ns(later.frame.shown_ns))
    assert moment.frame == later.frame
    report = export(log, inquiry.procedure_id(log, None), tmp_path / "out")
    assert (report.begins, report.ends, report.gaps) == (True, True, 0)
    for folder in (tmp_path / "out", place.path):
        command = [sys.executable, str(VERIFIER), str(folder), place.key.text()]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert (done.returncode, done.stdout.endswith("verify\n")) == (0, True), done.stderr


def test_killed_with_everything_the_trail_still_says_how_far_it_came(tmp_path: Path) -> None:
    """The whole device is gone at once, as when the power goes; the next start says so and goes on."""
    path = write_device(tmp_path, trail={"folder": "trail"})
    program = run_program("run", str(path), "--seconds", "60")
    log = tmp_path / "trail" / "log" / "tail"
    while not (log.exists() and log.stat().st_size > 6000):
        assert program.poll() is None
        signal.sigtimedwait([], 0.02)
    program.kill()
    program.communicate()
    again = run_program("run", str(path), "--seconds", "2", "--json", str(tmp_path / "out.json"))
    assert again.communicate()
    assert again.returncode == 0
    leaves, events, report = read(tmp_path / "trail")
    assert {event.name for _, event in report.gaps} in ({"NOT_CLOSED"}, {"TORN"})
    assert [event.name for event in events].count("PROCEDURE") == 3, "begun, begun, ended"
    assert len({leaf.header.procedure for leaf in leaves}) == 2
    assert json.loads((tmp_path / "out.json").read_text())["shown"] > 0


def test_a_device_refuses_a_key_that_is_none(tmp_path: Path) -> None:
    path = write_device(tmp_path, trail={"folder": "trail", "key": "identity.onnx"})
    program = run_program("run", str(path), "--seconds", "60")
    _, error = program.communicate()
    assert program.returncode == 2
    assert len(error.splitlines()) == 1
    assert b"trail.key: found no key of a trail" in error
