"""What happens in the procedures that the anomaly model learns from, is chosen with, and is measured on."""

from dataclasses import replace

import numpy as np

from reference.scene.defects import DEFECTS
from reference.scene.kinds import KINDS
from reference.scene.litter import FOREIGN
from reference.scene.script import Script, Spell, Use, improvise

LEARNING, CHOOSING, UNSEEN = 4_000_000, 5_000_000, 6_900_000  # first seeds
HELD_OUT = ("loose screw", "residue")  # see HELD_OUT.md
FAULTS = (*DEFECTS, *FOREIGN)


def sound(seed: int) -> Script:
    """A random script without any defect or foreign object, with more on the lens than there usually is."""
    rng = np.random.default_rng((seed, 1))
    script = improvise(rng)
    uses = tuple(replace(use, defect=None) for use in script.uses)
    spells = list(script.spells)
    if rng.random() < 0.25:
        spells.append(Spell(str(rng.choice(["smear", "fog"])), rng.uniform(-4, 8), 25.0, rng.uniform(0.2, 1.0)))
    return replace(script, uses=uses, objects=(), spells=tuple(spells))


def visits(rng: np.random.Generator, t: float) -> tuple[Use, ...]:
    """One to three sound instruments, at work at time ``t`` or on their way."""
    uses: tuple[Use, ...] = ()
    while not uses:
        uses = improvise(rng).uses
    came = [t - float(rng.uniform(0.7, 8)) for _ in uses]
    return tuple(
        replace(use, defect=None, enters=enters, leaves=t + float(rng.uniform(0.7, 8)))
        for use, enters in zip(uses, came, strict=True)
    )


def with_fault(seed: int, kind: str | None) -> Script:
    """A random script of 8 s in which the one thing wrong is ``kind`` (one of FAULTS; None: nothing).

    A faulty instrument comes in during the first three seconds and works at a place in the middle of the picture, in
    front of the tissue; whether its fault is seen then depends on the procedure.
    """
    rng = np.random.default_rng((seed, 2))
    script = improvise(rng)
    uses = [replace(use, defect=None) for use in script.uses[:2]]
    place = (float(rng.uniform(-0.35, 0.35)), float(rng.uniform(-0.25, 0.25)))
    if kind in DEFECTS:
        tool = str(rng.choice(list(KINDS), p=[0.4, 0.2, 0.2, 0.2]))
        radius, enters = float(np.exp(rng.uniform(np.log(0.022), np.log(0.07)))), float(rng.uniform(0, 3))
        side, roam = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.02, 0.1))
        uses[-1:] = [Use(tool, enters, enters + 30, side, place, roam, radius, kind)]
    objects = ((kind, *place),) if kind in FOREIGN and kind else ()
    return replace(script, uses=tuple(uses), objects=objects)
