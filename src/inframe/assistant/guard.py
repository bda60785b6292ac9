"""When the assistant must be still: while the device is anything but well, and in a critical phase. Its time is never worth a
frame.
"""

from typing import Protocol

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.types import Mode

KILLED_AFTER_NS = 10 * NS_PER_S
"""Frozen for so long, it is ended: it holds memory that may be needed, and whoever waits for it should have the template."""


class Freezable(Protocol):
    """A box, as far as the guard knows it."""

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def kill(self) -> None: ...


class Guard:
    """Call `step` often: within 10 ms of a change the box must be still."""

    def __init__(self, box: Freezable, clock: Clock) -> None:
        self._box, self._clock = box, clock
        self._frozen_ns: int | None = None
        self.is_over = False
        """It was ended, and stays so: another box is for another procedure."""

    def step(self, mode: Mode, *, is_critical: bool = False) -> None:
        """Look at what the device says of itself: freeze, let go on, or end."""
        if self.is_over:
            return
        now = self._clock.now()
        if mode is Mode.NOMINAL and not is_critical:
            if self._frozen_ns is not None:
                self._frozen_ns = None
                self._box.thaw()
        elif self._frozen_ns is None:
            self._frozen_ns = now
            self._box.freeze()
        elif now - self._frozen_ns >= KILLED_AFTER_NS:
            self.is_over = True
            self._box.kill()
