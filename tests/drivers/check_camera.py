"""What every camera must do, whatever is behind it (the port: `inframe.core.ports.Camera`)."""

from collections.abc import Callable

import numpy as np
import pytest

from inframe.core.clock import Clock
from inframe.core.ports import Camera, EndOfStream, Shot
from inframe.core.types import Pixels

GUARD = 0xA5


def check_camera(
    make: Callable[[], Camera],
    clock: Clock,
    *,
    ready: Callable[[], None] = lambda: None,
    reads: int = 4,
    paced: bool = True,
) -> None:
    """`ready` is called before each read, to let the source send a frame; `paced`: no frame is there without it."""
    camera = make()
    slots, into = _slot(camera)
    last = 0
    for _ in range(reads):
        noise = np.random.default_rng(1).integers(0, 256, into.shape, np.uint8)
        into[:] = noise
        ready()
        shot = camera.read(into, 10.0)
        assert isinstance(shot, Shot), "a frame was ready"
        assert np.mean(into == noise) < 0.1, "the whole buffer is written"
        assert last < shot.captured_ns <= clock.now(), "capture times grow and are not in the future"
        assert shot.dropped >= 0
        last = shot.captured_ns
        assert (slots[0] == GUARD).all(), "nothing is written outside the buffer"
        assert (slots[2] == GUARD).all(), "nothing is written outside the buffer"
    if paced:
        before = clock.now()
        assert camera.read(into, 0.0) is None, "no frame is there yet"
        assert clock.now() - before < 1_000_000_000, "a read with no time to wait does not wait"
    _check_wrong_buffers(camera)
    camera.close()
    camera.close()
    with pytest.raises(RuntimeError, match="close"):
        camera.read(into, 0.0)


def read_all(camera: Camera, limit: int = 1000) -> list[tuple[Shot, Pixels]]:
    """Every frame of a recording, with copies of the pixels."""
    into = np.zeros((camera.height, camera.width, 3), np.uint8)
    found: list[tuple[Shot, Pixels]] = []
    while len(found) < limit:
        try:
            shot = camera.read(into, 10.0)
        except EndOfStream:
            return found
        assert shot is not None
        found.append((shot, into.copy()))
    raise AssertionError(f"more than {limit} frames")


def _slot(camera: Camera) -> tuple[Pixels, Pixels]:
    """A buffer in the middle of a larger one, as in the ring."""
    slots = np.full((3, camera.height, camera.width, 3), GUARD, np.uint8)
    return slots, slots[1]


def _check_wrong_buffers(camera: Camera) -> None:
    for shape, kind in (
        ((camera.width + 1, camera.height, 3), np.uint8),
        ((camera.height, camera.width), np.uint8),
        ((camera.height, camera.width, 3), np.float32),
    ):
        with pytest.raises(RuntimeError, match="expected"):
            camera.read(np.zeros(shape, kind), 0.0)
