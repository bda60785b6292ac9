"""A camera on the network: RTSP, with the video over the same TCP connection (over UDP, losses would be the rule)."""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import av
from av.codec.context import CodecContext

from inframe.core.clock import Clock
from inframe.core.config import RtspStream
from inframe.drivers.cameras.avsource import Damage, Decoded, decode
from inframe.drivers.cameras.live import OPEN_TIMEOUT_S, READ_TIMEOUT_S, LiveCamera
from inframe.drivers.cameras.rtp import Depacketizer
from inframe.drivers.cameras.rtsp_session import RtspSession, without_password


class RtspCamera(LiveCamera):
    """`stream.url`; returns at once and connects in its thread. `captured_ns` is when the last packet of a picture was
    there, `source_ns` the camera's own time stamp."""

    def __init__(self, stream: RtspStream, clock: Clock) -> None:
        super().__init__(without_password(stream.url), stream, clock, lambda: RtspSource(stream.url, clock))


class RtspSource:
    """A connected camera and its decoder; see `live.Source`."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.damage = Damage(intra_only=False)
        self._clock = clock
        self._session = RtspSession(url, OPEN_TIMEOUT_S, READ_TIMEOUT_S)
        media = self._session.media
        self._depacketizer = Depacketizer(media.codec, media.payload_type)
        self._time_base = Fraction(1, media.clock_hz)
        self._codec: CodecContext = CodecContext.create(media.codec, "r")
        self._codec.thread_count = 1
        if media.parameter_sets:
            self._codec.extradata = media.parameter_sets

    def frames(self) -> Iterator[Decoded]:
        """Raises DeviceFault when the camera hangs up or says nothing for READ_TIMEOUT_S."""
        for data in self._session.packets():
            for unit in self._depacketizer.push(data):
                arrived = self._clock.now()
                if unit.damaged:
                    self.damage.error()
                if unit.data:
                    packet = av.Packet(unit.data)
                    packet.pts, packet.time_base = unit.timestamp, self._time_base
                    yield from decode(partial(self._codec.decode, packet), arrived, self.damage)

    def close(self) -> None:
        """Hang up."""
        self._session.close()
