"""Sound frames for the anomaly model: rendered once, kept on disk, corrupted anew each time one is seen."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import CHANNELS, MEAN, SIZE, STD, STRIDE
from reference.anomaly.corrupt import Sample, corrupt_tissue, corrupt_tool, unsettle
from reference.anomaly.scripts import sound
from reference.anomaly.shapes import Colours, Plane, peak
from reference.scene import Procedure
from reference.scene.classes import SHAFT
from reference.scene.optics import code, streak
from reference.scene.script import Script

RENDER = (360, 640)
CUT = slice((RENDER[0] - SIZE[0]) // 2, (RENDER[0] + SIZE[0]) // 2)  # rows: `fit: crop` of the device file
CROP = 160  # side of a training picture
WIDE = 3  # of so many batches one has pictures of twice the side: what is on the lens shows beside what is sharp
DIRTY, CLEAN = 0.35, 0.12  # of the haze on the lens: more is dirty, less is clean, between is for neither
PLANES = {"picture": 3, "bare": 3, "label": 1, "haze": 1}
Frames = dict[str, NDArray[np.uint8]]


class Scene(Procedure):
    """A procedure that also shows itself without instruments, and says how much is on the lens where."""

    def __init__(self, seed: int, script: Script, size: tuple[int, int] = RENDER, fps: float = 30.0) -> None:
        super().__init__(seed, size, fps, script)
        self._full = (self.script, self.tools)

    def bare(self, i: int) -> NDArray[np.uint8]:
        """RGB uint8 (h, w, 3): frame ``i`` as it would be without instruments, with the same noise."""
        self.script, self.tools = replace(self._full[0], uses=()), []
        try:
            return self.frame(i)[0]
        finally:
            self.script, self.tools = self._full

    def haze(self, strengths: dict[str, float]) -> NDArray[np.float32]:
        """(h, w) 0..1: how strongly a smear or fog covers each pixel."""
        covered = np.maximum(self._lens.smear * np.float32(strengths["smear"]), np.float32(0.7 * strengths["fog"]))
        return np.asarray(covered, np.float32)


def render(seed: int, count: int) -> Frames:
    """``count`` sound frames of one procedure, each of PLANES as uint8 (count, 352, 640, planes)."""
    scene = Scene(seed, sound(seed))
    frames = {name: np.empty((count, *SIZE, planes), np.uint8) for name, planes in PLANES.items()}
    for k, moment in enumerate(np.random.default_rng(seed).integers(0, 600, count)):
        picture, label, truth = scene.frame(int(moment))
        frames["picture"][k], frames["label"][k, ..., 0] = picture[CUT], label[CUT]
        frames["bare"][k] = scene.bare(int(moment))[CUT]
        frames["haze"][k, ..., 0] = (255 * scene.haze(truth)[CUT]).astype(np.uint8)
    return frames


def build(folder: Path, name: str, seeds: range, count: int) -> Frames:
    """Frames of all ``seeds``, rendered on first use and reopened after."""
    folder.mkdir(parents=True, exist_ok=True)
    total, stem = len(seeds) * count, f"{name}-{seeds.start}-{seeds.stop}-{count}"
    paths = {plane: folder / f"{stem}-{plane}.npy" for plane in PLANES}
    if not all(path.exists() for path in paths.values()):
        parts = {
            plane: np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.uint8, (total, *SIZE, PLANES[plane]))
            for plane, path in paths.items()
        }
        with ProcessPoolExecutor(os.cpu_count(), initializer=partial(cv2.setNumThreads, 1)) as pool:
            for k, frames in enumerate(pool.map(partial(render, count=count), seeds, chunksize=4)):
                for plane, some in frames.items():
                    parts[plane][k * count : (k + 1) * count] = some
                if k % 20 == 0:
                    print(f"\r{name}: {k}/{len(seeds)} procedures", end="", flush=True)
        print(f"\r{name}: {len(seeds)} procedures, {total} frames")
        for path in paths.values():
            path.with_suffix(".part").replace(path)
    return {plane: np.load(path, mmap_mode="r") for plane, path in paths.items()}


def _cut(rng: np.random.Generator, label: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float]:
    """Where a training picture is cut, and how much it is enlarged; most often about an instrument."""
    rows, columns = np.nonzero(label[::4, ::4] >= SHAFT)
    if len(rows) > 10 and rng.random() < 0.8:
        k = rng.integers(len(rows))
        middle = np.array([columns[k], rows[k]]) * 4.0 + rng.normal(0, 40, 2)
    else:
        middle = rng.uniform((60, 40), (SIZE[1] - 60, SIZE[0] - 40))
    return middle, float(np.exp(rng.normal(0.05, 0.2)))


def take(rng: np.random.Generator, frames: Frames, k: int, side: int = CROP) -> tuple[Sample, Plane]:
    """A square part of frame ``k``, turned and enlarged at random; and its haze, (side, side)."""
    label = np.asarray(frames["label"][k, ..., 0])
    middle, scale = _cut(rng, label)
    angle = rng.normal(0, 0.3)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag(rng.choice([-1.0, 1.0], 2))
    matrix = np.column_stack([turn, np.array([side / 2, side / 2]) - turn @ middle])

    def warp(plane: str, way: int) -> NDArray[np.uint8]:
        found = cv2.warpAffine(np.asarray(frames[plane][k]), matrix, (side, side), flags=way)
        return np.asarray(found, np.uint8)

    picture, bare = (warp(plane, cv2.INTER_LINEAR).astype(np.float32) / 255 for plane in ("picture", "bare"))
    classes = warp("label", cv2.INTER_NEAREST)
    view = cv2.blur(peak(bare), (15, 15)) > 0.06
    tool = cv2.GaussianBlur((classes >= SHAFT).astype(np.float32), (0, 0), 0.7)
    clear = np.zeros_like(tool)
    sample = Sample(picture, bare, classes, tool, view, clear, clear.copy())
    return sample, warp("haze", cv2.INTER_LINEAR).astype(np.float32) / 255


def degrade(rng: np.random.Generator, picture: Colours) -> NDArray[np.uint8]:
    """Another camera: colours, tone, focus, motion, noise, compression. RGB 0..1 -> uint8."""
    matrix = np.full((3, 3), 1 / 3)
    matrix = matrix + (np.eye(3) - matrix) * np.exp(rng.normal(0, 0.25)) + rng.normal(0, 0.04, (3, 3))
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3)).astype(np.float32)
    toned = np.clip(cv2.transform(picture, matrix.astype(np.float32)), 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2)))
    toned = toned * gain + np.float32(max(0.0, rng.normal(0, 0.02)))
    if rng.random() < 0.25:
        toned = cv2.GaussianBlur(toned, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.5:
        noise = rng.standard_normal(toned.shape, dtype=np.float32)
        toned = toned + noise * np.float32(rng.uniform(0.003, 0.025))
    pixels = (np.clip(toned, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.15:
        pixels = streak(pixels, rng.uniform(2, 7), rng.uniform(0, np.pi))
    if rng.random() < 0.5:
        pixels = code(pixels, int(rng.uniform(35, 95)))
    return np.asarray(pixels, np.uint8)


def _cells(plane: Plane) -> Plane:
    side = plane.shape[0] // STRIDE
    return np.asarray(plane.reshape(side, STRIDE, side, STRIDE).mean(axis=(1, 3), dtype=np.float32))


def example(rng: np.random.Generator, frames: Frames, k: int, side: int) -> tuple[Colours, NDArray[np.float32]]:
    """A training picture, float32 (side, side, 3), and what is true of its cells: (3, side / 8, side / 8), 0, 1 or -1 (either)."""
    sample, haze = take(rng, frames, k, side)
    unsettle(rng, sample)

    def donor() -> Colours:
        return take(rng, frames, int(rng.integers(len(frames["picture"]))), side)[0].picture

    for corruption, odds in (
        (partial(corrupt_tool, donor=donor), (0.4, 0.4, 0.2)),
        (corrupt_tissue, (0.55, 0.33, 0.12)),
    ):
        make: Callable[[np.random.Generator, Sample], None] = corruption
        for _ in range(rng.choice(3, p=odds)):
            make(rng, sample)
    truth = np.empty((len(CHANNELS), side // STRIDE, side // STRIDE), np.float32)
    for row, plane in zip(truth, (sample.on_tool, sample.on_tissue), strict=False):
        share = _cells(plane.astype(np.float32))
        row[:] = np.where(share > 0.16, 1, np.where(share > 0.0, -1, 0))
    thick = _cells(haze)
    truth[2] = np.where(thick > DIRTY, 1, np.where(thick > CLEAN, -1, 0))
    return sample.picture, truth


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (n, h, w, 3) -> float32 (n, 3, h, w), as the device file states it."""
    scaled = (pictures.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


@dataclass(frozen=True)
class Batches:
    """Endless batches; each is a function of the seed and its number alone.

    Making a picture costs more than learning from it, so each is seen twice: by two cameras, the second in a mirror.
    """

    frames: Frames
    batch: int
    seed: int

    def one(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Pictures uint8 (batch, 160, 160, 3) and truth float32 (batch, 3, 20, 20); each third time a quarter as many, of twice
        the side."""
        rng = np.random.default_rng((self.seed, number))
        pictures, truths = [], []
        wide = number % WIDE == WIDE - 1
        for k in rng.integers(0, len(self.frames["picture"]), max(1, self.batch // (8 if wide else 2))):
            picture, truth = example(rng, self.frames, int(k), 2 * CROP if wide else CROP)
            pictures += [degrade(rng, picture), degrade(rng, picture[:, ::-1])]
            truths += [truth, truth[..., ::-1]]
        return np.stack(pictures), np.stack(truths)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        number = 0
        while True:
            yield self.one(number)
            number += 1
