"""Frames of a video with what a model makes of them, as one picture: ``python -m reference.look MODEL VIDEO --out PNG``.

For judging by eye. A sheet of someone else's video belongs to its owner: it is no part of this project.
"""

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from reference.data import INPUT
from reference.quantise import open_model
from reference.scene import CLASSES

TILE = (480, 270)  # width, height
COLOURS = np.array(
    [
        (0, 0, 0),
        (200, 85, 61),
        (63, 191, 127),
        (233, 196, 106),
        (244, 130, 190),
        (150, 150, 150),
        (120, 200, 255),
        (20, 90, 255),
    ],
    np.uint8,
)


def frames(video: Path, count: int) -> list[tuple[int, NDArray[np.uint8]]]:
    """``count`` frames sampled evenly from a video, each with its number: RGB uint8 (h, w, 3)."""
    with av.open(str(video)) as file:
        total = sum(1 for _ in file.decode(video=0))
    wanted = set(np.linspace(0, total - 1, min(count, total)).astype(int).tolist())
    with av.open(str(video)) as file:
        return [(k, frame.to_ndarray(format="rgb24")) for k, frame in enumerate(file.decode(video=0)) if k in wanted]


def tile(number: int, picture: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The plain frame, and the same with each class tinted and outlined, side by side."""
    small = cv2.resize(picture, TILE, interpolation=cv2.INTER_AREA)
    large = cv2.resize(classes, TILE, interpolation=cv2.INTER_NEAREST)
    paint = COLOURS[large]
    shown = np.where((large > 0)[..., None], cv2.addWeighted(small, 0.55, paint, 0.45, 0), small)
    edge = cv2.morphologyEx(large, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    shown[edge] = paint[edge]
    cv2.putText(small, str(number), (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.hstack([small, shown]).astype(np.uint8)


def legend(width: int) -> NDArray[np.uint8]:
    strip = np.zeros((30, width, 3), np.uint8)
    for k, name in enumerate(CLASSES):
        colour = COLOURS[k].tolist() if k else (255, 255, 255)
        cv2.putText(strip, name, (10 + 170 * k, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return strip


def sheet(model: Path, video: Path, count: int, columns: int) -> NDArray[np.uint8]:
    infer = open_model(model)
    tiles = []
    for number, picture in frames(video, count):
        logits = infer(cv2.resize(picture, INPUT[::-1]))
        tiles.append(tile(number, picture, logits[0].argmax(axis=0).astype(np.uint8)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    return np.vstack([legend(rows[0].shape[1]), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the picture, a PNG file")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--columns", type=int, default=2)
    options = parser.parse_args()
    picture = sheet(options.model, options.video, options.frames, options.columns)
    cv2.imwrite(str(options.out), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
