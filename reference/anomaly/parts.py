"""What the first network learns from: parts of frames and their corrupted twins."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import STRIDE
from reference.anomaly.closeup import Places
from reference.anomaly.data import CUT, Frames, Picture, Planes, another_camera, cells, oddness, plain
from reference.anomaly.pairs import ON_TISSUE, RENDER, Pair, Scene
from reference.anomaly.scripts import sound
from reference.scene.classes import SHAFT, TIP

SIDE, CROP, SMALL = 176, 160, 96  # pixels: of what is kept, and of what is seen of it, at last and at first
FRAMES, EACH, SOME = 4, 4, 4  # frames of a procedure, parts of a frame, instruments in a part
PLAIN = 70  # pixels, of half the size, that make a thing plain to see
DIRTY, CLEAN = 0.35, 0.12  # of the haze on the lens: more is dirty, less is clean, between is for neither
PLANES: Planes = {
    "sound": (FRAMES * EACH, (SIDE, SIDE, 3), np.uint8),
    "odd": (FRAMES * EACH, (SIDE, SIDE, 3), np.uint8),
    "truth": (FRAMES * EACH, (SIDE // 2, SIDE // 2, 2), np.uint8),
    "places": (FRAMES * EACH, (SOME, 5), np.float32),
}


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
    odd = pair.wrong == ON_TISSUE
    wishes = [odd, odd, pair.label == TIP, tool]
    found = [middle for one in wishes if (middle := _centre(rng, one)) is not None]
    for k in range(EACH):
        row, column = found[k] if k < len(found) else rng.integers(0, RENDER)
        row, column = row + rng.normal(0, 30) - SIDE / 2, column + rng.normal(0, 30) - SIDE / 2
        yield int(np.clip(row, CUT.start, CUT.stop - SIDE)), int(np.clip(column, 0, RENDER[1] - SIDE))


def _kept(places: Places, row: int, column: int) -> Places:
    """(SOME, 5): those in a part, in its own pixels; not a number where there is none."""
    moved = places - np.array([column, row, 0, 0, 0], np.float32)
    inside = (moved[:, :2] > 0).all(axis=1) & (moved[:, :2] < SIDE).all(axis=1)
    rows = np.full((SOME, 5), np.nan, np.float32)
    some = moved[inside][:SOME]
    rows[: len(some)] = some
    return rows


def render(seed: int) -> Frames:
    """FRAMES x EACH parts of one procedure, each of PLANES. ``truth``: wrong, haze at half the size; ``places``: see ``_kept``."""
    rng = np.random.default_rng((seed, 3))
    made: Frames = {name: np.zeros((count, *size), kind) for name, (count, size, kind) in PLANES.items()}
    scene = Scene(seed, sound(seed))
    for n in range(FRAMES):
        moment = int(rng.integers(0, 600))
        scene.equip(rng, moment / scene.fps)
        pair = scene.pair(moment, rng)
        truth = np.dstack([pair.wrong, pair.haze])
        for k, (row, column) in enumerate(parts(rng, pair), n * EACH):
            window = (slice(row, row + SIDE), slice(column, column + SIDE))
            made["sound"][k], made["odd"][k] = pair.sound[window], pair.odd[window]
            made["truth"][k] = truth[window][::2, ::2]
            made["places"][k] = _kept(pair.places, row, column)
    return made


def truths(planes: Picture) -> NDArray[np.float32]:
    """Planes (n, 80, 80, 2) of wrong, haze -> of each cell whether there is something foreign, and haze on the lens
    (n, 2, 20, 20): 0, 1, or -1 (either)."""
    step = STRIDE // 2
    haze = cells(planes[..., 1].astype(np.float32) / np.float32(255), step)
    lens = np.where(haze > DIRTY, 1, np.where(haze > CLEAN, -1, 0)).astype(np.float32)
    return np.stack([oddness(planes[..., 0], ON_TISSUE, step), lens], axis=1)


@dataclass(frozen=True)
class Batches:
    """Endless batches; each is a function of the seed and its number alone. In the first ``easy`` of them what is wrong is plain
    to see, at first very much so; in the first ``small`` pictures are small, and as many more."""

    frames: Frames
    batch: int
    seed: int
    easy: int
    small: int

    def _pick(self, rng: np.random.Generator, crop: int, least: float) -> tuple[list[Picture], Picture, Places]:
        """A sound picture, its twin, what is true of that, hinges: parts of a part, most often about something wrong."""
        foreign = rng.random() < 0.6
        for _ in range(6):
            n = int(rng.integers(0, len(self.frames["sound"])))
            both = [np.asarray(self.frames[name][n]) for name in ("sound", "odd")]
            truth = np.array(self.frames["truth"][n])
            small = [np.ascontiguousarray(one[::2, ::2]) for one in both]
            plain(small[0], small[1], truth[..., 0], least)
            rows, columns = np.nonzero(truth[..., 0] == ON_TISSUE)
            if len(rows) or not foreign:
                break
        at = rng.integers(0, (SIDE - crop) // 2 + 1, 2)
        if len(rows):
            k = rng.integers(len(rows))
            middle = np.array([rows[k], columns[k]]) + rng.uniform(-0.25, 0.25, 2) * crop / 2
            at = np.clip(middle - crop / 4, 0, (SIDE - crop) // 2).astype(np.int64)
        y, x = int(at[0]), int(at[1])
        both = [one[2 * y : 2 * y + crop, 2 * x : 2 * x + crop] for one in both]
        places = self.frames["places"][n] - np.array([2 * x, 2 * y, 0, 0, 0], np.float32)
        return both, truth[y : y + crop // 2, x : x + crop // 2], places

    def one(self, number: int) -> tuple[Picture, Picture, Places]:
        """Pictures (n, side, side, 3), planes of truth (n, side / 2, side / 2, 2) and hinges (n, 4, 5), in pairs: sound and odd,
        by one camera.

        What both show cannot be what is wrong. Small pictures first: all that they show is about it.
        """
        rng = np.random.default_rng((self.seed, number))
        side = SMALL if number < self.small else CROP
        count = self.batch * CROP**2 // side**2 // 2 * 2
        pictures = np.empty((count, side, side, 3), np.uint8)
        planes = np.empty((count, side // 2, side // 2, 2), np.uint8)
        places = np.empty((count, SOME, 5), np.float32)
        for k in range(0, count, 2):
            both, truth, at = self._pick(rng, side, PLAIN * (1 - number / self.easy))
            turns, mirror = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
            seen = another_camera(rng, np.vstack([np.rot90(one, turns)[:, ::mirror] for one in both]))
            pictures[k : k + 2] = seen.reshape(2, side, side, 3)
            planes[k + 1] = np.rot90(truth, turns)[:, ::mirror]
            planes[k] = planes[k + 1] * np.array([0, 1], np.uint8)
            places[k : k + 2] = turned(at, side, turns, mirror)
        return pictures, planes, places


def turned(places: Places, side: int, turns: int, mirror: int) -> Places:
    """Hinges in a square picture that was turned (numpy.rot90) and mirrored; what is outside becomes not a number."""
    x, y, a, b, half = places.T
    for _ in range(turns):
        x, y, a, b = y, side - x, b, -a
    if mirror < 0:
        x, a = side - x, -a
    rows = np.stack([x, y, a, b, half], axis=1)
    outside = ~((rows[:, :2] > 0) & (rows[:, :2] < side)).all(axis=1)
    rows[outside] = np.nan
    return np.asarray(rows, np.float32)
