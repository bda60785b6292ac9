"""A real RTSP server on the loopback address for tests: one client, H.264 in RTP over the same TCP connection.

RFC 2326 (RTSP), RFC 3550 (RTP), RFC 6184 (H.264 in RTP: single NAL units and FU-A). It sends only what the test tells
it to, when the test tells it to.
"""

import base64
import contextlib
import itertools
import re
import socket
import struct
import threading
from collections.abc import Iterator

MTU = 1200
CLOCK_HZ = 90_000
LIMIT_S = 10.0


def nal_units(access_unit: bytes) -> list[bytes]:
    """The NAL units of an Annex B access unit, without start codes."""
    return [part for part in re.split(rb"\x00\x00\x00?\x01", access_unit) if part]


def payloads(nal: bytes, mtu: int = MTU) -> Iterator[bytes]:
    """RFC 6184, 5.6 and 5.8."""
    if len(nal) <= mtu:
        yield nal
        return
    indicator, kind = (nal[0] & 0xE0) | 28, nal[0] & 0x1F
    body = nal[1:]
    for at in range(0, len(body), mtu):
        edge = (0x80 if at == 0 else 0) | (0x40 if at + mtu >= len(body) else 0)
        yield bytes((indicator, edge | kind)) + body[at : at + mtu]


class RtspServer:
    """`url` accepts one client after the other; `send` waits until one is playing. `challenge`: ask for credentials so;
    `answers`: what to answer instead of the usual, by method."""

    def __init__(self, parameter_sets: bytes, challenge: str = "", answers: dict[str, bytes] | None = None) -> None:
        self._challenge, self._answers = challenge, answers or {}
        self._sets = [nal for nal in nal_units(parameter_sets) if nal[0] & 0x1F in (7, 8)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/stream"
        self.playing = threading.Event()
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self._client: socket.socket | None = None
        self._sequence = itertools.count(1000)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, access_unit: bytes, number: int, *, fps: int = 30, lose: int | None = None, mtu: int = MTU) -> None:
        """One access unit with the time stamp `number` / `fps`; `lose`: leave out the RTP packet of this index."""
        client = self._playing()
        parts = [part for nal in nal_units(access_unit) for part in payloads(nal, mtu)]
        for i, part in enumerate(parts):
            marker = 0x80 if i == len(parts) - 1 else 0
            head = struct.pack(
                ">BBHII", 0x80, marker | 96, next(self._sequence) & 0xFFFF, number * CLOCK_HZ // fps & 0xFFFFFFFF, 0x1F
            )
            if i != lose:
                client.sendall(struct.pack(">cBH", b"$", 0, len(head) + len(part)) + head + part)

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._playing().sendall(data)

    def _playing(self) -> socket.socket:
        if not self.playing.wait(LIMIT_S) or self._client is None:
            raise RuntimeError("no client is playing")
        return self._client

    def drop_connection(self) -> None:
        """Hang up, as when the cable is pulled; a new client may connect."""
        client, self._client = self._client, None
        self.playing.clear()
        if client is not None:
            with contextlib.suppress(OSError):  # it may have hung up first
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and stop listening."""
        self.drop_connection()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LIMIT_S)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._client = client
                try:
                    self._talk(client)
                except OSError:
                    continue

    def _talk(self, client: socket.socket) -> None:
        stream = client.makefile("rb")
        while line := stream.readline():
            method = line.split()[0].decode()
            headers = dict(h.decode().strip().split(": ", 1) for h in iter(stream.readline, b"\r\n") if b": " in h)
            self.requests.append(method)
            self.authorizations.append(headers.get("Authorization", ""))
            client.sendall(self._answer(method, headers))
            if method == "PLAY":
                self.playing.set()

    def _answer(self, method: str, headers: dict[str, str]) -> bytes:
        if method in self._answers:
            return self._answers[method]
        lines = ["RTSP/1.0 200 OK", f"CSeq: {headers['CSeq']}"]
        body = ""
        if self._challenge and "Authorization" not in headers:
            return f"RTSP/1.0 401 Unauthorized\r\n{lines[1]}\r\nWWW-Authenticate: {self._challenge}\r\n\r\n".encode()
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == "DESCRIBE":
            sets = ",".join(base64.b64encode(nal).decode() for nal in self._sets)
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\n"
                f"a=rtpmap:96 H264/{CLOCK_HZ}\r\na=control:track\r\n"
                f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
            )
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            lines += ["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
        else:
            lines.append("Session: 1")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
