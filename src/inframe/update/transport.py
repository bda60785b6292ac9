"""Bytes from a repository: http, https, or a folder (a USB stick). What comes too slowly, or as something else than was asked
for, is an error of python-tuf's own kinds; what the bytes are worth is for others to judge.

The minimum speed is held at the socket, so that a header which comes one byte a second is as slow as a body that does: an
HTTP library's timeout only bounds each single wait.
"""

import http.client
import io
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from inframe.core.clock import NS_PER_S, Clock

CHUNK = 64 << 10
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


@dataclass(frozen=True, slots=True)
class Speed:
    """Less than `least` bytes a second, over `window_s`, is too slow. A wait of `window_s` for one byte is, too."""

    least: int = 1_000
    window_s: float = 10


class Pace:
    """Measures one transfer. Raises SlowRetrievalError."""

    def __init__(self, speed: Speed, clock: Clock) -> None:
        self._speed, self._clock = speed, clock
        self._since, self._bytes = clock.now(), 0

    def took(self, count: int) -> None:
        """`count` bytes have come."""
        self._bytes += count
        elapsed_s = (self._clock.now() - self._since) / NS_PER_S
        if elapsed_s < self._speed.window_s:
            return
        if self._bytes < self._speed.least * elapsed_s:
            rate = self._bytes / elapsed_s
            raise SlowRetrievalError(f"found {rate:.0f} bytes a second, expected {self._speed.least} or more")
        self._since, self._bytes = self._clock.now(), 0


class _PacedFile(io.RawIOBase):
    """What comes out of a socket, with an eye on its pace."""

    def __init__(self, raw: io.RawIOBase, pace: Pace) -> None:
        self._raw, self._pace = raw, pace

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        count = self._raw.readinto(into)
        self._pace.took(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedSocket:
    """As much of a socket as http.client uses after it has connected."""

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        self._sock, self._pace = sock, pace

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PacedFile(self._sock.makefile("rb", buffering=0), self._pace), CHUNK)

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data)

    def close(self) -> None:
        self._sock.close()


class Transport:
    """Reads from a repository. `context`: for https; default: the system's certificates."""

    def __init__(self, clock: Clock, speed: Speed | None = None, context: ssl.SSLContext | None = None) -> None:
        self._clock, self._speed, self._context = clock, speed or Speed(), context

    def read(self, url: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of `url` from byte `start` on, as they come, at most CHUNK at a time. Raises DownloadError."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            return _read_file(Path(unquote(parts.path)), start)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DownloadError(f"{url}: found scheme {parts.scheme!r}, expected http, https or file")
        return self._read_http(url, start)

    def _read_http(self, url: str, start: int) -> Iterator[bytes]:
        parts, pace = urlsplit(url), Pace(self._speed, self._clock)
        host, port, wait = parts.hostname or "", parts.port, self._speed.window_s
        if parts.scheme == "https":
            context = self._context or ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=wait, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=wait)
        try:
            connection.connect()
            connection.sock = _PacedSocket(connection.sock, pace)
            headers = {"Range": f"bytes={start}-"} if start else {}
            connection.request("GET", parts.path, headers={**headers, "Accept-Encoding": "identity"})
            with connection.getresponse() as response:
                skip = _to_skip(url, response, start)
                while chunk := response.read1(CHUNK):
                    yield chunk[skip:] if skip else chunk
                    skip = max(0, skip - len(chunk))
        except TimeoutError as error:
            raise SlowRetrievalError(f"{url}: nothing came for {self._speed.window_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()


def _to_skip(url: str, response: http.client.HTTPResponse, start: int) -> int:
    """How many of the first bytes were not asked for: a plain server sends the whole file. Raises DownloadError."""
    if response.status == http.HTTPStatus.OK:
        return start
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        raise DownloadHTTPError(f"{url}: found HTTP status {response.status}, expected 200 or 206", response.status)
    said = response.getheader("Content-Range", "")
    found = _RANGE.fullmatch(said)
    if found is None or int(found[1]) != start:
        raise DownloadError(f"{url}: Content-Range: found {said[:60]!r}, expected bytes from {start} on")
    return 0


def _read_file(path: Path, start: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK):
                yield chunk
    except FileNotFoundError as error:
        raise DownloadHTTPError(f"{path}: no such file", 404) from error
    except OSError as error:
        raise DownloadError(f"{path}: {error.strerror}") from error


class Fetcher(FetcherInterface):
    """A transport, as python-tuf calls it. It counts the bytes and stops at the most that it allows."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._transport.read(url)
