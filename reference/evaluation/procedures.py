"""Everything that is measured on one unseen procedure, in a process of its own."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.yamlfile import read_device
from inframe.pipeline.measure import model_of
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.rules import RulePlan
from reference.anomaly.baselines import ColourModel, as_maps, doubt
from reference.anomaly.choose import Choice
from reference.anomaly.judge import ALERTS, REGION, Outcome, classes_of, findings, judge
from reference.anomaly.run import Session, logits_of, maps_of, session
from reference.anomaly.watch import FPS, Watched, kept, watch
from reference.evaluation import anatomy
from reference.scene.litter import FOREIGN

INT8_EVERY = 5  # frames: the int8 models are compared on each fifth


@dataclass(frozen=True)
class Models:
    """What is measured; `device` is a device file whose rules judge the anomaly model."""

    folder: Path
    device: Path
    choices: dict[str, Choice]  # of the baselines
    seconds: float
    data: Path | None  # keeps rendered procedures, for a second run

    def file(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None


@dataclass(frozen=True)
class Measured:
    """One procedure."""

    seed: int
    kind: str | None
    outcomes: dict[str, Outcome]  # by method: anomaly, anomaly-int8, colour, doubt
    anatomy: anatomy.Anatomy
    int8: NDArray[np.int64] | None  # confusion table of the int8 anatomy model
    fp32: NDArray[np.int64]  # and of the other on the same frames
    worst: tuple[float, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    """Share of pixels right in the worst frame; its picture (180, 320, 3), answer and truth (96, 160)."""
    shown: tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]] | None
    """For a defect: a frame in which it is visible (360, 640, 3), the model's maps and the defect mask of it."""


@cache
def _open(path: Path) -> Session:
    cv2.setNumThreads(1)
    return session(path)


@cache
def rules(file: Path) -> tuple[RulePlan, ...]:
    """The device file's rules about the anomaly model."""
    device = read_device(file)
    about = {name: rule for name, rule in device.rules.items() if name in ALERTS}
    models = {rule.model for rule in about.values() if rule.model is not None}
    labels = {name: tuple(device.models[name].labels) for name in models}
    return plan_rules(device.model_copy(update={"rules": about}), labels, int(1e9 / FPS))


def _outcome(one: Watched, maps: NDArray[np.float32], plans: tuple[RulePlan, ...]) -> Outcome:
    classes = classes_of(maps)
    standing = findings(classes, plans, model_of(plans[0].measure), REGION)
    return judge((one.seed, one.kind), classes, standing, one.wrong, one.visible, one.kind in FOREIGN)


def _anomalies(
    models: Models, one: Watched, logits: NDArray[np.float32], maps: NDArray[np.float32]
) -> dict[str, Outcome]:
    found = {"anomaly": _outcome(one, maps, rules(models.device))}
    if (path := models.file("anomaly-int8.onnx")) is not None:
        found["anomaly-int8"] = _outcome(one, maps_of(_open(path), one.pictures), rules(models.device))
    if "colour" in models.choices and (path := models.file("colour-model.npy")) is not None:
        choice = models.choices["colour"]
        scores = as_maps(ColourModel.load(path).scores(one.pictures), choice.threshold)
        found["colour"] = _outcome(one, scores, (choice.plan("instrument_anomaly"),))
    if "doubt" in models.choices:
        choice = models.choices["doubt"]
        found["doubt"] = _outcome(one, as_maps(doubt(logits), choice.threshold), (choice.plan("instrument_anomaly"),))
    return found


def _worst(
    one: Watched, found: NDArray[np.uint8]
) -> tuple[float, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    right = (found == one.masks).mean(axis=(1, 2))
    k = int(right.argmin())
    return float(right[k]), cv2.resize(one.pictures[k], (320, 180)), found[k], one.masks[k]


def _shown(
    one: Watched, maps: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]] | None:
    seen = np.flatnonzero(one.visible)
    if not len(seen):
        return None
    k = seen[min(10, len(seen) - 1)]
    return one.pictures[k], maps[k], one.wrong[k]


def measure(case: tuple[int, str | None], models: Models) -> Measured:
    """Render one procedure, run both models on every frame that they would see, and compare with the truth."""
    one = watch(*case, models.seconds) if models.data is None else kept(models.data, *case, models.seconds)
    logits = logits_of(_open(models.folder / "anatomy.onnx"), one.pictures)
    maps = maps_of(_open(models.folder / "anomaly.onnx"), one.pictures)
    found = logits.argmax(axis=1).astype(np.uint8)
    some = slice(None, None, INT8_EVERY)
    int8 = None
    if (path := models.file("anatomy-int8.onnx")) is not None:
        answers = logits_of(_open(path), one.pictures[some]).argmax(axis=1).astype(np.uint8)
        int8 = anatomy.table(answers, one.masks[some])
    return Measured(
        *case,
        outcomes=_anomalies(models, one, logits, maps),
        anatomy=anatomy.measure(logits, one.masks),
        int8=int8,
        fp32=anatomy.table(found[some], one.masks[some]),
        worst=_worst(one, found),
        shown=_shown(one, maps),
    )


def measure_all(wanted: list[tuple[int, str | None]], models: Models, workers: int) -> Iterator[Measured]:
    """All procedures, in order."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(measure, models=models), wanted)


def without_pictures(one: Measured) -> Measured:
    """For those who only count."""
    return replace(one, worst=(one.worst[0], *(np.empty(0, np.uint8),) * 3), shown=None)
