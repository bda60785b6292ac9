"""What the fusion models learn from: rendered procedures, each tenth of a second, as the device would have them.

    python -m reference.fusion.data --procedures 60 --out DIR

Of each moment: the picture around the tip by kinematics and around the tip that the anatomy model sees, what that model says
there, the window of poses with the errors of `reference.guidance`, and whether the true tip touches the gallbladder within
AHEAD_S.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from inframe.core.clock import MonotonicClock
from inframe.core.types import Masks
from inframe.pipeline.model import Model, load_of
from inframe.pipeline.project import rotate
from reference.data import MEAN, STD
from reference.fusion import AHEAD_S, PAST, RATE_HZ, WINDOW
from reference.fusion.model import cut, maps_of, motion, project, tip_seen
from reference.guidance import FPS, FX, HEIGHT, NOISE_MM, SHIFT_MM, TURN_DEG, WIDTH, at_work, device, tip_mm
from reference.scene.classes import GALLBLADDER
from reference.scene.procedure import Procedure

FIRST_SEED = 900_000
SIZE = (180, 320)
STEP = 3  # frames from one moment to the next: a tenth of a second
SECONDS = 15.0


def touched(scene: Procedure, t: float) -> bool | None:
    """Whether the true tip is on the gallbladder; None: out of the picture."""
    x, y, z = tip_mm(scene, 0, t)
    column, row = (FX * x / z / WIDTH + 0.5) * SIZE[1], (FX * y / z / HEIGHT + 0.5) * SIZE[0]
    if not (0 <= column < SIZE[1] and 0 <= row < SIZE[0]):
        return None
    return bool(scene.tissue(round(t * FPS))[int(row), int(column)] == GALLBLADDER)


def poses(scene: Procedure, t: float, rng: np.random.Generator, turn: Any, shift: Any) -> list[list[float]]:
    """The window that the device has at a frame: the newest one is up to 12 ms old."""
    newest = t - float(rng.uniform(0, 0.012))
    at = [tip_mm(scene, 0, newest - k / RATE_HZ) for k in range(WINDOW - 1, -1, -1)]
    return [(np.array(rotate(turn, one)) + shift + rng.normal(0, NOISE_MM, 3)).tolist() for one in at]


def handeye(rng: np.random.Generator) -> tuple[Any, Any]:
    """How far the calibration is off."""
    axis, half = rng.normal(size=3), np.radians(TURN_DEG) / 2
    axis *= np.sin(half) / np.linalg.norm(axis)
    return (*map(float, axis), float(np.cos(half))), rng.normal(0, SHIFT_MM, 3)


def moments(seed: int, model: Model) -> dict[str, Any] | None:
    """All of one procedure; None where there is no gallbladder."""
    scene = at_work(seed, SECONDS, SIZE)
    if scene is None:
        return None
    rng, clock = np.random.default_rng(seed), MonotonicClock()
    turn, shift = handeye(rng)
    on = [touched(scene, i / FPS) for i in range(int(SECONDS * FPS) + int(AHEAD_S * FPS) + 1)]
    rows: dict[str, list[Any]] = {
        key: [] for key in ("part", "maps", "pose", "seen_part", "seen_maps", "seen", "on", "will")
    }
    past = torch.zeros(1, PAST, 2)
    for i in range(0, int(SECONDS * FPS), STEP):
        if on[i] is None:
            continue
        pixels = cv2.resize(scene.frame(i)[0], (WIDTH, HEIGHT))
        output, _ = model.run(np.ascontiguousarray(pixels), clock)
        if not isinstance(output, Masks):
            continue
        small = cv2.resize(pixels, (320, 192)).astype(np.float32) / 255
        image = torch.from_numpy(((small - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)[None])
        classes, pose = (
            torch.from_numpy(output.classes.copy())[None],
            torch.tensor([poses(scene, i / FPS, rng, turn, shift)]),
        )
        at, _ = motion(project(pose))
        seen = tip_seen(classes, past[:, -1])
        past = torch.cat([past[:, 1:], seen[:, None]], 1)
        for key, place in (("", at), ("seen_", seen)):
            rows[f"{key}part"].append((cut(image, place)[0] * 32).round().clamp(-127, 127).to(torch.int8).numpy())
            rows[f"{key}maps"].append((cut(maps_of(classes), place)[0] * 127).round().to(torch.int8).numpy())
        rows["pose"].append(pose[0].numpy())
        rows["seen"].append(torch.cat([seen, past[:, -2]], 1)[0].numpy())  # now, and a tenth of a second ago
        rows["on"].append(on[i])
        rows["will"].append(any(one is True for one in on[i : i + int(AHEAD_S * FPS) + 1]))
    return {key: np.array(value) for key, value in rows.items()}


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--procedures", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    model = load_of(device(), "anatomy")
    seed, done = FIRST_SEED, 0
    while done < chosen.procedures:
        seed += 1
        file = chosen.out / f"{seed}.npz"
        found = moments(seed, model) if not file.exists() else {}
        if found:
            np.savez(file, **found)
            print(
                f"{seed}: {len(found['on'])} moments, {found['on'].mean():.2f} on it, {found['will'].mean():.2f} soon",
                flush=True,
            )
        done += found is not None
    model.close()


if __name__ == "__main__":
    main()
