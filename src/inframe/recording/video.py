"""Frames as H.264 and back. One codec for both ways of recording, so that any player reads both:

    h264        4:2:0, BT.709, quality 18: what a viewer can't tell from the original
    lossless    RGB as it is, bit for bit (H.264 High 4:4:4 Predictive, quantiser 0)

Measured on one core at 1280x720, ms a frame and MB a minute at 30 fps, on the demo's rendering and on a real laparoscopy:

    h264      x264 ultrafast 8 ms, 26 / 74 MB (taken); superfast 9 to 17 ms, 23 / 60; veryfast 22 to 36 ms, 12 / 37
    lossless  x264rgb ultrafast 13 to 15 ms, 523 / 1430 MB (taken); superfast 38 to 71 ms, 448 / 1253; Ut Video 12 to 15 ms,
              770 / 951; FFVHUFF 5 to 7 ms, 1423 / 1600; zstd on raw frames 7 to 8 ms, 1176 / 2294
"""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from inframe.core.errors import DeviceFault, one_line
from inframe.core.types import Pixels

_START, _KEY_UNITS, _LOOKED = b"\0\0\1", (5, 7), 4096
BT709 = 1
"""ISO/IEC 23091-2: primaries, transfer and matrix of HD video have the same number."""
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"crf": "18"}),
    "lossless": ("libx264rgb", "rgb24", {"qp": "0"}),
}


class Encoder:
    """One stream of frames, (height, width, 3) uint8 RGB; each becomes one Annex B access unit, with a key frame each second.

    Raises DeviceFault. An odd width or height gets one more column or row where the codec needs it.
    """

    def __init__(self, codec: str, width: int, height: int, fps: float) -> None:
        name, self._format, options = CODECS[codec]
        odd = codec == "h264"
        self._picture = np.zeros((height + odd * height % 2, width + odd * width % 2, 3), np.uint8)
        self._size = (height, width)
        context: Any = av.CodecContext.create(name, "w")
        context.height, context.width = self._picture.shape[:2]
        context.pix_fmt = self._format
        context.framerate = Fraction(fps).limit_denominator(1001)
        context.time_base = 1 / context.framerate
        context.gop_size = max(1, round(fps))
        context.thread_count = 1
        if self._format == "yuv420p":
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = ColorRange.MPEG
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1", **options}
        self._context, self._count = context, 0

    def encode(self, pixels: Pixels) -> bytes:
        """The next frame."""
        height, width = self._size
        if self._picture.shape[:2] != (height, width):
            self._picture[:height, :width] = pixels
            self._picture[height:] = self._picture[height - 1]
            self._picture[:, width:] = self._picture[:, width - 1 : width]
            pixels = self._picture
        frame: Any = av.VideoFrame.from_numpy_buffer(pixels, format="rgb24")
        if self._format != "rgb24":
            frame = frame.reformat(
                format=self._format, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
        frame.pts = self._count
        self._count += 1
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            raise DeviceFault(f"can't encode the video: {one_line(error)}") from None
        return b"".join(map(bytes, packets))


class Decoder:
    """The frames of one stream back again."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (height, width)
        self._context: Any = av.CodecContext.create("h264", "r")
        self._context.thread_count = 1

    def decode(self, data: bytes) -> Pixels | None:
        """The frame of one access unit, (height, width, 3) uint8 RGB, a new array; None where it can't be decoded."""
        if not data:
            return None  # to the decoder that would mean the end of the stream
        try:
            frames = self._context.decode(av.Packet(data))
        except av.FFmpegError:
            return None
        if len(frames) != 1:
            return None
        frame = frames[0]
        if frame.format.name == "yuv420p":
            frame = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG)
        picture: Pixels = frame.to_ndarray(format="rgb24")
        height, width = self._size
        if picture.shape[0] < height or picture.shape[1] < width:
            return None
        return np.ascontiguousarray(picture[:height, :width])


def is_key(data: bytes) -> bool:
    """Whether an access unit needs none before it: it has an IDR slice, or what one needs (ITU-T H.264, table 7-1)."""
    at = data.find(_START)
    while 0 <= at < _LOOKED and at + 3 < len(data):
        if data[at + 3] & 31 in _KEY_UNITS:
            return True
        at = data.find(_START, at + 3)
    return False
