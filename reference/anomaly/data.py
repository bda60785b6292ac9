"""What the anomaly model learns from: parts of frames and their corrupted twins, made once and kept, seen many times."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import MEAN, SIZE, STD, STRIDE
from reference.anomaly.pairs import EITHER, NONE, ON_TISSUE, ON_TOOL, RENDER, Pair, Scene
from reference.anomaly.scripts import sound
from reference.anomaly.shapes import peak
from reference.scene.classes import BACKGROUND, SHAFT, TIP

CUT = slice((RENDER[0] - SIZE[0]) // 2, (RENDER[0] + SIZE[0]) // 2)  # rows: `fit: crop` of the device file
SIDE, CROP, SMALL = 176, 160, 96  # pixels: of what is kept, and of what is seen of it, at last and at first
FRAMES, EACH = 4, 3  # frames of a procedure, parts of a frame
MUCH, PLAIN = 50, 70  # of 255, by so much a pixel changes; so many of them, of half the size, are plain to see
DIRTY, CLEAN = 0.35, 0.12  # of the haze on the lens: more is dirty, less is clean, between is for neither
PLANES = {"sound": (SIDE, SIDE, 3), "odd": (SIDE, SIDE, 3), "truth": (SIDE // 2, SIDE // 2, 3)}
Frames = dict[str, NDArray[np.uint8]]


def _centre(rng: np.random.Generator, where: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Row and column of one of these pixels."""
    rows, columns = np.nonzero(where[::4, ::4])
    if not len(rows):
        return None
    k = rng.integers(len(rows))
    return int(4 * rows[k]), int(4 * columns[k])


def parts(rng: np.random.Generator, pair: Pair) -> Iterator[tuple[int, int]]:
    """The first row and column of EACH parts: about what is wrong, about an instrument, anywhere."""
    tool = pair.label >= SHAFT
    wishes = [pair.wrong == ON_TOOL, pair.wrong == ON_TISSUE, pair.label == TIP, tool, tool]
    found = [middle for one in wishes if (middle := _centre(rng, one)) is not None]
    for k in range(EACH):
        row, column = found[k] if k < len(found) else rng.integers(0, RENDER)
        row, column = row + rng.normal(0, 30) - SIDE / 2, column + rng.normal(0, 30) - SIDE / 2
        yield int(np.clip(row, CUT.start, CUT.stop - SIDE)), int(np.clip(column, 0, RENDER[1] - SIDE))


