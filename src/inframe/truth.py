"""A rendered procedure's truth beside what the device found: the device's own rules, run on what is known of each frame.

A truth file (numpy's npz) holds for each model, by its name, the label of every pixel or cell, (n, h, w) uint8: what a
model that is never wrong would answer to each of its frames. A true event is what the rules make of that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from inframe.core.clock import NS_PER_S
from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.types import Masks, Result, Steps
from inframe.pipeline.preprocess import Preprocessor
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.rules import RuleState, findings, step_rules

SLACK_S = 1.0  # a finding may begin or go on so long after its event is over
Spans = dict[str, list[tuple[float, float]]]
"""By rule: when it began and ended, s from the first frame."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was to be found, or one that was found and is not so. Times in s from the first frame."""

    rule: str
    true: tuple[float, float] | None
    """When it was so; None: never."""
    found: tuple[float, float] | None
    """When the finding stood; None: never."""

    @property
    def outcome(self) -> str:
        """found, missed or false."""
        return "false" if self.true is None else "missed" if self.found is None else "found"


def true_spans(device: Device, file: Path, last: int) -> Spans:
    """What the rules say of the truth, up to frame number `last`. Raises ConfigError where the file does not fit."""
    stream = device.streams[device.display]
    try:
        with file.open("rb") as data, np.load(data, allow_pickle=False) as truth:
            masks = {name: truth[name] for name in device.models if name in truth}
    except (OSError, ValueError, BadZipFile) as error:
        raise ConfigError(file, "truth", error, "an npz file of masks by model") from None
    if not masks:
        raise ConfigError(file, "truth", "no model of the device", f"one of {', '.join(device.models)}")
    period_ns = int(NS_PER_S / stream.fps)
    plans = plan_rules(device, {name: tuple(model.labels) for name, model in device.models.items()}, period_ns)
    regions = {name: Preprocessor(device.models[name].preprocess, stream.width, stream.height).region for name in masks}
    states = tuple(RuleState() for _ in plans)
    spans: Spans = {}
    standing: set[str] = set()
    for frame in range(last):
        now = (frame + 1) * period_ns
        fresh = []
        for name, labels in masks.items():
            nth, off = divmod(frame, device.models[name].every)
            if not off and nth < len(labels):
                fresh.append(Result(name, frame + 1, now, Masks(labels[nth], regions[name]), Steps(now, now, now, now)))
        states = step_rules(plans, tuple(fresh), now, states, ai_on=True)
        present = findings(plans, states)
        for one in present:
            if one.rule not in standing:
                spans.setdefault(one.rule, []).append((one.since_ns / NS_PER_S, 0.0))
            spans[one.rule][-1] = (spans[one.rule][-1][0], now / NS_PER_S)
        standing = {one.rule for one in present}
    return spans


def defect_spans(file: Path, fps: float, last: int) -> Spans:
    """When each defect of the procedure is visible, by kind, up to frame number `last`; `kinds` names them."""
    with file.open("rb") as data, np.load(data, allow_pickle=False) as truth:
        rows, kinds = truth["defects"], [str(kind) for kind in truth["kinds"]]
    spans: Spans = {}
    for frame, kind in rows[:, :2].astype(int):
        if frame < last:
            first = spans.get(kinds[kind], [(frame / fps, 0.0)])[0][0]
            spans[kinds[kind]] = [(first, (frame + 1) / fps)]
    return spans


def compare(true: Spans, found: Spans) -> list[Event]:
    """Each true event with the first finding of its rule that meets it, and each finding that meets none; by time."""
    events = []
    for rule in true.keys() | found.keys():
        left = sorted(found.get(rule, ()))
        for began, ended in sorted(true.get(rule, ())):
            met = [one for one in left if one[1] >= began and one[0] <= ended + SLACK_S]
            left = [one for one in left if one not in met]
            events.append(Event(rule, (began, ended), met[0] if met else None))
        events += [Event(rule, None, one) for one in left]
    return sorted(events, key=lambda event: ((event.true or event.found or (0.0,))[0], event.rule))


def seconds(spans: dict[str, list[tuple[int, int]]], fps: float) -> Spans:
    """Frame numbers (from 1) -> s."""
    return {rule: [(first / fps, last / fps) for first, last in some] for rule, some in spans.items()}


def as_json(events: list[Event]) -> list[dict[str, Any]]:
    """Plain values."""
    return [{"rule": e.rule, "outcome": e.outcome, "true": e.true, "found": e.found} for e in events]
