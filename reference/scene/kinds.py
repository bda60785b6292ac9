"""KINDS of instruments, sound ones: how each is built, what its metal and plastic look like, what soils it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.scene.classes import SHAFT, TIP
from reference.scene.instruments import LONG, LUT, Instrument, Part
from reference.scene.noise import Field
from reference.scene.shapes import Points, blob

# What polished steel mirrors inside an abdomen, most often dark red.
_AROUND = np.array(
    [(0.02, 0.01, 0.01), (0.22, 0.06, 0.06), (0.4, 0.13, 0.11), (0.62, 0.34, 0.3), (0.7, 0.55, 0.36), (0.3, 0.28, 0.28)]
)
_AROUND_ODDS = (0.26, 0.24, 0.18, 0.1, 0.06, 0.16)
_RINGS = ((0.95, 0.6, 0.25), (0.85, 0.8, 0.68), (0.1, 0.1, 0.11), (0.2, 0.35, 0.7), (0.6, 0.62, 0.64), (0.75, 0.2, 0.2))


def box(u0: float, u1: float, v0: float, v1: float) -> Points:
    """The outline of a rectangle."""
    return np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])


def disc(u: float, v: float, radius: float) -> Points:
    """The outline of a circle."""
    theta = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return np.stack([u + radius * np.cos(theta), v + radius * np.sin(theta)], axis=1)


def _body(rng: np.random.Generator, start: float) -> list[Part]:
    """Shaft and wrist behind the jaws, from ``start`` on."""
    wrist = rng.uniform(0.8, 4.5)
    half = rng.uniform(0.72, 1.0)
    collar = start + wrist
    ring = [Part(SHAFT, box(collar, collar + rng.uniform(0.4, 1.6), -1.04, 1.04), "ring", 1.04, wander=0.0)]
    return [
        Part(SHAFT, box(collar, LONG, -1, 1), "shaft", wander=0.0),
        Part(TIP, box(start, collar + 0.1, -half, half), "steel", half, rim=rng.uniform(0, 0.5)),
        Part(TIP, box(collar - 0.3, collar, -0.97, 0.97), "steel", 0.97),
        *(ring if rng.random() < 0.4 else []),
    ]


@dataclass(frozen=True)
class Jaw:
    """The shape of one jaw; its partner is its mirror image."""

    length: float
    end: float  # thickness at the tip
    bow: float  # how far both curve to one side
    teeth: int = 0
    hole: float = 0.0  # half the width of its window, 0 = none
    rim: float = 0.0

    def part(self, side: int, root: float) -> Part:
        """Closed: from hinge (u = length) to tip (u = 0), its flat face along v = 0, its back falling from ``root``."""
        u = np.linspace(self.length, 0, 14)
        s = 1 - u / self.length
        back = root + (self.end - root) * s**1.3
        back[-1] *= 0.6
        face = np.linspace(0, self.length, 4 * max(self.teeth, 1) + 1)
        bite = 0.08 * (np.arange(len(face)) % 4 // 2) * bool(self.teeth)
        outer = np.stack([u, side * back + self.bow * s**2], axis=1)
        inner = np.stack([face, side * bite + self.bow * (1 - face / self.length) ** 2], axis=1)
        part = Part(TIP, np.vstack([outer, inner]), "jaw", 0.6 * root, 0.4 * side * root, side=side, rim=self.rim)
        if self.hole:
            theta = np.linspace(0, 2 * np.pi, 16)
            window = np.stack([0.45 + 0.3 * np.cos(theta), side * (0.45 + self.hole * np.sin(theta))], axis=1)
            part.holes = [window * (self.length, root)]
        return part


def _fittings(rng: np.random.Generator, tool: Instrument, wrist: Part) -> list[Part]:
    """The pin on which the jaws turn, flush with the wrist, and at times slots with the rods that move them."""
    start, end, half = tool.hinge, wrist.outline[1, 0], wrist.half
    marks = []
    if end - start > 1.6 and rng.random() < 0.5:
        u0, u1 = start + 0.35 * (end - start), start + rng.uniform(0.6, 0.85) * (end - start)
        wide, off = rng.uniform(0.18, 0.4) * half, rng.uniform(-0.35, 0.35) * half
        marks.append(Part(None, box(u0, u1, off - wide, off + wide), "dark", wide))
        tilt = rng.uniform(-0.6, 0.6) * wide
        rod = np.array(
            [[u0, off + tilt], [u1, off - tilt], [u1, off - tilt + 0.6 * wide], [u0, off + tilt + 0.6 * wide]]
        )
        marks.append(Part(None, rod, "steel", wide))
    if rng.random() < 0.7:
        u, radius = start + rng.uniform(0.3, 0.6), rng.uniform(0.16, 0.28)
        marks.append(Part(None, disc(u, 0.0, radius + 0.06), "dark", 0.4, opacity=0.7))
        marks.append(Part(None, disc(u, 0.0, radius), "steel", radius, rim=0.4))
    return marks


def _soil(rng: np.random.Generator, tool: Instrument) -> list[Part]:
    """Thin films of blood, as on any instrument at work."""
    films = []
    for _ in range(rng.integers(1, 5) if rng.random() < 0.3 else 0):
        u, size = rng.uniform(0.3, tool.hinge + 8), rng.uniform(0.1, 0.5)
        outline = blob(rng, (u, rng.uniform(-0.4, 0.4)), (size * rng.uniform(1, 3), size), 0.0, 0.2)
        outline[:, 1] = np.clip(outline[:, 1], -0.7, 0.7)
        if u > tool.hinge:  # jaws move; a film on them would stay behind
            films.append(Part(None, outline, "blood", 1.0, opacity=rng.uniform(0.2, 0.6)))
    return films


def _two_jaws(rng: np.random.Generator, kind: str, jaw: Jaw) -> Instrument:
    root = rng.uniform(0.7, 0.95)
    body = _body(rng, jaw.length)
    tool = Instrument(kind, [*body, jaw.part(-1, root), jaw.part(1, root)], jaw.length, rng.uniform(0.15, 0.6))
    tool.marks = _fittings(rng, tool, body[1])
    return tool


def _grasper(rng: np.random.Generator) -> Instrument:
    hole = rng.uniform(0.12, 0.36) if rng.random() < 0.6 else 0.0
    teeth = int(rng.integers(0, 9))
    end, bow, rim = rng.uniform(0.35, 0.75), rng.normal(0, 0.15), rng.uniform(0, 1.0)
    return _two_jaws(rng, "grasper", Jaw(rng.uniform(2.5, 6.5), end, bow, teeth, hole, rim))


def _scissors(rng: np.random.Generator) -> Instrument:
    bow = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0)
    jaw = Jaw(rng.uniform(2.5, 4.5), rng.uniform(0.12, 0.25), bow, rim=rng.uniform(0, 1.0))
    return _two_jaws(rng, "scissors", jaw)


def _clip_applier(rng: np.random.Generator) -> Instrument:
    jaw = Jaw(rng.uniform(2.0, 4.0), rng.uniform(0.7, 1.0), rng.normal(0, 0.05), rim=rng.uniform(0, 1.0))
    return _two_jaws(rng, "clip applier", jaw)


def _hook(rng: np.random.Generator) -> Instrument:
    length, drop, thick = rng.uniform(1.5, 3.5), rng.uniform(0.8, 1.7), rng.uniform(0.14, 0.26)
    line = np.array(
        [[length, -thick], [0.0, -thick], [0.0, drop], [2.2 * thick, drop], [2.2 * thick, thick], [length, thick]]
    )
    sleeve = np.array([[length, -0.4], [length, 0.4], [length + 1.6, 0.8], [length + 1.6, -0.8]])
    parts = [
        Part(SHAFT, box(length + 1.5, LONG, -1, 1), "shaft", wander=0.0),
        Part(TIP, sleeve, "sleeve", 0.7),
        Part(TIP, line, "jaw", 0.5, rim=rng.uniform(0, 0.6)),
    ]
    return Instrument("hook", parts, length, 0.0, reach=1)


KINDS: dict[str, Callable[[np.random.Generator], Instrument]] = {
    "grasper": _grasper,
    "hook": _hook,
    "scissors": _scissors,
    "clip applier": _clip_applier,
}


def look(rng: np.random.Generator, base: NDArray[np.float64], streaks: int, bright: float) -> Field:
    """RGB across a lit rod: darker to its edges, with ``streaks`` reflections of the lamp."""
    s = np.linspace(-1, 1, LUT)
    rod = base * (0.35 + 0.65 * np.sqrt(1 - 0.95 * s**2))[:, None]
    for _ in range(streaks):
        at, width = rng.uniform(-0.7, 0.7), rng.uniform(0.06, 0.3)
        rod = rod + bright * rng.uniform(-0.4, 1) * np.exp(-(((s - at) / width) ** 2))[:, None]
    return np.ascontiguousarray(np.maximum(rod, 0.01).T, np.float32)


def _steel(rng: np.random.Generator, mirror: float) -> Field:
    """Brushed steel, of one grey, to polished steel, which mirrors what is around it in bands; ``mirror`` 0..1."""
    grey = rng.uniform(0.18, 0.6) * rng.uniform((1.0, 0.92, 0.88), (1.08, 1.0, 1.0))
    brushed = look(rng, grey, 4, rng.uniform(0.3, 1.3))
    bands = _AROUND[rng.choice(len(_AROUND), 9, p=_AROUND_ODDS)]
    s, knots = np.linspace(-1, 1, LUT), np.linspace(-1, 1, 9)
    knots[1:-1] += rng.uniform(-0.1, 0.1, 7)
    seen = np.stack([np.interp(s, knots, bands[:, k]) for k in range(3)])
    for _ in range(rng.integers(1, 3)):  # the lamp itself, small and sharp
        at, width = rng.uniform(-0.8, 0.8), rng.uniform(0.03, 0.12)
        seen = seen + rng.uniform(0.2, 1.2) * np.exp(-(((s - at) / width) ** 2))
    return np.asarray(brushed + (seen * rng.uniform(0.7, 1.3) - brushed) * mirror, np.float32)


def looks(rng: np.random.Generator) -> dict[str, Field]:
    """The look of each surface of one instrument: (3, LUT) RGB across it."""
    mirror = rng.uniform(0, 1) ** 0.5
    grey = rng.uniform(0.18, 0.6) * rng.uniform((1.0, 0.92, 0.88), (1.08, 1.0, 1.0))
    kind = rng.choice(4, p=[0.5, 0.2, 0.18, 0.12])
    plastic = [np.full(3, rng.uniform(0.02, 0.12)), grey * rng.uniform(0.6, 1.2), None, rng.uniform(0.05, 0.6, 3)][kind]
    shaft = (
        _steel(rng, mirror) if plastic is None else look(rng, plastic, int(rng.integers(1, 3)), rng.uniform(0.1, 0.7))
    )
    return {
        "shaft": shaft,
        "steel": _steel(rng, mirror),
        "jaw": _steel(rng, mirror),
        "sleeve": look(rng, rng.uniform((0.05, 0.05, 0.05), (0.9, 0.8, 0.6)), 1, 0.4),
        "ring": look(rng, np.array(_RINGS[rng.integers(len(_RINGS))]) * rng.uniform(0.5, 1.0), 1, 0.4),
        "dark": look(rng, rng.uniform((0.0, 0.0, 0.0), (0.1, 0.04, 0.04)), 0, 0.0),
        "blood": look(rng, rng.uniform((0.25, 0.01, 0.01), (0.5, 0.06, 0.06)), 2, 0.4),
    }


def build(kind: str, rng: np.random.Generator) -> Instrument:
    """A sound instrument of one of KINDS."""
    tool = KINDS[kind](rng)
    tool.looks = looks(rng)
    tool.marks += _soil(rng, tool)
    return tool
