"""What the assistant does for others, over a Unix socket: the process `assistant` of a running device, and
`inframe assistant serve`. One thing at a time, a few waiting, everybody else is told at once to come again.
"""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inframe import assisting, audit
from inframe.assistant import openai
from inframe.assistant.drafting import Writer
from inframe.assistant.facts import Procedure
from inframe.assistant.hospital import InTurn, Server
from inframe.assistant.openai import Asked, Bad
from inframe.assistant.talk import Elsewhere
from inframe.clerk import Clerk, Page, pieces_of
from inframe.console.door import read_bytes
from inframe.console.refused import Refused
from inframe.console.serve import QUIET, BoundedHttp
from inframe.core.assist import AssistantConfig
from inframe.core.clock import MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.machine.child import ChildContext
from inframe.machine.unixsocket import bound
from inframe.pipeline import start
from inframe.pipeline.board import Board, Count
from inframe.trail.home import Home

BEAT_S = 0.5
LARGEST_DRAFT = 1 << 20


class LocalHttp(BoundedHttp):
    """More connections than are served, so that whoever is too many is told so."""

    most = 256


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
        return JSONResponse(await anext(pieces_of(clerk.turns, lambda: iter([clerk.check(data)]))))

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
    try:
        return await read_bytes(request, largest)
    except Refused as error:
        raise Bad(error.status, error.why) from None


async def _answer(clerk: Clerk, request: Request, *, is_chat: bool) -> Response:
    one = openai.asked(await _body(request, openai.LARGEST_BODY), is_chat=is_chat)
    more: dict[str, Any] = {}

    def job() -> Iterator[str]:
        pieces, told = clerk.work(one)
        yield ""  # it is this one's turn
        yield from pieces
        more.update(told)
        clerk.answered()

    pieces = pieces_of(clerk.turns, job)
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
        **QUIET,
        h11_max_incomplete_event_size=16 << 10,
    )
    return Unheeding(config)


async def serve(
    clerk: Clerk, listener: socket.socket, ended: Callable[[], bool], pages: socket.socket | None = None
) -> None:
    """Answer until `ended`, which is asked twice a second."""
    server = make_server(clerk)
    if pages is not None:
        Page(clerk, pages).begin()

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

    clerk = Clerk(facts, _writer(config, ctx), lambda: row.add(Count.FRAMES))
    with Listening(fileno=ctx.fds["listener"]) as listener, socket.socket(fileno=ctx.fds["page"]) as pages:
        start.ready(ctx, row, clock)
        asyncio.run(serve(clerk, listener, ended, pages))


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


def serve_trail(path: Path, key: str | None, at: Path, writer: Writer | None, opened: Callable[[], None]) -> None:
    """`inframe assistant serve`: the newest procedure of a trail, until SIGINT or SIGTERM. `opened` is called once it can be
    asked. Raises ConfigError."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopped.set())

    def facts() -> Procedure:
        return assisting.procedure_of(audit.find_log(path, key), None)

    audit.find_log(path, key)  # what is wrong is said at once
    with listen(at) as listener:
        opened()
        asyncio.run(serve(Clerk(facts, writer), listener, stopped.is_set))
    at.unlink(missing_ok=True)
