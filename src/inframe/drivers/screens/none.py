"""No screen: pictures are checked and dropped."""

from inframe.core.types import Pixels
from inframe.drivers.screens.commands import Command, must_fit


class BlindScreen:
    """Shows nothing."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height, self._closed = width, height, False

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:  # noqa: ARG002  # the port's signature
        """See core.ports.Screen."""
        must_fit(pixels, self._width, self._height, closed=self._closed)

    def poll(self) -> list[Command]:
        """Nobody speaks here."""
        return []

    def close(self) -> None:
        """See core.ports.Screen."""
        self._closed = True
