"""The window: with SDL's dummy driver everywhere, and on a real X server where Xvfb is installed."""

import ctypes
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inframe.core.config import WindowScreen
from inframe.core.errors import ConfigError, DeviceFault
from inframe.drivers.screens import open_screen
from inframe.drivers.screens.commands import OPACITY_STEP, Command, CommandScreen, Wish
from tests.drivers.check_screen import check_screen, picture

WIDTH, HEIGHT = 160, 120


@pytest.fixture
def sdl(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sdl2", reason="the extra inframe[window] is not installed")


def opened(width: int = WIDTH, height: int = HEIGHT) -> CommandScreen:
    return open_screen(WindowScreen(kind="window"), width, height, 30.0, title="a test")


@pytest.mark.usefixtures("sdl")
@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (33, 17)])
def test_window_is_a_screen(width: int, height: int) -> None:
    check_screen(lambda: opened(width, height), width, height)


def press(sdl: Any, key: int, repeat: int = 0) -> None:
    event = sdl.SDL_Event()
    event.type = sdl.SDL_KEYDOWN
    event.key.keysym.sym = key
    event.key.repeat = repeat
    sdl.SDL_PushEvent(ctypes.byref(event))


def test_keys_become_commands_in_order(sdl: Any) -> None:
    screen = opened()
    screen.poll()
    keys = (
        sdl.SDLK_o,
        sdl.SDLK_PLUS,
        sdl.SDLK_KP_MINUS,
        sdl.SDLK_a,
        sdl.SDLK_p,
        sdl.SDLK_F1,
        sdl.SDLK_q,
        sdl.SDLK_ESCAPE,
    )
    for key in keys:
        press(sdl, key)
    assert screen.poll() == [
        Command(Wish.OVERLAY),
        Command(Wish.OPACITY_BY, OPACITY_STEP),
        Command(Wish.OPACITY_BY, -OPACITY_STEP),
        Command(Wish.ACKNOWLEDGE),
        Command(Wish.AUDIO_PAUSE),
        Command(Wish.QUIT),
        Command(Wish.QUIT),
    ]
    screen.close()


def test_a_key_held_down_repeats_only_where_that_helps(sdl: Any) -> None:
    screen = opened()
    screen.poll()
    press(sdl, sdl.SDLK_o, repeat=1)
    press(sdl, sdl.SDLK_MINUS, repeat=1)
    assert screen.poll() == [Command(Wish.OPACITY_BY, -OPACITY_STEP)]
    screen.close()


def test_closing_the_window_is_quit(sdl: Any) -> None:
    screen = opened()
    screen.poll()
    event = sdl.SDL_Event()
    event.type = sdl.SDL_QUIT
    sdl.SDL_PushEvent(ctypes.byref(event))
    assert screen.poll() == [Command(Wish.QUIT)]
    screen.close()


@pytest.mark.usefixtures("sdl")
def test_no_desktop_is_a_fault_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "no_such_driver")
    with pytest.raises(DeviceFault, match="screen window: no desktop to open a window on: ") as caught:
        opened()
    assert "\n" not in str(caught.value)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sdl2", None)
    with pytest.raises(ConfigError, match=r"expected the extra: inframe\[window\]"):
        opened()


@pytest.fixture
def x_server() -> Iterator[dict[str, str]]:
    if shutil.which("Xvfb") is None or shutil.which("import") is None:
        pytest.skip("needs the Debian packages xvfb and imagemagick")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with open(read) as lines:  # noqa: PTH123  # a descriptor
            display = f":{lines.readline().strip()}"
        yield os.environ | {"DISPLAY": display, "SDL_VIDEODRIVER": "x11"}
        server.terminate()


SHOWN = """
import subprocess, sys
from inframe.core.config import WindowScreen
from inframe.drivers.screens import open_screen
from tests.drivers.check_screen import picture
screen = open_screen(WindowScreen(kind="window", fullscreen=True), 160, 160, 30.0)
for number in range(5):
    screen.show(picture(160, 160, 5), number, number)
    screen.poll()
shot = subprocess.run(["import", "-window", "root", "rgb:-"], check=True, stdout=subprocess.PIPE)
sys.stdout.buffer.write(shot.stdout)
screen.close()
"""


@pytest.mark.usefixtures("sdl")
def test_a_real_window_shows_the_picture_with_its_aspect(x_server: dict[str, str]) -> None:
    # a process of its own: SDL chooses its driver once
    paths = os.pathsep.join(p for p in sys.path if p)
    result = subprocess.run(
        [sys.executable, "-c", SHOWN], env=x_server | {"PYTHONPATH": paths}, check=True, capture_output=True
    )
    depth = len(result.stdout) // (640 * 480 * 3)  # ImageMagick writes 8 or 16 bits
    screen = np.frombuffer(result.stdout, np.uint8).reshape(480, 640, 3, depth)[..., 0]
    assert screen[:, :70].max() == 0  # a square picture in a wide screen has bars
    assert screen[:, -70:].max() == 0
    shown = screen[240, 90:550:10]
    meant = picture(160, 160, 5)[80, np.linspace(3, 156, len(shown)).astype(int)]
    assert np.median(np.abs(shown.astype(int) - meant)) <= 2
