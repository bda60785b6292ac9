"""The page: only for this machine's own browser, only the newest picture, only encoded for somebody."""

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from inframe.core.config import WebScreen
from inframe.core.errors import DeviceFault
from inframe.drivers.screens import open_screen
from inframe.drivers.screens.commands import Command, Wish, parse_command
from inframe.drivers.screens.web import CLIENTS, PageScreen, listen
from tests.drivers.check_screen import check_screen, picture

WIDTH, HEIGHT = 160, 120
ANY_PORT = WebScreen(kind="web", port=0)


@pytest.fixture
def page() -> Iterator[PageScreen]:
    screen = PageScreen(listen(ANY_PORT), WIDTH, HEIGHT, lambda: {"mode": "NOMINAL", "opacity": 0.35})
    yield screen
    screen.close()


def ask(
    page: PageScreen, path: str, method: str = "GET", body: bytes | None = None, /, **headers: str
) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def control(page: PageScreen, body: object, **headers: str) -> int:
    own = {"Origin": f"http://127.0.0.1:{page.port}", "X_Inframe": "control"}
    return ask(page, "/control", "POST", json.dumps(body).encode(), **(own | headers))[0]


class Shower:
    """Shows pictures until told to stop: a request for a picture waits for the next one."""

    def __init__(self, page: PageScreen) -> None:
        self._page, self._enough = page, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._enough.wait(0.002):
            number += 1
            self._page.show(picture(WIDTH, HEIGHT, 5), number, number)

    def __enter__(self) -> "Shower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()


def test_web_is_a_screen() -> None:
    check_screen(lambda: open_screen(ANY_PORT, 33, 17, 30.0), 33, 17)


def test_the_page_is_self_contained_and_locked_down(page: PageScreen) -> None:
    status, headers, content = ask(page, "/")
    assert status == 200
    assert not re.search(rb"(?:https?:)?//[a-z0-9]", content.replace(b"// a stream", b""))
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy)) == 2
    assert b"onclick" not in content
    assert b"style=" not in content
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_the_state_is_what_the_device_says_and_the_newest_number(page: PageScreen) -> None:
    page.show(picture(WIDTH, HEIGHT), 41, 0)
    status, _, content = ask(page, "/state.json")
    assert (status, json.loads(content)) == (200, {"mode": "NOMINAL", "opacity": 0.35, "seq": 41})


