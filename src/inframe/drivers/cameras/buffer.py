"""The caller's buffer: a slot of the frame ring."""

import numpy as np

from inframe.core.types import Pixels


def check_buffer(into: Pixels, width: int, height: int) -> None:
    """Raises RuntimeError unless `into` is (height, width, 3) uint8 in C order."""
    if into.shape != (height, width, 3) or into.dtype != np.uint8 or not into.flags.c_contiguous:
        raise RuntimeError(f"read into {into.shape} {into.dtype}, expected ({height}, {width}, 3) uint8 in C order")
