"""A console under test: the real process, as the table of processes starts it, before a device that a test plays.

The test writes what display and camera would write: pictures, records, the board. The recorder is the real one, too.
"""

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, RejectConnection, Request, TextMessage

from inframe.core.clock import NS_PER_MS, MonotonicClock
from inframe.core.config import Device
from inframe.core.samples import Samples
from inframe.core.types import Alert, Controls, Decision, Finding, Frame, Mode, Presence, Priority, Verdict
from inframe.device import _share
from inframe.machine.launch import launch
from inframe.machine.supervise import Process
from inframe.pipeline import happened
from inframe.pipeline.board import Board, Count
from inframe.pipeline.happened import Happened
from inframe.pipeline.record import RecordWriter, fields_of
from inframe.pipeline.ring import Header, RingWriter
from inframe.table import names, spec_of
from tests.pipeline import script

WIDTH, HEIGHT, FPS = 320, 180, 30
LIMIT_S = 60.0
PROCEDURE = "0123456789abcdef" * 2
NEAR = "near"


def device_of(folder: Path, port: int = 0, **changes: Any) -> Device:
    """A camera, a model that nobody runs, a rule, a trail, and the page."""
    screen = {"kind": "web", "port": port} | changes.pop("screen", {})
    values = {
        "device": "Theatre 7",
        "streams": {"endoscope": {"camera": "synthetic", "width": WIDTH, "height": HEIGHT, "fps": FPS}},
        "display": "endoscope",
        "allow_unsigned": True,
        "real_time": False,
        "models": {"a": script.model()},
        "rules": {NEAR: {"model": "a", "when": {"kind": "area", "labels": ["x"], "above": 0.1}, "text": "TIP NEAR"}},
        "screens": [screen],
        "trail": {"folder": str(folder / "trail")},
    }
    return Device.model_validate(values | changes)


