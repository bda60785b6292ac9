"""Instruments: their parts, where they are in the picture, and how they are drawn.

An instrument is described along its own axis: ``u`` runs from the tip (0) back along the shaft, ``v`` across it, both
in shaft radii, so that one description serves every size.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene.canvas import SHIFT, fixed
from reference.scene.noise import Field
from reference.scene.shapes import Points, turn

LUT = 64  # steps of a material's look across a part
TIP_AT = 0.25  # u of the point that a pose places
LONG = 250.0  # the shaft goes on until it has left the picture


@dataclass
class Part:
    """A piece: ``outline`` in (u, v), lit like a rod of half-width ``half`` around the line v = ``axis``."""

    label: int | None  # None: what it lies on keeps its class
    outline: Points
    look: str  # key of the instrument's looks
    half: float = 1.0
    axis: float = 0.0
    wander: float = 0.1  # how far its reflections stray along it
    side: int = 0  # -1, +1: opens with the jaws, turning about the hinge; 0: fixed
    holes: list[Points] = field(default_factory=list)
    opacity: float = 1.0
    rim: float = 0.0  # how bright its edges catch the lamp


@dataclass
class Instrument:
    kind: str
    parts: list[Part]  # back to front; the last one ends in the tip
    hinge: float  # u about which jaws turn
    widest: float  # opening of each jaw, radians
    reach: int = 0  # the axis along which the last part ends in the tip: 0 along u, 1 along v (a hook)
    looks: dict[str, Field] = field(default_factory=dict)  # (3, LUT) RGB across a part
    marks: list[Part] = field(default_factory=list)  # what lies on the parts: pins, slots, soil
    defects: tuple[str, ...] = ()
    sound: "Instrument | None" = None  # the same instrument without its defects

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
    points = points - (TIP_AT, 0.0)
    wide = 1 + pose.taper * np.maximum(points[:, :1], 0) * pose.radius
    local = np.hstack([-points[:, :1], points[:, 1:] * wide * pose.flip]) * pose.radius
    return np.asarray(turn(local, pose.angle) + pose.tip)


def tip_point(tool: Instrument, pose: Pose) -> Points:
    """The tip (x, y) in scene units, a little inside the metal so that it lies on the instrument's own pixels."""
    return np.asarray(_place(tool.tip[None], tool.parts[-1].side, tool, pose)[0])


def hinge_point(tool: Instrument, pose: Pose) -> Points:
    """Where the jaws or the hook begin (x, y), scene units, on the shaft's axis."""
    return np.asarray(_place(np.array([[tool.hinge, 0.0]]), 0, tool, pose)[0])


def draw(rgb: Field, label: NDArray[np.uint8], tool: Instrument, pose: Pose, cover: Field | None = None) -> None:
    """Draw onto a lit picture and its mask, in place. ``cover`` (h, w) is tissue in front of the instrument, 0..1."""
    height, width = label.shape
    middle = np.array([width / 2, height / 2])
    for part in (*tool.parts, *tool.marks):
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
        opaque = alpha.astype(np.float32) * (part.opacity / 255)
        if cover is not None:
            opaque *= 1 - cover[y0:y1, x0:x1]
        area = rgb[:, y0:y1, x0:x1]
        x = ((np.arange(x0, x1, dtype=np.float32) + 0.5 - width / 2) / height)[None]
        y = ((np.arange(y0, y1, dtype=np.float32) + 0.5 - height / 2) / height)[:, None]
        surface = _rod(part, tool, pose, x, y)
        if part.rim:
            surface += _rim(alpha, part.rim * pose.light, pose.radius * height)
        area += (surface - area) * opaque
        if part.label is not None:
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


def _rim(alpha: NDArray[np.uint8], bright: float, radius: float) -> Field:
    """Light caught by the bevelled edge on the side of the lamp: a thin line inside the outline; radius in pixels."""
    step = max(1, round(0.06 * radius))
    shifted = cv2.warpAffine(alpha, np.array([[1.0, 0, step], [0, 1.0, 2 * step]]), alpha.shape[::-1])
    edge = cv2.subtract(alpha, shifted).astype(np.float32) * np.float32(bright / 255)
    return np.asarray(edge[None])


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
