"""Training frames: rendered once in parallel, kept on disk as two uint8 arrays, read through a memory map."""

import hashlib
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene import Procedure

INPUT = (192, 320)  # height, width of the model's input; a whole frame is stretched to it
RENDER = (180, 320)
MEAN, STD = (0.45, 0.30, 0.25), (0.28, 0.22, 0.20)  # of RGB scaled to 0..1, as the device file must state them
SECONDS = 20
Frames = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Progress:
    """One line that says how far, and how long it will still take."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._started, self._said = what, total, time.monotonic(), 0.0

    def at(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._said < 2 and done < self._total:
            return
        self._said = now
        spent = now - self._started
        left = spent / max(done, 1) * (self._total - done)
        bar = "#" * (30 * done // self._total)
        end = "\n" if done >= self._total else ""
        line = f"\r{self._what} [{bar:30}] {done}/{self._total}  {spent:.0f} s, {left:.0f} s left  {note}   "
        print(line, end=end, flush=True)


def render(seed: int, count: int) -> Frames:
    """``count`` frames spread over one procedure: RGB (count, 192, 320, 3) and classes (count, 192, 320)."""
    procedure = Procedure(seed, RENDER)
    pictures = np.empty((count, *INPUT, 3), np.uint8)
    masks = np.empty((count, *INPUT), np.uint8)
    moments = np.random.default_rng(seed).integers(0, SECONDS * 30, count)
    for k, moment in enumerate(moments):
        picture, mask, _ = procedure.frame(int(moment))
        pictures[k] = cv2.resize(picture, INPUT[::-1])
        masks[k] = cv2.resize(mask, INPUT[::-1], interpolation=cv2.INTER_NEAREST)
    return pictures, masks


def build(folder: Path, name: str, seeds: range, count: int) -> Frames:
    """Frames of all ``seeds``, rendered on first use and reopened after."""
    folder.mkdir(parents=True, exist_ok=True)
    total = len(seeds) * count
    stem = f"{name}-{seeds.start}-{seeds.stop}-{count}"
    paths = [folder / f"{stem}-{part}.npy" for part in ("pictures", "masks")]
    if not all(path.exists() for path in paths):
        parts = [path.with_suffix(".part") for path in paths]
        pictures = np.lib.format.open_memmap(parts[0], "w+", np.uint8, (total, *INPUT, 3))
        masks = np.lib.format.open_memmap(parts[1], "w+", np.uint8, (total, *INPUT))
        progress = Progress(f"rendering {name} frames", len(seeds))
        with ProcessPoolExecutor(os.cpu_count(), initializer=partial(cv2.setNumThreads, 1)) as pool:
            for k, (some, classes) in enumerate(pool.map(partial(render, count=count), seeds, chunksize=8)):
                pictures[k * count : (k + 1) * count], masks[k * count : (k + 1) * count] = some, classes
                progress.at(k + 1)
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    return np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r")


def digest(frames: Frames) -> str:
    """SHA-256 over all pictures, then all masks: the same for the same seeds on every machine of one kind."""
    total = hashlib.sha256()
    for array in frames:
        for start in range(0, len(array), 256):
            total.update(array[start : start + 256].tobytes())
    return total.hexdigest()
