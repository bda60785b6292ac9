"""Acceptance: what a model makes of the locked cases of this device, in the numbers that its bundle promises.

A folder of locked cases holds one file for each: NAME.npz with

    frames      (n, h, w, 3) uint8 RGB: a piece of video, in order, of the size of the model's stream
    MODEL       the truth for the model of that name:
                segmentation: (n, h', w') uint8, the label's index of every cell of what the model sees (after `fit`)
                classification: (n,) the label's index;  heat: (n,) 0 or 1, whether there was something to find

and nothing else. Its digest is the SHA-256 of what `LC_ALL=C sha256sum *.npz` prints in that folder.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from inframe.core.errors import ConfigError
from inframe.core.types import Heat, Masks, Output, Pixels, Scores

SUFFIX = ".npz"
FIELD = "update.cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One locked case."""

    name: str
    frames: NDArray[np.uint8]
    truths: Mapping[str, NDArray[np.generic]]
    """By model."""


def case_files(folder: Path) -> list[Path]:
    """Its cases, in the order of their names' bytes. Raises ConfigError."""
    try:
        found = sorted(folder.iterdir(), key=lambda path: path.name.encode())
    except OSError as error:
        raise ConfigError(folder, FIELD, error.strerror or error, "a folder of cases") from None
    strange = [path.name for path in found if path.suffix != SUFFIX or not path.is_file()]
    if strange or not found:
        raise ConfigError(
            folder, FIELD, strange[0] if strange else "an empty folder", f"files *{SUFFIX}, and nothing else"
        )
    return found


def read_cases(folder: Path) -> Iterator[tuple[str, Case]]:
    """Each case, with its line of the set's digest; each file is read once. Raises ConfigError."""
    for path in case_files(folder):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(path, FIELD, error.strerror or error, "a readable file") from None
        line = f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"
        yield line, _case(path, data)


def digest_of(lines: list[str]) -> str:
    """Of the set, from its cases' lines."""
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _case(path: Path, data: bytes) -> Case:
    expected = "frames, (n, height, width, 3) uint8, and the truth for each model by its name"
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ConfigError(path, FIELD, error, expected) from None
    frames = arrays.pop("frames", None)
    if frames is None or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        found = "no frames" if frames is None else f"frames {frames.shape} {frames.dtype}"
        raise ConfigError(path, FIELD, found, expected)
    short = next((name for name, truth in arrays.items() if len(truth) != len(frames)), None)
    if short is not None:
        raise ConfigError(path, FIELD, f"{len(arrays[short])} of {short}", f"{len(frames)}, one for each frame")
    return Case(path.name, np.ascontiguousarray(frames), arrays)


# --- the metrics -----------------------------------------------------------------------------------------------------


class WrongKind(Exception):  # it says what is the matter
    """A metric that the model's output has no number for."""


@dataclass
class Tally:
    """What was seen of one model over all cases. Pure but for its own memory."""

    labels: tuple[str, ...]
    frames: int = 0
    _both: Mapping[int, int] = field(default_factory=dict)
    _either: dict[int, int] = field(default_factory=dict)
    _overlap: dict[int, int] = field(default_factory=dict)
    _true: set[int] = field(default_factory=set)
    _right: list[bool] = field(default_factory=list)
    _scores: list[tuple[float, bool]] = field(default_factory=list)

    def take(self, output: Output, truth: NDArray[np.generic]) -> None:
        """One frame. Raises WrongKind."""
        self.frames += 1
        match output:
            case Masks() if truth.ndim == 2:
                self._masks(output.classes, truth)
            case Scores() if truth.ndim == 0:
                self._right.append(int(output.scores.argmax()) == int(truth))
            case Heat() if truth.ndim == 0:
                self._scores.append((output.score, bool(truth)))
            case _:
                raise WrongKind(f"truth of {truth.ndim} dimensions for {type(output).__name__.lower()}")

    def _masks(self, found: Pixels, truth: NDArray[np.generic]) -> None:
        rows, columns = (np.arange(n) * old // n for n, old in zip(truth.shape, found.shape, strict=True))
        said = found[rows][:, columns]
        for label in range(len(self.labels)):
            a, b = said == label, truth == label
            self._overlap[label] = self._overlap.get(label, 0) + int(np.count_nonzero(a & b))
            self._either[label] = self._either.get(label, 0) + int(np.count_nonzero(a)) + int(np.count_nonzero(b))
            if b.any():
                self._true.add(label)

    def dice(self, label: str | None) -> float:
        """Twice the cells that are the label's in both, by the cells that are in one, over all cases; without a label the mean
        over the labels that occur in the truth."""
        wanted = sorted(self._true) if label is None else [self._index(label)]
        if not wanted or not all(self._either.get(one) for one in wanted):
            raise WrongKind("no cell of it in any case")
        return float(np.mean([2 * self._overlap[one] / self._either[one] for one in wanted]))

    def accuracy(self, label: str | None) -> float:
        """The share of frames whose best label is the true one."""
        if label is not None or not self._right:
            raise WrongKind("accuracy is of all labels of a classification")
        return sum(self._right) / len(self._right)

    def auroc(self, label: str | None) -> float:
        """The share of pairs of a frame with and one without something to find whose scores are in that order; ties: half."""
        found, not_found = ([score for score, true in self._scores if true is side] for side in (True, False))
        if label is not None or not found or not not_found:
            raise WrongKind("auroc is of a heat map's number, with frames of both kinds")
        pairs = np.subtract.outer(np.array(found), np.array(not_found))
        return float((np.count_nonzero(pairs > 0) + np.count_nonzero(pairs == 0) / 2) / pairs.size)

    def _index(self, label: str) -> int:
        if label not in self.labels:
            raise WrongKind(f"no label {label!r} among {', '.join(self.labels)}")
        return self.labels.index(label)


METRICS: dict[str, Callable[[Tally, str | None], float]] = {
    "pooled dice": Tally.dice,
    "mean pooled dice": Tally.dice,
    "accuracy": Tally.accuracy,
    "auroc": Tally.auroc,
}
"""By name, in small letters."""
