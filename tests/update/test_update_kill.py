"""A real SIGKILL before the Nth system call of an update, on a real file system: strace's fault injection.

INFRAME_KILLS=all pytest tests/update/test_update_kill.py -s        before every call (the suite takes one in SOME)
"""

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from inframe.trail.files import Disk
from inframe.update.states import State
from tests.update.made import into_trial, pack, release, slots_on, update

SOME = 1 if os.environ.get("INFRAME_KILLS") == "all" else 25
ONE, TWO, THREE = (pack("anatomy", counter) for counter in (1, 2, 3))
FIRST, SECOND = release("first", ONE), release("second", TWO)
STRACE = shutil.which("strace")


def base(folder: Path) -> Path:
    """A device with a committed release."""
    folder.mkdir()
    slots = slots_on(Disk(folder))
    update(slots, Disk(folder), "first", ONE)
    slots.close()
    return folder


def live(folder: Path, acks: int) -> None:
    """The child: an update that is committed, another that is rolled back; a byte for each."""
    disk = Disk(folder)
    slots = slots_on(disk)
    update(slots, disk, "second", TWO)
    os.write(acks, b"c")
    into_trial(slots, disk, "third", THREE)
    slots.roll_back("a deadline was missed")
    os.write(acks, b"r")
    slots.close()


def traced(folder: Path, trace: Path, *options: str) -> tuple[bool, bytes]:
    """Run the child under strace; whether it was killed, and what it had acknowledged."""
    assert STRACE is not None
    go, went = os.pipe()
    acks, acked = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.read(go, 1)
            live(folder, acked)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(go)
    os.close(acked)
    with subprocess.Popen(
        [STRACE, "-qq", "-o", str(trace), "-p", str(child), *options], stderr=subprocess.PIPE
    ) as tracer:
        while not re.search(r"TracerPid:\s*[1-9]", Path(f"/proc/{child}/status").read_text()):
            if tracer.poll() is not None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                said = (tracer.stderr.read() if tracer.stderr else b"").decode()
                pytest.skip(f"strace may not trace here: {said.strip()}")
        with suppress(BrokenPipeError):  # killed before it began
            os.write(went, b"x")
        os.close(went)
        _, status = os.waitpid(child, 0)
    told = b""
    while more := os.read(acks, 8):
        told += more
    os.close(acks)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status), told


def places(trace: Path) -> Iterator[tuple[str, int]]:
    """Every system call of an undisturbed life: its name, and which one of that name it is."""
    seen: Counter[str] = Counter()
    for line in trace.read_text("utf-8", "replace").splitlines():
        found = re.match(r"(\w+)\(", line)
        if found is not None and found[1] not in ("exit_group", "rt_sigreturn"):
            seen[found[1]] += 1
            yield found[1], seen[found[1]]


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.timeout(3600)
def test_sigkill_before_every_system_call(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    origin = base(tmp_path / "base")
    shutil.copytree(origin, tmp_path / "whole")
    assert traced(tmp_path / "whole", trace) == (False, b"cr")
    every = list(places(trace))
    killed = 0
    found: Counter[str] = Counter()
    for call, number in every[::SOME]:
        folder = tmp_path / "device"
        shutil.copytree(origin, folder)
        was_killed, told = traced(folder, tmp_path / "again", "-e", f"inject={call}:signal=KILL:when={number}")
        killed += was_killed
        slots = slots_on(Disk(folder))
        status = slots.status
        assert status.active == (SECOND if b"c" in told else status.active)
        assert status.active in (FIRST, SECOND)
        assert slots._problem(status.active) == ""
        assert slots._floor.read()["anatomy"] == status.active.counters["anatomy"]
        assert status.shown is not None
        assert slots._problem(status.shown) == ""
        if b"r" in told:
            assert status.state is State.ROLLED_BACK
        found[status.state] += 1
        if status.trial is not None:
            slots.roll_back("interrupted")
        update(slots, Disk(folder), "next", pack("anatomy", 9))
        slots.close()
        shutil.rmtree(folder)
    print(f"\n{killed} kills of {len(every)} system calls; found: {dict(found)}")  # noqa: T201
    assert killed > 0.9 * len(every[::SOME])
    assert len(found) > 3 or SOME > 1
