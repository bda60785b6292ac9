"""Starts the process of one row: a fresh interpreter that runs child.py, its row in a sealed memory file.

Not fork without exec: the parent's threads, locks and memory would come along half alive. Not multiprocessing: it
pickles.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack

from inframe.core.errors import DeviceFault
from inframe.machine.broker import Broker
from inframe.machine.supervise import Process, ProcessSpec

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Child:
    """One started process (supervise.Process), with its connect broker if it has one."""

    def __init__(self, popen: "subprocess.Popen[bytes]", broker: Broker | None) -> None:
        self.pid = popen.pid
        self._popen, self._broker = popen, broker

    def poll(self) -> int | None:
        return self._popen.poll()

    def wait(self, timeout_s: float) -> bool:
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def send(self, number: int) -> None:
        self._popen.send_signal(number)  # looks first whether it has ended, so the number can't have passed to another

    def refused(self) -> tuple[str, ...]:
        return () if self._broker is None else self._broker.take_refused()

    def close(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()


def launch(spec: ProcessSpec) -> Process:
    """Start `spec`. Raises DeviceFault where the machine can't, RuntimeError from any thread but the main one."""
    if threading.current_thread() is not threading.main_thread():
        # PR_SET_PDEATHSIG means the parent *thread*: the child would be killed when a helper thread returns
        raise RuntimeError("processes are started from the main thread, which lives as long as they do")
    try:
        return _launch(spec)
    except OSError as error:
        raise DeviceFault(f"process {spec.name}: {error.strerror}") from error


def _launch(spec: ProcessSpec) -> Child:
    with ExitStack() as always, ExitStack() as on_error:
        broker = channel = None
        if spec.partition.network == "camera":
            mine, theirs = socket.socketpair()
            always.callback(theirs.close)
            broker, channel = Broker(mine, spec.partition.addresses), theirs.fileno()
            on_error.callback(broker.close)
        row = _sealed(spec, channel)
        always.callback(os.close, row)
        popen = _popen(spec, row, [row, *spec.fds.values(), *([] if channel is None else [channel])])
        on_error.pop_all()
    if broker is not None:
        broker.start()
    return Child(popen, broker)


def _popen(spec: ProcessSpec, row: int, inherited: list[int]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        # -P: no module is taken from the current folder. The name is for whoever reads a process list.
        [sys.executable, "-P", "-m", "inframe.machine.child", spec.name, str(row)],
        pass_fds=inherited,
        stdin=subprocess.DEVNULL,
        # The child finds the very modules that the parent found, however its sys.path came about
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
        # A session of its own: Ctrl-C and a closed terminal reach the parent only, which then stops its children in
        # order; and the kernel's autogroup gives a session, not a process, its share of a contended core.
        start_new_session=True,
    )


def _sealed(spec: ProcessSpec, broker_fd: int | None) -> int:
    """The row as JSON in a memory file that can't change any more: not in argv, which everyone on the machine can
    read."""
    row = {
        "name": spec.name,
        "target": spec.target,
        "partition": spec.partition.to_json(),
        "args": dict(spec.args),
        "fds": dict(spec.fds),
        "broker": broker_fd,
        "parent": os.getpid(),
    }
    text = json.dumps(row).encode()
    fd = os.memfd_create(f"inframe-{spec.name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.pwrite(fd, text, 0)  # not write: the child shares the file offset
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
