"""Real children: how they start, end, and whom they outlive (nobody)."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys

import pytest

from inframe.machine import child, launch
from inframe.machine.partition import Partition
from inframe.machine.supervise import ProcessSpec
from tests.machine.conftest import Start


def _wait_gone(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(60_000)


def _sealed(row: dict[str, object]) -> int:
    fd = os.memfd_create("row")
    os.pwrite(fd, json.dumps(row).encode(), 0)
    return fd


def test_what_a_target_is_called_with(start: Start) -> None:
    found = start("about", args={"model": "a.onnx", "list": [1, 2.5, None]}).answer()
    argv = found.pop("argv")
    assert found == {
        "comm": "inframe:child",
        "session": True,
        "threads": "1",
        "telemetry": "1",
        "sigint": True,
        "args": {"model": "a.onnx", "list": [1, 2.5, None]},
        "name": "child",
    }
    assert argv[0] == "child"
    assert "a.onnx" not in " ".join(argv)  # argv is for everyone on the machine to read


def test_threads_on_request(start: Start) -> None:
    assert start("about", args={"threads": 3}).answer()["threads"] == "3"


def test_returning_means_finished(start: Start) -> None:
    assert start("about").exit_code() == 0


def test_sigterm_stops_and_sigint_does_not(start: Start) -> None:
    one = start("wait")
    assert one.answer() == "up"
    one.child.send(signal.SIGINT)
    one.child.send(signal.SIGTERM)
    assert one.exit_code() == child.STOPPED


@pytest.mark.parametrize(
    ("kind", "exit_code", "line"),
    [
        ("fault", 3, "inframe: child: camera unplugged\n"),
        ("config", 2, "inframe: child: device.yaml: fps: found 0, expected more than 0\n"),
        ("other", child.FAULT, "inframe: child: ZeroDivisionError: two\\nlines (targets.py:"),
        ("memory", child.FAULT, "inframe: child: MemoryError:"),
    ],
)
def test_an_error_nobody_caught_is_one_line(
    start: Start, capfd: pytest.CaptureFixture[str], kind: str, exit_code: int, line: str
) -> None:
    assert start("fail", args={"kind": kind}).exit_code() == exit_code
    written = capfd.readouterr().err
    assert written.startswith(line)
    assert written.count("\n") == 1


def test_the_whole_trace_on_request(
    start: Start, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFRAME_DEBUG", "1")
    assert start("fail", args={"kind": "other"}).exit_code() == child.FAULT
    assert "Traceback" in capfd.readouterr().err


def test_an_unknown_target_is_one_line(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    assert start("nothing_of_that_name").exit_code() == child.FAULT
    assert "nothing_of_that_name" in capfd.readouterr().err


PARENT = """
import os, sys
from inframe.machine.launch import launch
from inframe.machine.supervise import ProcessSpec
reading, writing = os.pipe()
child = launch(ProcessSpec("child", "tests.machine.targets:wait_deaf", fds={"out": writing}))
os.read(reading, 16)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_parent_leaves_no_process() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            _wait_gone(pidfd)
        finally:
            os.close(pidfd)


def test_a_parent_that_died_before_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    other_parent = {"name": "late", "parent": os.getppid(), "fds": {}}
    fd = _sealed(other_parent)
    try:
        command = [sys.executable, "-P", "-m", "inframe.machine.child", "late", str(fd)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, pass_fds=[fd], env=environment, check=False)
    finally:
        os.close(fd)
    assert (done.returncode, capfd.readouterr().err) == (child.PARENT_GONE, "")


def test_descriptors_come_under_numbers_that_select_takes() -> None:
    mine = os.eventfd(0)
    high = fcntl.fcntl(mine, fcntl.F_DUPFD, child.SELECT_LIMIT)
    row = child._read_row(_sealed({"fds": {"wake": high, "again": high, "low": mine}}))
    low = row["fds"]["wake"]
    assert low == row["fds"]["again"] < child.SELECT_LIMIT
    assert row["fds"]["low"] == mine
    os.eventfd_write(mine, 7)
    assert os.eventfd_read(low) == 7
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(high)
    os.close(mine)
    os.close(low)


def test_the_row_is_sealed() -> None:
    fd = launch._sealed(ProcessSpec("one", "a:b", Partition(), args={"k": "v"}), None)
    try:
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == launch.SEALS
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        assert child._read_row(fd)["args"] == {"k": "v"}
    finally:
        # _read_row closes what it read
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(fd)


def test_only_the_main_thread_starts_processes() -> None:
    from threading import Thread

    found: list[str] = []

    def start_one() -> None:
        try:
            launch.launch(ProcessSpec("one", "a:b"))
        except RuntimeError as error:
            found.append(str(error))

    thread = Thread(target=start_one)
    thread.start()
    thread.join()
    assert "main thread" in found[0]


def test_the_first_code_of_a_child_imports_little() -> None:
    """A restarted process is waited for: nothing slow may creep into its first imports."""
    code = "import sys, inframe.machine.child; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    modules = set(found.stdout.split())
    slow = {"numpy", "pydantic", "socket", "subprocess", "threading", "logging", "traceback", "asyncio", "yaml", "cv2"}
    assert not modules & slow
