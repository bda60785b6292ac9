"""Cameras: one driver a file, each a `core.ports.Camera`, all passing `tests/drivers/check_camera.py`."""

from collections.abc import Callable

from inframe.core.clock import Clock
from inframe.core.config import FileStream, IgtlStream, RtspStream, Stream, SyntheticStream, V4l2Stream
from inframe.core.ports import Camera


def open_camera(stream: Stream, clock: Clock, rehearse: Callable[[], object] = bool) -> Camera:
    """The driver for `stream`. Returns at once for live cameras: they connect in a thread of their own. One that keeps the
    time itself calls `rehearse` shortly before each frame is due.

    Raises ConfigError when the device file and the source contradict each other, DeviceFault when the source can't be
    read; for live cameras, the first `read` that knows raises them.
    """
    # imported late: a device with the synthetic camera needs no FFmpeg in its capture process
    match stream:
        case FileStream():
            from inframe.drivers.cameras.file import FileCamera
            from inframe.drivers.cameras.pace import sleep_until

            return FileCamera(stream, clock, sleep_until(clock, rehearse))
        case RtspStream():
            from inframe.drivers.cameras.rtsp import RtspCamera

            return RtspCamera(stream, clock)
        case V4l2Stream():
            from inframe.drivers.cameras.v4l2 import V4l2Camera

            return V4l2Camera(stream, clock)
        case IgtlStream():
            from inframe.drivers.cameras.igtl import IgtlCamera

            return IgtlCamera(stream, clock)
        case SyntheticStream():
            from inframe.drivers.cameras.pace import sleep_until
            from inframe.drivers.cameras.synthetic import SyntheticCamera

            return SyntheticCamera(stream, clock, sleep_until(clock, rehearse))
