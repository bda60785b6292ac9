"""What a driver must offer. One file per vendor in `drivers/`; each kind has one conformance suite that all its drivers pass
(`check_camera`, `check_engine`, `check_screen`, in `tests/drivers/`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inframe.core.types import FrameFlag, Pixels


@dataclass(frozen=True, slots=True)
class Shot:
    """What a camera says of the frame that it has just written."""

    captured_ns: int
    """When the whole frame was there (before colour conversion), device clock."""
    source_ns: int | None = None
    """The source's own presentation time, ns, if it has one."""
    flags: FrameFlag = FrameFlag.NONE
    dropped: int = 0
    """Frames that the driver threw away since the last one, because a newer one was there."""


class EndOfStream(Exception):  # an end, not an error
    """A recording is over."""


class Camera(Protocol):
    """A source of frames. Made by `drivers.cameras.open_camera`; used by one thread."""

    width: int
    height: int

    def read(self, into: Pixels, timeout_s: float) -> Shot | None:
        """Write the next frame into `into` ((height, width, 3) uint8 RGB; may be left half written if it returns None).

        Returns None when no frame came within `timeout_s`. Raises EndOfStream at the end of a recording and
        DeviceFault when the source is lost (the caller closes, waits and opens it again).
        """
        ...

    def close(self) -> None:
        """Let go of the source; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """Samples that a sensor has handed over together, in the order in which they came."""

    values: Sequence[Sequence[float]]
    """Of each sample a number for each channel, in the units declared; not a number where the source has none."""
    arrived_ns: int
    """When the last of them was here, device clock."""
    source_ns: Sequence[int] | None = None
    """When each was measured, on the source's own clock; None: it has none."""
    captured_ns: Sequence[int] | None = None
    """The same on the device's clock, where the driver knows it (hardware time stamps, a recording that it plays)."""
    uncertain_ns: int = 0
    """How far off `captured_ns` may be."""


class Sensor(Protocol):
    """A source of samples. Made by `drivers.sensors.open_sensor`; used by one thread."""

    def read(self, timeout_s: float) -> Block | None:
        """What has come since the last call, some samples at least; None when none came within `timeout_s`.

        Raises EndOfStream at the end of a recording and DeviceFault when the source is lost (the caller closes, waits and opens
        it again).
        """
        ...

    def close(self) -> None:
        """Let go of the source; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model. A dimension that is not fixed is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.generic]


class Engine(Protocol):
    """A loaded model. Made by `drivers.engines.load_engine`; used by one thread."""

    name: str
    """Engine, version and execution provider, e.g. "onnxruntime 1.32.0 CPUExecutionProvider"."""
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """All outputs by name for all inputs by name. The arrays may be overwritten by the next `run`.

        Raises DeviceFault when the engine fails.
        """
        ...

    def close(self) -> None:
        """Free the model; may be called twice."""
        ...


class Screen(Protocol):
    """Something that shows or keeps frames as they left the gate. It runs in a process of its own and may be slow."""

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:
        """Show (height, width, 3) uint8 RGB; `pixels` is valid during the call only. Raises DeviceFault when it can't."""
        ...

    def close(self) -> None:
        """Finish files, close windows; may be called twice."""
        ...
