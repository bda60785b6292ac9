"""The report's pictures."""

from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot

from reference.anomaly.data import CUT
from reference.anomaly.scripts import HELD_OUT
from reference.evaluation.procedures import Measured
from reference.evaluation.summary import BAR_IOU, BAR_SENSITIVITY

# Okabe and Ito's colours, which colour-blind people can tell apart; the baselines are grey.
COLOURS = {"anomaly": "#0072B2", "anomaly-int8": "#56B4E9", "colour": "#999999", "doubt": "#CCCCCC"}
NAMES = {
    "anomaly": "anomaly model",
    "anomaly-int8": "the same, int8",
    "colour": "pixel colours",
    "doubt": "doubt of the anatomy model",
}
CLASS_COLOURS = np.array(
    [
        (0, 0, 0),
        (200, 85, 61),
        (63, 191, 127),
        (233, 196, 106),
        (244, 166, 183),
        (150, 90, 160),
        (154, 209, 245),
        (47, 155, 255),
    ],
    np.uint8,
)


def _bars(axes: Any, values: list[tuple[float, float, float]], at: NDArray[Any], **style: Any) -> None:
    middle, low, high = np.array(values, float).T
    spread = np.maximum(np.stack([middle - low, high - middle]), 0)
    axes.bar(at, middle, yerr=spread, capsize=2, error_kw={"lw": 0.8}, **style)


def sensitivity(figures: dict[str, Any], path: Path) -> None:
    """By kind and method, with intervals."""
    methods = figures["faults"]
    kinds = list(methods["anomaly"]["kinds"])
    figure, axes = pyplot.subplots(figsize=(10, 4), layout="constrained")
    width = 0.8 / len(methods)
    for n, (method, row) in enumerate(methods.items()):
        at = np.arange(len(kinds)) + (n - (len(methods) - 1) / 2) * width
        label = f"{NAMES[method]}: {row['false_a_minute'][0]:.2f} false alerts a minute"
        _bars(
            axes, [row["kinds"][kind]["found"] for kind in kinds], at, width=width, color=COLOURS[method], label=label
        )
    axes.axhline(BAR_SENSITIVITY, color="#D55E00", lw=1, ls="--")
    axes.set_xticks(range(len(kinds)), [f"{kind}\n(held out)" if kind in HELD_OUT else kind for kind in kinds])
    axes.set_ylabel("found within 1 s of being visible")
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def overlap(figures: dict[str, Any], path: Path) -> None:
    """Intersection over union by class."""
    scores = figures["anatomy"]["iou"]
    figure, axes = pyplot.subplots(figsize=(8, 3.4), layout="constrained")
    _bars(axes, list(scores.values()), np.arange(len(scores)), color=["#0072B2"] * (len(scores) - 1) + ["#333333"])
    axes.axhline(BAR_IOU, color="#D55E00", lw=1, ls="--")
    axes.set_xticks(range(len(scores)), [name.replace(" ", "\n") for name in scores])
    axes.set_ylabel("intersection over union")
    axes.set_ylim(0, 1)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def reliability(figures: dict[str, Any], path: Path) -> None:
    """How often the anatomy model is right when it says that it is so sure."""
    figure, axes = pyplot.subplots(figsize=(4.4, 4.2), layout="constrained")
    axes.plot([0, 1], [0, 1], color="#999999", lw=1)
    for rows, name, colour in zip(
        figures["anatomy"]["bins"], ("ece", "ece_in_view"), ("#56B4E9", "#0072B2"), strict=True
    ):
        counted = np.array(rows)
        used = counted[:, 0] > 0.0005 * counted[:, 0].sum()
        number = counted[used, 0]
        label = f"{'all pixels' if name == 'ece' else 'pixels in view'}: ECE {figures['anatomy'][name][0]:.3f}"
        axes.plot(counted[used, 1] / number, counted[used, 2] / number, "o-", color=colour, ms=4, label=label)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    axes.legend(fontsize=8, frameon=False)
    axes.set_aspect("equal")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _write(path: Path, rows: list[list[NDArray[np.uint8]]]) -> None:
    sheet = np.vstack([np.hstack(row) for row in rows])
    cv2.imwrite(str(path), sheet[..., ::-1])


def sheet(pictures: list[NDArray[np.uint8]], path: Path, columns: int = 4) -> None:
    """Pictures of one size side by side."""
    full = pictures + [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    _write(path, [full[k : k + columns] for k in range(0, len(full), columns)])


def _mask(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(CLASS_COLOURS[classes], (320, 180), interpolation=cv2.INTER_NEAREST), np.uint8)


def worst_frames(measured: list[Measured], path: Path, count: int = 8) -> None:
    """The frames in which the anatomy model is right least: picture, answer, truth."""
    worst = sorted(measured, key=lambda one: one.worst[0])[:count]
    tiles = [np.hstack([one.worst[1], _mask(one.worst[2]), _mask(one.worst[3])]) for one in worst]
    _write(path, [tiles[k : k + 2] for k in range(0, len(tiles) - 1, 2)])


def _heat(picture: NDArray[np.uint8], maps: NDArray[np.float32], wrong: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Picture beside heat: red is the anomaly map, the white line the true defect."""
    chance = 1 / (1 + np.exp(-np.maximum(maps[0], maps[1])))
    size = (picture.shape[1], CUT.stop - CUT.start)
    chance = cv2.resize(chance.astype(np.float32), size)[..., None]
    hot = picture.copy()
    hot[CUT] = (picture[CUT] * (1 - 0.7 * chance) + np.array([255, 40, 40]) * 0.7 * chance).astype(np.uint8)
    outline = cv2.resize((wrong > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    lines, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(hot, [line + np.array([0, CUT.start]) for line in lines], -1, (255, 255, 255), 1)
    return np.hstack([picture, hot])


def heat_maps(measured: list[Measured], path: Path, missed: bool, count: int = 8) -> None:
    """Defects, one of each kind first: found ones, or missed ones."""
    left = [
        one
        for one in measured
        if one.shown is not None
        and one.outcomes["anomaly"].visible_at is not None
        and one.outcomes["anomaly"].found is not missed
    ]
    chosen: list[Measured] = []
    while left and len(chosen) < count:
        kinds = [one.kind for one in chosen]
        one = min(left, key=lambda one: kinds.count(one.kind))
        chosen.append(one)
        left.remove(one)
    tiles = []
    for one in chosen:
        tile = cv2.resize(_heat(*one.shown), (960, 270), interpolation=cv2.INTER_AREA)  # type: ignore[misc]
        cv2.putText(tile, f"{one.kind}", (6, 262), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(np.asarray(tile, np.uint8))
    if len(tiles) % 2:
        tiles.append(np.zeros_like(tiles[0]))
    if tiles:
        _write(path, [tiles[k : k + 2] for k in range(0, len(tiles), 2)])
