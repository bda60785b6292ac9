"""A language model on a server inside the hospital (vLLM, llama-server) in place of the one in the box: the same prompt and the
same grammar over OpenAI's completions, and what comes back is believed as little.

Every wait is bounded. A server that refuses, is silent, or takes too long is left alone for a while, and who is next in line
writes: the box, then the template.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

from inframe.assistant.drafting import Writer, WriterGone
from inframe.core.assist import ServerConfig
from inframe.core.errors import one_line

CONNECT_S, SILENT_S, LONGEST_S = 2.0, 10.0, 60.0
"""To answer the connection; from piece to piece; for one text."""
LARGEST_LINE, READ = 1 << 16, 1 << 14
BYTES_PER_TOKEN, MOST_TOKENS = 2, 4096
APART_S = 30.0
"""So long a server that failed is not asked again: each part of a draft would wait for it anew."""


class Server:
    """The driver (drafting.Writer)."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._url = urlsplit(config.url)

    def write(self, prompt: str, grammar: str | None, most: int) -> Generator[str, None, str]:
        """See Writer. Closing the iterator closes the connection, at which such servers stop."""
        until = time.monotonic() + LONGEST_S
        connection = self._connection()
        try:
            response = self._asked(connection, prompt, grammar, most)
            return (yield from _texts(_lines(response, connection, until), most))
        except (OSError, http.client.HTTPException) as error:
            raise WriterGone(f"the server at {self._url.netloc}: {one_line(error) or type(error).__name__}") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port, tls = self._url.hostname or "", self._config.port, self._url.scheme == "https"
        connection = http.client.HTTPConnection(host, port, timeout=SILENT_S)
        try:
            plain = socket.create_connection((self._config.address or host, port), CONNECT_S)
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if tls else plain
        except OSError as error:
            raise WriterGone(f"the server at {self._url.netloc}: {one_line(error)}") from None
        connection.sock.settimeout(SILENT_S)
        return connection

    def _asked(
        self, connection: http.client.HTTPConnection, prompt: str, grammar: str | None, most: int
    ) -> http.client.HTTPResponse:
        body: dict[str, Any] = {"model": self._config.model, "prompt": prompt, "stream": True, "temperature": 0}
        body["max_tokens"] = min(MOST_TOKENS, max(1, most // BYTES_PER_TOKEN))
        if grammar is not None:  # llama-server; vLLM; vLLM before 0.12. Each leaves alone what it does not know
            body |= {"grammar": grammar, "structured_outputs": {"grammar": grammar}, "guided_grammar": grammar}
        path = f"{self._url.path.rstrip('/').removesuffix('/v1')}/v1/completions"
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise WriterGone(f"the server at {self._url.netloc} answers {response.status}")
        return response


def _lines(response: http.client.HTTPResponse, connection: http.client.HTTPConnection, until: float) -> Iterator[bytes]:
    """The lines of the stream. Not `readline`: one byte now and then would have it wait for ever."""
    data = b""
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done after {LONGEST_S:g} s")
        if connection.sock is not None:
            connection.sock.settimeout(min(SILENT_S, left))
        part = response.read1(READ)
        data += part
        *whole, data = data.split(b"\n")
        yield from whole
        if not part:
            return
        if len(data) > LARGEST_LINE:
            raise http.client.HTTPException("a line without end")


def _texts(lines: Iterator[bytes], most: int) -> Generator[str, None, str]:
    left, why = most, "end"
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return why
        text, reason = _piece(data)
        text = text.encode()[:left].decode("utf-8", "ignore")
        left -= len(text.encode())
        why = "long" if reason == "length" else why
        if text:
            yield text
        if left <= 0:
            return "long"
    raise WriterGone("the server ended its text in the midst of it")


def _piece(data: bytes) -> tuple[str, str]:
    try:
        told = json.loads(data)
        choices = told["choices"]
        if not choices:  # vLLM's last one has only the usage
            return "", ""
        return str(choices[0].get("text") or ""), str(choices[0].get("finish_reason"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise WriterGone("the server says what nobody can read") from None


class InTurn:
    """Who writes: the first; the second where that one fails, and for a while after (drafting.Writer)."""

    def __init__(self, first: Writer, second: Writer | None) -> None:
        self._first, self._second = first, second
        self._not_before = 0.0

    def write(self, prompt: str, grammar: str | None, most: int) -> Generator[str, None, str]:
        """See Writer. What has begun is not begun anew: a text of two halves would be nobody's."""
        has_begun = False
        if time.monotonic() >= self._not_before:
            try:
                pieces: Any = self._first.write(prompt, grammar, most)
                while True:
                    try:
                        piece = next(pieces)
                    except StopIteration as end:
                        return str(end.value or "end")
                    has_begun = True
                    yield piece
            except WriterGone:
                self._not_before = time.monotonic() + APART_S
                if has_begun or self._second is None:
                    raise
        if self._second is None:
            raise WriterGone("the server failed a moment ago")
        rest: Any = self._second.write(prompt, grammar, most)
        return str((yield from rest) or "end")
