"""Whole devices, with real processes, memory and signals.

Nothing here is timed; waiting is for a condition, with a generous end.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from inframe.core.errors import AlreadyTold
from inframe.core.types import Heat, Result
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.drivers.cameras.synthetic import read_number
from inframe.machine.supervise import Notice
from inframe.pipeline import results
from inframe.pipeline.board import Count
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from inframe.resolve import resolve
from inframe.table import PROCESSES, names
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import FrameLeaf
from inframe.trail.verify import verify

LIMIT_S = 60.0
WIDTH, HEIGHT = 640, 360
CELL = 4


def identity_model(path: Path) -> None:
    """What goes in comes out: (1, 1, h, w) float32, a cell of CELL x CELL pixels each."""
    shape = [1, 1, HEIGHT // CELL, WIDTH // CELL]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def write_device(folder: Path, **changes: Any) -> Path:
    """A device with the synthetic camera whose model says what it saw."""
    identity_model(folder / "identity.onnx")
    preprocess: dict[str, Any] = {
        "size": [WIDTH // CELL, HEIGHT // CELL],
        "fit": "stretch",
        "interpolation": "nearest",
        "colour": "gray",
    }
    preprocess |= {"layout": "nchw", "dtype": "float32", "scale": 1}
    model = {"stream": "endoscope", "file": "identity.onnx", "budget_ms": 10, "preprocess": preprocess}
    model |= {"decode": {"kind": "heat", "full_scale": 255}, "labels": ["light"]}
    values = {
        "device": "test",
        "streams": {"endoscope": {"camera": "synthetic", "width": WIDTH, "height": HEIGHT, "fps": 30}},
        "display": "endoscope",
        "allow_unsigned": True,
        "models": {"eye": model},
        "trail": None,
    }
    path = folder / "device.yaml"
    path.write_text(yaml.safe_dump(values | changes), "utf-8")
    return path


def open_device(path: Path, notices: list[Notice] | None = None) -> Running:
    return Running(resolve(read_device(path), path), path, (notices if notices is not None else []).append)


def go_on_until(running: Running, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"never came true; faults {running.board.faults()}"
        running.step()
        signal.sigtimedwait([], 0.005)


def records_of(running: Running) -> Callable[[], list[Shown]]:
    return RecordReader(RingReader(running.shared["records.read"]), fields_of(running.device)).take


def seqs(trail: Path) -> list[int]:
    """The numbers of the frames in a trail that verifies."""
    home = Home(trail)
    (log,), (key,) = home.logs(), home.public_keys()
    verify(Disk(log), key).raise_if_damaged()
    leaves = [decode(entry) for _, entry in Log(Disk(log), key).entries()]
    return [frame.seq for leaf in leaves if isinstance(leaf, FrameLeaf) for frame in leaf.frames if frame.seq]


def children() -> set[int]:
    me = os.getpid()
    return {int(pid) for task in Path(f"/proc/{me}/task").iterdir() for pid in (task / "children").read_text().split()}


def test_the_overlay_on_the_screen_is_of_the_very_frame_under_it(tmp_path: Path) -> None:
    """The camera codes its number into the picture. The model hands on what it saw; the screen shows a picture. For each
    picture shown with an overlay, the number that the model saw is the number in the picture on the screen."""
    with open_device(write_device(tmp_path)) as running:
        screen, seen = RingReader(running.shared["screen.read"]), RingReader(running.shared["results.eye.read"])
        proven: set[int] = set()

        def look() -> bool:
            header = screen.header(screen.newest())
            if header is None or header.tag == 0:
                return False
            picture = screen.payload(header.seq).reshape(HEIGHT, WIDTH, 3).copy()
            said = results.read_newest(seen, "eye", 1)
            if (
                not screen.holds(header.seq)
                or not isinstance(said, Result)
                or said.seq != header.tag
                or header.kind != 1
            ):
                return False
            assert isinstance(said.output, Heat)
            cells = np.repeat(np.repeat(said.output.heat, CELL, 0), CELL, 1)
            by_model = read_number(np.repeat(cells[..., None], 3, 2).astype(np.uint8))
            on_screen = read_number(picture)
            assert by_model is not None
            assert by_model == on_screen
            proven.add(by_model)
            return len(proven) >= 40

        go_on_until(running, look)
    assert len(proven) == 40


def test_every_process_is_ready_closed_in_and_gone_at_the_end(tmp_path: Path) -> None:
    sensor = {"sensor": "simulator", "signal": "force", "rate_hz": 100, "channels": {"f": {"unit": "N"}}}
    path = write_device(
        tmp_path,
        screens=[{"kind": "web", "port": 0}],
        trail={"folder": "trail"},
        recording={"folder": "rec"},
        monitor={"folder": "monitor"},
        sensors={"force": sensor | {"align": {"how": "hold", "max_age_ms": 50}}},
    )
    before, cores = children(), os.sched_getaffinity(0)
    shared_memory = set(Path("/dev/shm").iterdir())
    with open_device(path) as running:
        rows = names(running.device)
        assert {name.split(".")[0] for name in rows} == set(PROCESSES) - {"screen", "shadow", "guard", "assistant"}
        go_on_until(running, lambda: all(running.board.row(name).get(Count.READY_NS) for name in rows))
        for name in rows:
            status = Path(f"/proc/{running.supervisor.pid(name)}/status").read_text()
            assert "Seccomp:\t2" in status, name
            assert "NoNewPrivs:\t1" in status, name
        assert len(children() - before) == len(rows)
        go_on_until(running, lambda: running.board.row("recorder").get(Count.FRAMES) > 10)
    assert children() == before
    assert os.sched_getaffinity(0) == cores
    assert set(Path("/dev/shm").iterdir()) == shared_memory
    assert seqs(tmp_path / "trail")[:10] == list(range(1, 11))


@pytest.mark.parametrize(
    ("kind", "event"), [("worker", "WORKER_LOST"), ("recorder", "RECORDER_LOST"), ("capture", "CAPTURE_LOST")]
)
def test_a_killed_process_is_announced_and_replaced(tmp_path: Path, kind: str, event: str) -> None:
    path = write_device(tmp_path, trail={"folder": "trail"})
    notices: list[Notice] = []
    with open_device(path, notices) as running:
        name = next(name for name in names(running.device) if name.startswith(kind))
        go_on_until(running, lambda: running.board.row(name).get(Count.FRAMES) > 5)
        pid = running.supervisor.pid(name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        go_on_until(running, lambda: event in running.board.faults())
        frames = running.board.row(name).get(Count.FRAMES)
        go_on_until(running, lambda: running.board.row(name).get(Count.FRAMES) > frames + 5)
        go_on_until(running, lambda: event not in running.board.faults())
        assert running.supervisor.pid(name) not in (None, pid)
    assert [(n.name, n.kind) for n in notices if n.kind == "died"] == [(name, "died")]


def test_a_stream_that_ends_ends_the_device_with_every_frame_shown(tmp_path: Path) -> None:
    stream = {"camera": "synthetic", "width": WIDTH, "height": HEIGHT, "fps": 30, "frames": 30}
    with open_device(write_device(tmp_path, streams={"endoscope": stream})) as running:
        taken: list[Shown] = []
        take = records_of(running)

        def over() -> bool:
            taken.extend(take())
            return not running.step()

        go_on_until(running, over)
        taken += take()
    assert [record.seq for record in taken if record.seq] == list(range(1, 31))


def test_input_that_a_process_refuses_ends_the_device(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_device(tmp_path)
    (tmp_path / "identity.onnx").write_bytes(b"not a model")
    with open_device(path) as running, pytest.raises(AlreadyTold):
        go_on_until(running, lambda: False)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "identity.onnx" in lines[0]


def run_program(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "inframe", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def wait_for_children(pid: int, count: int) -> set[int]:
    end = time.monotonic() + LIMIT_S
    while True:
        found = {int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
        if len(found) >= count:
            return found
        assert time.monotonic() < end
        signal.sigtimedwait([], 0.02)


def gone(pids: set[int]) -> bool:
    return not any(
        Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() for pid in pids
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_however_the_program_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    program = run_program("run", str(write_device(tmp_path)))
    started = wait_for_children(program.pid, 3)
    program.send_signal(number)
    out, _ = program.communicate(timeout=LIMIT_S)
    if number is not signal.SIGKILL:
        assert program.returncode == 0
        assert b"how every frame fared" in out
    end = time.monotonic() + LIMIT_S
    while not gone(started):
        assert time.monotonic() < end
        signal.sigtimedwait([], 0.02)


def test_the_process_table_is_wired_to_known_events() -> None:
    from inframe.core.events import EVENTS

    for role in PROCESSES.values():
        assert role.lost in EVENTS
        assert role.given_up in EVENTS
    order = [PROCESSES[kind].priority for kind in ("display", "capture", "worker")]
    assert order == sorted(order, reverse=True)
