"""Lab Streaming Layer against a real peer, the library `pylsl`, over loopback; and whatever bytes an outlet may send."""

import random
import socket
import struct
from typing import Any

import pylsl
import pytest

from inframe.core.clock import MonotonicClock
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.sensor import LslSensor
from inframe.drivers.sensors.lsl import LslInlet, Outlet, Samples, _order, read_info

CLOCK = MonotonicClock()


def config(port: int, channels: dict[str, Any] | None = None, rate_hz: float = 100) -> LslSensor:
    values = {"sensor": "lsl", "host": "127.0.0.1", "port": port, "rate_hz": rate_hz}
    values |= {"channels": channels or {"force": {"unit": "N"}, "torque": {"unit": "Nm"}}}
    return LslSensor.model_validate(values | {"align": {"how": "hold", "max_age_ms": 100}})


@pytest.fixture(scope="module", params=["double64", "float32", "int16"])
def outlet(request: pytest.FixtureRequest) -> tuple[Any, int]:
    info = pylsl.StreamInfo(f"Hand {request.param}", "Force", 2, 100, request.param, "hand")
    channels = info.desc().append_child("channels")
    for label, unit in (("torque", "Nm"), ("force", "N")):
        channels.append_child("channel").append_child_value("label", label).append_child_value("unit", unit)
    made = pylsl.StreamOutlet(info)
    for port in range(16572, 16604):
        try:
            with socket.create_connection(("127.0.0.1", port), 0.5) as client:
                client.sendall(b"LSL:fullinfo\r\n")
                if request.param.encode() in client.recv(1 << 16):
                    break
        except OSError:
            continue
    else:
        pytest.skip("the library's outlet is not to be reached on loopback")
    return made, port


def test_samples_of_a_real_outlet_arrive_with_its_times(outlet: tuple[Any, int]) -> None:
    peer, port = outlet
    inlet = LslInlet(config(port), CLOCK)
    read: list[tuple[int, list[float]]] = []
    sent = 0
    while len(read) < 20 and sent < 2000:  # the outlet's thread takes a moment to see its client
        if peer.have_consumers():
            peer.push_sample([sent % 100, -(sent % 100)], 5000 + sent / 100)
        sent += 1
        block = inlet.read(0.01)
        if block is not None:
            assert block.source_ns is not None
            read += list(zip(block.source_ns, [list(row) for row in block.values], strict=True))
    assert len(read) >= 20
    for ns, (force, torque) in read:
        n = round((ns / 1e9 - 5000) * 100)
        assert abs(ns / 1e9 - 5000 - n / 100) < 1e-6
        assert (torque, force) == (n % 100, -(n % 100))
    inlet.close()
    inlet.close()
    with pytest.raises(RuntimeError, match="close"):
        inlet.read(0.0)


def test_what_does_not_fit_the_outlet(outlet: tuple[Any, int]) -> None:
    _, port = outlet
    with pytest.raises(ConfigError, match=r"channels.x: found x, expected one of torque, force"):
        LslInlet(config(port, {"x": {"unit": ""}}), CLOCK)
    with pytest.raises(ConfigError, match=r"channels.force.unit: found mN, expected N, as Hand"):
        LslInlet(config(port, {"force": {"unit": "mN"}}), CLOCK)
    with pytest.raises(ConfigError, match=r"rate_hz: found 50.0, expected 100, as Hand"):
        LslInlet(config(port, rate_hz=50), CLOCK)


ONE = Outlet("u", "n", 2, "float32", 100.0, (), ())
HEAD = b"LSL/110 200 OK\r\nByte-Order: 1234\r\nData-Protocol-Version: 110\r\n\r\n"


def sample(values: tuple[float, float], seconds: float | None = None) -> bytes:
    time = b"\1" if seconds is None else b"\2" + struct.pack("<d", seconds)
    return time + struct.pack("<2f", *values)


STREAM = HEAD + sample((9, 9), 1) + sample((9, 9), 1) + sample((1, 2), 10.0) + sample((3, 4)) + sample((5, 6), 10.5)


def test_samples_come_out_whole_however_they_are_cut_and_times_follow_from_the_rate() -> None:
    for step in (1, 5, 64, 1000):
        samples, found = Samples(ONE), []
        for at in range(0, len(STREAM), step):
            found += samples.feed(STREAM[at : at + step])
        assert found == [(10**10, (1, 2)), (10**10 + 10**7, (3, 4)), (10_500_000_000, (5, 6))]


def test_channels_are_found_by_number_where_there_are_no_labels() -> None:
    assert _order(config(1, {"a": {"unit": "", "source": "1"}, "b": {"unit": "", "source": "0"}}), ONE) == [1, 0]
    with pytest.raises(ConfigError, match="expected one of 0 to 1"):
        _order(config(1, {"a": {"unit": "", "source": "2"}}), ONE)
    with pytest.raises(ConfigError, match="found an outlet of string, expected one of float32"):
        _order(config(1), Outlet("u", "n", 2, "string", 100.0, (), ()))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"LSL/110 404 Not found\r\n\r\n", "refuses: LSL/110 404 Not found"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "refuses: HTTP/1.1 200 OK"),
        (b"LSL/110 200 OK\r\nByte-Order: 4321\r\nData-Protocol-Version: 110\r\n\r\n", "another protocol or byte order"),
        (HEAD + b"\x07" + bytes(20), "begins with 7"),
        (bytes(1 << 15), "an endless header"),
    ],
)
def test_what_is_not_the_stream_is_a_fault(data: bytes, said: str) -> None:
    with pytest.raises(DeviceFault, match=said):
        Samples(ONE).feed(data)


def test_noise_never_crashes() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        data = bytearray(STREAM)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = Samples(ONE).feed(bytes(data))
        except DeviceFault:
            continue
        assert all(isinstance(ns, int) and abs(ns) < 1 << 62 for ns, _ in found)
    for text in ("", "<info/>", "<uid>1</uid><channel_count>x</channel_count><nominal_srate>1</nominal_srate>"):
        with pytest.raises(DeviceFault, match="not an LSL outlet"):
            read_info(text)


def test_an_outlet_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeviceFault, match="Connection refused"):
        LslInlet(config(port), CLOCK)
