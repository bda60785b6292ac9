"""A box beside a running device: still until the picture is well, still again when something breaks."""

import os
import signal
from pathlib import Path

import pytest

from inframe.assistant.box import Box
from inframe.assistant.guard import Guard
from inframe.beside import guarding, mode_of
from inframe.core.clock import MonotonicClock
from inframe.core.types import Mode
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.machine.walls import Limits
from inframe.procedure import Follower, run
from inframe.resolve import resolve
from tests import devices

LIMIT_S = 60.0


class Seen(Exception):  # ends the device
    """All of it was seen."""


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_is_still_when_a_worker_dies(tmp_path: Path) -> None:
    path = devices.write(tmp_path)
    seen: list[str] = []
    with Box(-1, Limits(256, is_idle=False), "tests.assistant.inmate:spin", engine="") as box:
        step = guarding(Guard(box, MonotonicClock()))

        def tick(running: Running, follower: Follower) -> None:
            step(running, follower)
            if not seen:
                seen.append("frozen at first" if box.is_frozen else "free before the picture")
            elif len(seen) == 1 and not box.is_frozen and mode_of(running) is Mode.NOMINAL:
                seen.append("free")
                worker = running.supervisor.pid("worker.worker")
                assert worker is not None
                os.kill(worker, signal.SIGKILL)
            elif len(seen) == 2 and box.is_frozen:
                os.waitid(os.P_PID, box.pid, os.WSTOPPED | os.WNOWAIT)
                seen.append(state(box.pid))
                raise Seen

        with pytest.raises(Seen):
            run(resolve(read_device(path), path), path, LIMIT_S, tick)
    assert seen == ["frozen at first", "free", "T"]
