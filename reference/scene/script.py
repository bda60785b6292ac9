"""What happens in a procedure, and when. Times in seconds, places in scene units."""

from dataclasses import dataclass, field

import numpy as np

from reference.scene.classes import FAT, GALLBLADDER, LIVER
from reference.scene.defects import DEFECTS
from reference.scene.kinds import KINDS
from reference.scene.litter import FOREIGN


@dataclass(frozen=True)
class Use:
    """One instrument's visit: it enters, works around a target, leaves."""

    kind: str
    enters: float
    leaves: float
    side: float  # direction it comes from, radians in the picture
    target: tuple[float, float]
    roam: float = 0.08  # how far its tip wanders while it works
    radius: float = 0.035
    defect: str | None = None
    holds: bool = False  # holds the gallbladder's fundus and moves with it
    behind: int | None = None  # class of the tissue that it passes behind
    stops: tuple[tuple[float, float, float], ...] = ()  # (time, x, y): a way to go instead of staying at the target


@dataclass(frozen=True)
class Spell:
    """Something that comes and goes, one of HAZE."""

    kind: str
    start: float
    end: float
    strength: float

    def at(self, t: float) -> float:
        rise = min(1.0, 0.6 * (self.end - self.start) + 1e-6)
        return self.strength * float(np.clip(min((t - self.start) / rise, (self.end - t) / rise), 0, 1))


@dataclass(frozen=True)
class Script:
    uses: tuple[Use, ...] = ()
    spells: tuple[Spell, ...] = ()
    objects: tuple[tuple[str, float, float], ...] = ()  # foreign objects left on the tissue: kind, x, y
    blood: int = 0  # pools of blood
    sway: float = 0.06  # how far the camera moves
    breath: float = 0.02  # how far breathing moves an organ
    gallbladder: bool | None = None
    seconds: float = 20.0
    beats: dict[str, float] = field(default_factory=lambda: {"breath": 0.25, "sway": 0.07})  # Hz


HAZE = ("smoke", "smear", "fog", "jolt")  # jolt: a camera that moves too fast


def _visit(rng: np.random.Generator) -> Use:
    kind = str(rng.choice(list(KINDS), p=[0.5, 0.2, 0.15, 0.15]))
    defect = str(rng.choice(list(DEFECTS))) if rng.random() < 0.15 else None
    enters, stays = rng.uniform(-15, 8), rng.uniform(8, 40)
    target = (rng.uniform(-0.6, 0.6), rng.uniform(-0.35, 0.35))
    holds = kind == "grasper" and rng.random() < 0.5
    behind = int(rng.choice([LIVER, GALLBLADDER, FAT])) if rng.random() < 0.2 else None
    side, roam = rng.uniform(-np.pi, np.pi), rng.uniform(0.02, 0.2)
    radius = float(np.exp(rng.uniform(np.log(0.018), np.log(0.085))))
    return Use(kind, enters, enters + stays, side, target, roam, radius, defect, holds, behind)


def improvise(rng: np.random.Generator) -> Script:
    """A random script, for training and tests."""
    uses = tuple(_visit(rng) for _ in range(rng.choice(4, p=[0.08, 0.34, 0.36, 0.22])))
    spells = []
    for kind, most, odds in (("smoke", 0.7, 0.25), ("smear", 0.9, 0.15), ("fog", 0.8, 0.08), ("jolt", 1.0, 0.15)):
        if rng.random() < odds:
            start = rng.uniform(-4, 16)
            spells.append(Spell(kind, start, start + rng.uniform(2, 12), rng.uniform(0.1, most)))
    objects = []
    if rng.random() < 0.12:
        objects.append((str(rng.choice(list(FOREIGN))), rng.uniform(-0.6, 0.6), rng.uniform(-0.35, 0.35)))
    blood = int(rng.integers(1, 5)) if rng.random() < 0.3 else 0
    return Script(uses, tuple(spells), tuple(objects), blood, rng.uniform(0.0, 0.12), rng.uniform(0.0, 0.03))
