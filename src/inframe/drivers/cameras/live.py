"""What cameras that send whether we read or not have in common: the newest frame wins, `read` never blocks on it.

FFmpeg's read call can't be bounded by us: a V4L2 driver may hang in the kernel, and a network read ends only at its own
limit. So each live camera connects, reads and decodes in a thread of its own, which leaves the newest decoded picture
in one slot; `read` waits for that slot with a time limit and converts straight into the caller's buffer. There is no
queue: the decoder's own pictures are handed over by reference, so that a picture nobody fetches costs no copy.

The thread inherits scheduling class and core from the thread that opens the camera. `close` does not wait for it: hung
in the kernel it would take the caller with it; a thread left behind ends at its own limit or with the process.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.config import StreamBase
from inframe.core.errors import DeviceFault, InframeError
from inframe.core.ports import Shot
from inframe.core.types import Pixels
from inframe.drivers.cameras.avsource import Damage, Decoded, PictureWriter
from inframe.drivers.cameras.buffer import check_buffer

LOST_NS = 2 * NS_PER_S
"""A live camera without a frame for so long is lost: `read` raises, so that the caller connects again. (The alert comes
much earlier, from the stream's `stall_ms`.)"""

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 5.0, LOST_NS / NS_PER_S


class Source(Protocol):
    """A connected camera, used by the thread alone."""

    damage: Damage

    def frames(self) -> Iterator[Decoded]:
        """Pictures as they come. Raises DeviceFault when the camera is lost."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class LiveCamera:
    """Connects in its thread. `read` raises what went wrong there: ConfigError if the source is not what the device
    file declares, DeviceFault if it is lost."""

    def __init__(self, where: str, stream: StreamBase, clock: Clock, connect: Callable[[], Source]) -> None:
        self.width, self.height = stream.width, stream.height
        self.decode_errors = 0
        """How often a packet was lost or could not be decoded without inventing parts of the picture."""
        self._where, self._clock, self._connect = where, clock, connect
        self._writer = PictureWriter(where, stream)
        self._changed = threading.Condition()
        self._newest: Decoded | None = None
        self._dropped = 0
        self._error: InframeError | None = None
        self._closed = False
        self._connected = False
        self._last_ns = clock.now()
        threading.Thread(target=self._run, name=f"camera {where}", daemon=True).start()

    def read(self, into: Pixels, timeout_s: float) -> Shot | None:
        """See `core.ports.Camera`."""
        check_buffer(into, self.width, self.height)
        with self._changed:
            if self._closed:
                raise RuntimeError("read after close")
            self._changed.wait_for(lambda: self._newest is not None or self._error is not None, timeout_s)
            decoded, self._newest = self._newest, None
            if decoded is None:
                self._raise_if_lost()
                return None
            dropped, self._dropped = self._dropped, 0
        flags = decoded.flags | self._writer.write(decoded.frame, into)
        return Shot(decoded.arrived_ns, decoded.source_ns, flags, dropped)

    def close(self) -> None:
        """Let go of the source without waiting for it; may be called twice."""
        with self._changed:
            self._closed = True
            self._newest = None

    def _raise_if_lost(self) -> None:
        if self._error is not None:
            raise self._error
        # until it is connected, the limit is that of opening
        limit = LOST_NS if self._connected else int(OPEN_TIMEOUT_S * NS_PER_S) + LOST_NS
        silent = self._clock.now() - self._last_ns
        if silent > limit:
            raise DeviceFault(f"{self._where}: no frame for {silent / NS_PER_S:.1f} s")

    def _run(self) -> None:
        source: Source | None = None
        error: InframeError = DeviceFault(f"{self._where}: the source ended the video")
        try:
            source = self._connect()
            self._pump(source)
        except InframeError as found:
            error = found
        except Exception as found:  # noqa: BLE001  # dying in silence would look like a camera without frames
            error = DeviceFault(f"{self._where}: {type(found).__name__}: {found}")
        finally:
            if source is not None:
                source.close()
        with self._changed:
            self._error = error
            self._changed.notify()

    def _pump(self, source: Source) -> None:
        for decoded in source.frames():
            if not self._connected:
                self._writer.check(decoded.frame)
            with self._changed:
                if self._closed:
                    return
                self._connected = True
                self._last_ns = self._clock.now()
                self._dropped += self._newest is not None
                self._newest = decoded
                self.decode_errors = source.damage.errors
                self._changed.notify()
