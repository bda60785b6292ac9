"""A window on this machine's desktop, through SDL 2 (the `window` extra)."""

import ctypes
import warnings
from typing import Any

from inframe.core.errors import ConfigError, DeviceFault, one_line
from inframe.core.types import Pixels
from inframe.drivers.screens.commands import OPACITY_STEP, Command, Wish, must_fit

KEYS: dict[str, Command] = {
    "o": Command(Wish.OVERLAY),
    "+": Command(Wish.OPACITY_BY, OPACITY_STEP),
    "=": Command(Wish.OPACITY_BY, OPACITY_STEP),  # where + needs shift
    "-": Command(Wish.OPACITY_BY, -OPACITY_STEP),
    "a": Command(Wish.ACKNOWLEDGE),
    "p": Command(Wish.AUDIO_PAUSE),
    "q": Command(Wish.QUIT),
    "\x1b": Command(Wish.QUIT),
}
"""By SDL key code, which is the character that the key types without shift."""


def _sdl() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it uses its own SDL library, as it should
            import sdl2
    except ImportError as error:
        raise ConfigError("screens", "kind", f"window ({one_line(error)})", "the extra: inframe[window]") from None
    return sdl2


class SdlScreen:
    """Pictures keep their aspect in whatever size the window has. Keys: see KEYS. Use it from one thread."""

    def __init__(self, title: str, width: int, height: int, *, fullscreen: bool = False) -> None:
        self._sdl = sdl = _sdl()
        self._width, self._height = width, height
        self._window: Any = None
        self._renderer: Any = None
        self._texture: Any = None
        self._open = False
        sdl.SDL_SetHint(sdl.SDL_HINT_NO_SIGNAL_HANDLERS, b"1")  # signals are the process's own
        sdl.SDL_SetHint(sdl.SDL_HINT_RENDER_SCALE_QUALITY, b"linear")
        if sdl.SDL_Init(sdl.SDL_INIT_VIDEO) != 0:
            raise self._fault("no desktop to open a window on")
        self._open = True
        try:
            self._set_up(title, fullscreen=fullscreen)
        except DeviceFault:
            self.close()
            raise

    def _set_up(self, title: str, *, fullscreen: bool) -> None:
        sdl = self._sdl
        size = (self._width, self._height)
        place, extent, flags = (sdl.SDL_WINDOWPOS_UNDEFINED,) * 2, size, sdl.SDL_WINDOW_RESIZABLE
        if fullscreen:
            mode = sdl.SDL_DisplayMode()
            sdl.SDL_GetDesktopDisplayMode(0, ctypes.byref(mode))
            # the size is said although SDL would know it: a device may run without a window manager, which would set it
            place, extent = (0, 0), (mode.w, mode.h)
            flags = sdl.SDL_WINDOW_FULLSCREEN_DESKTOP | sdl.SDL_WINDOW_BORDERLESS
        self._window = sdl.SDL_CreateWindow(title.encode(), *place, *extent, flags)
        if not self._window:
            raise self._fault("can't open a window")
        # without a graphics card's driver the second always works
        for kind in (sdl.SDL_RENDERER_ACCELERATED | sdl.SDL_RENDERER_PRESENTVSYNC, sdl.SDL_RENDERER_SOFTWARE):
            self._renderer = self._renderer or sdl.SDL_CreateRenderer(self._window, -1, kind)
        if not self._renderer:
            raise self._fault("can't draw in the window")
        sdl.SDL_RenderSetLogicalSize(self._renderer, *size)
        access = sdl.SDL_TEXTUREACCESS_STREAMING
        self._texture = sdl.SDL_CreateTexture(self._renderer, sdl.SDL_PIXELFORMAT_RGB24, access, *size)
        if not self._texture:
            raise self._fault("can't make a texture")

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:  # noqa: ARG002  # the port's signature
        """See core.ports.Screen."""
        must_fit(pixels, self._width, self._height, closed=not self._open)
        sdl = self._sdl
        sdl.SDL_PumpEvents()  # a window whose events nobody takes is shown as hung
        data = pixels.ctypes.data_as(ctypes.c_void_p)
        if sdl.SDL_UpdateTexture(self._texture, None, data, pixels.strides[0]) != 0:
            raise self._fault("can't send a picture to the window")
        sdl.SDL_SetRenderDrawColor(self._renderer, 0, 0, 0, 255)
        sdl.SDL_RenderClear(self._renderer)
        if sdl.SDL_RenderCopy(self._renderer, self._texture, None, None) != 0:
            raise self._fault("can't draw a picture")
        sdl.SDL_RenderPresent(self._renderer)

    def poll(self) -> list[Command]:
        """The keys pressed since the last call; closing the window is QUIT."""
        commands: list[Command] = []
        if not self._open:
            return commands
        event = self._sdl.SDL_Event()
        while self._sdl.SDL_PollEvent(ctypes.byref(event)):
            if event.type == self._sdl.SDL_QUIT:
                commands.append(Command(Wish.QUIT))
            elif event.type == self._sdl.SDL_KEYDOWN:
                command = self._command(event.key.keysym.sym, repeated=bool(event.key.repeat))
                if command is not None:
                    commands.append(command)
        return commands

    def _command(self, code: int, *, repeated: bool) -> Command | None:
        keypad = {self._sdl.SDLK_KP_PLUS: "+", self._sdl.SDLK_KP_MINUS: "-"}
        command = KEYS.get(keypad.get(code) or (chr(code) if 0 < code < 128 else ""))
        if command is not None and repeated and command.wish is not Wish.OPACITY_BY:
            return None  # a key held down must not switch the overlay to and fro
        return command

    def close(self) -> None:
        """See core.ports.Screen."""
        if not self._open:
            return
        self._open = False
        if self._texture:
            self._sdl.SDL_DestroyTexture(self._texture)
        if self._renderer:
            self._sdl.SDL_DestroyRenderer(self._renderer)
        if self._window:
            self._sdl.SDL_DestroyWindow(self._window)
        self._sdl.SDL_Quit()

    def _fault(self, what: str) -> DeviceFault:
        reason = self._sdl.SDL_GetError().decode(errors="replace")
        return DeviceFault(f"screen window: {what}: {one_line(reason)}")
