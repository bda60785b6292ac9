"""What the device's own rules make of a procedure, and whether that is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Masks, Region, Result, Steps
from inframe.pipeline.rules import RulePlan, RuleState, step_rules
from reference.anomaly.watch import EVERY, FPS, RATE

ALERTS = {"instrument_anomaly": 1, "foreign_object_left": 2}  # the rules that are judged: the label each of them counts
WITHIN = 1.0  # s from becoming visible to the alert
NEAR = 3  # cells (24 pixels of the input): an alert this close to the defect is about it
REGION: Region = (0.0, 8 / 720, 1.0, 712 / 720)  # of the frame, that the anomaly model sees
Maps = NDArray[np.float32]  # (count, 3, 44, 80) logits


@dataclass(frozen=True)
class Outcome:
    """How one procedure went."""

    seed: int
    kind: str | None
    seconds: float
    visible_at: float | None  # s; None: never visible for a whole second
    found: bool  # by either rule, at the right place, in time
    named: bool  # by the rule that is meant for it
    after: float | None  # s from visible to the first right alert
    false: tuple[tuple[str, float], ...]  # rule, s


def classes_of(maps: Maps) -> NDArray[np.uint8]:
    """(count, 44, 80): the label that the device's decoder gives each cell: 0, or 1 + the best channel above 0."""
    best = maps.argmax(axis=1)
    return np.where(maps.max(axis=1) > 0, best + 1, 0).astype(np.uint8)


def findings(
    classes: NDArray[np.uint8], plans: tuple[RulePlan, ...], model: str, region: Region
) -> list[frozenset[str]]:
    """For each frame, the names of the rules whose finding stands."""
    period = int(1e9 * EVERY / FPS)
    states: tuple[RuleState, ...] = tuple(RuleState() for _ in plans)
    standing = []
    for k, one in enumerate(classes):
        now = (k + 1) * period
        result = Result(model, k + 1, now, Masks(one, region), Steps(now, now, now, now))
        states = step_rules(plans, (result,), now, states, ai_on=True)
        standing.append(frozenset(plan.name for plan, state in zip(plans, states, strict=True) if state.finding))
    return standing


def _begins(visible: NDArray[np.bool_]) -> int | None:
    """The first frame from which the defect is visible for a whole second."""
    whole = int(WITHIN * RATE)
    for k in range(len(visible) - whole + 1):
        if visible[k : k + whole].all():
            return k
    return None


def _about(classes: NDArray[np.uint8], wrong: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """By rule: in which frames what it counts lies at the defect."""
    spot = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    near = np.stack([cv2.dilate((one > 0).astype(np.uint8), spot) for one in wrong]) > 0
    return {rule: ((classes == label) & near).any(axis=(1, 2)) for rule, label in ALERTS.items()}


def judge(
    case: tuple[int, str | None],
    classes: NDArray[np.uint8],
    standing: Sequence[frozenset[str]],
    wrong: NDArray[np.uint8],
    visible: NDArray[np.bool_],
    foreign: bool,
) -> Outcome:
    """Compare findings with the truth. An alert that begins away from every defect is false."""
    about = _about(classes, wrong)
    false = []
    for rule in ALERTS:
        on = np.array([rule in names for names in standing])
        starts = np.flatnonzero(on & ~np.concatenate([[False], on[:-1]]))
        false += [(rule, float(k / RATE)) for k in starts if not about[rule][k]]
    begins = _begins(visible)
    right = {rule: np.array([rule in names for names in standing]) & about[rule] for rule in ALERTS}
    end = None if begins is None else begins + int(WITHIN * RATE) + 1
    meant = right["foreign_object_left" if foreign else "instrument_anomaly"]
    either = np.logical_or(*right.values())
    hits = np.flatnonzero(either[begins:]) if begins is not None else np.empty(0)
    return Outcome(
        *case,
        seconds=len(classes) / RATE,
        visible_at=None if begins is None else begins / RATE,
        found=begins is not None and bool(either[begins:end].any()),
        named=begins is not None and bool(meant[begins:end].any()),
        after=float(hits[0] / RATE) if len(hits) else None,
        false=tuple(false),
    )
