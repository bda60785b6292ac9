"""The RTSP conversation with a camera (RFC 2326), RTP over the same TCP connection (section 10.12). Our own since
FFmpeg's gives neither the end of a picture nor the loss of a packet away (see `rtp.py`); with it, no network code of
FFmpeg runs.
"""

import base64
import hashlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from inframe.core.errors import ConfigError, DeviceFault
from inframe.drivers.cameras.rtp import START_CODE, Codec

MAX_LINE, MAX_HEADERS, MAX_BODY = 4096, 64, 1 << 16
_URL = re.compile(
    r"rtsp://(?:(?P<user>[^:@/]*)(?::(?P<password>[^/]*))?@)?"
    r"(?P<host>[^:@/?#\[\]]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?(?P<rest>(?:[/?].*)?)"
)
_CODECS: dict[str, Codec] = {"H264": "h264", "H265": "hevc"}


@dataclass(frozen=True)
class Media:
    """The video track that a camera describes (SDP, RFC 4566)."""

    codec: Codec
    payload_type: int
    clock_hz: int
    parameter_sets: bytes
    """Annex B; empty if the camera sends them only within the video."""
    control: str


@dataclass
class _Reply:
    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RtspSession:
    """Connects, asks for the video, and yields RTP packets. Raises DeviceFault when the camera can't be reached or
    hangs up, ConfigError when it refuses the credentials or offers no video that we can decode."""

    def __init__(self, url: str, open_timeout_s: float, read_timeout_s: float) -> None:
        self.where = without_password(url)
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ConfigError(self.where, "url", "something else", "rtsp://user:p%40ss@host:554/path")
        self._user, self._password = _unquote(parts["user"] or ""), _unquote(parts["password"] or "")
        address = (parts["host"].strip("[]"), int(parts["port"] or 554))
        self._url = f"rtsp://{parts['host']}{':' + parts['port'] if parts['port'] else ''}{parts['rest']}"
        self._challenge = ""
        self._sequence = 0
        self._session: dict[str, str] = {}
        self._keep_alive_s = 30.0
        try:
            self._socket = socket.create_connection(address, open_timeout_s)
        except (OSError, OverflowError, UnicodeError) as error:  # the last two: no such port, no such name
            raise DeviceFault(f"{self.where}: no connection: {error}") from None
        self._stream = self._socket.makefile("rb")
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.media = self._set_up()
            self._socket.settimeout(read_timeout_s)
        except (OSError, DeviceFault, ConfigError) as error:
            self.close()
            if isinstance(error, OSError):
                raise DeviceFault(f"{self.where}: {error}") from None
            raise

    def packets(self) -> Iterator[bytes]:
        """RTP packets of the video until the camera hangs up. Raises DeviceFault."""
        next_sign = time.monotonic() + self._keep_alive_s
        try:
            while True:
                channel, data = self._interleaved()
                # a camera with Nagle's algorithm on holds a picture's end back until we acknowledge what came before
                # it, which Linux delays by 40 ms; the option lasts only until the kernel changes its mind
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if channel == self._channel:
                    yield data
                if time.monotonic() >= next_sign:
                    self._send("OPTIONS", self._url)  # its answer comes between the packets and is skipped
                    next_sign = time.monotonic() + self._keep_alive_s
        except OSError as error:
            raise DeviceFault(f"{self.where}: {error}") from None

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()

    def _set_up(self) -> Media:
        reply = self._ask("DESCRIBE", self._url, {"Accept": "application/sdp"})
        base = reply.headers.get("content-base") or reply.headers.get("content-location") or self._url
        media = parse_sdp(reply.body.decode("utf-8", "replace"), self.where)
        control = media.control
        if not control.startswith("rtsp://"):
            control = base if control in ("", "*") else f"{base.rstrip('/')}/{control}"
        reply = self._ask("SETUP", control, {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"})
        found = re.search(r"interleaved=(\d+)", reply.headers.get("transport", ""))
        if found is None:
            raise DeviceFault(f"{self.where}: the camera does not send video over the RTSP connection (TCP)")
        self._channel = int(found[1])
        session, _, rest = reply.headers.get("session", "").partition(";")
        self._session = {"Session": session.strip()}
        timeout = re.search(r"timeout=(\d+)", rest)
        self._keep_alive_s = max(1, int(timeout[1])) / 2 if timeout else 30.0
        self._ask("PLAY", base, {"Range": "npt=0.000-"})
        return media

    def _ask(self, method: str, url: str, headers: dict[str, str]) -> _Reply:
        for _ in range(2):
            self._send(method, url, headers)
            reply = self._reply()
            if reply.status != 401 or self._challenge:
                break
            self._challenge = reply.headers.get("www-authenticate", "")
        if reply.status == 401:
            raise ConfigError(self.where, "url", "credentials that the camera refuses", "rtsp://user:password@host/…")
        if reply.status != 200:
            raise DeviceFault(f"{self.where}: the camera answers {method} with {reply.status} {reply.reason}")
        return reply

    def _send(self, method: str, url: str, headers: dict[str, str] | None = None) -> None:
        self._sequence += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._sequence}", "User-Agent: inframe"]
        lines += [f"{key}: {value}" for key, value in {**self._session, **(headers or {})}.items()]
        if self._challenge:
            lines.append(f"Authorization: {authorization(self._challenge, self._user, self._password, method, url)}")
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _reply(self) -> _Reply:
        """The next answer; packets that come before it are skipped."""
        while True:
            first = self._exactly(1)
            if first == b"$":
                self._exactly(int.from_bytes(self._exactly(3)[1:], "big"))
                continue
            return self._message(first)

    def _interleaved(self) -> tuple[int, bytes]:
        """The next packet and its channel; answers that come before it are skipped."""
        while (first := self._exactly(1)) != b"$":
            self._message(first)
        head = self._exactly(3)
        return head[0], self._exactly(int.from_bytes(head[1:], "big"))

    def _message(self, first: bytes) -> _Reply:
        words = (first + self._line()).split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"RTSP/") or not words[1].isdigit():
            reply = _Reply(0, "")  # a request of the camera's own: read over
        else:
            reply = _Reply(int(words[1]), words[2].decode("utf-8", "replace").strip() if len(words) > 2 else "")
        for _ in range(MAX_HEADERS):
            line = self._line().decode("utf-8", "replace").strip()
            if not line:
                break
            key, _, value = line.partition(":")
            if key.lower() != "www-authenticate" or value.strip().lower().startswith("digest"):
                reply.headers[key.lower()] = value.strip()
            else:
                reply.headers.setdefault("www-authenticate", value.strip())
        length = reply.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise DeviceFault(f"{self.where}: the camera announces a message of {length} bytes")
        reply.body = self._exactly(int(length))
        return reply

    def _line(self) -> bytes:
        line = self._stream.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise DeviceFault(f"{self.where}: the camera hung up or does not speak RTSP")
        return line

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise DeviceFault(f"{self.where}: the camera hung up")
        return data


