"""The V4L2 camera. There is no /dev/video on the machines that run the tests: FFmpeg's `lavfi` source stands in for the
device, so everything but the kernel's side is the real thing (opening, the thread, raw video, conversion, the loss of
it)."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from inframe.core.clock import MonotonicClock
from inframe.core.config import V4l2Stream
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import FrameFlag
from inframe.drivers.cameras import open_camera
from tests.drivers.check_camera import check_camera

LIMIT_S = 10.0


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces only the call that opens the device; keeps what it was asked for."""
    calls: list[Any] = []
    real = av.open

    def stand_in(device: str, **how: Any) -> Any:
        calls.append((device, how))
        graph = {
            "/dev/camera": "testsrc=size=320x240:rate=30,format=yuyv422,realtime",
            "/dev/short": "testsrc=size=320x240:duration=0.1",
        }
        return real(graph[device], format="lavfi")

    monkeypatch.setattr(av, "open", stand_in)
    return calls


def stream(device: str, **more: object) -> V4l2Stream:
    return V4l2Stream.model_validate(
        {"camera": "v4l2", "device": device, "width": 320, "height": 240, "fps": 30, **more}
    )


def test_conforms(opened: list[Any]) -> None:
    check_camera(lambda: open_camera(stream("/dev/camera"), MonotonicClock()), MonotonicClock(), paced=False)


def test_the_device_is_asked_for_what_is_declared(opened: list[Any]) -> None:
    camera = open_camera(
        stream("/dev/camera", width=240, height=320, rotate=90, input_format="mjpeg"), MonotonicClock()
    )
    shot = camera.read(np.zeros((320, 240, 3), np.uint8), LIMIT_S)
    assert shot is not None
    assert shot.flags == FrameFlag.NONE
    camera.close()
    [(device, how)] = opened
    assert (device, how["format"]) == ("/dev/camera", "v4l2")
    assert how["options"]["video_size"] == "320x240"
    assert how["options"]["framerate"] == "30"
    assert how["options"]["input_format"] == "mjpeg"


def test_a_device_with_another_size_is_refused(opened: list[Any]) -> None:
    camera = open_camera(stream("/dev/camera", width=640, height=480), MonotonicClock())
    with pytest.raises(ConfigError, match="/dev/camera: width, height: found 320x240, expected 640x480"):
        camera.read(np.zeros((480, 640, 3), np.uint8), LIMIT_S)
    camera.close()


def test_a_device_that_ends_is_lost(opened: list[Any]) -> None:
    camera = open_camera(stream("/dev/short"), MonotonicClock())
    into = np.zeros((240, 320, 3), np.uint8)

    def read_on() -> None:
        while camera.read(into, LIMIT_S) is not None:
            pass

    with pytest.raises(DeviceFault, match="/dev/short: the source ended the video"):
        read_on()
    camera.close()


def test_a_device_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    camera = open_camera(stream(str(tmp_path / "video9")), MonotonicClock())
    with pytest.raises(DeviceFault, match="opening the camera failed: No such file or directory"):
        camera.read(np.zeros((240, 320, 3), np.uint8), LIMIT_S)
    camera.close()
