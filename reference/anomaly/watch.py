"""Procedures in which one thing is wrong, or none, as the device's model gets to see them; and what is true of them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import SIZE, STRIDE
from reference.anomaly.data import CUT
from reference.anomaly.pairs import RENDER
from reference.anomaly.scripts import with_fault
from reference.scene import Procedure
from reference.scene.script import HAZE

EVERY, FPS = 2, 30  # the model looks at every second frame
RATE = FPS / EVERY
HAZY = 0.5  # a defect behind more smoke, smear, fog or motion than this is not called visible
MASK = (96, 160)
PARTS = ("pictures", "masks", "wrong", "visible")
CELLS = (SIZE[0] // STRIDE, SIZE[1] // STRIDE)


@dataclass(frozen=True)
class Watched:
    """One procedure: ``count`` frames, 15 a second."""

    seed: int
    kind: str | None
    pictures: NDArray[np.uint8]  # (count, 360, 640, 3) RGB
    masks: NDArray[np.uint8]  # (count, 96, 160): classes, at the size in which the anatomy model answers
    wrong: NDArray[np.uint8]  # (count, 44, 80): 1 + the index in WRONG of the defect that touches a cell, 0 = none
    visible: NDArray[np.bool_]  # (count,): the defect is listed, and nothing hides it


def watch(seed: int, kind: str | None, seconds: float) -> Watched:
    """Render one procedure."""
    scene = Procedure(seed, RENDER, FPS, with_fault(seed, kind))
    count = int(seconds * RATE)
    pictures, masks = np.empty((count, *RENDER, 3), np.uint8), np.empty((count, *MASK), np.uint8)
    wrong = np.zeros((count, *CELLS), np.uint8)
    visible = np.zeros(count, np.bool_)
    for k in range(count):
        pictures[k], mask, truth = scene.frame(k * EVERY)
        masks[k] = cv2.resize(mask, MASK[::-1], interpolation=cv2.INTER_NEAREST)
        # one kind at most is wrong in a procedure, so the largest index in a cell is the only one
        wrong[k] = truth["wrong"][CUT].reshape(CELLS[0], STRIDE, CELLS[1], STRIDE).max(axis=(1, 3))
        clear = max(truth[haze] for haze in HAZE) < HAZY
        visible[k] = clear and any(note["kind"] == kind for note in truth["defects"])
    return Watched(seed, kind, pictures, masks, wrong, visible)


def cases(first: int, kinds: tuple[str, ...], each: int, without: int) -> list[tuple[int, str | None]]:
    """Seeds and what is wrong in each: ``each`` procedures of every kind, ``without`` that show nothing wrong."""
    wanted: list[str | None] = [kind for _ in range(each) for kind in kinds] + [None] * without
    return [(first + k, kind) for k, kind in enumerate(wanted)]


def kept(folder: Path, seed: int, kind: str | None, seconds: float) -> Watched:
    """The same, rendered on first use and reopened after."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{seed}-{(kind or 'sound').replace(' ', '_')}-{seconds:g}"
    paths = [stem.with_name(f"{stem.name}-{part}.npy") for part in PARTS]
    if not all(path.exists() for path in paths):
        cv2.setNumThreads(1)
        one = watch(seed, kind, seconds)
        for path, part in zip(paths, PARTS, strict=True):
            np.save(path.with_suffix(".part.npy"), getattr(one, part))
            path.with_suffix(".part.npy").replace(path)
    return Watched(seed, kind, *(np.load(path, mmap_mode="r") for path in paths))
