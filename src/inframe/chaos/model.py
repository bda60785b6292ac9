"""A decoder that can be made to misbehave while it runs, hung into the worker as an integrator's own function would be.

The fault is read from one byte of a file that the campaign writes; nothing in the pipeline knows of it.
"""

import math
import mmap
import os
import signal
import time
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Masks, Region

CONTROL = "INFRAME_CHAOS"
"""The environment variable that names the file."""
SLOW_S = 0.06


class Misdeed(IntEnum):
    """What the function does instead of its work."""

    NONE = 0
    SLOW = 1
    NAN = 2
    RAISE = 3
    MEMORY = 4


class _Control:
    """The byte, mapped when the first frame comes."""

    memory: mmap.mmap | None = None

    def read(self) -> Misdeed:
        if self.memory is None:
            with open(os.environ[CONTROL], "rb") as file:  # noqa: PTH123  # one descriptor for mmap
                self.memory = mmap.mmap(file.fileno(), 1, mmap.MAP_SHARED, mmap.PROT_READ)
        return Misdeed(self.memory[0])


_control = _Control()


def decode(outputs: dict[str, NDArray[np.float32]], region: Region) -> Masks:
    """Argmax, as the real decoder does it, or the misdeed asked for."""
    logits = next(iter(outputs.values()))
    match _control.read():
        case Misdeed.SLOW:
            time.sleep(SLOW_S)
        case Misdeed.NAN:
            region = (math.nan, math.nan, math.nan, math.nan)
        case Misdeed.RAISE:
            raise RuntimeError("raised on purpose")
        case Misdeed.MEMORY:
            kept = []
            while True:  # ends in MemoryError at the worker's limit
                kept.append(np.ones(8 << 20, np.uint8))
        case Misdeed.NONE:
            pass
    return Masks(logits[0].argmax(axis=0).astype(np.uint8), region)


CRASH_EVERY = 1000


class _Runs:
    """How often the decoder of this process has run."""

    count = 0


def decode_crashing(outputs: dict[str, NDArray[np.float32]], region: Region) -> Masks:
    """As `decode`; the process dies in each CRASH_EVERYth run."""
    _Runs.count += 1
    if _Runs.count % CRASH_EVERY == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(outputs, region)


def decode_nothing(outputs: dict[str, NDArray[np.float32]], region: Region) -> Masks:
    """As fast as `decode`, and sees another label everywhere: it disagrees in every cell."""
    masks = decode(outputs, region)
    return Masks(((masks.classes + 1) % next(iter(outputs.values())).shape[1]).astype(np.uint8), region)
