"""What the page gets from a running device, and that neither slow nor many clients nor its death matter to anybody else."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from inframe.console.live import HEAD, MOST_CLIENTS, RAW, SHOWN, Client
from inframe.console.live import Live as LiveScreen
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import Audio, Mode, Presence, Verdict
from inframe.core.web import LOOPBACK, Tls, WebScreen
from inframe.drivers.screens.web import listen
from inframe.pipeline.board import Count
from inframe.resolve import resolve
from tests.console.conftest import PASSWORDS
from tests.console.stand import HEIGHT, NEAR, WIDTH, Stand, device_of, until


def decode(message: bytes) -> tuple[int, int, np.ndarray]:
    """Kind, frame number, RGB."""
    kind, seq, _ = HEAD.unpack_from(message)
    return kind, seq, cv2.imdecode(np.frombuffer(message[HEAD.size :], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_pictures_come_as_shown_and_beside_them_as_captured(open_stand: Stand) -> None:
    with open_stand.browser().live("?raw=1") as live:
        found: dict[int, tuple[int, np.ndarray]] = {}
        while len(found) < 2:
            kind, seq, pixels = decode(live.picture())
            found[kind] = seq, pixels
    assert found[SHOWN][1].shape == (HEIGHT, WIDTH, 3)
    column = np.linspace(30, 160, WIDTH, dtype=np.uint8).astype(int)
    assert np.median(np.abs(found[RAW][1][:, :, 1].mean(axis=0) - column)) < 4
    assert np.median(np.abs(found[SHOWN][1][:, :, 1].mean(axis=0) - (255 - column))) < 4
    assert abs(found[RAW][0] - found[SHOWN][0]) <= 1


def test_a_picture_is_encoded_once_as_large_as_the_largest_that_is_shown() -> None:
    pixels = np.zeros((180, 320, 3), np.uint8)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        live = LiveScreen(listener, 320, 180, lambda _: pixels, lambda _: {})
    live.show(pixels, 1, 1)
    assert live.newest == {}  # for nobody
    for clients, width in (((160, 200), 200), ((160, None), 320), ((4000,), 320), ((100, 160), 160)):
        live.clients = {Client(wants_raw=i == 0, width=wanted) for i, wanted in enumerate(clients)}
        live.show(pixels, 2, 2)
        shown, raw = (live.newest[kind][1] for kind in (SHOWN, RAW))
        sizes = {jpeg_size(one) for one in (shown, raw) if isinstance(one, bytes)}
        assert sizes == {(width, round(180 * width / 320))}, clients


@pytest.mark.parametrize("asked", ["", "0", "-3", "x", "99999", "1e3", "%D9%A3", "160"])
def test_any_width_may_be_asked_for(open_stand: Stand, asked: str) -> None:
    with open_stand.browser().live(f"?width={asked}") as live:
        assert jpeg_size(live.picture())[0] in (160, 320)  # 320 where others watch too, or where it means nothing


def jpeg_size(data: bytes) -> tuple[int, int]:
    height, width, _ = cv2.imdecode(np.frombuffer(data[HEAD.size :], np.uint8), cv2.IMREAD_COLOR).shape
    return width, height


def test_the_numbers_go_up_and_pictures_are_left_out_never_repeated(open_stand: Stand) -> None:
    with open_stand.browser().live() as live:
        seqs = [decode(live.picture())[1] for _ in range(8)]
    assert seqs == sorted(set(seqs))


def test_the_state_says_what_the_device_says(open_stand: Stand) -> None:
    stand = open_stand
    stand.alert((NEAR, Presence.ON), ("NO_SIGNAL", Presence.LATCHED), ("DISK_FULL", Presence.ACKNOWLEDGED))
    stand.mode, stand.verdict = Mode.DEGRADED, Verdict.WITHHOLD
    with stand.browser().live() as live:
        until(lambda: len((state := live.state())["alerts"]) == 3 and state["mode"] == "DEGRADED")
        state = live.state()
    stand.alert()
    stand.mode, stand.verdict = Mode.NOMINAL, Verdict.SHOW
    told = [(a["key"], a["text"], a["priority"], a["presence"], a["is_finding"]) for a in state["alerts"]]
    assert told == [
        ("NO_SIGNAL", "NO CAMERA SIGNAL", "high", "latched", False),
        (NEAR, "TIP NEAR", "medium", "on", True),
        ("DISK_FULL", "DISK FULL: NOT RECORDING", "low", "acknowledged", False),
    ]
    assert (state["verdict"], state["is_off"], state["findings"][0]["value"]) == ("WITHHOLD", True, 0.25)
    assert state["samples"]
    frame = state["alerts"][0]["frame"]
    until(lambda: stand.browser().get(f"/api/frame?seq={frame}")["is_there"])
    told_later = stand.browser().get(f"/api/frame?seq={frame}")
    assert told_later["frame"] == frame
    assert "NO_SIGNAL" in told_later["alerts"]
    assert told_later["proof"].startswith("c2sp.org/tlog-proof")


def test_what_a_person_sets_reaches_the_board(open_stand: Stand) -> None:
    browser, controls = open_stand.browser(), open_stand.board.controls
    browser.who()
    assert browser.post("/api/control", {"wish": "opacity", "value": 0.8}) == 200
    until(lambda: controls().opacity == pytest.approx(0.8))
    assert browser.post("/api/control", {"wish": "overlay", "value": 1}) == 200
    until(lambda: controls().overlay_on)
    assert browser.post("/api/control", {"wish": "audio_pause"}) == 200
    until(lambda: controls().audio is Audio.PAUSED)
    before = controls().acknowledged_ns
    assert browser.post("/api/control", {"wish": "acknowledge"}) == 200
    until(lambda: controls().acknowledged_ns > before)
    wrongs: tuple[object, ...] = (
        {"wish": "quit"},
        {"wish": "opacity"},
        {"wish": "opacity", "value": 2},
        {"wish": "overlay", "more": 1},
        [],
    )
    for wrong in wrongs:
        assert browser.post("/api/control", wrong) == 422
    assert browser.ask("POST", "/api/control", b'{"wish": "opacity", "value": NaN}')[0] == 422


def test_the_tables_show_the_processes_streams_and_models(open_stand: Stand) -> None:
    open_stand.tell("START", "PROCESS_STARTED", "restart 3", "recorder")
    open_stand.tell(
        "START",
        "MODEL_LOADED",
        "a model was loaded",
        "worker.worker",
        model="a",
        sha256="ab" * 32,
        slot="unsigned",
        engine="e 1",
    )
    browser = open_stand.browser()
    until(lambda: {p["name"]: p for p in browser.get("/api/processes")}["recorder"]["restarts"] == 3)
    processes = {process["name"]: process for process in browser.get("/api/processes")}
    pid = processes["console.0"]["running"]["pid"]  # another stand's console may have the same parent: this process
    assert b"console.0" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert processes["console.0"]["running"]["scheduling"] == "other"
    assert processes["recorder"]["running"]["memory_mb"] > 1
    assert processes["worker.worker"]["running"] is None
    (model,) = browser.get("/api/models")
    assert (model["slot"], model["sha256"], model["is_signed"], model["engine"]) == (
        "unsigned",
        "ab" * 32,
        False,
        "e 1",
    )
    browser.get("/api/streams")
    until(lambda: browser.get("/api/streams")["frames"][0]["fps"] > 1)
    (stream,) = browser.get("/api/streams")["frames"]
    assert (stream["name"], stream["camera"], stream["is_shown"]) == ("endoscope", "synthetic", True)
    assert browser.get("/api/recordings") == {"folder": None, "files": []}
    assert browser.get("/api/checkpoint")["leaves"] > 0
    assert len(browser.get("/api/latency")["samples"][0]) == 8


def test_prometheus_and_openapi_describe_the_same_device(open_stand: Stand) -> None:
    _, headers, body = open_stand.browser().ask("GET", "/metrics")
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert all(re.fullmatch(r'inframe_[a-z_]+(\{[a-z]+="[^"]+"\})? [-+0-9.e]+', line) for line in lines)
    assert any(line.startswith("inframe_missed_total ") for line in lines)
    described = open_stand.browser().get("/openapi.json")
    assert set(described["paths"]["/api/control"]) == {"post"}
    assert described["paths"]["/api/control"]["post"]["requestBody"]["content"]["application/json"]["schema"]


def test_the_demo_says_what_to_break_and_a_device_does_not(open_stand: Stand, guarded: Stand) -> None:
    browser = open_stand.browser()
    browser.who()
    assert browser.get("/api/about")["demo"]
    assert browser.post("/api/break", {"what": "kill_model"}) == 200
    assert browser.post("/api/break", {"what": "rm -rf"}) == 422
    until(lambda: "console.0\tdemo\tkill_model" in open_stand.notes())
    other = guarded.browser()
    assert other.post("/api/break", {"what": "kill_model"}) == 404


def test_a_stalled_client_costs_the_others_nothing_and_is_dropped(open_stand: Stand) -> None:
    """It never reads. The others go on, and its place is free again in the end."""
    browser = open_stand.browser()
    with ExitStack() as stack:
        stalled = stack.enter_context(browser.live())
        stalled._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        others = [stack.enter_context(browser.live()) for _ in range(MOST_CLIENTS - 1)]
        assert [live.status for live in others] == [101] * (MOST_CLIENTS - 1)
        with browser.live() as one_more:
            assert one_more.closed() == 4429
        for live in others[:3]:
            assert decode(live.picture())[1] > 0
        for live in others:
            live.close()
    until(lambda: "inframe_console_clients 0" in browser.ask("GET", "/metrics")[2].decode())


def test_a_killed_console_is_at_the_same_address_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Stand(device_of(tmp_path, trail=None)) as stand:
        for _ in range(3):  # browsers that go away in the middle are no event, nor is nonsense
            with stand.browser().live() as live:
                assert live.picture()
            with socket.create_connection(("127.0.0.1", stand.port), 30) as client:
                client.sendall(b"nonsense\r\n\r\n")
                assert client.recv(64).startswith(b"HTTP/1.1 400")
        with stand.browser().live() as live:
            assert live.picture()
            os.kill(stand.processes["console.0"].pid, signal.SIGKILL)
            assert stand.processes["console.0"].wait(10)
            shown = stand.board.row("display").get(Count.FRAMES)
            stand.start("console.0")
        until(lambda: stand.board.row("display").get(Count.FRAMES) > shown)
        with stand.browser().live() as live:
            assert live.picture()
        assert stand.browser().ask("GET", "/api/checkpoint")[0] == 404  # it keeps no trail
        until(lambda: "inframe_console_clients 0" in stand.browser().ask("GET", "/metrics")[2].decode())
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_a_fault_of_one_line(open_stand: Stand) -> None:
    with pytest.raises(DeviceFault, match=f"screen web: port {open_stand.port} of 127.0.0.1: ") as caught:
        listen(WebScreen(kind="web", port=open_stand.port))
    assert "\n" not in str(caught.value)


def test_the_end_of_the_procedure_is_for_a_person_by_name(guarded: Stand, people: object) -> None:
    otto = people["otto"]  # type: ignore[index]
    row = guarded.board.row("console.0")
    assert otto.post("/api/stop", {}) == 200
    assert row.get(Count.COMMAND) == 1
    row.set(Count.COMMAND, 0)
    until(lambda: "PROCEDURE_ENDED" in json.dumps(otto.get("/api/trail?kind=login")))


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "192.0.2.1"},
        {"address": "192.0.2.1", "users": "u"},
        {"address": "here"},
        {"tls": {"certificate": "c"}},
    ],
)
def test_the_page_does_not_leave_this_machine_without_tls_and_users(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"address|tls"):
        WebScreen.model_validate({"kind": "web", **settings})


def test_origins_are_those_that_a_browser_sends() -> None:
    tls = Tls(certificate="c", key="k")
    assert WebScreen(kind="web").origins(8555) == (f"http://{LOOPBACK}:8555", "http://localhost:8555")
    away = WebScreen(kind="web", address="10.0.0.7", users="u", tls=tls, names=("or7.example",))
    assert away.origins(443) == ("https://10.0.0.7", "https://or7.example")
    assert not away.is_local
    assert away.placed(Path("/etc/d")).tls == Tls(certificate="/etc/d/c", key="/etc/d/k")


def certificate(folder: Path) -> dict[str, str]:
    """One of our own for this address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inframe test")])
    at = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(at - timedelta(days=1)).not_valid_after(at + timedelta(days=1))
    made = built.sign(key, hashes.SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "c").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "k").write_bytes(plain)
    return {"certificate": str(folder / "c"), "key": str(folder / "k")}


