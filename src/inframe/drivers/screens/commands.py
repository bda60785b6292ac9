"""What people can ask for at a screen: keys of the window, buttons of the page. Screens only pass it on."""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from inframe.core.clock import NS_PER_S
from inframe.core.ports import Screen
from inframe.core.types import Audio, Controls, Pixels

AUDIO_PAUSE_NS = 120 * NS_PER_S
"""How long "audio paused" lasts (IEC 60601-1-8 asks for a limit that the operator knows; two minutes are customary)."""
OPACITY_STEP = 0.05


class Wish(StrEnum):
    """The kinds of command."""

    OVERLAY = "overlay"
    """`value`: 1 on, 0 off, None the other way round."""
    OPACITY = "opacity"
    """`value`: 0..1."""
    OPACITY_BY = "opacity_by"
    """`value`: added to the present opacity."""
    ACKNOWLEDGE = "acknowledge"
    AUDIO_PAUSE = "audio_pause"
    """Pause the audible signal; sound again if it is paused."""
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that somebody asked for."""

    wish: Wish
    value: float | None = None


class CommandScreen(Screen, Protocol):
    """A screen that may also be spoken to."""

    def poll(self) -> list[Command]:
        """What was asked since the last call, oldest first; call it often, also when there is nothing to show."""
        ...


def obey(controls: Controls, command: Command, now_ns: int) -> Controls:
    """The controls after `command`; pure. QUIT changes nothing: ending is the caller's to do."""
    value = command.value
    match command.wish:
        case Wish.OVERLAY:
            controls = replace(controls, overlay_on=not controls.overlay_on if value is None else bool(value))
        case Wish.OPACITY:
            controls = replace(controls, opacity=_part(value or 0.0))
        case Wish.OPACITY_BY:
            controls = replace(controls, opacity=_part(round(controls.opacity + (value or 0.0), 3)))
        case Wish.ACKNOWLEDGE:
            controls = replace(controls, acknowledged_ns=now_ns)
        case Wish.AUDIO_PAUSE if controls.audio is Audio.PAUSED and controls.audio_until_ns > now_ns:
            controls = replace(controls, audio=Audio.ON, audio_until_ns=0)
        case Wish.AUDIO_PAUSE:
            controls = replace(controls, audio=Audio.PAUSED, audio_until_ns=now_ns + AUDIO_PAUSE_NS)
    return controls


def parse_command(body: bytes) -> Command:
    """A page's command: a JSON object like {"wish": "opacity", "value": 0.5}. Raises ValueError."""
    data = json.loads(body)
    if not isinstance(data, dict) or not set(data) <= {"wish", "value"}:
        raise ValueError("expected an object with wish and value")
    value = data.get("value")
    if not (value is None or (isinstance(value, int | float) and 0 <= value <= 1)):
        raise ValueError("value: expected a number 0..1")
    wish = Wish(str(data.get("wish")))
    if wish in (Wish.QUIT, Wish.OPACITY_BY) or (wish is Wish.OPACITY and value is None):
        raise ValueError("wish: not from here")  # a page must not end the device
    return Command(wish, value)


def _part(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def must_fit(pixels: Pixels, width: int, height: int, *, closed: bool) -> None:
    """Raises RuntimeError for what no screen takes: another shape or type, or anything after `close`."""
    if closed:
        raise RuntimeError("a picture was shown after the screen was closed")
    if pixels.shape != (height, width, 3) or pixels.dtype.name != "uint8":
        raise RuntimeError(f"found a picture of {pixels.shape} {pixels.dtype}, expected {(height, width, 3)} uint8")
