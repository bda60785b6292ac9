"""A camera or grabber of Video4Linux."""

import av
from av.container import InputContainer

from inframe.core.clock import Clock
from inframe.core.config import V4l2Stream
from inframe.core.errors import DeviceFault
from inframe.drivers.cameras.avsource import Decoder, reason
from inframe.drivers.cameras.live import OPEN_TIMEOUT_S, READ_TIMEOUT_S, LiveCamera


class V4l2Camera(LiveCamera):
    """`stream.device`; returns at once and opens it in its thread."""

    def __init__(self, stream: V4l2Stream, clock: Clock) -> None:
        super().__init__(stream.device, stream, clock, lambda: Decoder(stream.device, _open(stream), clock))


def _open(stream: V4l2Stream) -> InputContainer:
    turned = stream.rotate in (90, 270)  # the device file's size is the one after turning
    width, height = (stream.height, stream.width) if turned else (stream.width, stream.height)
    options = {"video_size": f"{width}x{height}", "framerate": f"{stream.fps:g}", "fflags": "nobuffer"}
    if stream.input_format is not None:
        options["input_format"] = stream.input_format
    try:
        return av.open(stream.device, format="v4l2", options=options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S))
    except (av.FFmpegError, OSError) as error:
        raise DeviceFault(f"{stream.device}: opening the camera failed: {reason(error)}") from None
