"""A typed or transcribed command as a structured intent. It can ask for two things, the overlay and its opacity, and only after a
person has confirmed it; nothing else of a device can be reached from here.

No model takes part: a sentence that is not one of these is refused, so there is nothing to persuade.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from inframe.core.errors import ConfigError
from inframe.core.types import Controls
from inframe.drivers.screens.commands import Command, Wish, obey

LONGEST = 100
ACTUATED = frozenset({Wish.OVERLAY, Wish.OPACITY})
"""All that an intent may ask for. Acknowledging an alert, pausing its sound and ending the device stay with hands."""
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_NUMBER = {word: 10 * i for i, word in enumerate(_TENS)} | {"a hundred": 100, "one hundred": 100}
_FILLERS = re.compile(r"\b(?:please|now|the)\b")
_PERCENT = rf"(\d{{1,3}}|{'|'.join(sorted(_NUMBER, key=len, reverse=True))}) ?(?:%|percent|per cent)"
EXPECTED = "overlay on, overlay off, or opacity 0 to 100 percent"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person seems to want."""

    wish: Wish
    value: float
    """OVERLAY: 1 on, 0 off. OPACITY: 0..1."""

    def __post_init__(self) -> None:
        """Whoever makes one: nothing beyond the display's settings. Raises RuntimeError."""
        if self.wish not in ACTUATED or not 0 <= self.value <= 1:
            raise RuntimeError(f"an intent that reaches further than the display: {self.wish} {self.value}")

    @property
    def said(self) -> str:
        """In words, for the question whether it is meant."""
        if self.wish is Wish.OVERLAY:
            return f"switch the overlay {'on' if self.value else 'off'}"
        return f"set the overlay's opacity to {self.value:.0%}"

    @property
    def code(self) -> str:
        """What confirms this intent and no other."""
        return hashlib.sha256(f"{self.wish} {self.value:.3f}".encode()).hexdigest()[:6]

    @property
    def command(self) -> Command:
        """As a screen passes it on."""
        return Command(self.wish, self.value)


_PATTERNS: tuple[tuple[str, Callable[["re.Match[str]"], tuple[Wish, float]]], ...] = (
    (r"(?:turn |switch )?overlay (on|off)", lambda m: (Wish.OVERLAY, float(m[1] == "on"))),
    (r"(?:turn|switch) (on|off) overlay", lambda m: (Wish.OVERLAY, float(m[1] == "on"))),
    (r"(show|hide) overlay", lambda m: (Wish.OVERLAY, float(m[1] == "show"))),
    (rf"(?:set )?(?:overlay )?opacity (?:to )?{_PERCENT}", lambda m: (Wish.OPACITY, _part(m[1]))),
)


def understand(text: str) -> Intent:
    """The intent of a whole command. Raises ConfigError for anything else; it repeats what was found, escaped."""
    if len(text) > LONGEST or not text.isascii() or not text.isprintable():
        raise ConfigError("inframe assistant command", "TEXT", text, f"up to {LONGEST} plain characters: {EXPECTED}")
    plain = " ".join(_FILLERS.sub(" ", text.lower().rstrip(" .!")).split())
    for pattern, meant in _PATTERNS:
        if (found := re.fullmatch(pattern, plain)) is not None:
            wish, value = meant(found)
            if value <= 1:
                return Intent(wish, value)
    raise ConfigError("inframe assistant command", "TEXT", text, EXPECTED)


def confirmed(intent: Intent, code: str) -> Command:
    """The command, once a person has given the intent's code. Raises ConfigError."""
    if code.strip().lower() != intent.code:
        raise ConfigError("inframe assistant command", "--confirm", code, f"{intent.code}, to {intent.said}")
    return intent.command


def applied(controls: Controls, intent: Intent, now_ns: int) -> Controls:
    """The controls after it; nothing but `opacity` and `overlay_on` can differ."""
    return obey(controls, intent.command, now_ns)


def _part(text: str) -> float:
    return (int(text) if text.isdigit() else _NUMBER[text]) / 100
