"""Screens: one driver a file, each a `core.ports.Screen`, all passing `tests/drivers/check_screen.py`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from socket import socket

from inframe.core.config import FileScreen, NoneScreen, ScreenConfig, WebScreen, WindowScreen
from inframe.drivers.screens.commands import CommandScreen


def open_screen(
    config: ScreenConfig,
    width: int,
    height: int,
    fps: float,
    *,
    title: str = "inframe",
    state: Callable[[], Mapping[str, object]] = dict,
    listener: socket | None = None,
) -> CommandScreen:
    """The driver for `config`, for pictures of `width` x `height`.

    `title` names the window; `listener` is the page's socket if somebody has opened it already (see `web.listen`);
    `state` is what the page shows beside the picture, called from another thread. Raises ConfigError when the device
    file asks for what is not installed, DeviceFault when the file, the display or the port can't be had.
    """
    # imported late: a device without a window needs no SDL, one without a page no web server
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
            from inframe.drivers.screens.web import PageScreen, listen

            return PageScreen(listener or listen(config), width, height, state)