def test_a_picture_is_the_one_shown(page: PageScreen) -> None:
    with Shower(page):
        status, headers, content = ask(page, "/frame.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    rgb = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(rgb.astype(int) - picture(WIDTH, HEIGHT, 5)).mean() < 6


def test_the_stream_brings_several_pictures(page: PageScreen) -> None:
    with Shower(page), socket.create_connection(("127.0.0.1", page.port), 10) as client:
        client.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
        received = b""
        while received.count(b"--inframe-picture") < 4:
            received += client.recv(65536)
    assert b"multipart/x-mixed-replace; boundary=inframe-picture" in received
    length = int(received.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    start = received.index(b"\xff\xd8")
    assert received[start + length - 2 : start + length] == b"\xff\xd9"


def test_nothing_is_encoded_unless_somebody_watches_and_then_once(
    page: PageScreen, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    real = cv2.imencode

    def counted(*arguments: Any) -> Any:
        encoded.append(1)
        return real(*arguments)

    monkeypatch.setattr(cv2, "imencode", counted)
    page.show(picture(WIDTH, HEIGHT), 1, 0)
    assert not encoded
    page.watch(+1)
    page.watch(+1)
    page.show(picture(WIDTH, HEIGHT), 2, 0)
    assert len(encoded) == 1
    page.watch(-1)
    page.watch(-1)
    page.show(picture(WIDTH, HEIGHT), 3, 0)
    assert len(encoded) == 1


def test_a_slow_client_gets_the_newest(page: PageScreen) -> None:
    shows = page.watch(+1)
    for number in range(5):
        page.show(picture(WIDTH, HEIGHT, number), number, 0)
    newest, jpeg = page.after(shows)
    assert newest == shows + 5
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[60, 120]
    assert np.abs(grey.astype(int) - picture(WIDTH, HEIGHT, 4)[60, 120]).max() < 6


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/frame.jpg", "/stream.mjpg", "/state.json"])
def test_others_see_nothing(page: PageScreen, path: str, headers: dict[str, str]) -> None:
    assert ask(page, path, **headers)[0] == 403


def test_without_or_with_two_hosts_nothing_is_seen(page: PageScreen) -> None:
    own = f"Host: 127.0.0.1:{page.port}\r\n"
    for hosts in ("", own + "Host: evil.example\r\n", own + own):
        with socket.create_connection(("127.0.0.1", page.port), 10) as client:
            client.sendall(f"GET /state.json HTTP/1.1\r\n{hosts}\r\n".encode())
            assert b" 403 " in client.recv(64)


def test_it_listens_on_the_loopback_address_only(page: PageScreen) -> None:
    assert page._server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({"wish": "overlay", "value": None}, Command(Wish.OVERLAY)),
        ({"wish": "overlay", "value": 0}, Command(Wish.OVERLAY, 0)),
        ({"wish": "opacity", "value": 0.5}, Command(Wish.OPACITY, 0.5)),
        ({"wish": "acknowledge"}, Command(Wish.ACKNOWLEDGE)),
        ({"wish": "audio_pause"}, Command(Wish.AUDIO_PAUSE)),
    ],
)
def test_the_page_can_ask_for_things(page: PageScreen, body: object, command: Command) -> None:
    assert control(page, body) == 200
    assert page.poll() == [command]
    assert page.poll() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"X_Inframe": "x"},
        {"Host": "evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_others_can_ask_for_nothing(page: PageScreen, headers: dict[str, str]) -> None:
    assert control(page, {"wish": "overlay"}, **headers) == 403
    assert page.poll() == []


def test_a_form_of_another_page_can_ask_for_nothing(page: PageScreen) -> None:
    status, _, _ = ask(page, "/control", "POST", b'{"wish": "overlay"}', Content_Type="text/plain")
    assert status == 403
    assert page.poll() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b'{"wish": "quit"}',
        b'{"wish": "opacity"}',
        b'{"wish": "opacity", "value": 2}',
        b'{"wish": "opacity", "value": NaN}',
        b'{"wish": "opacity", "value": "1"}',
        b'{"wish": "opacity_by", "value": 0.1}',
        b'{"wish": ["overlay"]}',
        b'{"wish": "overlay", "more": 1}',
        b"\xff\xfe",
        b"[" * 500,
    ],
)
def test_a_wrong_wish_is_refused(page: PageScreen, body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse_command(body)
    own = {"Origin": f"http://127.0.0.1:{page.port}", "X_Inframe": "control"}
    assert ask(page, "/control", "POST", body, **own)[0] == 400


def test_a_long_body_is_refused_unread(page: PageScreen) -> None:
    assert control(page, {"wish": "overlay", "value": "x" * 600}) == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/../etc/passwd", 404), ("GET", "/control", 404), ("POST", "/", 403), ("PUT", "/", 501)],
)
def test_other_paths_and_methods_do_not_exist(page: PageScreen, method: str, path: str, status: int) -> None:
    assert ask(page, path, method)[0] == status


def test_too_many_clients_are_turned_away(page: PageScreen) -> None:
    clients = []
    for _ in range(CLIENTS):
        client = socket.create_connection(("127.0.0.1", page.port), 10)
        client.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
        assert client.recv(12).startswith(b"HTTP/1.0 200")
        clients.append(client)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)):
        ask(page, "/state.json")
    for client in clients:
        client.close()


def test_a_taken_port_is_a_fault_of_one_line(page: PageScreen) -> None:
    with pytest.raises(DeviceFault, match=f"screen web: port {page.port} of 127.0.0.1: ") as caught:
        listen(WebScreen(kind="web", port=page.port))
    assert "\n" not in str(caught.value)


def test_closing_ends_the_streams() -> None:
    page = PageScreen(listen(ANY_PORT), WIDTH, HEIGHT)
    with socket.create_connection(("127.0.0.1", page.port), 10) as client:
        client.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: localhost:{page.port}\r\n\r\n".encode())
        assert client.recv(12).startswith(b"HTTP/1.0 200")
        page.close()
        while client.recv(65536):
            pass
