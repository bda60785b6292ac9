"""An H.264 file of what was shown, at the moments at which it was shown. A kill leaves a file that plays."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from inframe.core.clock import NS_PER_S
from inframe.core.errors import ConfigError, DeviceFault, one_line
from inframe.core.types import Pixels
from inframe.drivers.screens.commands import Command, must_fit

TICKS = 90_000
"""Units of a second in the file."""
FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
# MP4 in fragments: an ordinary one has its index written at the end, so that a killed process leaves nothing that plays
OPTIONS = {
    "mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    "matroska": {"cluster_time_limit": "1000"},
}
BT709 = 1
"""ISO/IEC 23091-2: primaries, transfer and matrix of HD video have the same number."""


class H264Screen:
    """Writes `path` (.mp4 or .mkv). What is there already is kept: the next free name is taken (`out.2.mp4`).

    No frame is held back (no B-frames, no look-ahead): memory stays bounded, and a kill costs at most the last half
    second. Raises ConfigError for another ending, DeviceFault when the file can't be made.
    An odd width or height gets one more column or row, a copy of the last: 4:2:0 needs even sizes.
    """

    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        if path.suffix not in FORMATS:
            raise ConfigError(path, "screens.path", path.suffix or "no ending", "a file that ends in .mp4 or .mkv")
        self.path = _free(path)
        self._width, self._height = width, height
        self._even = np.zeros((height + height % 2, width + width % 2, 3), np.uint8)
        self._first_ns: int | None = None
        self._last = -1
        self._container: av.container.OutputContainer | None = av.open(
            str(self.path),
            "w",
            format=FORMATS[path.suffix],
            options=OPTIONS[FORMATS[path.suffix]] | {"flush_packets": "1"},
        )
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        self._set_up(self._stream.codec_context, fps)
        try:
            self._container.start_encoding()  # opens the file: av.open has not
        except (OSError, av.FFmpegError) as error:
            raise self._fault(error) from None

    def _set_up(self, codec: av.VideoCodecContext, fps: float) -> None:
        codec.height, codec.width = self._even.shape[:2]
        codec.pix_fmt = "yuv420p"
        codec.time_base = Fraction(1, TICKS)
        codec.gop_size = max(1, round(fps / 2))
        codec.thread_count = 1
        codec.color_primaries = codec.color_trc = codec.colorspace = BT709
        codec.color_range = ColorRange.MPEG
        # said although the process has one core: x264 would start a thread for each core of the machine
        codec.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "threads": "1"}

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:  # noqa: ARG002  # the port's signature
        """See core.ports.Screen. Raises DeviceFault when the file can't be written; only `close` may follow."""
        container = self._container
        must_fit(pixels, self._width, self._height, closed=container is None)
        if container is None:  # for the type checker: must_fit has raised
            return
        try:
            for packet in self._stream.encode(self._frame(pixels, shown_ns)):
                container.mux(packet)
        except (OSError, av.FFmpegError) as error:
            self._abandon()
            raise self._fault(error) from None

    def _frame(self, pixels: Pixels, shown_ns: int) -> av.VideoFrame:
        even = self._even
        even[: self._height, : self._width] = pixels
        even[self._height :] = even[self._height - 1]
        even[:, self._width :] = even[:, self._width - 1 : self._width]
        if self._first_ns is None:
            self._first_ns = shown_ns
        ticks = (shown_ns - self._first_ns) * TICKS // NS_PER_S
        self._last = max(ticks, self._last + 1)  # a time stamp may not come twice
        rgb = av.VideoFrame.from_numpy_buffer(even, format="rgb24")  # a copy would cost more than all else here
        frame = rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        return frame

    def poll(self) -> list[Command]:
        """Nobody speaks here."""
        return []

    def close(self) -> None:
        """See core.ports.Screen. Raises DeviceFault when the end of the file can't be written."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            if self._first_ns is not None:
                for packet in self._stream.encode(None):
                    container.mux(packet)
            container.close()
        except (OSError, av.FFmpegError) as error:
            raise self._fault(error) from None

    def _abandon(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            with suppress(OSError, av.FFmpegError):  # the first error is the one to tell
                container.close()

    def _fault(self, error: Exception) -> DeviceFault:
        reason = getattr(error, "strerror", None) or str(error)
        return DeviceFault(f"{one_line(self.path)}: can't write the video: {one_line(reason)}")


def _free(path: Path) -> Path:
    """`path`, or the first of path.2, path.3 … that is not there: a restarted screen must not erase what it wrote."""
    candidate, n = path, 1
    while candidate.exists():
        n += 1
        candidate = path.with_name(f"{path.stem}.{n}{path.suffix}")
    return candidate
