"""The first code within a box: `python -m inframe.assistant.inside ROW`. It imports and maps what it will need, closes itself
in, and only then lets the engine read the model: a file that takes over its parser is alone in an empty room.
"""

import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from inframe.assistant import wire
from inframe.machine import kernel
from inframe.machine.walls import Limits, NoBox, close_in

TOGETHER_S, TOGETHER = 0.02, 2000


class Engine(Protocol):
    """What reads a model and writes text: one file for each (llamacpp.py)."""

    def load(self, model: int, context: int) -> None:
        """Read the model behind the descriptor. Raises ValueError."""
        ...

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        """Text, piece by piece. Raises ValueError for a prompt that does not fit or a grammar that can't be read."""
        ...


@dataclass(frozen=True, slots=True)
class Inmate:
    """What a target is given once the walls stand."""

    requests: int
    answers: int
    model: int
    context: int
    engine: Engine | None


def main(arguments: list[str]) -> int:
    """The box's life; the exit code."""
    row: dict[str, Any] = json.loads(arguments[1])
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != row["parent"]:
        return 71
    kernel.prctl(kernel.PR_SET_NAME, b"inframe:assist")
    target = _target(row["target"])
    engine = _engine(row["engine"]) if row["engine"] else None
    keep = [fd for fd in (row["requests"], row["answers"], row["model"]) if fd >= 0]
    gc.collect()
    try:
        walls = close_in(Limits(row["memory_mb"], frozenset(row["cores"]), row["is_idle"]), keep)
    except NoBox as error:
        wire.send(row["answers"], {"failed": str(error)})
        return 1
    wire.send(row["answers"], {"walls": [asdict(wall) for wall in walls]})
    target(Inmate(row["requests"], row["answers"], row["model"], row["context"], engine))
    return 0


def _target(name: str) -> Callable[[Inmate], None]:
    module, _, function = name.partition(":")
    found: Callable[[Inmate], None] = getattr(importlib.import_module(module), function)
    return found


def _engine(name: str) -> Engine:
    module, _, made = name.partition(":")
    engine: Engine = getattr(importlib.import_module(module), made)()
    return engine


def generate(inmate: Inmate) -> None:
    """The usual target: load the model, then write what is asked for, one request after the other."""
    if inmate.engine is None:
        raise RuntimeError("a box without an engine")
    try:
        inmate.engine.load(inmate.model, inmate.context)
    except (ValueError, OSError, MemoryError) as error:
        wire.send(inmate.answers, {"failed": str(error)[:200]})
        return
    wire.send(inmate.answers, {"ready": True})
    while True:
        try:
            request = wire.receive(inmate.requests, None)
        except wire.Broken:
            return
        if "prompt" in request:
            _write(inmate, inmate.engine, request)


def _write(inmate: Inmate, engine: Engine, request: dict[str, Any]) -> None:
    """Text until it ends, `most` bytes are out, or anything else arrives: that cancels. What is written within 20 ms goes out as
    one message: a message for each token of a small model takes a fifth of its time."""
    left, text, sent_s, why = int(request["most"]), "", time.monotonic(), "end"
    try:
        for piece in engine.write(request["prompt"], request["grammar"], left):
            left -= len(piece.encode())
            text += piece
            if left <= 0:
                why = "long"
                break
            if time.monotonic() - sent_s < TOGETHER_S and len(text) < TOGETHER:
                continue
            wire.send(inmate.answers, {"piece": text})
            text, sent_s = "", time.monotonic()
            if wire.is_waiting(inmate.requests):
                wire.receive(inmate.requests, None)
                why = "cancelled"
                break
    except (ValueError, MemoryError) as error:
        why = f"failed: {str(error)[:200]}"
    if text:
        wire.send(inmate.answers, {"piece": text})
    wire.send(inmate.answers, {"end": why})


if __name__ == "__main__":
    code = main(sys.argv)
    os._exit(code)
