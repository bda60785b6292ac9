"""A case's pictures, frame by frame, as the device gets them: from a recording, or from a video file by the device's own camera."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import FileStream
from inframe.core.errors import ConfigError
from inframe.core.ports import EndOfStream
from inframe.core.types import FrameFlag, Pixels
from inframe.drivers.cameras.file import FileCamera
from inframe.recording.events import Packet
from inframe.recording.read import open_recording
from inframe.recording.video import Decoder
from inframe.revalidation.cases import CaseStream


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame. `pixels` may be overwritten by the next."""

    seq: int
    captured_ns: int
    pixels: Pixels
    flags: FrameFlag


def pictures(path: Path, stream: CaseStream) -> Iterator[Picture]:
    """All of them. Raises ConfigError where the file is not a recording or video of that size."""
    return _recorded(path, stream) if ".mcap" in path.suffixes else _played(path, stream)


def _played(path: Path, stream: CaseStream) -> Iterator[Picture]:
    size = {"width": stream.width, "height": stream.height, "fps": stream.fps}
    config = FileStream.model_validate({"camera": "file", "path": str(path), "pace": "fast", **size})
    camera = FileCamera(config, MonotonicClock())
    pixels, period, seq = np.empty((stream.height, stream.width, 3), np.uint8), NS_PER_S / stream.fps, 0
    try:
        while True:
            shot = camera.read(pixels, 1.0)
            if shot is None:  # a machine so busy that a frame took longer; it is still to come
                continue
            seq += 1
            yield Picture(seq, round(seq * period), pixels, shot.flags)
    except EndOfStream:
        return
    finally:
        camera.close()


def _recorded(path: Path, stream: CaseStream) -> Iterator[Picture]:
    recording = open_recording(path)
    recorded = recording.device.streams[recording.device.display]
    if (recorded.width, recorded.height) != (stream.width, stream.height):
        found = f"{recorded.width}x{recorded.height}"
        raise ConfigError(path, "recording", found, f"{stream.width}x{stream.height}, as the case says")
    decoder = Decoder(stream.width, stream.height)
    for event in recording.read():
        if isinstance(event, Packet):
            pixels = decoder.decode(event.data)
            if pixels is None:
                raise ConfigError(path, f"frame {event.seq}", "a picture that can't be decoded", "a whole recording")
            yield Picture(event.seq, event.captured_ns, pixels, FrameFlag.NONE)
    if recording.health.cut or recording.health.damaged:
        raise ConfigError(path, "recording", "parts that are cut off or damaged", "a whole recording")
