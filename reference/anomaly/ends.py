"""What the second network learns from: close-ups of instruments and of their corrupted twins."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.closeup import SHAPE, STRIDE, Places, cut, jittered
from reference.anomaly.data import Frames, Picture, Planes, another_camera, oddness, plain
from reference.anomaly.pairs import EITHER, ON_TOOL, RENDER, Pair, Scene
from reference.anomaly.scripts import sound

SMALLER = (216, 384)  # of most pictures: there is more to see on an instrument than on what is around it
FRAMES, MORE, CLOSE, ELSE = 4, 36, 60, 12  # pictures of a procedure, smaller ones, close-ups, those of something else
MARGIN = 10  # pixels around a close-up that are kept
KEPT = (SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)
PLAIN, LEAST, FEW = 150, 25, 15  # pixels that make what is wrong plain to see, at first and at last; that make it wrong
PLANES: Planes = {
    "sound": (CLOSE, (*KEPT, 3), np.uint8),
    "odd": (CLOSE, (*KEPT, 3), np.uint8),
    "wrong": (CLOSE, KEPT, np.uint8),
    "else sound": (ELSE, (*KEPT, 3), np.uint8),
    "else odd": (ELSE, (*KEPT, 3), np.uint8),
    "else wrong": (ELSE, KEPT, np.uint8),
}
OTHERS = 0.15  # of the pairs that are learned from: they show what is no instrument's end


def _pairs(rng: np.random.Generator, seed: int) -> Iterator[Pair]:
    """FRAMES pairs of one procedure, and MORE of the same at a smaller size, each with instruments of its own."""
    for size, count in ((RENDER, FRAMES), (SMALLER, MORE)):
        scene = Scene(seed, sound(seed), size)
        for _ in range(count):
            moment = int(rng.integers(0, 600))
            scene.equip(rng, moment / scene.fps)
            yield scene.pair(moment, rng)


def elsewhere(rng: np.random.Generator, pair: Pair) -> Places:
    """Places (n, 5) that an instrument's end might be taken for: a hidden one, another part of a shaft, anything."""
    rows = [at for at in pair.hidden if rng.random() < 0.5]
    if rng.random() < 0.15 and len(pair.places):
        x, y, a, b, half = rng.choice(pair.places)
        back, sign = half * rng.uniform(1.5, 12), 1 - 2 * (rng.random() < 0.3)
        rows.append(np.array([x - back * a, y - back * b, sign * a, sign * b, half * np.exp(rng.normal(0, 0.3))]))
    if rng.random() < 0.15:
        height, width = pair.wrong.shape
        angle, half = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(np.log(6), np.log(20)))
        rows.append(np.array([*rng.uniform((0, 0), (width, height)), np.cos(angle), np.sin(angle), half]))
    return np.array(rows, np.float32).reshape(-1, 5)


def _close_ups(rng: np.random.Generator, pair: Pair, places: Places) -> Iterator[tuple[Picture, Picture, Picture]]:
    """Sound, odd, what is wrong: at each of these places, as it might have been found."""
    for at in places:
        about = jittered(rng, at)
        sound_, odd = (cut(some, about, margin=MARGIN) for some in (pair.sound, pair.odd))
        yield sound_, odd, cut(pair.wrong, about, nearest=True, margin=MARGIN)


def render(seed: int) -> Frames:
    """Close-ups of one procedure, each of PLANES: CLOSE of instruments' ends, and ELSE of what might be taken for one."""
    rng = np.random.default_rng((seed, 4))
    made: Frames = {name: np.zeros((count, *size), kind) for name, (count, size, kind) in PLANES.items()}
    found: dict[str, list[tuple[Picture, Picture, Picture]]] = {"": [], "else ": []}
    for pair in _pairs(rng, seed):
        found[""] += _close_ups(rng, pair, pair.places)
        found["else "] += _close_ups(rng, pair, elsewhere(rng, pair))
    for which, some in found.items():
        count = len(made[f"{which}sound"])
        for k, n in enumerate(np.resize(rng.permutation(len(some)), count) if some else []):
            for name, plane in zip(("sound", "odd", "wrong"), some[n], strict=True):
                made[which + name][k] = plane
    return made


@dataclass(frozen=True)
class Batches:
    """Endless batches of close-ups; in the first ``easy`` of them what is wrong is plain to see, at first very much so."""

    frames: Frames
    batch: int
    seed: int
    easy: int

    def one(self, number: int) -> tuple[Picture, Picture]:
        """Close-ups (n, 48, 128, 3) and what is wrong with them (n, 48, 128), in pairs: sound and odd, by one camera."""
        rng = np.random.default_rng((self.seed, number))
        pictures, wrong = np.empty((self.batch, *SHAPE, 3), np.uint8), np.zeros((self.batch, *SHAPE), np.uint8)
        least = max(LEAST, PLAIN * (1 - number / self.easy))
        for k in range(0, self.batch, 2):
            which = "else " if rng.random() < OTHERS else ""
            for _ in range(8):
                n = int(rng.integers(0, len(self.frames[f"{which}sound"])))
                sound, odd, wrong_ = (np.asarray(self.frames[which + name][n]) for name in ("sound", "odd", "wrong"))
                both, truth = _again(rng, [sound, odd], wrong_)
                plain(both[0], both[1], truth, least)
                if which or np.count_nonzero(truth == ON_TOOL) >= FEW:
                    break
            seen = another_camera(rng, np.vstack(both), wild=True)
            pictures[k : k + 2] = seen.reshape(2, *SHAPE, 3)
            wrong[k + 1] = truth
        return pictures, wrong


def _again(rng: np.random.Generator, both: list[Picture], truth: Picture) -> tuple[list[Picture], Picture]:
    """Close-ups as they would have been found another time: shifted by whole pixels, or turned and scaled; mirrored."""
    mirror = 1 - 2 * int(rng.integers(2))
    if rng.random() < 0.5:
        row, column = rng.integers(0, 2 * MARGIN + 1, 2) // 2 + MARGIN // 2
        window = (slice(row, row + SHAPE[0]), slice(column, column + SHAPE[1]))
        return [one[window][::mirror] for one in both], np.array(truth[window][::mirror])
    scale, angle, lean = np.exp(rng.normal(0, 0.1)), rng.normal(0, 0.05), rng.normal(0, 0.05)
    matrix = np.array([[np.cos(angle), lean - np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    middle = np.array(KEPT[::-1]) / 2 - 0.5
    shift = middle + rng.normal(0, 2, 2) - matrix @ (np.array(SHAPE[::-1]) / 2 - 0.5)
    matrix = np.hstack([matrix, shift[:, None]])
    how = cv2.WARP_INVERSE_MAP
    moved = [cv2.warpAffine(one, matrix, SHAPE[::-1], flags=how | cv2.INTER_LINEAR)[::mirror] for one in both]
    return moved, np.array(cv2.warpAffine(truth, matrix, SHAPE[::-1], flags=how | cv2.INTER_NEAREST)[::mirror])


def truths(wrong: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Planes (n, 48, 128) -> whether each cell (n, 6, 16) and each instrument (n,) is odd: 1, 0, or -1 (either)."""
    cells = oddness(wrong, ON_TOOL, STRIDE)
    many = np.count_nonzero(wrong == ON_TOOL, axis=(1, 2))
    some = (wrong == EITHER).any(axis=(1, 2))
    return cells, np.where(many >= FEW, 1, np.where(some | (many > 0), -1, 0)).astype(np.float32)
