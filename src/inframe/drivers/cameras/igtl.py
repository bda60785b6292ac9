"""Pictures of an OpenIGTLink server, such as ultrasound from PLUS or 3D Slicer: IMAGE messages of one device.

    IMAGE   version u16 | components u8 | scalar type u8 | byte order u8 | coordinates u8 | size 3 u16 | matrix 12 float32 |
            first corner of what is sent 3 u16 | its size 3 u16 | the scalars, x fastest

Source: see `drivers/igtl.py`. The matrix says where the picture is in the room, and is not used.
"""

import socket
import struct
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.config import IgtlStream
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import FrameFlag
from inframe.drivers.cameras.avsource import Damage, Decoded
from inframe.drivers.cameras.live import READ_TIMEOUT_S, LiveCamera
from inframe.drivers.igtl import CONNECT_S, MAX_BODY, Messages
from inframe.drivers.tcp import receive

_ABOUT = struct.Struct(">HBBBB3H12f3H3H")
UINT8 = 3
FORMATS = {1: "gray", 3: "rgb24"}
"""By components."""


class IgtlCamera(LiveCamera):
    """One device of a server; returns at once and connects in its thread. `captured_ns` is when the whole message was there,
    `source_ns` the server's own time stamp."""

    def __init__(self, stream: IgtlStream, clock: Clock) -> None:
        where = f"{stream.host}:{stream.port}"
        super().__init__(where, stream, clock, lambda: IgtlSource(where, stream, clock))


class IgtlSource:
    """A connected server; see `live.Source`."""

    def __init__(self, where: str, stream: IgtlStream, clock: Clock) -> None:
        self.damage = Damage(intra_only=True)
        self._where, self._name, self._clock = where, stream.name, clock
        self._messages = Messages(MAX_BODY)
        try:
            self._socket = socket.create_connection((stream.host, stream.port), CONNECT_S)
        except OSError as error:
            raise DeviceFault(f"{where}: {error.strerror or error}") from None

    def frames(self) -> Iterator[Decoded]:
        """Raises DeviceFault when the server hangs up, says nothing for READ_TIMEOUT_S, or what is no OpenIGTLink; ConfigError for
        pictures of a kind that is not read."""
        while True:
            data = receive(self._socket, self._where, READ_TIMEOUT_S)
            if data is None:
                raise DeviceFault(f"{self._where}: nothing came for {READ_TIMEOUT_S:.0f} s")
            arrived = self._clock.now()
            for message in self._messages.feed(data):
                if message.kind == "IMAGE" and message.device == self._name:
                    frame = picture(self._where, message.content)
                    if message.stamp_ns:
                        frame.pts, frame.time_base = message.stamp_ns, Fraction(1, NS_PER_S)
                    yield Decoded(frame, arrived, FrameFlag.NONE)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def picture(where: str, content: bytes) -> VideoFrame:
    """The picture of an IMAGE's content. Raises ConfigError for one of a kind that is not read, DeviceFault for a cut one."""
    if len(content) < _ABOUT.size:
        raise DeviceFault(f"{where}: an IMAGE of {len(content)} bytes")
    _, components, scalar, _, _, wide, high, deep, *rest = _ABOUT.unpack_from(content)
    if components not in FORMATS or scalar != UINT8:
        found = f"IMAGE of {components} components of type {scalar}"
        raise ConfigError(where, "camera", found, f"1 (grey) or 3 (RGB) of type {UINT8} (8 bits)")
    if deep != 1 or rest[12:] != [0, 0, 0, wide, high, deep]:
        found = f"IMAGE of {wide}x{high}x{deep}, of which {'x'.join(map(str, rest[15:]))} are sent"
        raise ConfigError(where, "camera", found, "a picture, whole: one slice")
    size = wide * high * components
    if size == 0 or len(content) != _ABOUT.size + size:
        raise DeviceFault(f"{where}: an IMAGE of {wide}x{high} in {len(content)} bytes")
    scalars = np.frombuffer(content, np.uint8, size, _ABOUT.size)
    shape = (high, wide) if components == 1 else (high, wide, components)
    return VideoFrame.from_ndarray(scalars.reshape(shape), format=FORMATS[components])