def parse_sdp(text: str, where: str) -> Media:
    """The first H.264 or H.265 track. Raises ConfigError if there is none."""
    found = []
    for section in re.split(r"(?m)^(?=m=)", text)[1:]:
        if not section.startswith("m=video"):
            continue
        control = re.search(r"(?m)^a=control:(\S+)", section)
        for payload_type, name, hz in re.findall(r"(?m)^a=rtpmap:(\d{1,3}) ([\w-]+)/(\d{1,9})", section):
            found.append(name)
            if (codec := _CODECS.get(name.upper())) and int(hz):
                sets = re.findall(r"sprop-(?:parameter-sets|vps|sps|pps)=([\w+/=,]+)", section)
                return Media(codec, int(payload_type), int(hz), _parameter_sets(sets), control[1] if control else "")
    raise ConfigError(where, "video", ", ".join(found) or "no video track", "a camera that sends H.264 or H.265")


def _parameter_sets(texts: list[str]) -> bytes:
    try:
        return b"".join(START_CODE + base64.b64decode(part) for text in texts for part in text.split(",") if part)
    except ValueError:
        return b""  # most cameras repeat them within the video


def authorization(challenge: str, user: str, password: str, method: str, url: str) -> str:
    """The answer to a WWW-Authenticate header: Basic or Digest (RFC 2069 and, with qop=auth, RFC 2617)."""
    if not challenge.lower().startswith("digest"):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    given = {key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)}
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    one, two = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{url}")
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
    extra = ""
    if "auth" in given.get("qop", "").split(","):
        fields |= {"response": _md5(f"{one}:{nonce}:00000001:inframe:auth:{two}"), "cnonce": "inframe"}
        extra = ", qop=auth, nc=00000001"
    else:
        fields["response"] = _md5(f"{one}:{nonce}:{two}")
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    return "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items()) + extra


def without_password(url: str) -> str:
    """For messages and records. Up to the last @, wherever it is: rather too much hidden."""
    return re.sub(r"//.*@", "//", url)


def _unquote(text: str) -> str:
    data = re.sub(rb"%([0-9a-fA-F]{2})", lambda found: bytes((int(found[1], 16),)), text.encode())
    return data.decode("utf-8", "replace")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # RFC 2617 knows nothing better
