"""A recording: at its own time stamps, as if it were a camera, or as fast as its frames are asked for."""

from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.config import FileStream
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import EndOfStream, Shot
from inframe.core.types import Pixels
from inframe.drivers.cameras.avsource import Decoded, Decoder, PictureWriter, pts_ns, reason
from inframe.drivers.cameras.buffer import check_buffer
from inframe.drivers.cameras.pace import Lead, Timeline, Wait, sleep_until

# Only containers that hold the video themselves. Playlists and descriptions (hls, dash, concat, sdp, image2 …) make
# FFmpeg open other files and addresses.
FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,mjpeg,ogg,flv,asf,mxf,yuv4mpegpipe,ivf,obu,dv,nut"
)
EXPECTED = "a video file (MP4, Matroska, AVI, MPEG-TS …)"

CATCH_UP_NS = 100 * NS_PER_MS
"""One `read` decodes overdue frames for so long at most. If the recording is then still behind, its time line is moved:
a machine too slow for a recording shows it slowly rather than never."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A decoded picture and its place in the recording, all in ns."""

    decoded: Decoded
    position: int
    lasts_ns: int
    ready_ns: int


class FileCamera:
    """pace realtime: a frame is due at start + its position, the start being the first `read`. `captured_ns` is the
    moment at which it was both due and decoded, `source_ns` its position. Frames whose successor is due too are
    dropped and counted. pace fast: every frame, at once.

    Raises ConfigError if the file is not a video of the declared size.
    """

    def __init__(self, stream: FileStream, clock: Clock, wait: Wait | None = None) -> None:
        self.width, self.height = stream.width, stream.height
        self._path, self._loop, self._paced = stream.path, stream.loop, stream.pace == "realtime"
        self._clock, self._wait = clock, wait or sleep_until(clock)
        self._step = round(NS_PER_S / stream.fps)
        self._timeline, self._lead = Timeline(self._step), Lead(self._step)
        self._container: InputContainer | None = _open(stream.path)
        self._start: int | None = None
        self._expected = 0
        self._making_ns = 0
        self._dropped = 0
        try:
            self._decoder = Decoder(stream.path, self._container, clock)
            self._frames = self._decoder.frames()
            self._writer = PictureWriter(stream.path, stream)
            self._pending: _Picture | None = self._first()
        except (ConfigError, DeviceFault):
            self.close()
            raise

    def read(self, into: Pixels, timeout_s: float) -> Shot | None:
        """See `core.ports.Camera`. Raises EndOfStream at the end unless the recording loops."""
        if self._container is None:
            raise RuntimeError("read after close")
        check_buffer(into, self.width, self.height)
        entered = self._clock.now()
        limit = entered + int(timeout_s * NS_PER_S)
        if self._start is None:
            self._start = entered
        if self._paced and self._pending is None:
            begin = self._start + self._expected - self._lead.ns
            self._wait(min(begin, limit))
            if begin > limit:
                return None
        picture = self._newest_due(entered) if self._paced else self._pending or self._decode()
        self._pending = picture
        if picture is None:
            raise EndOfStream
        due = self._start + picture.position if self._paced else max(picture.ready_ns, self._start)
        if due > limit:
            self._wait(limit)
            return None
        shot = self._write(picture, due, into)
        self._wait(due)
        return shot

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _first(self) -> _Picture:
        picture = self._decode()
        if picture is None:
            raise ConfigError(self._path, "video", "no picture that can be decoded", EXPECTED)
        self._writer.check(picture.decoded.frame)
        return picture

    def _newest_due(self, entered: int) -> _Picture | None:
        """The next picture, or a later one if that is due already at `entered`."""
        picture = self._pending or self._decode()
        while picture and self._start is not None and self._start + picture.position + picture.lasts_ns <= entered:
            if self._clock.now() - entered > CATCH_UP_NS:
                self._start = self._clock.now() - picture.position
                break
            later = self._decode()
            if later is None:
                break
            picture, self._dropped = later, self._dropped + 1
        return picture

    def _decode(self) -> _Picture | None:
        """The next picture; None at the end of a recording that does not loop."""
        began = self._clock.now()
        decoded = next(self._frames, None)
        if decoded is None and self._loop:
            self._decoder.rewind()
            self._frames = self._decoder.frames()
            decoded = next(self._frames, None)
            if decoded is None:
                raise DeviceFault(f"{self._path}: no picture after rewinding")
        if decoded is None:
            return None
        position = self._timeline.place(decoded.frame.pts, decoded.frame.time_base)
        ready = self._clock.now()
        self._making_ns = ready - began
        return _Picture(decoded, position, pts_ns(decoded.frame.duration, decoded.frame.time_base) or self._step, ready)

    def _write(self, picture: _Picture, due: int, into: Pixels) -> Shot:
        began = self._clock.now()
        flags = picture.decoded.flags | self._writer.write(picture.decoded.frame, into)
        self._lead.note(self._making_ns + self._clock.now() - began)
        shot = Shot(max(due, picture.ready_ns), picture.position, flags, self._dropped)
        self._pending, self._dropped = None, 0
        # not more than two steps: a duration that is wrong must not make each following frame late
        self._expected = picture.position + min(picture.lasts_ns, 2 * self._step)
        return shot


def _open(path: str) -> InputContainer:
    """Opens a regular file and nothing else, whatever its content asks for. Raises ConfigError."""
    try:
        if not Path(path).is_file():  # a pipe would wait for a writer, for ever
            other = "a folder" if Path(path).is_dir() else "something else than a file"
            found = other if Path(path).exists() else "no such file"
            raise ConfigError(path, "path", found, EXPECTED)
        if Path(path).stat().st_size == 0:
            raise ConfigError(path, "path", "an empty file", EXPECTED)
        return av.open(
            f"file:{Path(path).absolute()}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ConfigError(path, "path", reason(error), EXPECTED) from None
