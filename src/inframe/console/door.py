"""The door: what every request must pass before a line of a route runs, and what every answer carries.

The picture is patient data, and other pages in the same browser can reach a loopback port. So every request must name this
server in `Host` (a foreign name that resolves to 127.0.0.1 does not) and must not come from another site (`Sec-Fetch-Site`);
whatever changes something must carry this page's `Origin` and the session's own secret, which no other site can read.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inframe.console.people import Role
from inframe.console.refused import Refused
from inframe.console.sessions import Rate, Session, Sessions, same
from inframe.core.clock import Clock
from inframe.core.errors import one_line
from inframe.core.web import WebScreen

T = TypeVar("T", bound=BaseModel)

LARGEST_BODY, LARGEST_HEAD = 4096, 16 << 10
BODY_S = 5.0
"""A body that takes longer to come is not waited for."""
MOST_PER_S, MOST_AT_ONCE = 40, 120
"""Requests of one address; a page that opens takes about twenty at once."""
REFUSED_PER_S, REFUSED_AT_ONCE, LATE_S = 10, 60, 0.25
"""Refusals of one address that are answered at once; the others that much later. Whoever floods waits, instead of keeping
busy the core that the display draws on."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
CSRF_HEADER = "x-csrf"


class Door:
    """ASGI middleware, the outermost: what is refused here reaches nothing else."""

    def __init__(self, app: ASGIApp, config: WebScreen, port: int, clock: Clock) -> None:
        self._app, self._clock = app, clock
        self._origins = {origin.partition("//")[2]: origin for origin in config.origins(port)}
        """By the `Host` that goes with it."""
        self._headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if config.tls else {})
        self._rate, self._refusals = Rate(MOST_PER_S, MOST_AT_ONCE), Rate(REFUSED_PER_S, REFUSED_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except Refused as refused:
            if not self._refusals.allows(_address(scope), self._clock.now()):
                await asyncio.sleep(LATE_S)
            await _refuse(scope, receive, with_headers, refused)
            return
        await self._app(scope, receive, with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEAD:
            raise Refused(431, f"head: expected at most {LARGEST_HEAD} bytes")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._origins:
            raise Refused(403, "Host: expected the address of this page")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "Sec-Fetch-Site: expected this page")
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and headers.getlist("origin") != [self._origins[hosts[0]]]:
            raise Refused(403, "Origin: expected this page")
        if not self._rate.allows(_address(scope), self._clock.now()):
            raise Refused(429, "too many requests", retry_s=1)


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: an answer of 403
        return
    await answer_refused(refused)(scope, receive, send)


def answer_refused(refused: Refused) -> JSONResponse:
    """The answer that says so."""
    headers = {"Retry-After": str(refused.retry_s)} if refused.retry_s is not None else {}
    return JSONResponse({"error": refused.why}, refused.status, headers)


@dataclass(frozen=True, slots=True)
class Guard:
    """Who somebody is, by the cookie."""

    sessions: Sessions
    local: Session | None
    """Whoever has no cookie; None where all must log in."""
    clock: Clock
    cookie: str

    def token(self, connection: HTTPConnection) -> str | None:
        """The session's token as the browser sent it."""
        return connection.cookies.get(self.cookie)

    def who(self, connection: HTTPConnection) -> Session | None:
        """The session; None: nobody that is known."""
        return self.sessions.find(self.token(connection), self.clock.now()) or self.local

    def must_be(self, connection: HTTPConnection, role: Role, *, named: bool = False) -> Session:
        """The session of somebody who may. Raises Refused."""
        session = self.who(connection)
        if session is None or (not session.named and (named or session.role < role)):
            raise Refused(401, "log in")
        if session.role < role:
            raise Refused(403, f"found a {session.role.name.lower()}, expected {role.name.lower()}")
        return session

    def must_be_page(self, request: Request, session: Session) -> None:
        """That what changes something comes from the page itself. Raises Refused."""
        sent = request.headers.getlist(CSRF_HEADER)
        if len(sent) != 1 or not same(sent[0], session.csrf):
            raise Refused(403, f"{CSRF_HEADER}: expected the session's own")


async def read_bytes(request: Request, largest: int) -> bytes:
    """The body. Raises Refused for what is too long or too slow."""
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > largest:
                    raise Refused(413, f"body: expected at most {largest} bytes")
    except TimeoutError:
        raise Refused(408, "body: expected sooner") from None
    except ClientDisconnect:
        raise Refused(400, "body: expected whole") from None
    return bytes(data)


async def read_body(request: Request, kind: type[T]) -> T:
    """The JSON of a request. Raises Refused for what is too long, too slow or not of this kind."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "Content-Type: expected application/json")
    data = await read_bytes(request, LARGEST_BODY)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise Refused(422, _said(error)) from None


def read_query(request: Request, kind: type[T]) -> T:
    """What stands behind the path. Raises Refused."""
    found: Mapping[str, Any] = dict(request.query_params)
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise Refused(422, _said(error)) from None


def _said(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "body"
    return one_line(f"{where}: {first['msg']}")
