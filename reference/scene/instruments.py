"""Instruments: their parts, their defects, and how they are drawn.

An instrument is described along its own axis: ``u`` runs from the tip (0) back along the shaft, ``v`` across it, both
in shaft radii, so that one description serves every size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.canvas import SHIFT, fixed
from reference.scene.classes import SHAFT, TIP
from reference.scene.noise import Field
from reference.scene.shapes import Points, turn

LUT = 64  # steps of a material's look across a part
_TIP_AT = 0.25  # u of the point that a pose places
LONG = 250.0  # the shaft goes on until it has left the picture


@dataclass
class Part:
    """A piece: ``outline`` in (u, v), lit like a rod of half-width ``half`` around the line v = ``axis``."""

    label: int
    outline: Points
    look: str  # key of the instrument's looks
    half: float = 1.0
    axis: float = 0.0
    wander: float = 0.1  # how far its reflections stray along it
    side: int = 0  # -1, +1: opens with the jaws, turning about the hinge; 0: fixed
    holes: list[Points] = field(default_factory=list)


@dataclass
class Instrument:
    kind: str
    parts: list[Part]
    hinge: float  # u about which jaws turn
    widest: float  # opening of each jaw, radians
    reach: int = 0  # the axis along which the last part ends in the tip: 0 along u, 1 along v (a hook)
    looks: dict[str, Field] = field(default_factory=dict)  # (3, LUT) RGB across a part
    defects: tuple[str, ...] = ()

    @property
    def tip(self) -> Points:
        """(u, v) of the tip while closed: near the end of the last part, in the middle of its metal."""
        points = self.parts[-1].outline
        along, across = points[:, self.reach], points[:, 1 - self.reach]
        share = 0.88 if self.reach else 0.12
        at = along.min() + share * np.ptp(along)
        after, beyond = np.roll(along, -1), np.roll(across, -1)
        crossing = (along < at) != (after < at)
        spots = np.sort((across + (beyond - across) * (at - along) / np.where(crossing, after - along, 1))[crossing])
        middle = (spots[0] + spots[1]) / 2
        return np.array([middle, at] if self.reach else [at, middle])


def _box(u0: float, u1: float, v0: float, v1: float) -> Points:
    return np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])


def _body(rng: np.random.Generator, start: float) -> list[Part]:
    """Shaft and wrist behind the jaws, from ``start`` on."""
    wrist = rng.uniform(0.8, 4.5)
    half = rng.uniform(0.72, 1.0)
    collar = start + wrist
    return [
        Part(SHAFT, _box(collar, LONG, -1, 1), "shaft", wander=0.0),
        Part(TIP, _box(start, collar + 0.1, -half, half), "steel", half),
        Part(TIP, _box(collar - 0.3, collar, -0.97, 0.97), "steel", 0.97),
    ]


@dataclass(frozen=True)
class Jaw:
    """The shape of one jaw; its partner is its mirror image."""

    length: float
    end: float  # thickness at the tip
    bow: float  # how far both curve to one side
    teeth: int = 0
    hole: float = 0.0  # half the width of its window, 0 = none

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
        part = Part(TIP, np.vstack([outer, inner]), "jaw", 0.6 * root, 0.4 * side * root, side)
        if self.hole:
            theta = np.linspace(0, 2 * np.pi, 16)
            window = np.stack([0.45 + 0.3 * np.cos(theta), side * (0.45 + self.hole * np.sin(theta))], axis=1)
            part.holes = [window * (self.length, root)]
        return part


def _two_jaws(rng: np.random.Generator, kind: str, jaw: Jaw) -> Instrument:
    root = rng.uniform(0.7, 0.95)
    parts = [*_body(rng, jaw.length), jaw.part(-1, root), jaw.part(1, root)]
    return Instrument(kind, parts, jaw.length, rng.uniform(0.15, 0.6))


def _grasper(rng: np.random.Generator) -> Instrument:
    hole = rng.uniform(0.12, 0.36) if rng.random() < 0.6 else 0.0
    teeth = int(rng.integers(0, 9))
    return _two_jaws(
        rng, "grasper", Jaw(rng.uniform(2.5, 6.5), rng.uniform(0.35, 0.75), rng.normal(0, 0.15), teeth, hole)
    )


def _scissors(rng: np.random.Generator) -> Instrument:
    bow = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0)
    return _two_jaws(rng, "scissors", Jaw(rng.uniform(2.5, 4.5), rng.uniform(0.12, 0.25), bow))


def _clip_applier(rng: np.random.Generator) -> Instrument:
    return _two_jaws(rng, "clip applier", Jaw(rng.uniform(2.0, 4.0), rng.uniform(0.7, 1.0), rng.normal(0, 0.05)))


def _hook(rng: np.random.Generator) -> Instrument:
    length, drop, thick = rng.uniform(1.5, 3.5), rng.uniform(0.8, 1.7), rng.uniform(0.14, 0.26)
    line = np.array(
        [[length, -thick], [0.0, -thick], [0.0, drop], [2.2 * thick, drop], [2.2 * thick, thick], [length, thick]]
    )
    parts = [
        Part(SHAFT, _box(length + 1.5, LONG, -1, 1), "shaft", wander=0.0),
        Part(TIP, np.array([[length, -0.4], [length, 0.4], [length + 1.6, 0.8], [length + 1.6, -0.8]]), "sleeve", 0.7),
        Part(TIP, line, "jaw", 0.5),
    ]
    return Instrument("hook", parts, length, 0.0, reach=1)


KINDS: dict[str, Callable[[np.random.Generator], Instrument]] = {
    "grasper": _grasper,
    "hook": _hook,
    "scissors": _scissors,
    "clip applier": _clip_applier,
}


def _look(rng: np.random.Generator, base: NDArray[np.float64], streaks: int, bright: float) -> Field:
    """RGB across a lit rod: darker to its edges, with ``streaks`` reflections of the lamp."""
    s = np.linspace(-1, 1, LUT)
    look = base * (0.35 + 0.65 * np.sqrt(1 - 0.95 * s**2))[:, None]
    for _ in range(streaks):
        look = (
            look
            + bright
            * rng.uniform(-0.4, 1)
            * np.exp(-(((s - rng.uniform(-0.7, 0.7)) / rng.uniform(0.06, 0.3)) ** 2))[:, None]
        )
    return np.ascontiguousarray(np.maximum(look, 0.01).T, np.float32)


def _looks(rng: np.random.Generator) -> dict[str, Field]:
    grey = rng.uniform(0.18, 0.6) * rng.uniform((1.0, 0.92, 0.88), (1.08, 1.0, 1.0))
    shaft = [np.full(3, rng.uniform(0.02, 0.12)), grey * rng.uniform(0.6, 1.2), rng.uniform(0.05, 0.6, 3)][
        rng.choice(3, p=[0.55, 0.33, 0.12])
    ]
    return {
        "shaft": _look(rng, shaft, int(rng.integers(1, 3)), rng.uniform(0.1, 0.7)),
        "steel": _look(rng, grey, 4, rng.uniform(0.3, 1.3)),
        "jaw": _look(rng, grey * rng.uniform(0.6, 1.3), 4, rng.uniform(0.3, 1.3)),
        "sleeve": _look(rng, rng.uniform((0.05, 0.05, 0.05), (0.9, 0.8, 0.6)), 1, 0.4),
    }


def _bent_jaw(tool: Instrument, rng: np.random.Generator) -> None:
    part = tool.parts[-1]
    middle = 0.6 * tool.hinge
    far = part.outline[:, 0] < middle
    pivot = np.array([middle, 0.0])
    angle = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.9)
    part.outline[far] = turn(part.outline[far] - pivot, angle) + pivot


def _broken_tip(tool: Instrument, rng: np.random.Generator) -> None:
    part = tool.parts[-1]
    stump = rng.uniform(0.45, 0.65) * tool.hinge
    jagged = stump + rng.uniform(-0.25, 0.25, len(part.outline))
    part.outline[:, 0] = np.maximum(part.outline[:, 0], jagged)
    part.holes = []


def _missing_insulation(tool: Instrument, rng: np.random.Generator) -> None:
    tool.looks["shaft"] = _look(rng, rng.uniform(0.02, 0.08) * np.ones(3), 1, 0.3)
    start = tool.parts[0].outline[0, 0] + rng.uniform(0.3, 3.0)
    s = np.linspace(0, 2 * np.pi, 14)
    patch = np.stack(
        [
            start + (1.5 + 1.5 * np.cos(s)) * rng.uniform(0.7, 1.2, 14),
            rng.uniform(-0.4, 0.4) + 0.7 * np.sin(s) * rng.uniform(0.6, 1, 14),
        ],
        axis=1,
    )
    patch[:, 1] = np.clip(patch[:, 1], -1, 1)
    tool.parts.insert(1, Part(SHAFT, patch, "steel"))


# What can be wrong with an instrument: name -> how it changes a sound one.
DEFECTS: dict[str, Callable[[Instrument, np.random.Generator], None]] = {
    "bent jaw": _bent_jaw,
    "broken tip": _broken_tip,
    "missing insulation": _missing_insulation,
}


def make(kind: str, rng: np.random.Generator, defect: str | None = None) -> Instrument:
    """An instrument of one of KINDS, with one of DEFECTS or none."""
    tool = KINDS[kind](rng)
    tool.looks = _looks(rng)
    if defect:
        DEFECTS[defect](tool, rng)
        tool.defects = (defect,)
    return tool


@dataclass(frozen=True)
class Pose:
    """Where an instrument is in the picture, scene units: its tip, the way from shaft to tip, the shaft's radius."""

    tip: tuple[float, float]
    angle: float
    radius: float
    opening: float  # 0 closed, 1 widest
    taper: float  # how much wider the shaft grows per scene unit towards the lens
    flip: float = 1.0  # -1: seen from its other side
    light: float = 1.0


