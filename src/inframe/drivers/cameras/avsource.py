"""Compressed video in, RGB in the caller's buffer out: what the file, RTSP and V4L2 cameras share. PyAV (FFmpeg).

FFmpeg's own messages stay off the terminal: PyAV discards them by default, and nothing here changes that.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.config import StreamBase
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import FrameFlag, Pixels

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_ITU709 = 1  # AVCOL_SPC_BT709
_SD_HEIGHT = 576


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture, not yet RGB."""

    frame: VideoFrame
    arrived_ns: int
    """Device clock, when the packet that completed it was there: before decoding."""
    flags: FrameFlag

    @property
    def source_ns(self) -> int | None:
        """Its presentation time as the source states it."""
        return pts_ns(self.frame.pts, self.frame.time_base)


def pts_ns(pts: int | None, time_base: Fraction | None) -> int | None:
    """A time stamp in ns, None if there is none."""
    return None if pts is None or time_base is None else round(pts * time_base * NS_PER_S)


class Damage:
    """Which frames are damaged. A frame that is predicted from a damaged one is damaged too, although the decoder
    reports it as sound; so from the first error on everything is, up to the next sound key frame (intra coded). A
    source that is joined between key frames begins damaged. `intra_only`: the codec predicts nothing (MJPEG, raw), all
    frames are key frames.
    """

    def __init__(self, *, intra_only: bool) -> None:
        self.errors = 0
        self._intra_only = intra_only
        self._damaged = True

    def error(self) -> None:
        """A packet could not be decoded, or is known to be broken."""
        self.errors += 1
        self._damaged = True

    def judge(self, *, key: bool, concealed: bool) -> FrameFlag:
        """The flag of the next frame; `concealed`: the decoder says that it invented parts of it."""
        if concealed:
            self.error()
        elif key or self._intra_only:
            self._damaged = False
        return FrameFlag.CORRUPT if self._damaged else FrameFlag.NONE


class Decoder:
    """Packets of one container's first video stream to frames.

    One thread: frame threads would hold back as many frames as there are threads (33 ms each at 30 fps), and threads of
    the decoder would fight with the worker for the real-time core.
    """

    def __init__(self, where: str, container: InputContainer, clock: Clock) -> None:
        stream = next((s for s in container.streams.video if s.codec_context is not None), None)
        if stream is None:
            raise ConfigError(where, "video", _what(container), "a video track that FFmpeg can decode")
        self._where, self._container, self._clock = where, container, clock
        self.stream: VideoStream = stream
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
        self.damage = Damage(intra_only=stream.codec_context.codec.intra_only)

    def frames(self) -> Iterator[Decoded]:
        """All frames up to the end of the source. Raises DeviceFault when it can't be read any further."""
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise DeviceFault(f"{self._where}: reading the video failed: {reason(error)}") from None
            if packet is None:
                return
            if packet.is_corrupt:
                self.damage.error()
            yield from decode(packet.decode, self._clock.now(), self.damage)

    def rewind(self) -> None:
        """Back to the first frame. Raises DeviceFault."""
        try:
            self._container.seek(0)
        except (av.FFmpegError, OSError) as error:
            raise DeviceFault(f"{self._where}: rewinding the video failed: {reason(error)}") from None

    def close(self) -> None:
        """Close the container."""
        self._container.close()


def decode(packet: Callable[[], Sequence[VideoFrame]], arrived_ns: int, damage: Damage) -> Iterator[Decoded]:
    """The pictures that decoding a packet gives, judged. An error gives none, and damages what follows."""
    try:
        pictures = packet()
    except av.EOFError:  # the decoder has been emptied already
        return
    except av.FFmpegError:
        damage.error()
        return
    for picture in pictures:
        key = picture.key_frame and picture.pict_type == PictureType.I
        yield Decoded(picture, arrived_ns, damage.judge(key=key, concealed=picture.is_corrupt))


