"""A candidate on a whole device, with real processes: shown, taken back, kept, without a frame lost, and all of it in the trail."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from inframe.core.config import ModelConfig
from inframe.core.errors import UpdateError
from inframe.core.health import Phase
from inframe.core.types import Verdict
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.orders import ask
from inframe.pipeline.board import Count
from inframe.pipeline.record import Shown
from inframe.resolve import resolve
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf, FrameLeaf
from tests.test_device import CELL, HEIGHT, WIDTH, go_on_until, open_device, records_of, write_device

CRASH = """
import os

from inframe.core.types import Heat

runs = 0


def decode(outputs, region):
    global runs
    runs += 1
    if runs == {at}:
        os.kill(os.getpid(), 9)
    heat = next(iter(outputs.values()))[0, 0]
    return Heat(heat.copy(), float(heat.max()), region)
"""


def scaled_model(path: Path, factor: float) -> None:
    """The picture in cells, times a factor: of the same kind as the device's own, and 1 is the very same."""
    shape = [1, 1, HEIGHT // CELL, WIDTH // CELL]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    by = helper.make_tensor("f", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "f"], ["y"])], "g", [x], [y], [by])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def write(folder: Path, **health: Any) -> Path:
    """The device of test_device with `candidate:`; its overlay may be held for a second, so that a busy machine does not matter."""
    path = write_device(folder, trail={"folder": "trail"}, candidate={"control": "control", "health": health})
    values = yaml.safe_load(path.read_text())
    values["models"]["eye"] |= {"decode": {"kind": "heat"}, "max_age_ms": 1000}
    values["models"]["eye"]["preprocess"]["scale"] = 1 / 255
    path.write_text(yaml.safe_dump(values))
    return path


def candidate(path: Path, **changes: Any) -> dict[str, ModelConfig]:
    """The device's model with changes."""
    values = yaml.safe_load(path.read_text())
    values["models"]["eye"] |= changes
    other = path.parent / "candidate.yaml"
    other.write_text(yaml.safe_dump(values))
    return dict(resolve(read_device(other), other).models)


class Watching:
    """Steps the device and keeps its records."""

    def __init__(self, running: Running) -> None:
        self.running, self.taken = running, list[Shown]()
        self._take = records_of(running)

    def until(self, condition: Callable[[], bool]) -> None:
        def look() -> bool:
            self.taken.extend(self._take())
            return condition()

        go_on_until(self.running, look)

    def newest(self) -> int:
        """The frame that was decided last."""
        self.taken.extend(self._take())
        return self.taken[-1].seq

    def frames(self, count: int) -> None:
        """So many more."""
        until = len(self.taken) + count
        self.until(lambda: len(self.taken) >= until)


def told(trail: Path) -> tuple[dict[int, tuple[str, str]], list[str]]:
    """By frame: the digest and the slot of its model; and the names of the events of kind UPDATE."""
    home = Home(trail)
    (log,), (key,) = home.logs(), home.public_keys()
    leaves = [decode(entry) for _, entry in Log(Disk(log), key).entries()]
    models = {
        frame.seq: (leaf.models[0].bundle.hex(), leaf.models[0].slot)
        for leaf in leaves
        if isinstance(leaf, FrameLeaf)
        for frame in leaf.frames
    }
    return models, [
        e.name for leaf in leaves if isinstance(leaf, EventLeaf) for e in leaf.events if e.kind.name == "UPDATE"
    ]


def test_a_candidate_is_shown_taken_back_and_kept_without_a_frame_lost(tmp_path: Path) -> None:
    scaled_model(tmp_path / "other.onnx", 1.0)
    path = write(tmp_path, shadow_frames=20, window=10, missed=1.0)
    other = candidate(path, file="other.onnx")
    with open_device(path) as running:
        see = Watching(running)
        see.until(lambda: bool(see.taken) and see.taken[-1].verdict is Verdict.SHOW)
        first, moves = see.taken[-1].seq, list[int]()
        for end in (running.back, running.keep):
            see.until(lambda: not running.supervisor.has("shadow"))
            running.propose(other)
            with pytest.raises(UpdateError, match="ready: found a worker that is still being set up"):
                running.switch()
            see.until(lambda: running.health().measured.compared >= 20)
            assert running.health().measured.worst == 0.0
            moves.append(see.newest())
            running.switch()
            see.frames(20)
            assert running.health().phase is Phase.TRIAL
            moves.append(see.newest())
            end()
            see.frames(20)
        assert running.supervisor.pid("worker.worker") is None
        see.until(lambda: "WORKER_LOST" not in running.board.faults())
        see.frames(40)  # more than a second: the recorder writes them down
    shown = [one for one in see.taken if one.seq >= first]
    assert [one.seq for one in shown] == list(range(first, first + len(shown)))
    assert all(one.shown_ns for one in shown)
    switched, taken_back, again, kept = moves
    for one in (
        shown
    ):  # the frame at which a move was asked for may be before it or behind it; on trial the one before may stand in
        if one.seq <= switched or taken_back + 1 < one.seq <= again:
            assert one.places == 0
        if one.seq > kept + 1:
            assert one.places == 1
    for began, ended in ((switched, taken_back), (again, kept)):
        assert {one.places for one in shown if began + 1 < one.seq <= ended} >= {1}
        assert sum(one.verdict is Verdict.WITHHOLD for one in shown if began < one.seq <= ended) <= 1
    models, events = told(tmp_path / "trail")
    files = {0: "identity.onnx", 1: "other.onnx"}
    for one in shown[:-20]:
        assert models[one.seq][0] == hashlib.sha256((tmp_path / files[one.places]).read_bytes()).hexdigest()
    assert {models[one.seq][1] for one in shown[:-20]} == {"unsigned"}
    expected = ["PROPOSED", "SHOWN", "TAKEN_BACK", "PROPOSED", "SHOWN", "KEPT"]
    assert events == [f"CANDIDATE_{move}" for move in expected]


def test_a_candidate_that_disagrees_on_live_video_ends_in_shadow(tmp_path: Path) -> None:
    scaled_model(tmp_path / "wrong.onnx", 0.0)
    path = write(tmp_path, shadow_frames=20, window=10)
    with open_device(path) as running:
        see = Watching(running)
        see.frames(5)
        running.propose(candidate(path, file="wrong.onnx"))
        see.until(lambda: running.board.row("shadow").get(Count.READY_NS) != 0)
        pid = running.supervisor.pid("shadow")
        if pid is not None:  # not yet taken back: then it is measured by the next one
            os.kill(pid, signal.SIGKILL)
        see.until(lambda: running.health().phase is Phase.NONE)
        why, health = running.candidate.last
        assert why.startswith("disagreement: found")
        assert health.phase is Phase.SHADOW
        see.until(lambda: not running.supervisor.has("worker.worker.b"))
        see.until(lambda: not running.board.faults().keys() & {"SHADOW_LOST", "WORKER_LOST"})
        assert not {one.places for one in see.taken} - {0}
        assert running.supervisor.pid("worker.worker") is not None


@pytest.mark.parametrize("how", ["crash", "kill", "hang"])
def test_a_candidate_that_crashes_on_trial_is_taken_back(tmp_path: Path, how: str) -> None:
    (tmp_path / "crash.py").write_text(CRASH.format(at=80 if how == "crash" else -1))
    path = write(tmp_path, shadow_frames=10, window=10, missed=1.0)
    function: dict[str, Any] = {"kind": "function", "function": "crash.py:decode", "returns": "heat"}
    function["size"] = [WIDTH // CELL, HEIGHT // CELL]
    with open_device(path) as running:
        see = Watching(running)
        see.until(lambda: bool(see.taken) and see.taken[-1].verdict is Verdict.SHOW)
        first = see.taken[-1].seq
        running.propose(candidate(path, decode=function))
        see.until(lambda: running.health().measured.compared >= 10)
        ask_from_outside(tmp_path, running, {"order": "switch"})
        see.frames(3)
        pid = running.supervisor.pid("worker.worker.b")
        assert pid is not None
        if how != "crash":
            os.kill(pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        see.until(lambda: running.health().phase is Phase.NONE)
        assert running.candidate.last[0] == "crashes: found 1, expected at most 0"
        assert "CANDIDATE_TAKEN_BACK" in running.board.faults()
        see.until(lambda: see.taken[-1].places == 0 and see.taken[-1].verdict is Verdict.SHOW)
        see.frames(5)
        assert running.board.row("display").get(Count.VERDICT) in (Verdict.SHOW, Verdict.HOLD)
    shown = [one for one in see.taken if one.seq >= first]
    assert [one.seq for one in shown] == list(range(first, first + len(shown)))
    assert {one.places for one in shown} == {0, 1}
    assert shown[-1].places == 0


def ask_from_outside(folder: Path, running: Running, order: dict[str, Any]) -> None:
    """Through the device's socket, as another program would."""
    import threading

    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask(folder / "control", order)))
    thread.start()
    go_on_until(running, lambda: bool(answers))
    thread.join()
    assert answers[0]["health"]["phase"] == Phase.TRIAL
