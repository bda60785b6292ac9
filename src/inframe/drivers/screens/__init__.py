"""Screens: one driver a file, each a `core.ports.Screen`, all passing `tests/drivers/check_screen.py`."""

from pathlib import Path

from inframe.core.config import FileScreen, NoneScreen, ScreenConfig, WindowScreen
from inframe.core.web import WebScreen
from inframe.drivers.screens.commands import CommandScreen


def open_screen(
    config: ScreenConfig,
    width: int,
    height: int,
    fps: float,
    *,
    title: str = "inframe",
) -> CommandScreen:
    """The driver for `config`, for pictures of `width` x `height`.

    `title` names the window. Raises ConfigError when the device file asks for what is not installed, DeviceFault when the
    file or the display can't be had.
    """
    # imported late: a device without a window needs no SDL
    match config:
        case NoneScreen():
            from inframe.drivers.screens.none import BlindScreen

            return BlindScreen(width, height)
        case FileScreen():
            from inframe.drivers.screens.file import H264Screen

            return H264Screen(Path(config.path), width, height, fps)
        case WindowScreen():
            from inframe.drivers.screens.window import SdlScreen

            return SdlScreen(title, width, height, fullscreen=config.fullscreen)
        case WebScreen():
            raise RuntimeError("a page is served by the room console")