class Stand:
    """Use it as a context manager. Pictures go on by themselves, thirty a second, until `hold`."""

    def __init__(self, device: Device, *, demo: bool = False, recorder: bool = False) -> None:
        self.device, self._demo, self._with_recorder = device, demo, recorder
        self.clock = MonotonicClock()
        self.shared = _share(device)
        self.board = Board(self.shared["board"], ("device", *names(device)))
        self.board.set_controls(Controls())
        with socket.socket(fileno=os.dup(self.shared["listener.console.0"])) as listener:
            self.port = int(listener.getsockname()[1])
        self.processes: dict[str, Process] = {}
        self._screen = RingWriter(self.shared["screen"], (self.shared["wake.console.0"],))
        self._frames = RingWriter(self.shared["frames.endoscope"], ())
        self._records = RecordWriter(RingWriter(self.shared["records"], ()), fields_of(device))
        self._happened = RingWriter(self.shared["happened"], ())
        self.alerts: tuple[Alert, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        self.samples: Samples = {}
        self.mode, self.verdict = Mode.NOMINAL, Verdict.SHOW
        self.frames = 0
        self._over, self._held = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        stream = device.streams[device.display]
        self._pixels = np.zeros((stream.height, stream.width, 3), np.uint8)
        self._pixels[:, :, 1] = np.linspace(30, 160, stream.width, dtype=np.uint8)

    # --- the device that is played

    def _go_on(self) -> None:
        while not self._over.wait(1 / FPS):
            if not self._held.is_set():
                self.picture()
            self.board.row("display").beat(self.clock.now())

    def picture(self) -> None:
        """One frame on its way: captured, decided, shown, recorded."""
        captured = self.clock.now()
        pixels = self._frames.begin()[: self._pixels.size].reshape(self._pixels.shape)
        self.frames += 1
        pixels[...] = self._pixels
        pixels[:, (4 * self.frames) % pixels.shape[1]] = 255
        seq = self._frames.commit(Header(0, self.frames, captured, captured))
        self._screen.begin()[: pixels.size].reshape(pixels.shape)[...] = 255 - pixels
        now = self.clock.now()
        self._screen.commit(Header(0, seq, captured, now, 0, 0, 0, self.verdict))
        row = self.board.row("display")
        row.add(Count.FRAMES)
        for count, value in {Count.SEQ: seq, Count.MODE: self.mode, Count.VERDICT: self.verdict}.items():
            row.set(count, int(value))
        row.set(Count.LATENCY_NS, now - captured)
        frame = Frame("endoscope", seq, captured, captured + 33 * NS_PER_MS, pixels)
        decision = Decision(self.verdict, self.mode, self.findings, self.alerts, (), samples=self.samples)
        self._records.write(frame, {}, decision, now)
        capture = self.board.row("capture.endoscope")
        capture.add(Count.FRAMES)
        capture.beat(now)

    def alert(self, *alerts: tuple[str, Presence]) -> None:
        """From the next frame on these alerts are what they are; the rule's is a finding as well."""
        now = self.clock.now()
        self.alerts = tuple(Alert(key, "", Priority.NONE, presence, now) for key, presence in alerts)
        self.findings = tuple(Finding(NEAR, "TIP NEAR", Priority.MEDIUM, now, 0.25) for key, _ in alerts if key == NEAR)

    def tell(self, kind: str, name: str, text: str = "", who: str = "", **data: str) -> None:
        """What the parent says."""
        happened.write(self._happened, Happened(kind, self.clock.now(), name, text, who, data))

    def hold(self, *, still: bool = True) -> None:
        """No more pictures; or again."""
        (self._held.set if still else self._held.clear)()

    def notes(self) -> list[str]:
        """What processes have told the parent."""
        try:
            return os.read(self.shared["notes.read"], 1 << 16).decode().splitlines()
        except BlockingIOError:
            return []

    # --- its processes

    def start(self, name: str) -> None:
        """Start a process of the table."""
        before = self.board.row(name).get(Count.READY_NS)
        os.environ["INFRAME_DEMO"] = "1" if self._demo else "0"
        try:
            self.processes[name] = launch(spec_of(self.device, name, self.shared, PROCEDURE))
        finally:
            del os.environ["INFRAME_DEMO"]
        until(lambda: self.board.row(name).get(Count.READY_NS) > before or self.processes[name].poll() is not None)

    def __enter__(self) -> Self:
        self._thread.start()
        if self._with_recorder:
            self.start("recorder")
        self.start("console.0")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for process in self.processes.values():
            process.send(15)
        for process in self.processes.values():
            if not process.wait(5.0):
                process.send(9)
                process.wait(5.0)
            process.close()
        for fd in self.shared.values():
            os.close(fd)

    # --- a browser without a screen

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def browser(self) -> "Browser":
        """Nobody yet."""
        return Browser(self.port)


def until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition, with a generous end."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "never came true"
        threading.Event().wait(0.01)


class Browser:
    """Speaks HTTP as the page does: with a cookie, the page's Origin, and the session's secret."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.cookie = ""
        self.csrf = ""

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (the last of each name), body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        own: dict[str, str | None] = {"Cookie": self.cookie} if self.cookie else {}
        if method != "GET":
            own |= {"Origin": self.origin, "Content-Type": "application/json", "X-CSRF": self.csrf}
        sent = {name: value for name, value in (own | dict(headers or {})).items() if value is not None}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str | None) -> Any:
        """What is answered to a GET that must be granted."""
        status, _, body = self.ask("GET", path, headers=headers)
        assert status == 200, (status, body)
        return json.loads(body)

    def post(self, path: str, body: object, **headers: str | None) -> int:
        """The status of a POST."""
        return self.ask("POST", path, json.dumps(body).encode(), headers)[0]

    def who(self) -> dict[str, Any]:
        """What the page is told of who looks at it; keeps the secret."""
        told: dict[str, Any] = self.get("/api/session")
        self.csrf = told["csrf"] or ""
        return told

    def log_in(self, name: str, password: str) -> int:
        """The status; keeps cookie and secret."""
        body = json.dumps({"name": name, "password": password}).encode()
        status, headers, said = self.ask("POST", "/api/login", body)
        if status == 200:
            self.cookie = headers["set-cookie"].partition(";")[0]
            self.csrf = json.loads(said)["csrf"]
        return status

    @contextmanager
    def live(self, query: str = "", **headers: str | None) -> Iterator["Live"]:
        """The socket over which pictures come."""
        own: dict[str, str | None] = {"Origin": self.origin, "Cookie": self.cookie or None, **headers}
        live = Live(self.port, f"/live{query}", [(n, v) for n, v in own.items() if v is not None])
        try:
            yield live
        finally:
            live.close()


class Live:
    """A client of the socket, message by message."""

    def __init__(self, port: int, target: str, headers: Sequence[tuple[str, str]]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: list[Any] = []
        self._text, self._bytes = "", b""
        extra = [(name.encode(), value.encode()) for name, value in headers]
        host = dict(headers).get("Host", f"127.0.0.1:{port}")
        extra = [(name, value) for name, value in extra if name != b"Host"]
        self._socket.sendall(self._ws.send(Request(host=host, target=target, extra_headers=extra)))
        event = self._event()
        self.status = 101 if isinstance(event, AcceptConnection) else event.status_code
        assert isinstance(event, AcceptConnection | RejectConnection), event

    def _event(self) -> Any:
        while not self._events:
            data = self._socket.recv(1 << 16)
            if not data:
                return CloseConnection(code=1006)
            self._ws.receive_data(data)
            self._events += list(self._ws.events())
        return self._events.pop(0)

    def next(self) -> str | bytes | int:
        """The next whole message; the code where it is closed."""
        while True:
            event = self._event()
            if isinstance(event, CloseConnection):
                return int(event.code)
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    text, self._text = self._text, ""
                    return text
            elif isinstance(event, BytesMessage):
                self._bytes += bytes(event.data)
                if event.message_finished:
                    data, self._bytes = self._bytes, b""
                    return data

    def picture(self) -> bytes:
        """The next picture."""
        while not isinstance(message := self.next(), bytes):
            assert isinstance(message, str), message
        return message

    def state(self) -> dict[str, Any]:
        """The next state."""
        while not isinstance(message := self.next(), str):
            assert isinstance(message, bytes), message
        told: dict[str, Any] = json.loads(message)
        return told

    def closed(self) -> int:
        """The code with which it is closed, whatever comes before."""
        while not isinstance(message := self.next(), int):
            pass
        return message

    def say(self, text: str) -> None:
        """What no page says."""
        self._socket.sendall(self._ws.send(TextMessage(data=text)))

    def close(self) -> None:
        self._socket.close()
