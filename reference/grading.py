"""Graded warnings against the truth of the scene: what an event is, when it is found, what a false alert is. numpy only.

The truth of a frame is the signed distance from the tool's true tip to the edge of the structure as it is, also where a tool
hides it (negative: inside; of the scene's own classes at 640x360, in pixels of 1280x720), and the seconds until it is 0 at the
rate of the last tenth of a second. A frame whose tip is out of the picture, or that has none of the structure, has none.

A grade has a value at which it must be said and one beyond which it must not: they are the rule's `below` and `release`. An
event begins when three of four frames are below the first, and ends 0.3 s after the last one that is not beyond the second. It
is found if the alert stands at some moment from half a second before it until half a second after it. An alert is false if no
frame from half a second before it until half a second after it is within the second value; `strictly` false if there is no
event then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FPS = 30
SLACK = FPS // 2
CLEAR = 9
RATE = 3
"""Frames over which the true rate is taken."""
SLOWEST = 6.4
"""Pixels a second of 1280x720: slower than this nothing approaches."""
GRADES = {"near": (40.0, 60.0), "close": (16.0, 28.0), "contact": (1.0, 1.5)}
"""Pixels of 1280x720, seconds: must be said below, must not be said beyond."""

Span = tuple[int, int]
Numbers = NDArray[np.float64]


@dataclass
class Watched:
    """One procedure: of each frame the truth, and what the device said; pixels of 1280x720, NaN where there is none."""

    seed: int
    true_px: list[float] = field(default_factory=list)
    """Signed."""
    said_px: list[float] = field(default_factory=list)
    """Signed, as the rules have it."""
    own_px: list[float] = field(default_factory=list)
    """With the scene's own classes: what kinematics, clocks and calibration alone make of it."""
    standing: dict[str, list[bool]] = field(default_factory=lambda: {grade: [] for grade in GRADES})
    chances: dict[str, list[float]] = field(default_factory=dict)
    """What a model says of each frame, by model."""


def contact_s(px: Numbers) -> Numbers:
    """The true seconds to contact: 0 inside, infinity where nothing approaches."""
    rate = np.full(len(px), np.nan)
    rate[RATE:] = (px[RATE:] - px[:-RATE]) * FPS / RATE
    with np.errstate(invalid="ignore", divide="ignore"):
        seconds = np.where(rate < -SLOWEST, -px / rate, np.inf)
    return np.where(px <= 0, 0.0, seconds)


def values(grade: str, px: Numbers) -> Numbers:
    """What the grade compares; infinity where there is none."""
    found = contact_s(px) if grade == "contact" else np.maximum(px, 0)
    return np.where(np.isnan(px) | np.isnan(found), np.inf, found)


def events(grade: str, px: Numbers) -> list[Span]:
    """First and last frame of each."""
    must, may = GRADES[grade]
    on, stands, quiet = False, False, 0
    history: list[bool] = []
    standing = []
    for value in values(grade, px):
        on = bool(value < must or (on and value <= may))
        history = [*history[-3:], on]
        quiet = 0 if on else quiet + 1
        stands = (on and sum(history) >= 3) or (stands and quiet < CLEAR)
        standing.append(stands)
    return spans(standing)


def spans(standing: list[bool]) -> list[Span]:
    """Runs of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(standing, np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def meets(one: Span, others: list[Span]) -> bool:
    """Whether any of the others is within SLACK of it."""
    return any(one[0] <= last + SLACK and first <= one[1] + SLACK for first, last in others)


@dataclass(frozen=True)
class Score:
    """One procedure, one grade."""

    events: int
    found: int
    false: int
    strictly: int
    leads: tuple[float, ...]
    """Of each contact the seconds from the alert's beginning; not a number: it was not announced."""
    minutes: float


def score(grade: str, px: Numbers, standing: list[bool]) -> Score:
    """Of an alert that stood at those frames."""
    true, said = events(grade, px), spans(standing)
    allowed = spans(list(values(grade, px) <= GRADES[grade][1]))
    false, strictly = sum(not meets(one, allowed) for one in said), sum(not meets(one, true) for one in said)
    return Score(len(true), sum(meets(one, said) for one in true), false, strictly, leads(px, said), len(px) / FPS / 60)


def touches(px: Numbers) -> list[int]:
    """Frames at which the tip comes onto the structure, having been off it for half a second."""
    inside = px <= 0
    return [
        i
        for i in range(SLACK, len(px))
        if inside[i] and np.isfinite(px[i - SLACK : i]).all() and not inside[i - SLACK : i].any()
    ]


def leads(px: Numbers, said: list[Span]) -> tuple[float, ...]:
    """How long before each touch the alert that stands at it began."""
    found = []
    for touch in touches(px):
        standing = [first for first, last in said if first <= touch <= last]
        found.append((touch - min(standing)) / FPS if standing else np.nan)
    return tuple(found)


def interval(
    numbers: list[Numbers], of: Callable[[list[Numbers]], float], draws: int = 2000
) -> tuple[float, float, float]:
    """A figure of all procedures with its 95 % interval by bootstrap over procedures: `of` takes a list of procedures' numbers."""
    rng = np.random.default_rng(1)
    drawn = [of([numbers[i] for i in rng.integers(0, len(numbers), len(numbers))]) for _ in range(draws)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return of(numbers), float(low), float(high)
