"""A detection model's boxes beside the true ones of a frame -> counts.

Of each label, best score first, a box finds the true one that it overlaps most of those that no better one has found, if their
intersection is at least `iou` of their union; else it is false (Everingham et al. 2010, PASCAL VOC). Scores below the model's own
`confidence` are no boxes on the device, nor here. What Metrics Reloaded (2024) asks of a detector at its working point follows:
sensitivity, precision, and false boxes a frame.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inframe.core.config import ModelConfig
from inframe.core.errors import ConfigError
from inframe.core.part import Part
from inframe.core.types import Boxes
from inframe.core.yamlfile import parse_json
from inframe.revalidation.cases import CaseStream, LabelBoxes, read_json
from inframe.revalidation.tally import Boxed

Corners = NDArray[np.float64]
"""(n, 4) x0, y0, x1, y1, fractions of the frame."""


class TrueBox(Part):
    """Something that is there."""

    label: str
    box: Annotated[tuple[float, float, float, float], Field(description="x0, y0, x1, y1, pixels of the picture")]

    @model_validator(mode="after")
    def _extended(self) -> Self:
        x0, y0, x1, y1 = self.box
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"box: found {list(self.box)}, expected x0 < x1 and y0 < y1")
        return self


class TrueBoxes(Part):
    """The file of a case: of each frame that has them, in order, all that is there."""

    frames: tuple[tuple[TrueBox, ...], ...]


@dataclass
class BoxScores:
    """What is said of one model in one case."""

    name: str
    config: ModelConfig
    stream: CaseStream
    truth: TrueBoxes
    labels: LabelBoxes
    iou: float
    counts: dict[str, Boxed] = field(default_factory=dict)
    labelled: int = 0

    def add(self, seq: int, answer: Boxes | None) -> None:
        """Count a frame, if it has true boxes; None: the model had no answer, which finds nothing."""
        nth, off = divmod(seq - 1, self.labels.every)
        if off or nth >= len(self.truth.frames):
            return
        self.labelled += 1
        size = (self.stream.width, self.stream.height) * 2
        for k, label in enumerate(self.config.labels):
            if label not in self.labels.labels:
                continue
            true = np.array([one.box for one in self.truth.frames[nth] if one.label == label], np.float64).reshape(
                -1, 4
            )
            said = answer.boxes[answer.classes == k] if answer is not None else np.zeros((0, 4))
            hits = found(said.astype(np.float64), true / size, self.iou)
            before = self.counts.get(f"{self.name}/{label}", Boxed())
            self.counts[f"{self.name}/{label}"] = before.plus(
                Boxed(frames=1, true=len(true), found=hits, said=len(said))
            )


def found(said: Corners, true: Corners, iou: float) -> int:
    """How many of the true boxes are found; `said`: best score first."""
    overlap = _overlaps(said, true)
    hits = 0
    for row in overlap:
        if row.size and row.max() >= iou:
            overlap[:, int(row.argmax())] = -1.0
            hits += 1
    return hits


def _overlaps(a: Corners, b: Corners) -> NDArray[np.float64]:
    """(n, m): intersection over union."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(one[:, 2:] - one[:, :2], 0), axis=-1) for one in (a, b)]
    either = areas[0][:, None] + areas[1][None] - both
    return np.where(either > 0, both / np.where(either > 0, either, 1), 0.0)


def boxes_of(where: Path, stream: CaseStream, frames: int, labels: LabelBoxes) -> TrueBoxes:
    """The file of a case. Raises ConfigError for one that does not fit it."""
    truth = parse_json(read_json(where), where, TrueBoxes, "true boxes")
    if len(truth.frames) > (frames - 1) // labels.every + 1:
        raise ConfigError(where, "frames", len(truth.frames), f"{(frames - 1) // labels.every + 1}, or less")
    for i, frame in enumerate(truth.frames):
        for k, one in enumerate(frame):
            if one.label not in labels.labels:
                raise ConfigError(
                    where, f"frames.{i}.{k}.label", one.label, f"one of the case's: {', '.join(labels.labels)}"
                )
            if min(one.box) < 0 or one.box[2] > stream.width or one.box[3] > stream.height:
                raise ConfigError(where, f"frames.{i}.{k}.box", list(one.box), "a box within the picture")
    return truth
