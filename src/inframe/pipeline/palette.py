"""Colours of the picture, and which label is drawn in which. All colours are (red, green, blue), 0..255."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inframe.core.types import Priority

Rgb = tuple[int, int, int]

BLACK: Rgb = (0, 0, 0)
WHITE: Rgb = (255, 255, 255)
PAPER: Rgb = (14, 17, 22)
INK: Rgb = (236, 240, 244)
FAINT: Rgb = (168, 178, 190)
GOOD: Rgb = (92, 214, 132)

ALERT: dict[Priority, tuple[Rgb, Rgb]] = {
    Priority.NONE: (PAPER, INK),
    Priority.LOW: ((0, 200, 232), BLACK),
    Priority.MEDIUM: ((255, 214, 10), BLACK),
    Priority.HIGH: ((222, 24, 40), WHITE),
}
"""Paper and ink of an alert (IEC 60601-1-8: high red, medium yellow, low cyan). Nothing else on the picture uses these
three as paper: what needs attention without being an alert (HELD, AI OFF, a worse mode) is black on white."""

AUTOMATIC: tuple[Rgb, ...] = (
    (86, 214, 120),
    (84, 160, 255),
    (255, 178, 64),
    (198, 120, 255),
    (64, 224, 208),
    (255, 122, 178),
    (190, 226, 80),
    (150, 150, 255),
    (255, 236, 130),
    (120, 200, 190),
)
"""For labels that the device file gives no colour: bright, and far from the reds of tissue."""

HEAT: tuple[Rgb, ...] = (
    (60, 70, 190),
    (40, 130, 235),
    (30, 190, 215),
    (60, 215, 140),
    (165, 230, 70),
    (245, 205, 50),
    (250, 140, 40),
    (235, 60, 45),
)
"""Colours of a heat map's levels: 1/8 of `full_scale` and more, 2/8 and more …; less than 1/8 is not drawn."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one model's results are drawn: for each label its colour, or None where it is not drawn."""

    labels: tuple[str, ...]
    colours: tuple[Rgb | None, ...]
    full_scale: float = 1.0
    """Heat: the value drawn at full strength."""


def look(labels: Sequence[str], colours: Mapping[str, str | None], full_scale: float = 1.0) -> Look:
    """The `Look` for `labels`, with `colours` as in the device file (label -> "#rrggbb", or None: not drawn).

    A label without an entry gets an automatic colour; one named "background" is then not drawn.
    """
    chosen: list[Rgb | None] = []
    for i, label in enumerate(labels):
        if label in colours:
            text = colours[label]
            chosen.append(None if text is None else parse(text))
        else:
            chosen.append(None if label.lower() == "background" else AUTOMATIC[i % len(AUTOMATIC)])
    return Look(tuple(labels), tuple(chosen), full_scale)


def parse(text: str) -> Rgb:
    """(red, green, blue) of "#rrggbb"; the device file's schema has checked the form."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def lighter(colour: Rgb, part: float = 0.35) -> Rgb:
    """`colour` moved towards white: lines must stand out of the fill of the same label."""
    red, green, blue = (round(c + (255 - c) * part) for c in colour)
    return red, green, blue
