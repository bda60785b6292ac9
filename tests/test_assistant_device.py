"""The assistant of a running device: its guard, its box, and what is asked of it over its socket."""

import json
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from inframe.assistant import llamacpp
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.procedure import Follower, run
from inframe.resolve import resolve
from tests import devices
from tests.test_serving import Client, chat

pytestmark = pytest.mark.skipif(llamacpp.library() is None, reason="xllamacpp is not installed")
LIMIT_S = 60.0


class Seen(Exception):  # ends the device
    """All of it was seen."""


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_writes_is_frozen_when_a_worker_dies_and_ends_with_the_device(tmp_path: Path) -> None:
    path = devices.write(tmp_path, changes={"trail": {"folder": "trail"}, "assistant": {"socket": "asked"}})
    seen: list[str] = []
    boxes: list[int] = []
    asking: list[Client] = []

    def tick(running: Running, _follower: Follower) -> None:
        box = running.board.row("guard").get(Count.SEQ)
        ready = running.board.row("assistant").get(Count.READY_NS)
        recorded = running.board.row("recorder").get(Count.FRAMES)
        if not seen and ready and recorded > 60 and box and os.sched_getscheduler(box) == os.SCHED_IDLE:
            boxes.append(box)
            client = Client(tmp_path / "asked")
            client.request("POST", "/v1/chat/completions", json.dumps(chat("note")))
            asking.append(client)
            seen.append("asked")
        elif seen == ["asked"] and running.board.row("assistant").get(Count.FRAMES):
            with closing(asking[0]) as client:
                told = client.getresponse().read().decode()
            assert "The procedure began" in told
            worker = running.supervisor.pid("worker.worker")
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
            seen.append("killed")
        elif seen == ["asked", "killed"] and state(box) == "T":
            seen.append("frozen")
        elif seen[2:] == ["frozen"] and state(box) != "T":
            seen.append("free")
            raise Seen

    with pytest.raises(Seen):
        run(resolve(read_device(path), path), path, LIMIT_S, tick)
    assert seen == ["asked", "killed", "frozen", "free"]
    assert not Path(f"/proc/{boxes[0]}").exists()
    assert not (tmp_path / "asked").exists()
