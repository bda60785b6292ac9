"""A network camera that can be broken: a real RTSP server on loopback, fed with a short moving sequence, and its faults."""

import random
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np

from inframe.chaos.faults import Fault, Mend
from inframe.chaos.rtsp_server import RtspServer
from inframe.chaos.stage import FPS, Stage

SIZE = (1280, 720)
LENGTH, KEY_EVERY = 60, 15


class Feed:
    """The camera: sends one access unit each 1/30 s from a thread; `freeze`, `fall_silent` and `damage` are what it may suffer."""

    def __init__(self) -> None:
        self._units, sets = _sequence()
        self._server = RtspServer(sets)
        self.url = self._server.url
        self._stop, self._silent, self._frozen = threading.Event(), False, False
        self._damage = random.Random(1)  # damage, not a secret
        self._damaged = 0.0
        self._thread = threading.Thread(target=self._send, name="feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()

    def _send(self) -> None:
        number = at = 0
        began = time.monotonic()
        while not self._stop.wait(max(0.0, began + number / FPS - time.monotonic())):
            number += 1
            at = 0 if self._frozen else (at + 1) % LENGTH
            if self._silent or not self._server.playing.is_set():
                continue
            try:
                self._server.send(self._wounded(self._units[at]), number, fps=FPS)
            except (OSError, RuntimeError):
                continue  # the client has just gone; it will come again

    def _wounded(self, unit: bytes) -> bytes:
        if not self._damaged:
            return unit
        data = bytearray(unit)
        for _ in range(max(1, int(len(data) * self._damaged))):
            data[self._damage.randrange(8, len(data))] = self._damage.randrange(256)
        return bytes(data)

    def freeze(self, on: bool) -> None:
        """Send one and the same key frame again and again."""
        self._frozen = on

    def fall_silent(self, on: bool) -> None:
        """Send nothing; at the beginning the connection breaks too."""
        self._silent = on
        if on:
            self._server.drop_connection()

    def damage(self, share: float) -> None:
        """Overwrite this share of the bytes of each access unit."""
        self._damaged = share


def _sequence() -> tuple[list[bytes], bytes]:
    """LENGTH H.264 access units (Annex B) of a moving picture that can be repeated without end, and its parameter sets."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height = SIZE
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, FPS), Fraction(FPS)
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": str(KEY_EVERY),
        "x264-params": f"keyint={KEY_EVERY}:scenecut=0:repeat-headers=1",
    }
    units = []
    for i in range(LENGTH):
        frame = av.VideoFrame.from_ndarray(_picture(i), format="rgb24")
        frame.pts = i
        units += [bytes(packet) for packet in codec.encode(frame)]
    units += [bytes(packet) for packet in codec.encode(None)]
    return units, bytes(codec.extradata or units[0])


def _picture(i: int) -> Any:
    """A disc going round on a still ground with some texture."""
    width, height = SIZE
    rng = np.random.default_rng(1)
    ground = cv2.resize(rng.integers(60, 200, (18, 32, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    angle = 2 * np.pi * i / LENGTH
    centre = int(width / 2 + 300 * np.cos(angle)), int(height / 2 + 200 * np.sin(angle))
    return cv2.circle(ground, centre, 60, (230, 230, 230), -1)


class CameraStage(Stage):
    """A stage whose camera is a Feed."""

    feed: Feed

    @staticmethod
    def of(folder: Path, feed: Feed) -> "CameraStage":
        """Start the device on `feed`."""
        stage = Stage.start(folder, {"camera": "rtsp", "url": feed.url})
        own = CameraStage(
            stage.folder, stage.path, stage.running, stage.control, stage.records, stage.notices, stage.reader
        )
        own.feed = feed
        return own


def _does(break_it: Callable[[Feed], None], mend_it: Callable[[Feed], None]) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        if not isinstance(stage, CameraStage):
            raise RuntimeError("a camera's fault needs a camera stage")  # noqa: TRY004  # our own order of calls
        feed = stage.feed
        break_it(feed)
        return lambda: mend_it(feed)

    return strike


FAULTS: tuple[Fault, ...] = (
    Fault(
        "camera_gone",
        _does(lambda f: f.fall_silent(True), lambda f: f.fall_silent(False)),
        2.0,
        ("NO_SIGNAL",),
        camera=True,
    ),
    Fault(
        "camera_frozen",
        _does(lambda f: f.freeze(True), lambda f: f.freeze(False)),
        2.0,
        ("CAMERA_FROZEN",),
        camera=True,
    ),
    Fault(
        "camera_broken_packets",
        _does(lambda f: f.damage(0.02), lambda f: f.damage(0.0)),
        2.0,
        ("CAMERA_CORRUPT",),
        camera=True,
    ),
)
"""The camera's faults."""
