"""Software that wants the machine for itself: what runs beside a real device, and worse.

python -m inframe.bench.load KIND [FOLDER]      runs until it is killed
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

MIB = 1 << 20


def cpu() -> None:
    """Arithmetic without end, in cache."""
    x = 1
    while True:
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF


def bandwidth() -> None:
    """Copies between two arrays far larger than any cache."""
    import numpy as np

    a, b = np.ones(64 * MIB, np.uint8), np.empty(64 * MIB, np.uint8)
    while True:
        np.copyto(b, a)


def matvec() -> None:
    """What a language model does for each token: large matrices times one vector."""
    import numpy as np

    matrix, vector = np.ones((4096, 4096), np.float32), np.ones(4096, np.float32)
    while True:
        np.dot(matrix, vector)


def fsync() -> None:
    """Writes and fsyncs, as a recorder on a slow disk does."""
    block = os.urandom(MIB)
    with tempfile.NamedTemporaryFile(dir=sys.argv[2] if len(sys.argv) > 2 else None) as file:
        while True:
            file.seek(0)
            for _ in range(4):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())


def memory() -> None:
    """Takes and touches memory until 512 MiB are left to the machine, or 4 GiB are taken, and keeps it."""
    kept: list[bytearray] = []
    while len(kept) < 64 and os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > 512 * MIB:
        kept.append(bytearray(64 * MIB))
    signal.pause()


KINDS: dict[str, Callable[[], None]] = {
    "cpu": cpu,
    "bandwidth": bandwidth,
    "matvec": matvec,
    "fsync": fsync,
    "memory": memory,
}
ALL = ("cpu", "cpu", "bandwidth", "matvec", "fsync")
"""The load of `inframe bench`."""


class Load:
    """Hogs, started stopped, so that they are warm and can be let loose and held in a moment. All cores, default scheduling."""

    def __init__(self, kinds: tuple[str, ...], folder: Path | None = None) -> None:
        command = [sys.executable, "-m", "inframe.bench.load"]
        where = [str(folder)] if folder is not None else []
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        cores = set(range(os.cpu_count() or 1))
        self._hogs = [
            subprocess.Popen(
                [*command, kind, *where],
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  # single-threaded here; the parent is bound
            )
            for kind in kinds
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hog in self._hogs:
            hog.kill()
            hog.wait()

    def go(self) -> None:
        """Let them loose."""
        self._send(signal.SIGCONT)

    def hold(self) -> None:
        """Stop them where they are."""
        self._send(signal.SIGSTOP)

    def _send(self, number: signal.Signals) -> None:
        for hog in self._hogs:
            hog.send_signal(number)


if __name__ == "__main__":
    # A hog that outlives its master would spoil the machine: end with it.
    from inframe.machine import kernel

    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    KINDS[sys.argv[1]]()
