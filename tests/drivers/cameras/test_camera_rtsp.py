"""The RTSP camera against a real server on the loopback address. Nothing sleeps: the server sends when the test says
so, and `read` returns when a frame is there; the time limits only bound a failure."""

from collections.abc import Iterator

import numpy as np
import pytest

from inframe.chaos.rtsp_server import RtspServer
from inframe.core.clock import NS_PER_S, ManualClock, MonotonicClock
from inframe.core.config import RtspStream
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Shot
from inframe.core.types import FrameFlag, Pixels
from inframe.drivers.cameras import open_camera
from inframe.drivers.cameras.live import LiveCamera
from inframe.drivers.cameras.rtsp import RtspCamera
from inframe.drivers.cameras.synthetic import read_number
from tests.drivers.cameras.videos import numbered, packets
from tests.drivers.check_camera import check_camera

LIMIT_S = 10.0
UNITS = packets(numbered(24), gop=12)


@pytest.fixture
def server() -> Iterator[RtspServer]:
    server = RtspServer(UNITS[0])
    yield server
    server.close()


@pytest.fixture
def into() -> Pixels:
    return np.zeros((240, 320, 3), np.uint8)


def connect(server: RtspServer, size: tuple[int, int] = (320, 240), url: str = "", **more: object) -> RtspCamera:
    values = {"camera": "rtsp", "url": url or server.url, "width": size[0], "height": size[1], "fps": 30, **more}
    return RtspCamera(RtspStream.model_validate(values), MonotonicClock())


def read(camera: LiveCamera, into: Pixels) -> Shot:
    shot = camera.read(into, LIMIT_S)
    assert shot is not None
    return shot


def pictures(camera: LiveCamera, count: int) -> None:
    """Wait until the camera's thread has decoded so many pictures that nobody has fetched."""
    with camera._changed:
        assert camera._changed.wait_for(lambda: camera._dropped + (camera._newest is not None) >= count, LIMIT_S)


def test_conforms(server: RtspServer) -> None:
    sent = iter(range(len(UNITS)))

    def ready() -> None:
        number = next(sent)
        server.send(UNITS[number], number)

    check_camera(lambda: connect(server), MonotonicClock(), ready=ready)


def test_each_frame_is_there_before_the_next_one_is_sent(server: RtspServer, into: Pixels) -> None:
    """FFmpeg's own RTSP client fails this: it hands out a frame when the next one begins."""
    camera = connect(server)
    for i, data in enumerate(UNITS):
        server.send(data, i)
        shot = read(camera, into)
        assert (read_number(into), shot.dropped, shot.flags) == (i + 1, 0, FrameFlag.NONE)
        assert shot.source_ns is not None
        assert abs(shot.source_ns - i * NS_PER_S / 30) < 20_000
    camera.close()


def test_the_newest_frame_wins(server: RtspServer, into: Pixels) -> None:
    camera = connect(server)
    for i in range(5):
        server.send(UNITS[i], i)
    pictures(camera, 5)
    assert (read(camera, into).dropped, read_number(into)) == (4, 5)
    server.send(UNITS[5], 5)
    assert (read(camera, into).dropped, read_number(into)) == (0, 6)
    camera.close()


