"""A box from outside: starts it, speaks with it, freezes and ends it. One procedure, one box: what a model has read of one
patient goes with the process.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inframe.assistant import wire
from inframe.assistant.drafting import WriterGone
from inframe.core.errors import DeviceFault
from inframe.machine.walls import Limits, Wall

START_S, SILENT_S, LONGEST_S, CANCEL_S = 60.0, 20.0, 120.0, 10.0
"""To build the walls and load the model; from piece to piece; for one text; to stop when cancelled."""
CONTEXT = 1024
LLAMA = "inframe.assistant.llamacpp:LlamaCpp"
GENERATE = "inframe.assistant.inside:generate"


class Box:
    """One closed-in process (drafting.Writer). Use it as a context manager; also after `kill` it can be closed."""

    def __init__(
        self,
        model: int = -1,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        target: str = GENERATE,
        engine: str = LLAMA,
        context: int = CONTEXT,
    ) -> None:
        """Start it. `model`: the descriptor of sealed memory (bundle/sealed.py), verified by whoever calls; it stays the caller's.
        Raises DeviceFault where the process does not come up, or not behind its walls; RuntimeError from any thread but the main
        one, whose end would be the box's (PR_SET_PDEATHSIG)."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("boxes are started from the main thread, which lives as long as they do")
        their_requests, self._requests = os.pipe()
        self._answers, their_answers = os.pipe()
        row = {"target": target, "engine": engine, "requests": their_requests, "answers": their_answers, "model": model}
        row |= {"memory_mb": limits.memory_mb, "cores": sorted(limits.cores), "is_idle": limits.is_idle}
        row |= {"context": context, "parent": os.getpid()}
        try:
            self._process = _start(row, [fd for fd in (their_requests, their_answers, model) if fd >= 0])
        except OSError as error:
            self._close_pipes()
            raise DeviceFault(f"the assistant's box: {error.strerror}") from error
        finally:
            os.close(their_requests)
            os.close(their_answers)
        os.set_blocking(self._requests, False)  # a frozen reader is no reason to wait
        self.pid = self._process.pid
        self.is_frozen = False
        self._is_busy = False
        self.walls = self._first_words(target == GENERATE)

    def _first_words(self, is_loading: bool) -> tuple[Wall, ...]:
        try:
            walls = tuple(Wall(**wall) for wall in self._next("walls", START_S))
            if is_loading:
                self._next("ready", START_S)
        except (WriterGone, TypeError) as error:
            self.close()
            raise DeviceFault(f"the assistant's box: {error}") from None
        return walls

    def _next(self, expected: str, within_s: float) -> Any:
        message = self.hear(within_s)
        if expected not in message:
            raise WriterGone(str(message.get("failed", "it says what nobody asked for"))[:200])
        return message[expected]

    def say(self, message: dict[str, Any]) -> None:
        """To the process. Raises WriterGone."""
        try:
            wire.send(self._requests, message)
        except wire.Broken as error:
            raise WriterGone(f"the box is gone: {error}") from None

    def hear(self, within_s: float) -> dict[str, Any]:
        """What the process says next; not to be believed. Raises WriterGone."""
        try:
            return wire.receive(self._answers, within_s)
        except wire.Broken as error:
            raise WriterGone(f"the box is gone or silent: {error}") from None

    def write(self, prompt: str, grammar: str | None, most: int) -> Generator[str, None, None]:
        """See Writer. One text at a time; closing the iterator cancels it. Raises WriterGone, and the box is ended, where it is
        silent or takes too long; frozen time counts."""
        if self._is_busy:
            raise WriterGone("the box writes another text")
        self.say({"prompt": prompt, "grammar": grammar, "most": most})
        self._is_busy = True
        is_over = False
        try:
            until = time.monotonic() + LONGEST_S
            while True:
                message = self._heard_until(until)
                if (piece := message.get("piece")) is None:
                    is_over = True
                    break
                yield str(piece)[:most]
            if (why := str(message.get("end", ""))).startswith("failed"):
                raise WriterGone(why)
        finally:
            self._is_busy = False
            if not is_over:
                self._cancel()

    def _heard_until(self, until: float) -> dict[str, Any]:
        try:
            return self.hear(min(SILENT_S, until - time.monotonic()))
        except WriterGone:
            self.kill()
            raise

    def _cancel(self) -> None:
        """Stop the text under way; a box that does not stop is ended."""
        try:
            self.say({"cancel": True})
            for _ in range(wire.LARGEST):
                if "end" in self.hear(CANCEL_S):
                    return
        except WriterGone:
            self.kill()

    def freeze(self) -> None:
        """Not another instruction, until `thaw`."""
        self.is_frozen = True
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.is_frozen = False
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End it, frozen or not."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        self._process.send_signal(number)  # looks first whether it has ended

    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it and let go of everything. May be called twice."""
        self.kill()
        self._process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for fd in (self._requests, self._answers):
            if fd >= 0:
                os.close(fd)
        self._requests = self._answers = -1

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
