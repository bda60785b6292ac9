"""Renders the demo procedure and what is true of it: ``python -m reference.render [--out DIR]``."""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.channels import SIZE as ANOMALY_SIZE
from reference.anomaly.channels import STRIDE
from reference.anomaly.pairs import Scene
from reference.anomaly.parts import DIRTY
from reference.anomaly.watch import EVERY
from reference.scene import CLASSES
from reference.scene.litter import FOREIGN
from reference.scene.procedure import WRONG, Truth
from reference.scene.script import HAZE, Script, Spell, Use

SEED = 9066
SIZE, FPS = (720, 1280), 30
TRUTH_SIZE = (96, 160)  # what the anatomy model answers in
CELLS = (ANOMALY_SIZE[0] // STRIDE, ANOMALY_SIZE[1] // STRIDE)  # what the anomaly model answers in
TOUCHED = 0.16  # share of a cell that a defect must cover to be true of it
# Ways to go: (time, x, y). Both come near the gallbladder for a while, and go away again.
_HOOK = ((4.5, 0.46, 0.20), (7.0, 0.10, 0.10), (8.5, 0.08, 0.12), (10.0, 0.30, 0.30))
_GRASPER = ((20.5, 0.52, -0.10), (22.5, 0.24, -0.08), (23.5, 0.24, -0.08), (25.0, 0.50, -0.15))
DEMO = Script(
    uses=(
        Use("hook", 1.5, 14.0, 0.35, (0, 0), 0.015, 0.045, "missing insulation", stops=_HOOK),
        Use("scissors", 8.0, 15.5, 2.7, (0.42, 0.24), 0.03, 0.04),
        Use("grasper", 17.5, 28.5, -0.5, (0, 0), 0.02, 0.048, "bent jaw", stops=_GRASPER),
    ),
    spells=(Spell("smoke", 9.5, 13.0, 0.65), Spell("smear", 23.5, 27.5, 0.8)),
    sway=0.035,
    breath=0.02,
    gallbladder=True,
    seconds=30.0,
)


@cache
def _demo() -> Scene:
    cv2.setNumThreads(1)
    return Scene(SEED, DEMO, SIZE, FPS)


def _cells(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(720, 1280) -> (44, 80): the mean of each cell of the anomaly model, which sees all but the outermost rows."""
    side = 2 * STRIDE
    edge = (SIZE[0] - side * CELLS[0]) // 2
    inner = plane[edge : SIZE[0] - edge].reshape(CELLS[0], side, CELLS[1], side)
    return np.asarray(inner.mean(axis=(1, 3), dtype=np.float32))


def _anomalies(wrong: NDArray[np.uint8], haze: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What an anomaly model that is never wrong would answer: 0, or 1 + the index of its channel."""
    foreign = np.isin(wrong, [1 + WRONG.index(kind) for kind in FOREIGN])
    labels = np.where(_cells(haze) > DIRTY, np.uint8(3), np.uint8(0))
    labels[_cells(foreign.astype(np.float32)) > TOUCHED] = 2
    labels[_cells(((wrong > 0) & ~foreign).astype(np.float32)) > TOUCHED] = 1
    return labels


def _frame(i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], Truth]:
    picture, mask, truth = _demo().frame(i)
    anomalies = _anomalies(truth.pop("wrong"), _demo().haze(truth))
    return picture, cv2.resize(mask, TRUTH_SIZE[::-1], interpolation=cv2.INTER_NEAREST), anomalies, truth


def _notes(truths: list[Truth], key: str) -> NDArray[np.float32]:
    """(n, 4): frame, index of the kind in the JSON's ``kinds``, x, y."""
    rows = [
        (i, KINDS.index(note["kind"]), note["x"], note["y"]) for i, truth in enumerate(truths) for note in truth[key]
    ]
    return np.array(rows, np.float32).reshape(-1, 4)


KINDS = sorted(
    {use.kind for use in DEMO.uses} | {use.defect for use in DEMO.uses if use.defect} | {o[0] for o in DEMO.objects}
)


def render(folder: Path, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = int(DEMO.seconds * FPS)
    video = folder / "procedure.part"
    anatomy, anomaly = np.empty((count, *TRUTH_SIZE), np.uint8), np.empty((count, *CELLS), np.uint8)
    truths = []
    with av.open(str(video), "w", format="mp4") as file, ProcessPoolExecutor(workers) as pool:
        stream = file.add_stream(
            "libx264", rate=FPS, options={"crf": "23", "preset": "slow", "maxrate": "3M", "bufsize": "6M"}
        )
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for i, (picture, anatomy[i], anomaly[i], truth) in enumerate(pool.map(_frame, range(count), chunksize=4)):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            truths.append(truth)
            if i % 30 == 0:
                print(f"\r{i}/{count} frames", end="", flush=True)
        file.mux(stream.encode())
    print()
    haze = np.array([[truth[kind] for kind in HAZE] for truth in truths], np.float32)
    with (folder / "truth.part").open("wb") as truth_file:
        np.savez_compressed(
            truth_file,
            anatomy=anatomy,
            anomaly=anomaly[::EVERY],
            tips=_notes(truths, "tips"),
            defects=_notes(truths, "defects"),
            haze=haze,
            kinds=np.array(KINDS),
        )
    about = {"seed": SEED, "fps": FPS, "frames": count, "classes": CLASSES, "kinds": KINDS, "script": asdict(DEMO)}
    (folder / "procedure.json").write_text(json.dumps(about, indent=1) + "\n")
    (folder / "truth.part").replace(folder / "procedure.npz")
    video.replace(folder / "procedure.mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("src/inframe/reference_device"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    render(options.out, options.workers)


if __name__ == "__main__":
    main()
