"""What both networks learn from: rendered once, kept, seen many times, each time by another camera."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import MEAN, SIZE, STD
from reference.anomaly.pairs import EITHER, NONE, ON_TISSUE, ON_TOOL, RENDER
from reference.anomaly.shapes import peak

CUT = slice((RENDER[0] - SIZE[0]) // 2, (RENDER[0] + SIZE[0]) // 2)  # rows: `fit: crop` of the device file
MUCH = 50  # of 255: a pixel that changes by more is plain to see
Picture = NDArray[np.uint8]
Frames = dict[str, NDArray[Any]]
Planes = dict[str, tuple[int, tuple[int, ...], type]]  # of a procedure: how many, of which shape and type


def build(folder: Path, seeds: range, planes: Planes, render: Callable[[int], Frames]) -> Frames:
    """What ``render`` makes of all ``seeds``, on first use, and reopened after."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{seeds.start}-{seeds.stop}-{name.replace(' ', '-')}.npy" for name in planes}
    if not all(path.exists() for path in paths.values()):
        kept = {
            name: np.lib.format.open_memmap(paths[name].with_suffix(".part"), "w+", kind, (len(seeds) * count, *size))
            for name, (count, size, kind) in planes.items()
        }
        with ProcessPoolExecutor(os.cpu_count(), initializer=partial(cv2.setNumThreads, 1)) as pool:
            for k, some in enumerate(pool.map(render, seeds, chunksize=4)):
                for name, one in some.items():
                    kept[name][k * len(one) : (k + 1) * len(one)] = one
                if k % 20 == 0:
                    print(f"\r{k}/{len(seeds)} procedures", end="", flush=True)
        print(f"\r{len(seeds)} procedures")
        for path in paths.values():
            path.with_suffix(".part").replace(path)
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (n, h, w, 3) -> float32 (n, 3, h, w), as the device file states it."""
    scaled = (pictures.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def cells(planes: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """(n, h, w) -> the mean of each ``step`` x ``step`` pixels."""
    count, height, width = planes.shape
    return np.asarray(planes.reshape(count, height // step, step, width // step, step).mean(axis=(2, 4)), np.float32)


def oddness(wrong: Picture, value: int, step: int) -> NDArray[np.float32]:
    """Of cells of ``step`` x ``step`` pixels (n, h, w): 1 where this is wrong, 0 where nothing is, -1 where it is for neither."""
    clear = cells((wrong == NONE).astype(np.float32), step) == 1
    share = cells((wrong == value).astype(np.float32), step)
    return np.where(share > 0.12, np.float32(1), np.where(clear, np.float32(0), np.float32(-1)))


_GRAIN = np.random.default_rng(0).standard_normal((480, 320, 3), np.float32)


def another_camera(rng: np.random.Generator, picture: Picture, wild: bool = False) -> Picture:
    """Other colours and tone, at times a softer focus or more noise; ``wild``: at times quite other colours."""
    matrix = np.full((3, 3), 1 / 3)
    matrix = matrix + (np.eye(3) - matrix) * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 0.03, (3, 3))
    if wild and rng.random() < 0.5:
        matrix = matrix[rng.permutation(3)] if rng.random() < 0.5 else matrix @ np.full((3, 3), 1 / 3)
    picture = cv2.transform(picture, matrix)
    gamma = np.exp(rng.normal(0, 0.15))
    gain = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.06, 3))
    tones = gain * (np.arange(256)[:, None] / 255) ** gamma + max(0.0, rng.normal(0, 0.02))
    picture = cv2.LUT(picture, (np.clip(tones, 0, 1) * 255).astype(np.uint8)[None])
    if rng.random() < 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.25:
        y, x = rng.integers(0, 96, 2)
        height, width = picture.shape[:2]
        grain = _GRAIN[y : y + height, x : x + width] * np.float32(rng.uniform(1, 6))
        picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
    return np.asarray(picture, np.uint8)


def plain(sound: NDArray[np.uint8], odd: NDArray[np.uint8], wrong: NDArray[np.uint8], least: float) -> None:
    """What changes fewer than ``least`` pixels by much may be odd or not; in place. All at half the size."""
    much = peak(cv2.absdiff(sound, odd)) > MUCH
    for value, about in ((ON_TOOL, (wrong == ON_TOOL) | (wrong == EITHER)), (ON_TISSUE, wrong == ON_TISSUE)):
        if np.count_nonzero(much & about) < least:
            wrong[wrong == value] = EITHER
