"""The assistant of a running device: its guard, its box, and what is asked of it over its socket."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from inframe.assistant import llamacpp
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.procedure import Follower, run
from inframe.resolve import resolve
from inframe.table import layout_of, partition_of
from tests import devices
from tests.test_serving import Client, chat

pytestmark = pytest.mark.skipif(llamacpp.library() is None, reason="xllamacpp is not installed")
LIMIT_S = 60.0


class Seen(Exception):  # ends the device
    """All of it was seen."""


def test_a_server_in_the_hospital_is_reached_and_no_other(tmp_path: Path) -> None:
    """Its process has that one address, and still serves its socket."""
    with server() as url:
        assistant = {"socket": "asked", "model": None, "server": {"url": url}}
        path = devices.write(tmp_path, changes={"trail": {"folder": "trail"}, "assistant": assistant})
        asking: list[Client] = []

        def tick(running: Running, _follower: Follower) -> None:
            row = running.board.row("assistant")
            if not asking and row.get(Count.READY_NS) and running.board.row("recorder").get(Count.FRAMES) > 60:
                asking.append(ask(tmp_path / "asked"))
            elif row.get(Count.FRAMES):
                raise Seen

        device = resolve(read_device(path), path)
        partition = partition_of(device, "assistant", "", layout_of(device))
        assert partition.network == "camera"
        assert partition.addresses == {("127.0.0.1", urlsplit(url).port)}
        with pytest.raises(Seen):
            run(device, path, LIMIT_S, tick)
        with closing(asking[0]) as client:
            told = json.loads(client.getresponse().read())
    assert told["inframe"]["fallbacks"] == []
    assert told["inframe"]["origin"] == "model"


@contextmanager
def server() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.assistant.llama_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line for line in process.stdout if line.startswith("http")).strip()
        finally:
            process.kill()


def ask(path: Path) -> Client:
    client = Client(path)
    client.request("POST", "/v1/chat/completions", json.dumps(chat("note")))
    return client


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
            asking.append(ask(tmp_path / "asked"))
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
