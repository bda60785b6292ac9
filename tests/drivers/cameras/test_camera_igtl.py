"""Pictures over OpenIGTLink: against a real peer, the library `pyigtl`, over loopback; and whatever bytes a server may send."""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import crcmod
import numpy as np
import pyigtl
import pytest

from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import IgtlStream
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Shot
from inframe.core.types import FrameFlag, Pixels
from inframe.drivers.cameras import open_camera
from inframe.drivers.cameras.igtl import IgtlCamera, picture
from inframe.drivers.igtl import crc64
from tests.drivers.check_camera import check_camera

WIDE, HIGH = 64, 48
LIMIT_S = 10.0
GREY = np.arange(HIGH * WIDE, dtype=np.uint32).reshape(1, HIGH, WIDE).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def config(port: int, **changes: Any) -> IgtlStream:
    values = {"camera": "igtl", "host": "127.0.0.1", "port": port, "name": "Image", "width": WIDE, "height": HIGH}
    return IgtlStream.model_validate(values | {"fps": 20} | changes)


def content(
    pixels: Pixels, *, components: int = 1, scalar: int = 3, size: tuple[int, ...] = (), sent: tuple[int, ...] = ()
) -> bytes:
    """An IMAGE's content by the specification alone."""
    size = size or (pixels.shape[2], pixels.shape[1], 1)
    matrix = (1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    about = struct.pack(">HBBBB3H12f3H3H", 1, components, scalar, 2, 2, *size, *matrix, 0, 0, 0, *(sent or size))
    return about + pixels.tobytes()


def packed(kind: str, body: bytes, device: str = "Image", stamp: int = 3 << 31) -> bytes:
    return struct.pack(">H12s20sQQQ", 1, kind.encode(), device.encode(), stamp, len(body), crc64(body)) + body


class Server:
    """Sends what the test says to its one client."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._joined = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        self._clients.append(self._socket.accept()[0])
        self._joined.set()

    def send(self, data: bytes) -> None:
        assert self._joined.wait(LIMIT_S)
        self._clients[-1].sendall(data)

    def hang_up(self) -> None:
        assert self._joined.wait(LIMIT_S)
        self._clients[-1].close()

    def close(self) -> None:
        for one in (self._socket, *self._clients):
            one.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def read(camera: IgtlCamera, into: Pixels) -> Shot:
    shot = camera.read(into, LIMIT_S)
    assert shot is not None
    return shot


def test_conforms(server: Server) -> None:
    whole = packed("IMAGE", content(COLOUR, components=3))
    check_camera(
        lambda: open_camera(config(server.port), MonotonicClock()),
        MonotonicClock(),
        ready=lambda: server.send(whole),
    )


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_pictures_of_a_real_server_arrive_as_they_were_sent(pixels: Pixels) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    camera, into = IgtlCamera(config(port), MonotonicClock()), np.zeros((HIGH, WIDE, 3), np.uint8)
    shot = None
    for _ in range(200):  # the server's thread takes a moment to see its client, and sends each message once
        if peer.is_connected():
            for name, sent in (("Other", 255 - pixels), ("Image", pixels)):
                peer.send_message(pyigtl.ImageMessage(sent, device_name=name))
        shot = camera.read(into, 0.05)
        if shot is not None:
            break
    camera.close()
    peer.stop()
    assert shot is not None
    assert shot.flags is FrameFlag.NONE
    assert shot.source_ns is not None
    assert shot.source_ns > 1_600_000_000 * NS_PER_S  # of the server's clock: seconds since 1970
    expected = np.repeat(pixels[0][..., None], 3, axis=-1) if pixels is GREY else pixels[0]
    assert np.array_equal(into, expected)


def test_its_time_stamp_is_kept_and_one_of_nothing_is_none(server: Server) -> None:
    camera, into = IgtlCamera(config(server.port), MonotonicClock()), np.zeros((HIGH, WIDE, 3), np.uint8)
    for stamp, found in ((3 << 31, NS_PER_S * 3 // 2), (0, None)):
        server.send(packed("STATUS", b"\0\1") + packed("IMAGE", content(GREY), stamp=stamp))
        assert read(camera, into).source_ns == found
    camera.close()


def test_a_picture_of_another_size_later_is_flagged_and_at_first_refused(server: Server) -> None:
    camera, into = IgtlCamera(config(server.port), MonotonicClock()), np.zeros((HIGH, WIDE, 3), np.uint8)
    server.send(packed("IMAGE", content(GREY)))
    read(camera, into)
    server.send(packed("IMAGE", content(GREY[:, :24])))
    assert read(camera, into).flags & FrameFlag.RESIZED
    camera.close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (content(GREY[:, :24]), "width, height: found 64x24, expected 64x48"),
        (content(GREY, scalar=5), r"found IMAGE of 1 components of type 5, expected 1 \(grey\) or 3 \(RGB\) of type 3"),
        (content(GREY, components=2), "found IMAGE of 2 components of type 3"),
        (
            content(GREY, size=(32, 48, 2)),
            "found IMAGE of 32x48x2, of which 32x48x2 are sent, expected a picture, whole",
        ),
        (
            content(GREY, sent=(64, 24, 1)),
            "found IMAGE of 64x48x1, of which 64x24x1 are sent, expected a picture, whole",
        ),
    ],
)
def test_pictures_that_are_not_read_are_named(server: Server, body: bytes, said: str) -> None:
    camera = IgtlCamera(config(server.port), MonotonicClock())
    server.send(packed("IMAGE", body))
    with pytest.raises(ConfigError, match=said):
        camera.read(np.zeros((HIGH, WIDE, 3), np.uint8), LIMIT_S)
    camera.close()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n" + bytes(60), "not OpenIGTLink"),
        (packed("IMAGE", content(GREY))[:-1] + b"\x55", "a message of the type IMAGE whose checksum does not fit"),
        (packed("IMAGE", content(GREY)[:-1]), "an IMAGE of 64x48 in 3143 bytes"),
        (packed("IMAGE", b"\0"), "an IMAGE of 1 bytes"),
    ],
)
def test_what_is_no_picture_is_a_fault(server: Server, data: bytes, said: str) -> None:
    camera = IgtlCamera(config(server.port), MonotonicClock())
    server.send(data)
    with pytest.raises(DeviceFault, match=said):
        camera.read(np.zeros((HIGH, WIDE, 3), np.uint8), LIMIT_S)
    camera.close()


def test_a_server_that_hangs_up_or_is_not_there(server: Server) -> None:
    camera, into = IgtlCamera(config(server.port), MonotonicClock()), np.zeros((HIGH, WIDE, 3), np.uint8)
    server.hang_up()
    with pytest.raises(DeviceFault, match="the server has closed the connection"):
        camera.read(into, LIMIT_S)
    camera.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    camera = IgtlCamera(config(port), MonotonicClock())
    with pytest.raises(DeviceFault, match="Connection refused"):
        camera.read(into, LIMIT_S)
    camera.close()


def test_noise_never_crashes() -> None:
    rng, whole = random.Random(1), content(GREY[:, :4, :8])
    for _ in range(3000):
        data = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randint(0, 4) if data else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            frame = picture("here", bytes(data))
        except (ConfigError, DeviceFault):
            continue
        assert frame.width * frame.height <= len(data)


def test_the_checksum_of_many_bytes_is_that_of_the_specification() -> None:
    peer = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, rev=False, initCrc=0, xorOut=0)
    rng = np.random.default_rng(1)
    for size in (0, 1, 1000, 16383, 16384, 16385, 20000, 3 * 2048, 100_001, 921_600):
        data = rng.integers(0, 256, size, np.uint8).tobytes()
        assert crc64(data) == peer(data)
