"""What the assistant does for others, over a Unix socket: the process `assistant` of a running device, and
`inframe assistant serve`. One thing at a time, a few waiting, everybody else is told at once to come again.
"""

import asyncio
import hashlib
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inframe import assisting, audit
from inframe.assistant import openai
from inframe.assistant.drafting import Writer, WriterGone
from inframe.assistant.facts import Procedure
from inframe.assistant.hospital import InTurn, Server
from inframe.assistant.openai import Asked, Bad
from inframe.assistant.talk import Elsewhere
from inframe.assistant.turns import Full, Job, Turns
from inframe.console.serve import BoundedHttp
from inframe.core.assist import AssistantConfig
from inframe.core.clock import MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import ConfigError, InframeError, one_line
from inframe.machine.child import ChildContext
from inframe.machine.unixsocket import bound
from inframe.pipeline import start
from inframe.pipeline.board import Board, Count
from inframe.trail.home import Home

BODY_S = 5.0
BEAT_S = 0.5
LARGEST_DRAFT = 1 << 20
T = TypeVar("T")
NOTHING = "Neither the manual nor the record of the procedure says anything about it."


class LocalHttp(BoundedHttp):
    """More connections than are served, so that whoever is too many is told so."""

    most = 256


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


FULL = "too many requests: one is answered at a time, and enough are waiting; try again"


async def _pieces(turns: Turns, job: Job[T]) -> AsyncIterator[T]:
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


def _lines(found: assisting.Answer) -> list[str]:
    told = []
    if found.explanation is not None:
        told += [f"{what}: {text}" for what, text in assisting.explained(found.explanation).items()]
        told.append(f"[{found.explanation.page}]")
    told += [sentence.line() for sentence in found.sentences or ()]
    return told + [f"{p.text} [{p.page}, line {p.line}]" for p in found.passages]


# --- over HTTP -------------------------------------------------------------------------------------------------------