def classes(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Nothing, tissue, shaft, tip: 0 to 3."""
    found = (label != BACKGROUND).astype(np.uint8)
    found[label == SHAFT], found[label == TIP] = 2, 3
    return np.asarray(found, np.uint8)


def render(seed: int) -> Frames:
    """FRAMES x EACH parts of one procedure, each of PLANES; truth: class, wrong, haze at half the size."""
    rng = np.random.default_rng((seed, 3))
    scene = Scene(seed, sound(seed))
    made = {name: np.empty((FRAMES * EACH, *size), np.uint8) for name, size in PLANES.items()}
    for n in range(FRAMES):
        moment = int(rng.integers(0, 600))
        scene.equip(rng, moment / scene.fps)
        pair = scene.pair(moment, rng)
        truth = np.dstack([classes(pair.label), pair.wrong, pair.haze])
        for k, (row, column) in enumerate(parts(rng, pair), n * EACH):
            window = (slice(row, row + SIDE), slice(column, column + SIDE))
            made["sound"][k], made["odd"][k] = pair.sound[window], pair.odd[window]
            made["truth"][k] = truth[window][::2, ::2]
    return made


def build(folder: Path, seeds: range) -> Frames:
    """Parts of the frames of all ``seeds``, rendered on first use and reopened after."""
    folder.mkdir(parents=True, exist_ok=True)
    each = FRAMES * EACH
    paths = {name: folder / f"{seeds.start}-{seeds.stop}-{name}.npy" for name in PLANES}
    if not all(path.exists() for path in paths.values()):
        kept = {
            name: np.lib.format.open_memmap(
                path.with_suffix(".part"), "w+", np.uint8, (len(seeds) * each, *PLANES[name])
            )
            for name, path in paths.items()
        }
        with ProcessPoolExecutor(os.cpu_count(), initializer=partial(cv2.setNumThreads, 1)) as pool:
            for k, some in enumerate(pool.map(render, seeds, chunksize=4)):
                for name, planes in some.items():
                    kept[name][k * each : (k + 1) * each] = planes
                if k % 20 == 0:
                    print(f"\r{k}/{len(seeds)} procedures", end="", flush=True)
        print(f"\r{len(seeds)} procedures, {len(seeds) * each} parts of frames")
        for path in paths.values():
            path.with_suffix(".part").replace(path)
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (n, h, w, 3) -> float32 (n, 3, h, w), as the device file states it."""
    scaled = (pictures.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def _cells(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, h, w) at half the input's size -> the mean of each cell."""
    count, height, width = planes.shape
    step = STRIDE // 2
    return np.asarray(planes.reshape(count, height // step, step, width // step, step).mean(axis=(2, 4)), np.float32)


def truths(planes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Planes (n, 80, 80, 3) of class, wrong, haze -> of each cell what is true of CHANNELS (n, 3, 20, 20): 0, 1, or -1
    (either); and its class (n, 20, 20), -1 where something is wrong."""
    wrong, haze = planes[..., 1], _cells(planes[..., 2].astype(np.float32) / np.float32(255))
    clear = _cells((wrong == NONE).astype(np.float32)) == 1
    answers = np.empty((len(planes), 3, *clear.shape[1:]), np.float32)
    for channel, value in ((0, ON_TOOL), (1, ON_TISSUE)):
        share = _cells((wrong == value).astype(np.float32))
        answers[:, channel] = np.where(share > 0.12, 1, np.where(clear, 0, -1))
    answers[:, 2] = np.where(haze > DIRTY, 1, np.where(haze > CLEAN, -1, 0))
    middle = planes[:, STRIDE // 4 :: STRIDE // 2, STRIDE // 4 :: STRIDE // 2, 0].astype(np.int64)
    return answers, np.where(clear, middle, -1)


_GRAIN = np.random.default_rng(0).standard_normal((2 * CROP + 96, CROP + 96, 3), np.float32)


def _another_camera(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Other colours and tone, at times a softer focus or more noise."""
    matrix = np.full((3, 3), 1 / 3)
    matrix = matrix + (np.eye(3) - matrix) * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 0.03, (3, 3))
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


def _plain(sound: NDArray[np.uint8], odd: NDArray[np.uint8], wrong: NDArray[np.uint8], least: float) -> None:
    """What changes fewer than ``least`` pixels by much may be odd or not; in place. All at half the size."""
    much = peak(cv2.absdiff(sound, odd)) > MUCH
    for value, about in ((ON_TOOL, (wrong == ON_TOOL) | (wrong == EITHER)), (ON_TISSUE, wrong == ON_TISSUE)):
        if np.count_nonzero(much & about) < least:
            wrong[wrong == value] = EITHER


@dataclass(frozen=True)
class Batches:
    """Endless batches; each is a function of the seed and its number alone. In the first ``easy`` of them what is wrong is plain
    to see, at first very much so; in the first ``small`` pictures are small, and as many more."""

    frames: Frames
    batch: int
    seed: int
    easy: int
    small: int

    def _pick(
        self, rng: np.random.Generator, crop: int, least: float
    ) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
        """A sound picture, its twin, what is true of that: parts of a part, most often about something wrong."""
        for _ in range(6):
            n = int(rng.integers(0, len(self.frames["sound"])))
            both = [np.asarray(self.frames[name][n]) for name in ("sound", "odd")]
            truth = np.array(self.frames["truth"][n])
            small = [np.ascontiguousarray(one[::2, ::2]) for one in both]
            _plain(small[0], small[1], truth[..., 1], least)
            rows, columns = np.nonzero((truth[..., 1] == ON_TOOL) | (truth[..., 1] == ON_TISSUE))
            if len(rows):
                break
        at = rng.integers(0, (SIDE - crop) // 2 + 1, 2)
        if len(rows):
            k = rng.integers(len(rows))
            middle = np.array([rows[k], columns[k]]) + rng.uniform(-0.25, 0.25, 2) * crop / 2
            at = np.clip(middle - crop / 4, 0, (SIDE - crop) // 2).astype(np.int64)
        y, x = int(at[0]), int(at[1])
        both = [one[2 * y : 2 * y + crop, 2 * x : 2 * x + crop] for one in both]
        return both, truth[y : y + crop // 2, x : x + crop // 2]

    def one(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pictures (n, side, side, 3) and planes of truth (n, side / 2, side / 2, 3), in pairs: sound and odd, by one camera.

        What both show cannot be what is wrong. Small pictures first: all that they show is about it.
        """
        rng = np.random.default_rng((self.seed, number))
        side = SMALL if number < self.small else CROP
        count = self.batch * CROP**2 // side**2 // 2 * 2
        pictures = np.empty((count, side, side, 3), np.uint8)
        planes = np.empty((count, side // 2, side // 2, 3), np.uint8)
        for k in range(0, count, 2):
            both, truth = self._pick(rng, side, PLAIN * (1 - number / self.easy))
            turns, mirror = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
            seen = _another_camera(rng, np.vstack([np.rot90(one, turns)[:, ::mirror] for one in both]))
            pictures[k : k + 2] = seen.reshape(2, side, side, 3)
            planes[k + 1] = np.rot90(truth, turns)[:, ::mirror]
            planes[k] = planes[k + 1] * np.array([1, 0, 1], np.uint8)
        return pictures, planes
