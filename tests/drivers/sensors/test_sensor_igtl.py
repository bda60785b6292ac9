"""OpenIGTLink against a real peer, the library `pyigtl`, over loopback; and whatever bytes a server may send."""

import math
import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyigtl
import pytest
from numpy.typing import NDArray

from inframe.core.clock import MonotonicClock
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Block
from inframe.core.sensor import IgtlSensor
from inframe.drivers.igtl import Messages, crc64
from inframe.drivers.sensors.igtl import LARGEST, POSE, IgtlTracker, pose

CLOCK = MonotonicClock()


def config(port: int, **changes: Any) -> IgtlSensor:
    channels = {name: {"unit": "" if name.startswith("q") else "mm"} for name in POSE}
    values = {"sensor": "igtl", "host": "127.0.0.1", "port": port, "name": "Probe", "rate_hz": 50, "channels": channels}
    return IgtlSensor.model_validate(values | {"align": {"how": "hold", "max_age_ms": 100}} | changes)


def about_z(degrees: float, at: tuple[float, float, float]) -> NDArray[np.float64]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(4)
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:3, 3] = at
    return matrix


@pytest.fixture
def server() -> Iterator[tuple[Any, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    try:
        yield made, port
    finally:
        made.stop()


def test_poses_of_a_real_server_arrive_as_they_were_sent(server: tuple[Any, int]) -> None:
    peer, port = server
    tracker = IgtlTracker(config(port), CLOCK)
    read: list[tuple[float, ...]] = []
    for _ in range(200):  # the server's thread takes a moment to see its client, and sends each message once
        if peer.is_connected():
            for name, degrees in (("Other", 10), ("Probe", 90)):
                peer.send_message(pyigtl.TransformMessage(about_z(degrees, (1, 2, 3)), device_name=name))
        block = tracker.read(0.05)
        read += [tuple(row) for row in block.values] if block is not None else []
        if read:
            break
    assert read[0] == pytest.approx((1, 2, 3, 0, 0, math.sqrt(0.5), math.sqrt(0.5)), abs=1e-6)
    tracker.close()
    tracker.close()
    with pytest.raises(RuntimeError, match="close"):
        tracker.read(0.0)


def packed(kind: str, content: bytes, device: str = "Probe", stamp: int = 1 << 32, version: int = 1) -> bytes:
    body = content if version < 3 else struct.pack(">HHII", 12, 0, 0, 0) + content
    head = struct.pack(">H12s20sQQQ", version, kind.encode(), device.encode(), stamp, len(body), crc64(body))
    return head + body


def transform(degrees: float = 0.0, at: tuple[float, float, float] = (0, 0, 0)) -> bytes:
    return struct.pack(">12f", *about_z(degrees, at)[:3].T.ravel())


@pytest.mark.parametrize("version", [1, 2, 3])
def test_messages_come_out_whole_however_they_are_cut(version: int) -> None:
    data = packed("TRANSFORM", transform(30, (4, 5, 6)), version=version) + packed("STATUS", b"\0\1", version=version)
    for step in (1, 7, 58, 1000):
        messages, found = Messages(LARGEST), []
        for at in range(0, len(data), step):
            found += messages.feed(data[at : at + step])
        assert [(m.kind, m.device, m.stamp_ns) for m in found] == [(k, "Probe", 10**9) for k in ("TRANSFORM", "STATUS")]
        assert pose(found[0].content) == pytest.approx((4, 5, 6, 0, 0, math.sin(math.pi / 12), math.cos(math.pi / 12)))


def test_an_image_is_passed_over() -> None:
    messages = Messages(LARGEST)
    large = struct.pack(">H12s20sQQQ", 1, b"IMAGE", b"Probe", 0, 100_000, 0) + bytes(100_000)
    assert messages.feed(large[:50_000]) == []
    assert [m.kind for m in messages.feed(large[50_000:] + packed("STATUS", b"\0\1"))] == ["STATUS"]


def test_every_rotation_is_found_again() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        q = rng.normal(size=4)
        x, y, z, w = q / np.linalg.norm(q)
        r = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        found = pose(struct.pack(">12f", *r.T.ravel(), 0, 0, 0))
        assert found is not None
        assert abs(sum(a * b for a, b in zip(found[3:], (x, y, z, w), strict=True))) == pytest.approx(1, abs=1e-5)


class OneShot:
    """A server that sends these bytes to its first client, and closes."""

    def __init__(self, data: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(data,))
        self._thread.start()

    def _serve(self, data: bytes) -> None:
        client, _ = self._socket.accept()
        with client:
            client.sendall(data)

    def blocks(self) -> tuple[list[Block], str]:
        """What the driver makes of it, and how it ended."""
        tracker, found = IgtlTracker(config(self.port), CLOCK), []
        try:
            for _ in range(100):
                block = tracker.read(1.0)
                found += [block] if block is not None else []
        except DeviceFault as fault:
            return found, str(fault)
        finally:
            tracker.close()
            self._thread.join()
            self._socket.close()
        raise AssertionError("it never ended")


def test_a_status_that_is_not_ok_and_what_is_no_rotation_are_gaps() -> None:
    flat = struct.pack(">12f", *([0.0] * 12))
    data = b"".join(
        packed(kind, body)
        for kind, body in (("TRANSFORM", transform()), ("STATUS", b"\0\x0d"), ("STATUS", b"\0\1"), ("TRANSFORM", flat))
    )
    found, end = OneShot(data).blocks()
    rows = [row for block in found for row in block.values]
    assert [math.isnan(row[0]) for row in rows] == [False, True, True]
    assert end == "127.0.0.1: the server has closed the connection"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n" + bytes(60), "not OpenIGTLink"),
        (
            packed("TRANSFORM", transform())[:-1] + b"\x55",
            "a message of the type TRANSFORM whose checksum does not fit",
        ),
        (packed("TRANSFORM", transform())[:40], "closed the connection"),
    ],
)
def test_what_is_not_openigtlink_is_a_fault(data: bytes, said: str) -> None:
    assert said in OneShot(data).blocks()[1]


def test_noise_never_crashes() -> None:
    rng = random.Random(1)
    whole = packed("TRANSFORM", transform(20)) + packed("STATUS", b"\0\1") + packed("TRANSFORM", transform(), version=3)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = Messages(LARGEST).feed(bytes(data))
        except DeviceFault:
            continue
        for message in found:
            value = pose(message.content)
            assert value is None or all(map(math.isfinite, value))


def test_a_server_that_is_not_there_and_channels_that_it_has_not() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeviceFault, match="Connection refused"):
        IgtlTracker(config(port), CLOCK)
    with pytest.raises(ConfigError, match="found roll, expected one of x, y, z"):
        IgtlTracker(config(port, channels={"roll": {"unit": "deg"}}), CLOCK)
    with pytest.raises(ConfigError, match=r"channels.x.unit: found m, expected 'mm'"):
        IgtlTracker(config(port, channels={"x": {"unit": "m"}}), CLOCK)
