"""What is asked of the assistant, and who does it: one thing at a time, in a thread of its own. Of it programs see an API
(`serving`), and the console a draft and its signing.
"""

import asyncio
import hashlib
import json
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from inframe import assisting
from inframe.assistant import intent, page
from inframe.assistant.drafting import Writer, WriterGone
from inframe.assistant.facts import Procedure
from inframe.assistant.openai import Asked, Bad
from inframe.assistant.turns import Full, Job, Turns
from inframe.core.errors import ConfigError, InframeError, one_line

T = TypeVar("T")
NOTHING = "Neither the manual nor the record of the procedure says anything about it."
MOST_SHOWN = 16
FULL = "too many requests: one is answered at a time, and enough are waiting; try again"


@dataclass
class Clerk:
    """What is asked of the assistant, and who does it."""

    facts: Callable[[], Procedure | None]
    """The procedure's, verified anew. May raise InframeError."""
    writer: Writer | None
    answered: Callable[[], None] = lambda: None
    """Told of each answer that was made."""
    turns: Turns = field(default_factory=Turns)

    def work(self, one: Asked) -> tuple[Iterator[str], dict[str, Any]]:
        """The pieces of an answer, and what is to be said beside it: complete when the pieces are. Blocks."""
        more: dict[str, Any] = {"verified": one.model != "text"}
        if one.model == "text":
            if self.writer is None:
                raise Bad(404, "model: found text, and this device has no language model")
            return self._text(self.writer, one, more), more
        if one.model == "answer":
            found = assisting.ask(one.question, self.facts())
            more |= assisting.answer_json(found)
            return iter([f"{line}\n" for line in _lines(found)] or [NOTHING]), more
        if one.model == "command":
            return _intent(one.question, more)
        procedure = self.facts()
        if procedure is None:
            raise Bad(404, "found no procedure")
        kind: Any = one.model
        draft = assisting.draft(procedure, kind, self.writer)
        more |= assisting.as_json(draft)
        return iter([f"{sentence.line()}\n" for sentence in draft.sentences]), more

    def _text(self, writer: Writer, one: Asked, more: dict[str, Any]) -> Iterator[str]:
        pieces: Any = writer.write(one.text, one.grammar, one.most)
        why = yield from pieces
        more["ended"] = str(why or "end")

    def check(self, data: bytes) -> dict[str, Any]:
        """Whether a draft still holds, every sentence. Raises Bad with the first that does not."""
        procedure = self.facts()
        if procedure is None:
            raise Bad(404, "found no procedure")
        try:
            assisting.hold(Path("draft"), data, procedure)
        except ConfigError as error:
            raise Bad(409, str(error)) from None
        return {"holds": True, "procedure": procedure.id, "sha256": hashlib.sha256(data).hexdigest()}


async def pieces_of(turns: Turns, job: Job[T]) -> AsyncIterator[T]:
    """Turns.run, with what goes wrong as Bad."""
    try:
        async for one in turns.run(job):
            yield one
    except Full:
        raise Bad(429, FULL) from None
    except WriterGone as error:
        asked_too_much = str(error).startswith("failed") or "expected at most" in str(error)
        raise Bad(400 if asked_too_much else 503, one_line(error)) from None
    except InframeError as error:
        raise Bad(503, one_line(error)) from None


def _intent(text: str, more: dict[str, Any]) -> tuple[Iterator[str], dict[str, Any]]:
    try:
        meant = intent.understand(text)
    except ConfigError as error:
        raise Bad(422, str(error)) from None
    more["intent"] = {"wish": meant.wish.value, "value": meant.value, "code": meant.code}
    return iter([f"{meant.said}?"]), more


def _lines(found: assisting.Answer) -> list[str]:
    told = []
    if found.explanation is not None:
        told += [f"{what}: {text}" for what, text in assisting.explained(found.explanation).items()]
        told.append(f"[{found.explanation.page}]")
    told += [sentence.line() for sentence in found.sentences or ()]
    return told + [f"{p.text} [{p.page}, line {p.line}]" for p in found.passages]


# --- for the console -------------------------------------------------------------------------------------------------


class Page:
    """Answers the console; see `assistant/page.py`. Keeps the drafts that it has shown, so that a digest is enough to sign one."""

    def __init__(self, clerk: Clerk, asked: socket.socket) -> None:
        self._clerk, self._asked = clerk, asked
        self._shown: OrderedDict[str, bytes] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Listen, in the running loop."""
        asyncio.get_running_loop().add_reader(self._asked.fileno(), self._hear)

    def _hear(self) -> None:
        try:
            data, sender = self._asked.recvfrom(page.LARGEST_QUESTION)
        except BlockingIOError:
            return
        task = asyncio.get_running_loop().create_task(self._answer(data, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, sender: Any) -> None:
        try:
            told = await anext(pieces_of(self._clerk.turns, lambda: iter([self._told(data)])))
        except Bad as bad:
            told = {"error": bad.why}
        raw = json.dumps(told).encode()
        if len(raw) > page.LARGEST_ANSWER:
            raw = json.dumps({"error": "too long for the page: `inframe assistant note` writes it"}).encode()
        with suppress(OSError):  # whoever asked is gone
            self._asked.sendto(raw, sender)

    def _told(self, data: bytes) -> dict[str, Any]:
        match _question(data):
            case {"draft": "note" | "handover" as kind}:
                pieces, told = self._clerk.work(Asked(model=kind))
                del pieces
                told.pop("verified")
                raw = json.dumps(told).encode()
                digest = hashlib.sha256(raw).hexdigest()
                self._shown[digest] = raw
                while len(self._shown) > MOST_SHOWN:
                    self._shown.popitem(last=False)
                self._clerk.answered()
                return {"draft": told, "sha256": digest}
            case {"sign": str(digest)} if digest in self._shown:
                return {**self._clerk.check(self._shown[digest]), "draft": json.loads(self._shown[digest])["draft"]}
            case {"sign": _}:
                raise Bad(404, "no such draft was shown, or too long ago: have it written again")
        raise Bad(400, "expected a draft to write, or one to sign")


def _question(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
