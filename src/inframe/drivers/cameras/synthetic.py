"""A test camera that codes the frame number into the picture, so that a test can prove which frame is on the screen.

The number (32 bits) and its CRC-16 are 48 black or white blocks, 8 by 6, drawn twice: at the middle of the left and of
the right edge, away from the bands and texts that an overlay puts at the top and at the bottom. Blocks of 16 pixels
outlast H.264 and a translucent fill up to an opacity of about 0.45; one copy that can be read is enough.
"""

import binascii

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.config import SyntheticStream
from inframe.core.errors import ConfigError
from inframe.core.ports import EndOfStream, Shot
from inframe.core.types import Pixels
from inframe.drivers.cameras.buffer import check_buffer
from inframe.drivers.cameras.pace import Lead, Wait, sleep_until

COLUMNS, ROWS = 8, 6
SPAN = 64
"""The background repeats after so many rows; it moves one row a frame."""


def encode_number(into: Pixels, number: int) -> None:
    """Draw `number` modulo 2**32 into `into` ((height, width, 3) uint8, at least 16 x 16), in place."""
    data = (number % (1 << 32)).to_bytes(4, "big")
    code = data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    levels = (np.unpackbits(np.frombuffer(code, np.uint8)) * np.uint8(255)).reshape(ROWS, 1, COLUMNS, 1, 1)
    for patch in _patches(into):
        block = patch.shape[0] // ROWS
        patch.reshape(ROWS, block, COLUMNS, block, 3)[...] = levels


def read_number(pixels: Pixels) -> int | None:
    """The number drawn into `pixels` by `encode_number`; None if neither copy can be read."""
    for patch in _patches(pixels):
        block = patch.shape[0] // ROWS
        edge = block // 4  # a codec blurs the borders of the blocks
        inner = patch.reshape(ROWS, block, COLUMNS, block, 3)[:, edge : block - edge, :, edge : block - edge]
        code = np.packbits(inner.mean(axis=(1, 3, 4)) > 127.5).tobytes()
        if binascii.crc_hqx(code[:4], 0xFFFF) == int.from_bytes(code[4:], "big"):
            return int.from_bytes(code[:4], "big")
    return None


def _patches(pixels: Pixels) -> tuple[Pixels, Pixels]:
    height, width = pixels.shape[:2]
    block = min(16, width // (2 * COLUMNS), height // ROWS)
    wide, high = block * COLUMNS, block * ROWS
    top = (height - high) // 2
    rows = pixels[top : top + high]
    return rows[:, :wide], rows[:, width - wide :]


def _background(width: int, height: int) -> NDArray[np.uint8]:
    """(height + SPAN, width, 3): a picture that repeats every SPAN rows, so that each window of `height` rows into it
    is one of SPAN different pictures and writing one is a single memory copy."""
    y = np.arange(SPAN, dtype=np.float32)[:, None] * np.float32(2 * np.pi / SPAN)
    x = np.arange(width, dtype=np.float32)[None, :] * np.float32(2 * np.pi / 320)
    phases = (0.0, 2.1, 4.2)
    tile = np.stack([120 + 60 * np.sin(y + phase) * np.cos(x) + 40 * np.cos(x / 3 + phase) for phase in phases], axis=2)
    rows = np.arange(height + SPAN) % SPAN
    picture = np.ascontiguousarray(tile.astype(np.uint8)[rows])
    for row in range(SPAN // 2, height + SPAN, SPAN):
        for i, column in enumerate(range(80, width, 160)):
            cv2.circle(picture, (column, row), 14, (200, 60 + 20 * (i % 8), 70), thickness=-1)
    return picture


class SyntheticCamera:
    """Frame n (1, 2, 3 …) is due at start + (n - 1) / fps; the start is the first `read`. If the reader is late,
    frames are skipped and counted, as with a real camera: `captured_ns` is when the frame was due, not when it was
    fetched."""

    def __init__(self, stream: SyntheticStream, clock: Clock, wait: Wait | None = None) -> None:
        if stream.rotate:
            raise ConfigError("synthetic camera", "rotate", stream.rotate, "0: its picture is drawn upright")
        self.width, self.height = stream.width, stream.height
        self._fps, self._frames = stream.fps, stream.frames
        self._clock, self._wait = clock, wait or sleep_until(clock)
        self._background: NDArray[np.uint8] | None = _background(stream.width, stream.height)
        self._start: int | None = None
        self._last = 0
        self._rest_until = 0
        self._lead = Lead(self._due(2))

    def read(self, into: Pixels, timeout_s: float) -> Shot | None:
        """See `core.ports.Camera`. Raises EndOfStream after `frames` frames."""
        if self._background is None:
            raise RuntimeError("read after close")
        entered = self._clock.now()
        limit = entered + int(timeout_s * NS_PER_S)
        self._wait(
            min(self._rest_until, limit)
        )  # first of all: whoever was woken by the last frame waits for this core
        check_buffer(into, self.width, self.height)
        if self._start is None:
            self._start = entered
        number = max(self._last + 1, self._newest(entered - self._start))
        if self._frames is not None and number > self._frames:
            if self._last >= self._frames:
                raise EndOfStream
            number = self._frames
        due = self._start + self._due(number)
        if due > limit:
            self._wait(limit)
            return None
        self._wait(due - self._lead.ns)
        self._draw(into, number)
        shot = Shot(captured_ns=due, source_ns=due - self._start, dropped=number - self._last - 1)
        self._last = number
        self._rest_until = self._start + self._due(number + 1) - self._lead.ns
        self._wait(due)
        return shot

    def close(self) -> None:
        """Free the background."""
        self._background = None

    def _due(self, number: int) -> int:
        return round((number - 1) * NS_PER_S / self._fps)  # from the number each time, so that nothing drifts

    def _newest(self, elapsed_ns: int) -> int:
        """The number of the last frame that is due `elapsed_ns` after the start."""
        number = int(elapsed_ns * self._fps / NS_PER_S) + 1
        return number + 1 if self._due(number + 1) <= elapsed_ns else number

    def _draw(self, into: Pixels, number: int) -> None:
        if self._background is None:
            raise RuntimeError("read after close")
        began = self._clock.now()
        top = number % SPAN
        np.copyto(into, self._background[top : top + self.height])
        encode_number(into, number)
        self._lead.note(self._clock.now() - began)