class PictureWriter:
    """Writes decoded pictures as RGB into the caller's buffer: colour conversion (swscale), then one copy that also
    turns the picture. Rejected: PyAV can't convert into a given buffer (VideoReformatter always allocates), and
    OpenCV, which can, knows only BT.601 in limited range."""

    def __init__(self, where: str, stream: StreamBase) -> None:
        self._where, self._turn = where, stream.rotate
        self._size = (stream.width, stream.height)
        self._reformatter = VideoReformatter()

    def check(self, frame: VideoFrame) -> None:
        """That the source is what the device file declares. Raises ConfigError.

        The device file is the only authority on rotation: a rotation noted in the source must be the declared one.
        Applying it in silence would turn the picture under a device that was validated upright; ignoring it, likewise.
        """
        noted = _noted_rotation(frame)
        if noted is None:
            raise ConfigError(
                self._where, "rotate", "a mirrored or skewed display matrix in the source", "a plain rotation"
            )
        if noted not in (0, self._turn):
            raise ConfigError(
                self._where, "rotate", f"{noted} degrees noted in the source", f"rotate: {noted} in the device file"
            )
        found = self._turned(frame.width, frame.height)
        if found != self._size:
            raise ConfigError(
                self._where,
                "width, height",
                "x".join(map(str, found)),
                f"{self._size[0]}x{self._size[1]} as declared, or change the device file",
            )

    def write(self, frame: VideoFrame, into: Pixels) -> FrameFlag:
        """Fill `into` ((height, width, 3) uint8 as declared). A picture of another size is letterboxed and flagged
        RESIZED; one whose noted rotation changed is flagged so too."""
        inner, flag = into, FrameFlag.NONE
        wide, high = frame.width, frame.height
        if self._turned(wide, high) != self._size:
            flag = FrameFlag.RESIZED
            inner = _letterbox(into, *self._turned(wide, high))
            wide, high = self._turned(inner.shape[1], inner.shape[0])
        elif frame.rotation and _noted_rotation(frame) != self._turn:
            flag = FrameFlag.RESIZED
        rgb = self._to_rgb(frame, wide, high)
        plane = rgb.planes[0]
        source: Pixels = np.ndarray((high, wide, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        if self._turn:
            cv2.rotate(source, _TURNS[self._turn], dst=inner)
        else:
            np.copyto(inner, source)
        return flag

    def _turned(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self._turn in (90, 270) else (width, height)

    def _to_rgb(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        yuv = not (frame.format.is_rgb or frame.format.name.startswith(("gray", "mono", "pal")))
        matrix: Colorspace | None = None
        limits: ColorRange | None = None
        if yuv:
            if frame.colorspace == _UNSPECIFIED:
                # what players assume (mpv, Chrome): BT.709 above standard definition
                matrix = Colorspace.ITU709 if frame.height > _SD_HEIGHT else Colorspace.ITU601
            if frame.color_range == ColorRange.UNSPECIFIED and not frame.format.name.startswith("yuvj"):
                limits = ColorRange.MPEG
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=matrix,
            src_color_range=limits,
            # swscale's exact conversion (ACCURATE_RND) costs 3 to 5 times as much and changes no value by more than 2
            interpolation=Interpolation.BILINEAR,
            threads=1,  # 0, the default, starts one on each core
        )


def reason(error: BaseException) -> str:
    """What FFmpeg or the operating system says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _letterbox(into: Pixels, width: int, height: int) -> Pixels:
    """The middle of `into` that a picture of width x height fills with its aspect kept; the rest is made black."""
    into_height, into_width = into.shape[:2]
    scale = min(into_width / width, into_height / height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (into_width - wide) // 2, (into_height - high) // 2
    into[:] = 0
    return into[top : top + high, left : left + wide]


def _noted_rotation(frame: VideoFrame) -> int | None:
    """The clockwise rotation in the frame's display matrix (0 if it has none); None if it is no quarter turn.

    The matrix: nine 32-bit numbers, of which 0, 1, 3, 4 are the linear part in 16.16 (FFmpeg, libavutil/display.h).
    """
    if SideDataType.DISPLAYMATRIX not in frame.side_data:
        return 0
    numbers = struct.unpack_from("=9i", bytes(frame.side_data[SideDataType.DISPLAYMATRIX]))
    linear = tuple(n >> 16 for n in (numbers[0], numbers[1], numbers[3], numbers[4]))
    return {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}.get(linear)


def _what(container: InputContainer) -> str:
    kinds = sorted({s.type for s in container.streams})
    return f"tracks of kind {', '.join(kinds)}" if kinds else "no track"
