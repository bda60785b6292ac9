"""Ten browsers of which one never reads, and a stream of requests that are refused: python -m tests.console.flood PORT SECONDS"""

import http.client
import os
import socket
import sys
import threading
import time
from contextlib import suppress

from tests.console.stand import Browser

BAD: tuple[tuple[str, str, bytes, dict[str, str]], ...] = (
    ("GET", "/../../etc/passwd", b"", {}),
    ("POST", "/api/control", b"x" * 5000, {}),
    ("POST", "/api/control", b'{"wish": "quit"}', {"Content-Type": "application/json"}),
    ("POST", "/api/login", b"nonsense", {"Content-Type": "application/json"}),
    ("GET", "/api/frame?seq=-1", b"", {"Host": "evil.example"}),
    ("GET", "/api/state", b"", {"Sec-Fetch-Site": "cross-site"}),
    ("PUT", "/", b"", {}),
)


def watch(port: int, until: float) -> None:
    """A browser that keeps up."""
    with suppress(OSError), Browser(port).live() as live:
        while time.monotonic() < until and not isinstance(live.next(), int):
            pass


def stall(port: int, until: float) -> None:
    """One that never reads, and comes back when it is dropped."""
    while time.monotonic() < until:
        with suppress(OSError), Browser(port).live() as live:
            live._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            threading.Event().wait(min(10.0, max(0.0, until - time.monotonic())))


def bother(port: int, until: float, counts: dict[int, int]) -> None:
    """Bad requests, one after the other, without a rest."""
    browser, i = Browser(port), 0
    while time.monotonic() < until:
        method, path, body, headers = BAD[i % len(BAD)]
        i += 1
        with suppress(OSError, http.client.HTTPException):
            status = browser.ask(method, path, body, headers)[0]
            counts[status] = counts.get(status, 0) + 1


def main(port: int, seconds: float) -> None:
    """Everything at once; prints how many requests got which status."""
    os.nice(5)  # whoever watches from elsewhere takes no processor from the device's background
    until, counts = time.monotonic() + seconds, dict[int, int]()
    threads = [threading.Thread(target=watch, args=(port, until)) for _ in range(9)]
    threads += [threading.Thread(target=stall, args=(port, until))]
    threads += [threading.Thread(target=bother, args=(port, until, counts)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(f"{dict(sorted(counts.items()))}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
