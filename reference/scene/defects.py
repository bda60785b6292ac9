"""DEFECTS of instruments: how each changes a sound one. Nothing that learns ever imports this file's drawings: the
anomaly model is trained on sound instruments only (``reference/anomaly``), and this is what it is tested with."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np

from reference.scene.classes import SHAFT, TIP
from reference.scene.instruments import Instrument, Part
from reference.scene.kinds import box, build, disc, look
from reference.scene.shapes import Points, blob, turn


def _bent_jaw(tool: Instrument, rng: np.random.Generator) -> None:
    """One jaw (or the hook) bent sideways over its outer part, along an arc."""
    part = tool.parts[-1]
    outlines = [part.outline, *part.holes]
    start, most = rng.uniform(0.55, 0.75) * tool.hinge, rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.0)
    for points in outlines:
        share = np.clip((start - points[:, 0]) / (0.45 * tool.hinge), 0, 1)
        pivot = np.array([start, 0.0])
        for k in np.flatnonzero(share):
            points[k] = turn((points[k] - pivot)[None], most * share[k])[0] + pivot


def _broken_tip(tool: Instrument, rng: np.random.Generator) -> None:
    """One jaw (or the hook) broken off, with a jagged edge."""
    part = tool.parts[-1]
    stump = rng.uniform(0.45, 0.65) * tool.hinge
    jagged = stump + rng.uniform(-0.25, 0.25, len(part.outline))
    part.outline[:, 0] = np.maximum(part.outline[:, 0], jagged)
    part.holes = []


def _shaft_start(tool: Instrument) -> float:
    """u at which the insulated shaft begins to be seen."""
    return max(float(part.outline[:, 0].max()) for part in (*tool.parts[1:], *tool.marks)) + 0.2


def _missing_insulation(tool: Instrument, rng: np.random.Generator) -> None:
    """A coated shaft, worn through to the steel over a ragged patch with a torn edge."""
    tool.looks["shaft"] = look(rng, rng.uniform(0.02, 0.08) * np.ones(3), 1, 0.3)
    tool.looks["bare"] = look(rng, rng.uniform(0.4, 0.8) * np.array([1.0, 0.93, 0.88]), 2, 0.5)
    start = _shaft_start(tool) + rng.uniform(0.0, 2.5)
    s = np.linspace(0, 2 * np.pi, 22)
    long, wide, middle = rng.uniform(0.9, 2.0), rng.uniform(0.45, 0.8), rng.uniform(-0.4, 0.4)
    patch = np.stack(
        [
            start + long + long * np.cos(s) * rng.uniform(0.6, 1.2, 22),
            middle + wide * np.sin(s) * rng.uniform(0.5, 1.1, 22),
        ],
        axis=1,
    )
    patch[:, 1] = np.clip(patch[:, 1], -1, 1)
    rim = (patch - patch.mean(axis=0)) * 1.12 + patch.mean(axis=0)
    rim[:, 1] = np.clip(rim[:, 1], -1, 1)
    tool.marks += [Part(SHAFT, rim, "dark", opacity=0.8), Part(SHAFT, patch, "bare", rim=0.3)]


def _loose_screw(tool: Instrument, rng: np.random.Generator) -> None:
    """The hinge's screw has worked itself out: its shank and head stand out beside the wrist, its hole is empty."""
    side, lean = rng.choice([-1.0, 1.0]), rng.uniform(-0.4, 0.4)
    at, out, thick = tool.hinge + 0.5, rng.uniform(0.35, 0.8), rng.uniform(0.16, 0.24)
    shank, head = box(-thick, thick, 0.5, 1.0 + out), box(-2.2 * thick, 2.2 * thick, 1.0 + out, 1.35 + out)
    turned: list[Points] = [turn(points, lean) * (1.0, side) + (at, 0.0) for points in (shank, head)]
    tool.looks["screw"] = look(rng, rng.uniform(0.5, 0.9) * np.array([1.0, 0.96, 0.9]), 2, 0.6)
    tool.marks += [
        Part(None, disc(at, 0.0, 0.26), "dark"),
        Part(TIP, turned[0], "screw", 1.2),
        Part(TIP, turned[1], "screw", 1.2, rim=0.5),
    ]


def _residue(tool: Instrument, rng: np.random.Generator) -> None:
    """Charred and dried tissue baked onto the jaws' root and the wrist: a dull crust that stands over the outline."""
    colour = [(0.1, 0.06, 0.04), (0.3, 0.17, 0.08), (0.5, 0.38, 0.22)][rng.integers(3)]
    tool.looks["crust"] = look(rng, np.array(colour) * rng.uniform(0.7, 1.3), 0, 0.0)
    tool.looks["flake"] = look(rng, np.array(colour) * rng.uniform(1.5, 2.2), 0, 0.0)
    for _ in range(rng.integers(2, 5)):
        u, v = tool.hinge + rng.uniform(-0.6, 1.2), rng.uniform(-0.8, 0.8)
        size = rng.uniform(0.4, 0.8)
        outline = blob(rng, (u, v), (size * rng.uniform(0.9, 1.6), size), 0.0, 0.35)
        tool.marks.append(Part(TIP, outline, "crust", 2.0, wander=0.4))
        for _ in range(4):
            spot = (u + rng.normal(0, 0.3 * size), v + rng.normal(0, 0.3 * size))
            tool.marks.append(Part(None, blob(rng, spot, (0.14, 0.1), rng.uniform(0, 3), 0.3), "flake", 2.0))


# What can be wrong with an instrument: name -> how it changes a sound one.
DEFECTS: dict[str, Callable[[Instrument, np.random.Generator], None]] = {
    "bent jaw": _bent_jaw,
    "broken tip": _broken_tip,
    "missing insulation": _missing_insulation,
    "loose screw": _loose_screw,
    "residue": _residue,
}


def make(kind: str, rng: np.random.Generator, defect: str | None = None) -> Instrument:
    """An instrument of one of KINDS, with one of DEFECTS or none. One with a defect knows its sound twin."""
    tool = build(kind, rng)
    if defect:
        tool.sound = deepcopy(tool)
        DEFECTS[defect](tool, rng)
        tool.defects = (defect,)
        tool.sound.looks = dict(tool.looks)  # a worn coat's colour is part of the instrument, not of the defect
    return tool
