"""How a box is spoken with: two pipes, messages of `wire`, one text at a time. What comes back is not believed."""

import os
import time
from collections.abc import Callable, Generator
from typing import Any

from inframe.assistant import wire
from inframe.assistant.drafting import WriterGone
from inframe.core.errors import DeviceFault
from inframe.machine.walls import Wall

START_S, SILENT_S, LONGEST_S, CANCEL_S = 60.0, 20.0, 120.0, 10.0
"""To build the walls and load the model; from piece to piece; for one text; to stop when cancelled."""


class Talk:
    """The outer end of a box (drafting.Writer). It takes the two descriptors and closes them."""

    def __init__(self, requests: int, answers: int, end: Callable[[], None]) -> None:
        """`end`: ends a box that is silent or takes too long."""
        self._requests, self._answers, self._end = requests, answers, end
        self._is_busy = False
        os.set_blocking(requests, False)  # a frozen reader is no reason to wait

    def first_words(self, is_loading: bool) -> tuple[Wall, ...]:
        """Wait until the walls stand, and where it loads a model until that is done. Raises DeviceFault."""
        try:
            walls = tuple(Wall(**wall) for wall in self._next("walls", START_S))
            if is_loading:
                self._next("ready", START_S)
        except (WriterGone, TypeError) as error:
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

    def write(self, prompt: str, grammar: str | None, most: int) -> Generator[str, None, str]:
        """See Writer. One text at a time; closing the iterator cancels it. Returns why it ended: "end", or "long" after `most`
        bytes. Raises WriterGone, and the box is ended, where it is silent or takes too long; frozen time counts."""
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
            return why
        finally:
            self._is_busy = False
            if not is_over:
                self._cancel()

    def _heard_until(self, until: float) -> dict[str, Any]:
        try:
            return self.hear(min(SILENT_S, until - time.monotonic()))
        except WriterGone:
            self._end()
            raise

    def _cancel(self) -> None:
        """Stop the text under way; a box that does not stop is ended."""
        try:
            self.say({"cancel": True})
            for _ in range(wire.LARGEST):
                if "end" in self.hear(CANCEL_S):
                    return
        except WriterGone:
            self._end()

    def close(self) -> None:
        """Let go of the pipes. May be called twice."""
        for fd in (self._requests, self._answers):
            if fd >= 0:
                os.close(fd)
        self._requests = self._answers = -1


class Elsewhere:
    """The box of a running device (drafting.Writer): another process keeps it, and starts it when the picture is well."""

    def __init__(self, requests: int, answers: int) -> None:
        self._talk, self._answers = Talk(requests, answers, self._give_up), answers
        self._is_up = self._is_over = False

    def _give_up(self) -> None:
        self._is_over = True

    def write(self, prompt: str, grammar: str | None, most: int) -> Generator[str, None, str]:
        """See Talk. Raises WriterGone at once where there is no box yet, or none any more."""
        if self._is_over:
            raise WriterGone("the model is gone until the next procedure")
        if not self._is_up and not wire.is_waiting(self._answers):
            raise WriterGone("the model is not up: it is started when the picture is well")
        if not self._is_up:
            try:
                self._talk.first_words(is_loading=True)
            except DeviceFault as fault:
                self._is_over = True
                raise WriterGone(str(fault)) from None
            self._is_up = True
        return (yield from self._talk.write(prompt, grammar, most))
