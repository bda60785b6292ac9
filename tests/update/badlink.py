"""A proxy on a bad line: it drops, stalls and corrupts at chosen bytes of the answers. No test in here."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread


class Fault(Enum):
    """What happens to a connection."""

    DROP = "dropped"
    RESET = "reset"
    STALL = "stalled"
    CORRUPT = "corrupted"
    NONE = "none"


@dataclass
class Plan:
    """The faults of the next connections that ask for a bundle: (what, after how many bytes of the body)."""

    faults: list[tuple[Fault, int]] = field(default_factory=list)
    relayed: int = 0
    """Bytes of bodies that came through."""
    struck: int = 0
    starts: list[int] = field(default_factory=list)
    """Where each of them began to read."""


class _Relay(BaseRequestHandler):
    server: "Proxy"

    def handle(self) -> None:
        request = self._until_blank_line(self.request)
        with socket.create_connection(self.server.upstream) as upstream:
            upstream.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            head = self._until_blank_line(upstream)
            fault, at = Fault.NONE, 0
            if b"/bundles/" in request.partition(b"\r\n")[0] and self.server.plan.faults:
                fault, at = self.server.plan.faults.pop(0)
                asked = re.search(rb"Range: bytes=(\d+)-", request)
                self.server.plan.starts.append(int(asked[1]) if asked else 0)
            try:
                self.request.sendall(head)
                self._relay(upstream, fault, at)
            except OSError:
                pass  # the client has hung up

    def _until_blank_line(self, sock: socket.socket) -> bytes:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += sock.recv(1)
        return data

    def _relay(self, upstream: socket.socket, fault: Fault, at: int) -> None:
        sent = 0
        while data := upstream.recv(1024):
            if fault is not Fault.NONE and sent + len(data) > at:
                self.server.plan.struck += 1
                here = at - sent
                if fault in (Fault.DROP, Fault.RESET):
                    self.request.sendall(data[:here])
                    self.server.plan.relayed += here
                    if fault is Fault.RESET:
                        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    return
                if fault is Fault.STALL:
                    self.server.stall()
                else:
                    data = data[:here] + bytes([data[here] ^ 0x20]) + data[here + 1 :]
                fault = Fault.NONE
            self.request.sendall(data)
            sent += len(data)
            self.server.plan.relayed += len(data)


class Proxy(ThreadingTCPServer):
    """In front of a site. `stall`: makes the client's clock go on."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, upstream: tuple[str, int], stall: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream, self.stall, self.plan = upstream, stall, Plan()

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def bad_link(upstream: tuple[str, int], stall: Callable[[], None]) -> Iterator[Proxy]:
    """The proxy, until the end of the block."""
    proxy = Proxy(upstream, stall)
    thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