def _place(points: Points, side: int, tool: Instrument, pose: Pose) -> Points:
    """Instrument coordinates -> scene points."""
    if side:
        pivot = np.array([tool.hinge, 0.0])
        points = turn(points - pivot, -side * pose.opening * tool.widest) + pivot
    points = points - (_TIP_AT, 0.0)
    wide = 1 + pose.taper * np.maximum(points[:, :1], 0) * pose.radius
    local = np.hstack([-points[:, :1], points[:, 1:] * wide * pose.flip]) * pose.radius
    return np.asarray(turn(local, pose.angle) + pose.tip)


def tip_point(tool: Instrument, pose: Pose) -> Points:
    """The tip (x, y) in scene units, a little inside the metal so that it lies on the instrument's own pixels."""
    return np.asarray(_place(tool.tip[None], tool.parts[-1].side, tool, pose)[0])


def draw(rgb: Field, label: NDArray[np.uint8], tool: Instrument, pose: Pose, cover: Field | None = None) -> None:
    """Draw onto a lit picture and its mask, in place. ``cover`` (h, w) is tissue in front of the instrument, 0..1."""
    height, width = label.shape
    middle = np.array([width / 2, height / 2])
    for part in tool.parts:
        corners, *holes = (
            _place(outline, part.side, tool, pose) * height + middle for outline in (part.outline, *part.holes)
        )
        x0, y0 = np.floor(np.clip(corners.min(axis=0) - 2, 0, (width, height))).astype(int)
        x1, y1 = np.ceil(np.clip(corners.max(axis=0) + 3, 0, (width, height))).astype(int)
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        alpha = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(alpha, [fixed(corners - (x0, y0))], 255, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(alpha, [fixed(hole - (x0, y0)) for hole in holes], 0, cv2.LINE_AA, SHIFT)
        opaque = alpha.astype(np.float32) / 255
        if cover is not None:
            opaque *= 1 - cover[y0:y1, x0:x1]
        area = rgb[:, y0:y1, x0:x1]
        x = ((np.arange(x0, x1, dtype=np.float32) + 0.5 - width / 2) / height)[None]
        y = ((np.arange(y0, y1, dtype=np.float32) + 0.5 - height / 2) / height)[:, None]
        area += (_rod(part, tool, pose, x, y) - area) * opaque
        label[y0:y1, x0:x1][opaque > 0.5] = part.label


def _rod(part: Part, tool: Instrument, pose: Pose, x: Field, y: Field) -> Field:
    """The lit surface of a part at scene points: its look, picked by how far from its axis each of them lies."""
    ends = _place(np.array([[0.0, part.axis], [tool.hinge, part.axis]]), part.side, tool, pose)
    along = (ends[1] - ends[0]) / (np.linalg.norm(ends[1] - ends[0]) + 1e-9)
    x, y = x - np.float32(ends[0][0]), y - np.float32(ends[0][1])
    u, v = x * np.float32(along[0]) + y * np.float32(along[1]), y * np.float32(along[0]) - x * np.float32(along[1])
    wide = np.float32(pose.radius * part.half) * (1 + np.float32(pose.taper) * np.maximum(u, 0))
    wander = np.float32(part.wander) * np.sin(u * np.float32(1 / (2.3 * pose.radius)) + np.float32(9 * part.half))
    index = np.clip((v / wide + wander + 1) * (LUT / 2), 0, LUT - 1).astype(np.uint8)
    glint = 1 + np.float32(part.wander) * np.sin(u * np.float32(1 / (1.7 * pose.radius)))
    return np.asarray(tool.looks[part.look][:, index] * (pose.light * glint))


def cast(rgb: Field, tool: Instrument, pose: Pose) -> None:
    """The soft shadow that an instrument throws on the tissue beside it, in place."""
    height, width = rgb.shape[1:]
    small = (height // 4, width // 4)  # a shadow has no detail to lose
    mask = np.zeros(small, np.uint8)
    offset = np.array([0.4, 0.7]) * pose.radius
    for part in tool.parts:
        points = (_place(part.outline, part.side, tool, pose) + offset) * small[0] + (small[1] / 2, small[0] / 2)
        cv2.fillPoly(mask, [fixed(points)], 130, cv2.LINE_AA, SHIFT)
    width_px = int(pose.radius * small[0]) | 1
    shade = cv2.resize(cv2.blur(mask, (width_px, width_px)), (width, height))
    rgb *= 1 - shade.astype(np.float32) / 255
