"""Labelled procedures for `inframe revalidate`: ``python -m reference.cases --out DIR``.

Each case is one simulated procedure: lossless pictures, the classes of every pixel in each fifth frame, and the findings that the
reference device's own rules make of the truth. For demonstration and test only.
"""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.yamlfile import read_device
from inframe.reference_device import device_file, truth_file
from inframe.resolve import resolve
from inframe.revalidation.cases import write_manifest
from inframe.truth import true_spans
from reference.data import Progress
from reference.scene import CLASSES, Procedure
from reference.scene.script import HAZE

FPS = 30
EVERY = 5  # frames with a mask
MASK = (180, 320)
UNSEEN = 900_000  # seeds from here on were used for nothing else


@dataclass(frozen=True)
class Wanted:
    """One procedure to be rendered."""

    seed: int
    seconds: float
    height: int
    folder: Path


def _write(
    folder: Path, size: tuple[int, int], masks: NDArray[np.uint8], attributes: dict[str, str], video: str
) -> None:
    """case.json and the masks, beside the video. `masks`: of every frame, (n, h, w)."""
    small = np.stack([cv2.resize(one, MASK[::-1], interpolation=cv2.INTER_NEAREST) for one in masks[::EVERY]])
    np.savez_compressed(folder / "anatomy.npz", masks=small)
    path = device_file()
    device = resolve(read_device(path), path)
    with tempfile.NamedTemporaryFile(suffix=".npz") as truth:
        np.savez(truth, anatomy=masks)
        truth.flush()
        spans = true_spans(device, Path(truth.name), len(masks))
    findings = [
        {"rule": rule, "first": max(1, round(began * FPS)), "last": round(ended * FPS)}
        for rule, some in sorted(spans.items())
        for began, ended in some
    ]
    case: dict[str, Any] = {
        "format": 1,
        "pictures": video,
        "stream": {"width": size[1], "height": size[0], "fps": FPS},
        "frames": len(masks),
        "masks": {"anatomy": {"file": "anatomy.npz", "labels": list(CLASSES), "every": EVERY}},
        "findings": findings,
        "judged": sorted(device.rules),
        "attributes": attributes,
    }
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def render(wanted: Wanted) -> str:
    """One case; its name."""
    cv2.setNumThreads(1)
    size = (wanted.height, wanted.height * 16 // 9)
    procedure, count = Procedure(wanted.seed, size, FPS), int(wanted.seconds * FPS)
    folder = wanted.folder / f"sim-{wanted.seed}"
    folder.mkdir(parents=True)
    masks, haze = np.empty((count, *size), np.uint8), 0.0
    with av.open(str(folder / "pictures.mkv"), "w") as file:
        stream = file.add_stream("libx264rgb", rate=FPS, options={"qp": "0", "preset": "veryfast", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *size, "rgb24"
        for i in range(count):
            picture, masks[i], truth = procedure.frame(i)
            haze = max(haze, *(truth[kind] for kind in HAZE))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    tools = len({use.kind for use in procedure.script.uses if use.enters < wanted.seconds and use.leaves > 0})
    attributes = {"site": "simulator", "view": "hazy" if haze > 0.3 else "clear", "instruments": str(min(tools, 2))}
    _write(folder, size, masks, attributes, "pictures.mkv")
    return folder.name


def shipped(folder: Path) -> None:
    """The demo's procedure, as a case."""
    target = folder / "demo"
    target.mkdir(parents=True)
    video = truth_file().with_name("procedure.mp4")
    (target / video.name).write_bytes(video.read_bytes())
    with np.load(truth_file(), allow_pickle=False) as truth:
        masks = truth["anatomy"]
    _write(target, (720, 1280), masks, {"site": "demo", "view": "clear", "instruments": "2"}, video.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--name", default="simulated cases")
    parser.add_argument("--procedures", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--height", type=int, default=180, help="of the pictures; their width is 16/9 of it")
    parser.add_argument("--first", type=int, default=UNSEEN, help="the first procedure's seed")
    parser.add_argument("--locked", action="store_true", help="to be looked at under a lock only")
    parser.add_argument("--shipped", action="store_true", help="the demo's procedure, too")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    wanted = [
        Wanted(options.first + k, options.seconds, options.height, options.out) for k in range(options.procedures)
    ]
    progress = Progress("rendering cases", len(wanted))
    with ProcessPoolExecutor(options.workers) as pool:
        for done, _ in enumerate(pool.map(render, wanted), 1):
            progress.at(done)
    if options.shipped:
        shipped(options.out)
    made = write_manifest(options.out, options.name, "locked" if options.locked else "development")
    print(f"{options.out}: {len(made.cases)} cases, sha256 {made.digest}")


if __name__ == "__main__":
    main()