def make_app(clerk: Clerk) -> Starlette:
    """The routes."""

    def answering(*, is_chat: bool) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await _answer(clerk, request, is_chat=is_chat)

        return answer

    async def list_models(_request: Request) -> Response:
        return JSONResponse(openai.models(has_text=clerk.writer is not None))

    async def check(request: Request) -> Response:
        data = await _body(request, LARGEST_DRAFT)
        return JSONResponse(await anext(_pieces(clerk.turns, lambda: iter([clerk.check(data)]))))

    async def refused(_request: Request, error: Exception) -> Response:
        bad = error if isinstance(error, Bad) else Bad(getattr(error, "status_code", 500), "not there")
        headers = {"Retry-After": "2"} if bad.status in (429, 503) else {}
        return JSONResponse(openai.failed(bad), bad.status, headers)

    routes = [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/chat/completions", answering(is_chat=True), methods=["POST"]),
        Route("/v1/completions", answering(is_chat=False), methods=["POST"]),
        Route("/inframe/check", check, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={Bad: refused, 404: refused, 405: refused})


async def _body(request: Request, largest: int) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > largest:
                    raise Bad(413, f"body: expected at most {largest} bytes")
    except TimeoutError:
        raise Bad(408, "body: expected sooner") from None
    except ClientDisconnect:
        raise Bad(400, "body: expected whole") from None
    return bytes(data)


async def _answer(clerk: Clerk, request: Request, *, is_chat: bool) -> Response:
    one = openai.asked(await _body(request, openai.LARGEST_BODY), is_chat=is_chat)
    more: dict[str, Any] = {}

    def job() -> Iterator[str]:
        pieces, told = clerk.work(one)
        yield ""  # it is this one's turn
        yield from pieces
        more.update(told)
        clerk.answered()

    pieces = _pieces(clerk.turns, job)
    first = await anext(pieces)  # what is refused is refused with a status
    if one.stream:
        return StreamingResponse(_streamed(one, pieces, more, is_chat=is_chat), media_type="text/event-stream")
    gone = asyncio.create_task(_gone(request))
    making = asyncio.create_task(_joined(pieces))
    try:
        await asyncio.wait({gone, making}, return_when=asyncio.FIRST_COMPLETED)
        if not making.done():
            making.cancel()
            raise Bad(499, "the client has gone")
        text = first + making.result()
    finally:
        gone.cancel()
    return JSONResponse(openai.whole(one, text, str(more.pop("ended", "end")), more, is_chat=is_chat))


async def _joined(pieces: AsyncIterator[str]) -> str:
    return "".join([one async for one in pieces])


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _streamed(
    one: Asked, pieces: AsyncIterator[str], more: dict[str, Any], *, is_chat: bool
) -> AsyncIterator[bytes]:
    try:
        async for text in pieces:
            yield openai.piece(one, text, is_chat=is_chat)
    except Bad as bad:
        yield openai.broken(bad)
        return
    yield openai.end(one, str(more.pop("ended", "end")), more, is_chat=is_chat)


# --- the process -----------------------------------------------------------------------------------------------------


def listen(path: Path) -> socket.socket:
    """The socket in its file. Raises ConfigError."""
    try:
        if path.exists() and not path.is_socket():
            raise ConfigError("inframe assistant serve", "--socket", path, "a socket, or a name that is free")
        listener = bound(path, socket.SOCK_STREAM)
        listener.listen(LocalHttp.most)
    except OSError as error:
        found = f"{path} ({error.strerror or error})"
        raise ConfigError("inframe assistant serve", "--socket", found, "a place for a socket") from None
    return listener


class Unheeding(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def make_server(clerk: Clerk) -> uvicorn.Server:
    """uvicorn, silent."""
    config = uvicorn.Config(
        make_app(clerk),
        http=LocalHttp,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16 << 10,
    )
    return Unheeding(config)


async def serve(clerk: Clerk, listener: socket.socket, ended: Callable[[], bool]) -> None:
    """Answer until `ended`, which is asked twice a second."""
    server = make_server(clerk)

    loop = asyncio.get_running_loop()

    def look() -> None:
        server.should_exit = ended()
        if not server.should_exit:
            loop.call_later(BEAT_S, look)

    look()
    await server.serve([listener])


class Listening(socket.socket):
    """Listens already, as whoever passed it on saw to: a process that may reach a server may not listen."""

    def listen(self, backlog: int = 0, /) -> None:
        """Nothing: the loop asks for it all the same."""


def main(ctx: ChildContext) -> None:
    """The process `assistant`: the device's own procedure, and its model if there is one."""
    device, clock = Device.model_validate(ctx.args["device"]), MonotonicClock()
    row = Board(ctx.fds["board"], tuple(ctx.args["rows"])).row(ctx.name)
    config, trail = device.assistant, device.trail
    if config is None or trail is None:
        raise RuntimeError("an assistant without its section or a trail")
    home = Home(Path(trail.folder), Path(trail.key) if trail.key is not None else None)
    procedure = str(ctx.args["procedure"])

    def facts() -> Procedure:
        logs = home.logs()
        if not logs:
            raise Bad(503, "nothing is in the trail yet")
        return assisting.procedure_of(audit.place_of(home, logs[-1], None), procedure)

    def ended() -> bool:
        row.beat(clock.now())
        return ctx.stop.is_set()

    with Listening(fileno=ctx.fds["listener"]) as listener:
        start.ready(ctx, row, clock)
        asyncio.run(serve(Clerk(facts, _writer(config, ctx), lambda: row.add(Count.FRAMES)), listener, ended))


def _writer(config: AssistantConfig, ctx: ChildContext) -> Writer | None:
    """The server in the hospital, if there is one; then the box."""
    box = _box(ctx)
    return InTurn(Server(config.server), box) if config.server is not None else box


def _box(ctx: ChildContext) -> Writer | None:
    """The device's box; None where there is none, or where the process before this one had begun to speak with it."""
    if "turn" not in ctx.fds:
        return None
    try:
        os.eventfd_read(ctx.fds["turn"])
    except BlockingIOError:
        return None
    return Elsewhere(ctx.fds["requests"], ctx.fds["answers.read"])


def serve_trail(path: Path, key: str | None, at: Path, writer: Writer | None) -> None:
    """`inframe assistant serve`: the newest procedure of a trail, until SIGINT or SIGTERM. Raises ConfigError."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopped.set())

    def facts() -> Procedure:
        return assisting.procedure_of(audit.find_log(path, key), None)

    audit.find_log(path, key)  # what is wrong is said at once
    with listen(at) as listener:
        asyncio.run(serve(Clerk(facts, writer), listener, stopped.is_set))
    at.unlink(missing_ok=True)
