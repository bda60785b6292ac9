"""SIGNALS: what is measured of a picture and of a model's output: numbers, each on a fixed scale.

A picture is not looked at whole. Brightness, colour and the shape of the view are of each eighth pixel of each eighth row;
sharpness is of each sixteenth row, along which it is taken at full resolution. Time and memory for one picture are constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Boxes, Heat, Masks, Output, Pixels, Scores

STEP, ROW_STEP = 8, 16
LIT = 16
"""The brightest channel of a pixel within the view of a round lens is at least so high, 0..255."""
GLARE = 250
CELLS = 96 * 160
"""Of a larger mask or heat map each n-th row and column is looked at, so that no more than so many cells are."""


class Kind(Enum):
    """Who is to look when it drifts."""

    INSTRUMENT = "instrument"
    """How pictures are taken: camera, lens, light, and the air before them."""
    CASE = "case mix"
    """What is in the pictures, as the models and rules see it."""
    MODEL = "model"
    """How sure and how steady the models are."""
    MACHINE = "machine"
    """How long it takes. Not charted: a bundle can't know the machine."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One number: on which scale its histogram lies, and of which kind it is."""

    low: float
    high: float
    kind: Kind
    about: str


INSTRUMENT, CASE, MODEL, MACHINE = Kind

SIGNALS: dict[str, Signal] = {
    "luma": Signal(0, 255, INSTRUMENT, "mean brightness within the view (Rec. 601)"),
    "contrast": Signal(0, 128, INSTRUMENT, "its standard deviation"),
    "sharpness": Signal(0, 6, INSTRUMENT, "log2(1 + mean |second difference| of green along rows, two pixels apart)"),
    "saturation": Signal(0, 1, INSTRUMENT, "mean of 1 - min/max of the channels within the view"),
    "red": Signal(0, 1, INSTRUMENT, "red as a share of red + green + blue, within the view"),
    "blue": Signal(0, 1, INSTRUMENT, "the same of blue"),
    "glare": Signal(0, 1, INSTRUMENT, "share of the view with a channel at 250 or more"),
    "view": Signal(0, 1, INSTRUMENT, "share of the picture that is lit: the round view"),
    "view_x": Signal(0, 1, INSTRUMENT, "its middle, as a share of the width"),
    "view_y": Signal(0, 1, INSTRUMENT, "its middle, as a share of the height"),
    "change": Signal(0, 64, INSTRUMENT, "mean difference from the picture looked at before, grey levels"),
    "latency": Signal(0, 250, MACHINE, "capture to screen, ms"),
    "withheld": Signal(0, 1, MACHINE, "share of frames without an overlay"),
    "finding": Signal(0, 1, CASE, "of a rule: share of frames with its finding"),
    "missed": Signal(0, 1, MACHINE, "of a model: share of the frames that it should have spoken of, and did not in time"),
    "time": Signal(0, 250, MACHINE, "of a model: how long a run took, ms"),
    "empty": Signal(0, 1, MODEL, "of a model: share of outputs with nothing but background, no box, or nothing above the middle"),
    "steady": Signal(0, 1, MODEL, "of a model: overlap with its output before (IoU of what is not background; boxes: of the best)"),
    "area": Signal(0, 1, CASE, "segmentation, of a label: share of the cells; detection: of the picture"),
    "parts": Signal(-32, 96, CASE, "segmentation: connected parts less holes (Euler number), all labels but the first"),
    "edge": Signal(0, 0.5, MODEL, "segmentation: share of neighbours whose labels differ; heat: mean step between neighbours"),
    "count": Signal(0, 64, CASE, "detection: boxes"),
    "confidence": Signal(0, 1, MODEL, "detection: mean score; classification: the best one; heat: its score"),
    "entropy": Signal(0, 1, MODEL, "of the scores, as a share of its greatest possible value"),
    "top": Signal(0, 1, CASE, "classification, of a label: how often it is the best"),
}  # fmt: skip
"""By what a signal's full name says: `luma`, `anatomy.area.liver` (model, signal, label), `finding:RULE`."""

Values = dict[str, float]
_Plane = NDArray[np.float32]


def signal_of(name: str) -> Signal:
    """The row of a signal's full name. Raises KeyError."""
    parts = name.split(".", 2)
    return SIGNALS[parts[1] if len(parts) > 1 else name.partition(":")[0]]


