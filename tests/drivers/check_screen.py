"""What every screen must do, whatever is behind it (the ports: `inframe.core.ports.Screen`, `CommandScreen`)."""

from collections.abc import Callable

import numpy as np
import pytest

from inframe.core.types import Pixels
from inframe.drivers.screens.commands import CommandScreen

FRAME_NS = 33_333_333


def picture(width: int, height: int, number: int = 0) -> Pixels:
    """Vertical bands whose brightness says `number`; (height, width, 3) uint8, read-only as in the ring."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:] = 40 + number * 12 % 200
    pixels[:, : width // 3, 0] = 255
    pixels.flags.writeable = False
    return pixels


def check_screen(make: Callable[[], CommandScreen], width: int, height: int, *, shows: int = 12) -> None:
    """`make` opens a screen for pictures of `width` x `height`."""
    screen = make()
    moment = 10**12
    for number in range(shows):
        screen.show(picture(width, height, number), number + 1, moment + number * FRAME_NS)
        assert screen.poll() == [], "nobody has asked for anything"
    screen.show(picture(width, height), 0, moment + shows * FRAME_NS)  # the NO SIGNAL card has number 0
    screen.show(
        picture(width, height), 1, moment + shows * FRAME_NS
    )  # the same moment again, the numbers from the start
    wrong = (
        picture(width + 1, height),
        picture(width, height)[..., :2],
        picture(width, height)[..., 0],
        picture(width, height).astype(np.float32),
    )
    for pixels in wrong:
        with pytest.raises(RuntimeError, match="expected"):
            screen.show(pixels, 9, moment + (shows + 1) * FRAME_NS)  # type: ignore[arg-type]
    screen.close()
    screen.close()
    with pytest.raises(RuntimeError, match="closed"):
        screen.show(picture(width, height), 10, moment + (shows + 2) * FRAME_NS)
    assert screen.poll() == []
