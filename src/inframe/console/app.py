"""The console's application: the door, the routes, the page's files, and the socket that pictures come over."""

import asyncio
import re
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from inframe.console.desk import Desk
from inframe.console.door import Door, answer_refused
from inframe.console.files import page_files
from inframe.console.live import LEAST_WIDTH, Client
from inframe.console.people import Role
from inframe.console.refused import Refused
from inframe.console.routes import ROUTES, endpoint

STALLED_S = 5.0
"""A client that takes nothing for so long is dropped."""
LOOK_S = 1.0
"""So often a session is looked at while pictures go out under it."""
LOGGED_OUT, TOO_MANY, NOT_ASKED = 4401, 4429, 1008


def make_app(desk: Desk) -> ASGIApp:
    """The whole of it, for a server."""
    routes = [Path(route.path, endpoint(desk, route), methods=[route.method]) for route in ROUTES]
    files = [Path(path, _file(*found), methods=["GET"]) for path, found in page_files().items()]
    pages = Starlette(
        routes=[*routes, *files, WebSocketRoute("/live", _live(desk))],
        exception_handlers={404: _not_there, 405: _not_there},
    )
    return Door(pages, desk.config, desk.live.port, desk.clock)


def _file(kind: str, data: bytes):  # type: ignore[no-untyped-def]  # Starlette's endpoint
    async def answer(_request: Request) -> Response:
        return Response(data, media_type=kind)

    return answer


async def _not_there(_request: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    return answer_refused(Refused(status, "not there" if status == 404 else "not by this method"))


def _live(desk: Desk):  # type: ignore[no-untyped-def]  # Starlette's endpoint
    async def socket(socket: WebSocket) -> None:
        try:
            desk.guard.must_be(socket, Role.VIEWER)
        except Refused:
            await socket.close(LOGGED_OUT)  # before it is accepted: an answer of 403
            return
        client = Client(socket.query_params.get("raw") == "1", _width(socket.query_params.get("width", "")))
        if not desk.live.join(client):
            await socket.accept()
            await socket.close(TOO_MANY)
            return
        try:
            await socket.accept()
            await _serve(desk, socket, client)
        finally:
            desk.live.clients.discard(client)

    return socket


def _width(asked: str) -> int | None:
    """What a page may ask for; anything else is the picture as it is."""
    return max(LEAST_WIDTH, int(asked)) if re.fullmatch(r"[1-9][0-9]{0,3}", asked, re.ASCII) else None


async def _serve(desk: Desk, socket: WebSocket, client: Client) -> None:
    """Send until either end has enough. A browser has nothing to say here: whoever says something is shown out."""
    tasks = asyncio.create_task(_send(desk, socket, client)), asyncio.create_task(_hear(socket))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)  # a client that went away is no event
    code = next((one for one in ended if isinstance(one, int)), NOT_ASKED)
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):  # it may be gone already
        async with asyncio.timeout(LOOK_S):
            await socket.close(code)


async def _hear(socket: WebSocket) -> int:
    """Returns the code with which to close, at the first word or the end."""
    await socket.receive()
    return NOT_ASKED


async def _send(desk: Desk, socket: WebSocket, client: Client) -> int:
    """Returns the code with which to close.

    Not `asyncio.wait_for`: Python 3.11's forgets that it was cancelled where what it waits for ends in that moment, and a
    client that was to be shown out stayed (40 s, until the keepalive).
    """
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await client.news.wait()
        if desk.guard.who(socket) is None:
            return LOGGED_OUT
        while (data := client.take(desk.live)) is not None:
            async with asyncio.timeout(STALLED_S):
                await (socket.send_bytes(data) if isinstance(data, bytes) else socket.send_text(data))