@pytest.mark.parametrize("broken", ["a frame is lost", "half a frame", "garbage"])
def test_damage_is_flagged_until_the_next_key_frame(server: RtspServer, into: Pixels, broken: str) -> None:
    """The decoder conceals the damage, and reports the frames predicted from it, or from a frame that is missing, as
    sound."""
    camera = connect(server)
    flagged = {}
    for i, data in enumerate(UNITS[:15]):
        if i != 5:
            server.send(data, i)
        elif broken == "half a frame":
            server.send(data[: len(data) // 2], i)
        elif broken == "garbage":
            server.send(bytes(range(1, 200)), i)
        else:
            server.send(data[:100], i, lose=0)  # its only packet
        if i != 5 or broken == "half a frame":  # the others give no picture
            flagged[i] = read(camera, into).flags
    assert [i for i, flags in flagged.items() if flags & FrameFlag.CORRUPT] == [i for i in range(5, 12) if i in flagged]
    assert camera.decode_errors >= 1
    camera.close()


def test_joining_between_key_frames_is_flagged(server: RtspServer, into: Pixels) -> None:
    camera = connect(server)
    for i in range(6, 13):
        server.send(UNITS[i], i)
    pictures(camera, 1)
    while read_number(into) != 13:
        shot = read(camera, into)
        assert bool(shot.flags & FrameFlag.CORRUPT) == (read_number(into) != 13)
    camera.close()


def test_a_stall_is_none_and_then_a_fault(server: RtspServer, into: Pixels) -> None:
    clock = ManualClock()
    camera = RtspCamera(_stream(server.url), clock)
    server.send(UNITS[0], 0)
    read(camera, into)
    assert camera.read(into, 0.0) is None
    clock.advance(3 * NS_PER_S)
    with pytest.raises(DeviceFault, match=r"no frame for 3\.0 s"):
        camera.read(into, 0.0)
    camera.close()


def test_a_camera_that_accepts_and_says_nothing_is_a_fault(into: Pixels) -> None:
    clock = ManualClock()
    server = RtspServer(b"", answers={"DESCRIBE": b""})
    camera = RtspCamera(_stream(server.url), clock)
    assert camera.read(into, 0.0) is None
    clock.advance(8 * NS_PER_S)
    with pytest.raises(DeviceFault, match=r"no frame for 8\.0 s"):
        camera.read(into, 0.0)
    camera.close()
    server.close()


def test_hanging_up_is_a_fault_and_a_new_camera_connects(server: RtspServer, into: Pixels) -> None:
    camera = connect(server)
    server.send(UNITS[0], 0)
    read(camera, into)
    server.drop_connection()
    with pytest.raises(DeviceFault, match="the camera hung up"):
        camera.read(into, LIMIT_S)
    with pytest.raises(DeviceFault):
        camera.read(into, 0.0)
    camera.close()
    camera = connect(server)
    server.send(UNITS[12], 12)
    assert read(camera, into).flags == FrameFlag.NONE
    assert read_number(into) == 13
    camera.close()


def test_a_size_that_changes_midway_is_letterboxed_and_flagged(server: RtspServer, into: Pixels) -> None:
    camera = connect(server)
    server.send(UNITS[0], 0)
    assert read(camera, into).flags == FrameFlag.NONE
    for i, data in enumerate(packets(numbered(3, 160, 64)), 1):
        server.send(data, i)
        assert read(camera, into).flags == FrameFlag.RESIZED
        assert into[:50].max() == 0
    server.send(UNITS[12], 4)
    assert read(camera, into).flags == FrameFlag.NONE
    camera.close()


def test_another_size_than_declared_is_refused(server: RtspServer) -> None:
    camera = connect(server, (640, 480))
    server.send(UNITS[0], 0)
    with pytest.raises(ConfigError, match="width, height: found 320x240, expected 640x480 as declared"):
        camera.read(np.zeros((480, 640, 3), np.uint8), LIMIT_S)
    camera.close()


def test_h265(into: Pixels) -> None:
    units = packets(
        numbered(4), codec="libx265", options={"x265-params": "log-level=none:pools=none:frame-threads=1:bframes=0"}
    )
    sdp = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\na=control:track\r\n"
    server = RtspServer(b"", answers={"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(sdp) + sdp})
    camera = connect(server)
    # single NAL unit packets; the fragments of H.265 are in test_camera_rtp.py
    for i, data in enumerate(units):
        server.send(data, i, mtu=60_000)
        assert read(camera, into).flags == FrameFlag.NONE
        assert read_number(into) == i + 1
    camera.close()
    server.close()


def test_credentials_are_sent_when_asked_for_and_never_shown(into: Pixels) -> None:
    server = RtspServer(UNITS[0], challenge='Digest realm="camera", nonce="abc"')
    camera = connect(server, url=server.url.replace("//", "//us%65r:gehe@im@"))
    server.send(UNITS[0], 0)
    read(camera, into)
    assert server.requests == ["DESCRIBE", "DESCRIBE", "SETUP", "PLAY"]
    assert server.authorizations[0] == ""
    assert all(
        sent.startswith('Digest username="user"') and "gehe@im" not in sent for sent in server.authorizations[1:]
    )
    server.drop_connection()
    with pytest.raises(DeviceFault) as caught:
        camera.read(into, LIMIT_S)
    assert "gehe@im" not in str(caught.value)
    camera.close()
    server.close()


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        (
            {"DESCRIBE": b"RTSP/1.0 401 No\r\nWWW-Authenticate: Basic\r\n\r\n"},
            ConfigError,
            "credentials that the camera refuses",
        ),
        ({"DESCRIBE": b"RTSP/1.0 404 Not Found\r\n\r\n"}, DeviceFault, "answers DESCRIBE with 404 Not Found"),
        ({"DESCRIBE": b"RTSP/1.0 302 Moved\r\nLocation: rtsp://192.0.2.1/\r\n\r\n"}, DeviceFault, "with 302 Moved"),
        ({"DESCRIBE": b"RTSP/1.0 200 OK\r\n\r\n"}, ConfigError, "found no video track"),
        (
            {"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: 999999999999\r\n\r\n"},
            DeviceFault,
            "a message of 999999999999 bytes",
        ),
        ({"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"}, DeviceFault, "a message of -1 bytes"),
        ({"DESCRIBE": b"x" * 10_000}, DeviceFault, "does not speak RTSP"),
        (
            {"SETUP": b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;unicast;client_port=1-2\r\n\r\n"},
            DeviceFault,
            "over the RTSP connection",
        ),
        ({"PLAY": b"RTSP/1.0 503 Busy\r\n\r\n"}, DeviceFault, "answers PLAY with 503 Busy"),
    ],
)
def test_servers_that_say_something_else(
    into: Pixels, answers: dict[str, bytes], error: type[Exception], message: str
) -> None:
    server = RtspServer(UNITS[0], answers=answers)
    camera = connect(server)
    with pytest.raises(error, match=message) as caught:
        camera.read(into, LIMIT_S)
    assert "\n" not in str(caught.value)
    camera.close()
    server.close()


def test_words_between_the_packets_are_read_over(server: RtspServer, into: Pixels) -> None:
    camera = connect(server)
    server.send(UNITS[0], 0)
    read(camera, into)
    server.send_raw(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 3\r\n\r\nyes")
    server.send_raw(b"ANNOUNCE rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    other_track = b"\x80\xe0\0\0" + bytes(8) + b"\x41"
    server.send_raw(b"$\x01\0" + bytes([len(other_track)]) + other_track)
    server.send(UNITS[1], 1)
    assert read(camera, into).flags == FrameFlag.NONE
    camera.close()


def test_nobody_there_is_a_fault() -> None:
    stream = _stream("rtsp://127.0.0.1:1/x")
    camera = open_camera(stream, MonotonicClock())
    with pytest.raises(DeviceFault, match="no connection"):
        camera.read(np.zeros((240, 320, 3), np.uint8), LIMIT_S)
    camera.close()


def _stream(url: str) -> RtspStream:
    return RtspStream.model_validate({"camera": "rtsp", "url": url, "width": 320, "height": 240, "fps": 30})
