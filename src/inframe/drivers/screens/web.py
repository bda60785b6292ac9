"""A page on the loopback address with the live picture. No byte of it comes from elsewhere.

The picture is patient data. Other pages in the same browser can reach a loopback port, so every request must name this
server in `Host` (a foreign name that resolves to 127.0.0.1 does not), must not come from another site
(`Sec-Fetch-Site`), and to change anything must carry this page's `Origin` and a header that only its script may send.
"""

import base64
import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server, socket
from socketserver import BaseServer
from typing import Any

import cv2
import numpy as np

from inframe.core.config import WebScreen
from inframe.core.errors import DeviceFault, one_line
from inframe.core.types import Pixels
from inframe.drivers.screens.commands import Command, must_fit, parse_command

HOST = "127.0.0.1"
CLIENTS = 12
"""Connections served at once; more are closed unanswered."""
STALLED_S = 5.0
"""A client that takes nothing for so long is dropped; one that waits for a picture gets an error after as long."""
QUALITY = 82
BOUNDARY = "inframe-picture"
LARGEST_BODY = 512


def listen(config: WebScreen) -> socket:
    """The page's socket, on the loopback address. Raises DeviceFault when the port can't be had.

    The process that serves the page may open none: it gets this one from the parent, which keeps it: a restarted
    page is at the same address.
    """
    try:
        return create_server((HOST, config.port))
    except OSError as error:
        raise DeviceFault(f"screen web: port {config.port} of {HOST}: {one_line(error.strerror or error)}") from None


class PageScreen:
    """Serves `/`, `/stream.mjpg`, `/frame.jpg`, `/state.json`, and takes POST `/control`.

    Slow clients skip pictures: each gets the newest when it is ready. A picture is encoded at most once, and only when
    somebody watches.
    """

    def __init__(
        self, listener: socket, width: int, height: int, state: Callable[[], Mapping[str, object]] = dict
    ) -> None:
        self._width, self._height = width, height
        self._bgr = np.empty((height, width, 3), np.uint8)
        self.state = state
        self._news = threading.Condition()
        self._jpeg, self.seq, self._shows = b"", 0, 0
        self._watching = 0
        self.closed = False
        self._commands: deque[Command] = deque(maxlen=64)
        self._server = _Server(self, listener)
        self.port = int(self._server.server_address[1])
        self.url = f"http://{HOST}:{self.port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="web", daemon=True).start()

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:  # noqa: ARG002  # the port's signature
        """See core.ports.Screen."""
        must_fit(pixels, self._width, self._height, closed=self.closed)
        self.seq = seq
        if not self._watching:
            return
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, dst=self._bgr)
        _, jpeg = cv2.imencode(".jpg", self._bgr, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        with self._news:
            self._jpeg = jpeg.tobytes()
            self._shows += 1
            self._news.notify_all()

    def poll(self) -> list[Command]:
        """What the page asked for since the last call."""
        return [self._commands.popleft() for _ in range(len(self._commands))]

    def close(self) -> None:
        """See core.ports.Screen."""
        if self.closed:
            return
        self.closed = True
        with self._news:
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def watch(self, change: int) -> int:
        """One more (+1) or one less (-1) who wants pictures; returns the number of the newest picture so far."""
        with self._news:
            self._watching += change
            return self._shows

    def after(self, shows: int) -> tuple[int, bytes]:
        """The newest picture after number `shows`, when there is one: (its number, JPEG). Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: self.closed or self._shows != shows, STALLED_S) or self.closed:
                raise TimeoutError("no picture")
            return self._shows, self._jpeg

    def take(self, command: Command) -> None:
        """Keep for `poll`; beyond 64 the oldest is forgotten."""
        self._commands.append(command)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, screen: PageScreen, listener: socket) -> None:
        self.screen = screen
        self.page = Path(__file__).with_name("page.html").read_bytes()
        script = self.page.split(b"<script>")[1].split(b"</script>")[0]
        style = self.page.split(b"<style>")[1].split(b"</style>")[0]
        self.policy = (
            f"default-src 'none'; img-src 'self'; connect-src 'self'; script-src '{_hash(script)}'; "
            f"style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._room = threading.BoundedSemaphore(CLIENTS)
        # Past HTTPServer's and TCPServer's own: they would make a socket, which this process is not let to
        BaseServer.__init__(self, listener.getsockname(), _Handler)
        self.socket = listener
        self.server_name, self.server_port = HOST, int(listener.getsockname()[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """A client that goes away in the middle is no event, and the terminal is not the page's."""


def _hash(content: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = STALLED_S
    server_version, sys_version = "inframe", ""

    def do_GET(self) -> None:
        screen = self.server.screen
        if not self._from_here():
            return
        match self.path:
            case "/":
                self._send("text/html; charset=utf-8", self.server.page)
            case "/state.json":
                self._send("application/json", json.dumps({**screen.state(), "seq": screen.seq}).encode())
            case "/frame.jpg":
                self._watch(self._one)
            case "/stream.mjpg":
                self._watch(self._stream)
            case _:
                self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        if not self._from_here():
            return
        own = self.headers.get("Origin") == f"http://{self.headers.get('Host')}"
        if self.path != "/control" or not own or self.headers.get("X-Inframe") != "control":
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        try:
            self.server.screen.take(parse_command(self.rfile.read(int(length))))
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._send("application/json", b"{}")

    def _from_here(self) -> bool:
        port = self.server.screen.port
        named = self.headers.get_all("Host", []) in ([f"{HOST}:{port}"], [f"localhost:{port}"])
        if named and self.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none"):
            return True
        self._refuse(HTTPStatus.FORBIDDEN)
        return False

    def _watch(self, give: Callable[[int], None]) -> None:
        shows = self.server.screen.watch(+1)
        try:
            give(shows)
        finally:
            self.server.screen.watch(-1)

    def _one(self, shows: int) -> None:
        try:
            _, jpeg = self.server.screen.after(shows)
        except TimeoutError:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._send("image/jpeg", jpeg)

    def _stream(self, shows: int) -> None:
        self._start(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        while True:
            shows, jpeg = self.server.screen.after(shows)  # TimeoutError ends the connection: the page then says so
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def _send(self, kind: str, body: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._start(status, kind, len(body))
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus) -> None:
        self._send("text/plain; charset=utf-8", f"{status.value} {status.phrase}\n".encode(), status)

    def _start(self, status: HTTPStatus, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", self.server.policy)
        for name, value in _HEADERS:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Nothing: who watches is not written to the terminal."""


_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
