"""The server: uvicorn, with bounds on what one connection and all of them may take."""

import asyncio
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from inframe.console.door import LARGEST_HEAD
from inframe.console.live import Live
from inframe.core.web import WebScreen

MOST_CONNECTIONS = 48
HEAD_S = 5.0
"""A connection that has not sent a whole head by then is closed."""
LARGEST_MESSAGE = 1024
LINGER_S = 2.0
"""What a connection has not taken so long after its end is thrown away."""
KEEP_ALIVE_S = 15
QUIET: dict[str, Any] = {
    "loop": "asyncio",
    "lifespan": "off",
    "log_config": None,
    "log_level": "critical",
    "access_log": False,
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "timeout_graceful_shutdown": 1,
}
"""A uvicorn that says nothing of itself."""


class BoundedHttp(H11Protocol):
    """One connection."""

    most = MOST_CONNECTIONS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._late = self.loop.call_later(HEAD_S, self._check)

    def _check(self) -> None:
        """Again and again: whoever sends the next head byte by byte is no better."""
        waiting = self.cycle is None or (self.cycle.response_complete and self.timeout_keep_alive_task is None)
        if self.transport.is_closing():
            return
        if waiting:
            self.transport.abort()
            return
        self._late = self.loop.call_later(HEAD_S, self._check)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._forget()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()


class BoundedSocket(WSProtocol):
    """One connection that pictures go over."""

    _linger: asyncio.TimerHandle | None = None
    _is_lost = False

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            if not self._is_lost:  # a transport that is gone can't be aborted
                self._linger = self.loop.call_later(LINGER_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)


def make_server(app: ASGIApp, config: WebScreen) -> uvicorn.Server:
    """uvicorn, silent, for one socket that is open already."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedHttp,
            ws=BoundedSocket,
            **QUIET,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=LARGEST_HEAD,
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            ssl_certfile=config.tls.certificate if config.tls is not None else None,
            ssl_keyfile=config.tls.key if config.tls is not None else None,
        )
    )


class Serving:
    """The server in a thread of its own: it may wait for a browser, the feed for nobody."""

    def __init__(self, server: uvicorn.Server, live: Live, listener: Any) -> None:
        self._server, self._live, self._listener = server, live, listener
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self.failed: BaseException | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """False: it has failed, and the process should too."""
        return self._thread.is_alive()

    def _run(self) -> None:
        async def serve() -> None:
            self._live.loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._listener])

        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001  # of a thread: who waits for it raises it anew
            self.failed = error

    def stop(self) -> None:
        """End it; clients are told."""
        self._server.should_exit = True
        self._thread.join(3.0)
