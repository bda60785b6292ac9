"""Two outputs of one model for one frame, two decisions on one frame: are they the same, and if not, how far apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Boxes, Decision, Heat, Masks, MissedReason, Output, Scores
from inframe.recording import schema
from inframe.recording.sensed import known

Outcome = Output | MissedReason


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a replay may be off where it can't be the same bit for bit: from a lossy recording, on another processor, with
    another version of an engine. Verdict, mode and age never: they follow from when results came, not from what they say."""

    pixels: float = 0.03
    """Masks: the share of pixels of another class."""
    score: float = 0.1
    """Scores and heat: the largest absolute difference."""
    overlap: float = 0.7
    """Boxes: intersection over union with a box of the same class..."""
    boxes: float = 0.8
    """...for this share of the boxes of both sides."""
    frames: int = 10
    """Findings and their alerts: so many frames in a row may differ, as a rule's threshold is crossed a little earlier or later."""


TOLERANCE = Tolerance()


def same(a: Outcome, b: Outcome) -> bool:
    """Bit for bit."""
    match a, b:
        case Masks(), Masks():
            return a.region == b.region and np.array_equal(a.classes, b.classes)
        case Heat(), Heat():
            return a.region == b.region and a.score == b.score and np.array_equal(a.heat, b.heat)
        case Scores(), Scores():
            return np.array_equal(a.scores, b.scores)
        case Boxes(), Boxes():
            pairs = ((a.boxes, b.boxes), (a.scores, b.scores), (a.classes, b.classes))
            return all(np.array_equal(one, other) for one, other in pairs)
        case _:
            return a is b


def agreement(a: Outcome, b: Outcome) -> float:
    """1: the same; 0: nothing in common. Masks: share of equal pixels; scores, heat: 1 - the largest difference; boxes: the
    share of boxes that have one like them on the other side."""
    match a, b:
        case Masks(), Masks() if a.classes.shape == b.classes.shape:
            return float(np.mean(a.classes == b.classes))
        case Heat(), Heat() if a.heat.shape == b.heat.shape:
            return _closeness(a.heat, b.heat)
        case Scores(), Scores() if a.scores.shape == b.scores.shape:
            return _closeness(a.scores, b.scores)
        case Boxes(), Boxes():
            return _matched(a, b)
        case MissedReason(), MissedReason():
            return float(a is b)
        case _:
            return 0.0


def _closeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return max(0.0, 1.0 - float(np.max(np.abs(a - b), initial=0.0)))


def _matched(a: Boxes, b: Boxes) -> float:
    total = len(a.boxes) + len(b.boxes)
    if not total:
        return 1.0
    low = np.maximum(a.boxes[:, None, :2], b.boxes[None, :, :2])
    high = np.minimum(a.boxes[:, None, 2:], b.boxes[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(one.boxes[:, 2:] - one.boxes[:, :2], axis=1) for one in (a, b)]
    union = areas[0][:, None] + areas[1][None] - both
    alike = (both >= TOLERANCE.overlap * union) & (a.classes[:, None] == b.classes[None])
    return float(alike.any(axis=1).sum() + alike.any(axis=0).sum()) / total


def near(a: Outcome, b: Outcome) -> bool:
    """Within TOLERANCE."""
    least = 1 - TOLERANCE.score
    if isinstance(a, Masks):
        least = 1 - TOLERANCE.pixels
    elif isinstance(a, Boxes):
        least = TOLERANCE.boxes
    return agreement(a, b) >= least


@dataclass(frozen=True, slots=True)
class Apart:
    """What differs between two decisions."""

    strict: dict[str, tuple[object, object]]
    """Verdict, mode, age, what was known of the sensors: (recorded, replayed)."""
    found: dict[str, tuple[object, object]]
    """Findings and alerts, by rule or event."""


def decisions(recorded: schema.Decision, replayed: Decision) -> Apart:
    """Compare what was decided."""
    pairs: dict[str, tuple[object, object]] = {
        "verdict": (recorded.verdict, replayed.verdict.name),
        "mode": (recorded.mode, replayed.mode.name),
        "age_ns": (recorded.age_ns, replayed.age_ns),
    }
    now_known = known(replayed.samples) or {}
    pairs |= {f"sample {name}": (one, now_known.get(name)) for name, one in (recorded.samples or {}).items()}
    before = {f"finding {f.rule}": (f.value, f.since_ns) for f in recorded.findings}
    after = {f"finding {f.rule}": (f.value, f.since_ns) for f in replayed.findings}
    alerts = {f"alert {key}": presence for key, presence in recorded.alerts.items()}
    now = {f"alert {alert.key}": alert.presence.name for alert in replayed.alerts}
    old: dict[str, object] = {**before, **alerts}
    new: dict[str, object] = {**after, **now}
    found = {
        key: (old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)
    }
    return Apart({key: pair for key, pair in pairs.items() if pair[0] != pair[1]}, found)