def test_with_tls_all_of_it_is_encrypted_and_the_cookie_knows(tmp_path: Path, users: Path) -> None:
    screen = {"tls": certificate(tmp_path), "users": str(users)}
    context = ssl.create_default_context(cafile=str(tmp_path / "c"))
    context.check_hostname = False
    with Stand(device_of(tmp_path, trail=None, screen=screen)) as stand:
        connection = http.client.HTTPSConnection("127.0.0.1", stand.port, context=context, timeout=30)
        body = json.dumps({"name": "vera", "password": PASSWORDS["vera"]})
        headers = {"Content-Type": "application/json", "Origin": f"https://127.0.0.1:{stand.port}"}
        connection.request("POST", "/api/login", body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 200
        assert answer.headers["Set-Cookie"].startswith(f"__Host-inframe-{stand.port}=")
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert answer.headers["Strict-Transport-Security"]
        with socket.create_connection(("127.0.0.1", stand.port), 30) as plain:  # and nothing without
            plain.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{stand.port}\r\n\r\n".encode())
            with suppress(ConnectionResetError):
                assert not plain.recv(64).startswith(b"HTTP")


def test_a_certificate_that_is_none_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tls = {"certificate": str(tmp_path / "c"), "key": str(tmp_path / "k")}
    with Stand(device_of(tmp_path, trail=None, screen={"tls": tls})) as stand:
        until(lambda: stand.processes["console.0"].poll() is not None)
        assert stand.processes["console.0"].poll() == ConfigError.exit_code
    assert "tls: found No such file or directory, expected a certificate and its key" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("screen", "key"),
    [({"users": "u"}, "users"), ({"tls": {"certificate": "c", "key": "k"}}, "tls.certificate")],
)
def test_a_file_that_is_not_there_is_named_before_the_start(
    tmp_path: Path, screen: dict[str, object], key: str
) -> None:
    path = tmp_path / "device.yaml"
    device = device_of(tmp_path, models={}, rules={}, screen=screen)
    with pytest.raises(ConfigError, match=rf"device\.yaml: screens\.0\.{key}: found ., expected a file that exists"):
        resolve(device, path)