def names_of(models: Mapping[str, tuple[str, tuple[str, ...]]], rules: tuple[str, ...]) -> tuple[str, ...]:
    """All signals of a device. `models`: name -> kind of output (as the device file names it) and labels."""
    names = [*(name for name in SIGNALS if SIGNALS[name].kind is INSTRUMENT), "latency", "withheld"]
    for model, (kind, labels) in models.items():
        names += [f"{model}.{one}" for one in ("missed", "time", "empty", "steady", *_OF[kind])]
        if kind in _OF_LABELS:
            names += [f"{model}.{_OF_LABELS[kind]}.{label}" for label in labels]
    return (*names, *(f"finding:{rule}" for rule in rules))


_OF = {
    "segmentation": ("parts", "edge"),
    "detection": ("count", "confidence", "entropy", "area"),
    "classification": ("confidence", "entropy"),
    "heat": ("confidence", "entropy", "edge"),
}
_OF_LABELS = {"segmentation": "area", "classification": "top"}


# --- pictures --------------------------------------------------------------------------------------------------------


class Look:
    """Measures one picture after the other of a stream."""

    def __init__(self) -> None:
        self._before: _Plane | None = None

    def picture(self, pixels: Pixels) -> Values:
        """(height, width, 3) uint8 RGB; it may be overwritten afterwards. A picture with nothing lit has no colours."""
        red, green, blue = (pixels[::STEP, ::STEP, i].astype(np.float32) for i in range(3))
        lines = pixels[ROW_STEP // 2 :: ROW_STEP, :, 1].astype(np.int16)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        most = np.maximum(np.maximum(red, green), blue)  # plane by plane: five times as fast as along the last axis
        lit = most >= LIT
        share = float(np.count_nonzero(lit)) / lit.size
        bent = np.abs(2 * lines[:, 2:-2] - lines[:, :-4] - lines[:, 4:])
        found = {
            "luma": float(luma.mean()),
            "contrast": 0.0,
            "sharpness": float(np.log2(1.0 + bent.mean(dtype=np.float64))),
            "view": share,
        }
        if share:
            least = np.minimum(np.minimum(red, green), blue)
            found |= _within(red[lit], blue[lit], (red + green + blue)[lit], most[lit], least[lit])
            bright = luma[lit]
            found |= {"luma": float(bright.mean()), "contrast": float(bright.std())} | _middle(lit)
        if self._before is not None and self._before.shape == luma.shape:
            found["change"] = float(np.abs(luma - self._before).mean())
        self._before = luma
        return found


def _within(red: _Plane, blue: _Plane, total: _Plane, most: _Plane, least: _Plane) -> Values:
    """The colours of the pixels within the view, (n,) each."""
    return {
        "saturation": float(1.0 - (least / most).mean()),
        "red": float((red / total).mean()),
        "blue": float((blue / total).mean()),
        "glare": float(np.count_nonzero(most >= GLARE) / len(most)),
    }


def _middle(lit: NDArray[np.bool_]) -> Values:
    """The middle of the view."""
    rows, columns = lit.sum(axis=1), lit.sum(axis=0)
    return {
        "view_x": float(columns @ (np.arange(len(columns)) + 0.5) / columns.sum() / len(columns)),
        "view_y": float(rows @ (np.arange(len(rows)) + 0.5) / rows.sum() / len(rows)),
    }


# --- outputs ---------------------------------------------------------------------------------------------------------


class Listen:
    """Measures one output after the other of a model with these labels."""

    def __init__(self, model: str, labels: tuple[str, ...], full_scale: float = 1.0) -> None:
        self._model, self.labels, self._full_scale = model, labels, full_scale
        self._before: Output | None = None

    def output(self, output: Output) -> Values:
        """All that can be measured of it, by full name."""
        before, self._before = self._before, output
        match output:
            case Masks():
                found = self._masks(output, before if isinstance(before, Masks) else None)
            case Boxes():
                found = _boxes(output, before if isinstance(before, Boxes) else None)
            case Scores():
                found = self._scores(output, before if isinstance(before, Scores) else None)
            case Heat():
                found = self._heat(output, before if isinstance(before, Heat) else None)
        return {f"{self._model}.{name}": value for name, value in found.items()}

    def _masks(self, output: Masks, before: Masks | None) -> Values:
        cells = _thinned(output.classes)
        count = len(self.labels)
        shares = np.bincount(cells.ravel(), minlength=count)[:count] / cells.size
        across, down = cells[:, :-1] == cells[:, 1:], cells[:-1] == cells[1:]
        square = across[:-1] & across[1:] & down[:, :-1]
        front = cells > 0
        # of 4-connected cells: parts less holes = cells - equal neighbours + equal squares
        pairs = np.count_nonzero(across & front[:, 1:]) + np.count_nonzero(down & front[1:])
        euler = np.count_nonzero(front) - pairs + np.count_nonzero(square & front[1:, 1:])
        differ = across.size + down.size - np.count_nonzero(across) - np.count_nonzero(down)
        found = {f"area.{label}": float(share) for label, share in zip(self.labels, shares, strict=True)}
        found |= {"parts": float(euler), "edge": differ / max(1, across.size + down.size)}
        found["empty"] = float(not front.any())
        if before is not None and before.classes.shape == output.classes.shape:
            was = _thinned(before.classes)
            either = np.count_nonzero(front | (was > 0))
            found["steady"] = float(np.count_nonzero(front & (cells == was)) / either) if either else 1.0
        return found

    def _scores(self, output: Scores, before: Scores | None) -> Values:
        scores = np.clip(output.scores.astype(np.float64), 0.0, 1.0)
        best = int(scores.argmax())
        found = {f"top.{label}": float(i == best) for i, label in enumerate(self.labels[: len(scores)])}
        found |= {"confidence": float(scores[best]), "entropy": _entropy(scores / max(scores.sum(), 1e-12))}
        found["empty"] = float(scores[best] < 0.5)
        if before is not None:
            found["steady"] = float(int(before.scores.argmax()) == best)
        return found

    def _heat(self, output: Heat, before: Heat | None) -> Values:
        heat = np.clip(_thinned(output.heat) / self._full_scale, 0.0, 1.0)
        steps = np.abs(np.diff(heat, axis=0)).mean() if heat.shape[0] > 1 else 0.0
        found = {
            "confidence": min(1.0, max(0.0, output.score / self._full_scale)),
            "entropy": float(_binary(heat).mean()),
            "edge": float(steps),
            "empty": float(not (heat > 0.5).any()),
        }
        if before is not None and before.heat.shape == output.heat.shape:
            was, now = _thinned(before.heat) > 0.5 * self._full_scale, heat > 0.5
            either = np.count_nonzero(now | was)
            found["steady"] = float(np.count_nonzero(now & was) / either) if either else 1.0
        return found


def _boxes(output: Boxes, before: Boxes | None) -> Values:
    found = {"count": float(len(output.boxes)), "empty": float(not len(output.boxes))}
    if len(output.boxes):
        scores = np.clip(output.scores.astype(np.float64), 0.0, 1.0)
        sides = np.clip(output.boxes[:, 2:] - output.boxes[:, :2], 0.0, 1.0)
        found |= {"confidence": float(scores.mean()), "entropy": float(_binary(scores).mean())}
        found["area"] = float(min(1.0, np.prod(sides, axis=1).sum()))
    if before is not None and len(output.boxes) and len(before.boxes):
        found["steady"] = _overlap(output.boxes[0], before.boxes[0])
    return found


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    both = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0, None)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both
    return min(1.0, max(0.0, both / union)) if union > 0 else 0.0


def _entropy(shares: NDArray[np.float64]) -> float:
    """Of shares that sum to 1, 0..1: 1 where all are equal."""
    if len(shares) < 2:
        return 0.0
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum() / np.log(len(shares)))


def _binary(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of each p in 0..1 the entropy of yes or no, 0..1."""
    q = np.clip(np.asarray(p, np.float64), 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log2(q) + (1 - q) * np.log2(1 - q)))


def _thinned(cells: NDArray[np.generic]) -> NDArray:  # type: ignore[type-arg]  # of the kind that it is given
    """Each n-th row and column, so that there are at most CELLS."""
    step = int(np.ceil(np.sqrt(cells.size / CELLS)))
    return cells[::step, ::step] if step > 1 else cells
