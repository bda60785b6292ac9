"""A box from outside: starts it, speaks with it, freezes and ends it. One procedure, one box: what a model has read of one
patient goes with the process.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inframe.assistant import stopping
from inframe.assistant.talk import Talk
from inframe.core.errors import DeviceFault
from inframe.machine import memorygroup
from inframe.machine.walls import Limits, Wall

CONTEXT = 1024
SPARE_MB = 192
"""For the interpreter and the kernel's own, beyond what a box may take once it is closed."""
LLAMA = "inframe.assistant.llamacpp:LlamaCpp"
GENERATE = "inframe.assistant.inside:generate"


class Closed:
    """The process in a box, for whoever keeps it: the pipes may be another's."""

    def __init__(
        self,
        pipes: tuple[int, int],
        model: int = -1,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        target: str = GENERATE,
        engine: str = LLAMA,
        context: int = CONTEXT,
    ) -> None:
        """Start it. `pipes`: its ends of the requests and the answers, the caller's to close. `model`: the descriptor of sealed
        memory (bundle/sealed.py), verified by whoever calls; it stays the caller's. Raises DeviceFault; RuntimeError from a thread
        but the main one, whose end would be the box's (PR_SET_PDEATHSIG)."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("boxes are started from the main thread, which lives as long as they do")
        row = {"target": target, "engine": engine, "requests": pipes[0], "answers": pipes[1], "model": model}
        row |= {"memory_mb": limits.memory_mb, "cores": sorted(limits.cores), "is_idle": limits.is_idle}
        row |= {"context": context, "parent": os.getpid()}
        try:
            self._process = _start(row, [fd for fd in (*pipes, model) if fd >= 0])
        except OSError as error:
            raise DeviceFault(f"the assistant's box: {error.strerror}") from error
        self.pid = self._process.pid
        self._group, why = memorygroup.put(self.pid, "box", limits.memory_mb + SPARE_MB)
        self.outer_wall = Wall("memory control group", self._group is not None, why)
        """Built from outside."""
        self.is_frozen = False
        self._is_idle = limits.is_idle

    def freeze(self) -> None:
        """Not another instruction, until `thaw`; see `stopping`."""
        self.is_frozen = True
        if self.is_alive():
            stopping.stop(self.pid)

    def thaw(self) -> None:
        """Go on."""
        self.is_frozen = False
        if self.is_alive():
            stopping.go(self.pid, is_idle=self._is_idle)

    def kill(self) -> None:
        """End it, frozen or not."""
        if self.is_alive():
            stopping.end(self.pid)

    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, and wait for that."""
        self.kill()
        self._process.wait()
        if self._group is not None:
            self._group.close()


class Box:
    """One closed-in process and what is said to it (drafting.Writer). Use it as a context manager; also after `kill` it can be
    closed."""

    def __init__(
        self,
        model: int = -1,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        target: str = GENERATE,
        engine: str = LLAMA,
        context: int = CONTEXT,
    ) -> None:
        """Start it; see Closed. Raises DeviceFault where the process does not come up, or not behind its walls."""
        their_requests, requests = os.pipe()
        answers, their_answers = os.pipe()
        self._talk = Talk(requests, answers, self.kill)
        try:
            self._closed = Closed((their_requests, their_answers), model, limits, target, engine, context)
        except (DeviceFault, RuntimeError):
            self._talk.close()
            raise
        finally:
            os.close(their_requests)
            os.close(their_answers)
        self.pid = self._closed.pid
        try:
            walls = self._talk.first_words(target == GENERATE)
        except DeviceFault:
            self.close()
            raise
        self.walls: tuple[Wall, ...] = (*walls, self._closed.outer_wall)

    @property
    def is_frozen(self) -> bool:
        """Whether it was told to be still."""
        return self._closed.is_frozen

    def say(self, message: dict[str, Any]) -> None:
        """See Talk."""
        self._talk.say(message)

    def hear(self, within_s: float) -> dict[str, Any]:
        """See Talk."""
        return self._talk.hear(within_s)

    def write(self, prompt: str, grammar: str | None, most: int) -> Generator[str, None, str]:
        """See Talk."""
        return self._talk.write(prompt, grammar, most)

    def freeze(self) -> None:
        """See Closed."""
        self._closed.freeze()

    def thaw(self) -> None:
        """See Closed."""
        self._closed.thaw()

    def kill(self) -> None:
        """See Closed."""
        self._closed.kill()

    def is_alive(self) -> bool:
        """See Closed."""
        return self._closed.is_alive()

    def close(self) -> None:
        """End it and let go of everything. May be called twice."""
        self._closed.close()
        self._talk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start(row: dict[str, Any], inherited: list[int]) -> "subprocess.Popen[bytes]":
    """A fresh interpreter with an environment of its own: nothing of the caller's goes in."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inframe.assistant.inside", json.dumps(row)],
        pass_fds=inherited,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path("/"),
        env={"PYTHONPATH": path, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )
