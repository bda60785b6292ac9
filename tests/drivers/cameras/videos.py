"""Small recordings for the camera tests, made while the tests run. Each frame carries its number (see the synthetic
camera)."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from inframe.core.types import Pixels
from inframe.drivers.cameras.synthetic import encode_number

FPS = 30
TIME_BASE = Fraction(1, 90_000)
TICKS = 90_000 // FPS


def numbered(count: int, width: int = 320, height: int = 240, first: int = 1) -> Iterator[Pixels]:
    """Frames with the numbers first, first + 1 …"""
    ramp = np.linspace(40, 200, width, dtype=np.uint8)[None, :, None]
    for number in range(first, first + count):
        picture = np.empty((height, width, 3), np.uint8)
        picture[:] = ramp + np.uint8(number % 32)
        encode_number(picture, number)
        yield picture


def solid(colour: tuple[int, int, int], width: int = 64, height: int = 64) -> Pixels:
    """One colour all over."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = colour
    return picture


def packets(
    frames: Sequence[Pixels] | Iterator[Pixels],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> list[bytes]:
    """The coded pictures one by one, Annex B for H.264 and H.265."""
    encoder: Any = None
    found = []
    for i, pixels in enumerate(frames):
        if encoder is None:
            encoder = av.CodecContext.create(codec, "w")
            encoder.height, encoder.width = pixels.shape[:2]
            encoder.pix_fmt, encoder.time_base, encoder.gop_size = pix_fmt, Fraction(1, FPS), gop
            encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "threads": "1", **(options or {})}
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = i
        found += encoder.encode(frame)
    return [bytes(packet) for packet in found + encoder.encode(None)]


def write_video(
    path: Path,
    frames: Sequence[Pixels] | Iterator[Pixels],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    b_frames: int = 0,
) -> Path:
    """A file; `times`: the time stamps in units of a frame (default 0, 1, 2 …). `colorspace` and `color_range`
    (FFmpeg's numbers) are both used for the conversion and written into the file."""
    with av.open(str(path), "w") as container:
        stream: Any = None
        for i, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=FPS)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt, stream.time_base = pix_fmt, TIME_BASE
                stream.codec_context.time_base = TIME_BASE
                context = stream.codec_context
                context.max_b_frames = b_frames
                if codec == "libx264":
                    context.options = {"preset": "ultrafast", "threads": "1", "crf": "12", "bf": str(b_frames)}
                if colorspace is not None:
                    context.colorspace = colorspace
                if color_range is not None:
                    context.color_range = color_range
            source = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = source.reformat(format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range)
            frame.pts, frame.time_base = (times[i] if times else i) * TICKS, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
