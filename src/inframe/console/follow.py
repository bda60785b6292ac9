"""What the console knows of the device, from its shared memory: the records of frames, what the parent told, the board."""

import time
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import Device
from inframe.core.events import EVENTS
from inframe.core.types import Audio, Controls, Finding, Mode, Presence, Priority, Run, Verdict
from inframe.pipeline.board import Board, Count
from inframe.pipeline.happened import MODEL_LOADED, Happened, HappenedReader
from inframe.pipeline.record import RecordReader, Shown

HISTORY = 1800
"""Frames whose times are kept: a minute at 30 a second."""
STEPS = ("wait", "preprocess", "infer", "decode", "draw")
"""Of the model that was last: capture to its start, its three steps, from its end to the hand-off to the screen."""
BUNDLE_VERIFIED = "BUNDLE_VERIFIED"

Sample = tuple[int, float, float | None, float | None, float | None, float | None, float | None, int]
"""Frame, capture to screen, then STEPS (None: no result of this frame), all ms; last the verdict."""


class Follower:
    """Called by the feed's thread; the server reads what it has made."""

    def __init__(self, device: Device, board: Board, records: RecordReader, happened: HappenedReader) -> None:
        self._board, self._records, self._happened = board, records, happened
        self._texts = {name: (event.text, event.priority) for name, event in EVENTS.items()}
        self._texts |= {name: (rule.text, Priority[rule.priority.upper()]) for name, rule in device.rules.items()}
        self._rules = frozenset(device.rules)
        self._alerts: dict[str, tuple[Presence, int, int]] = {}
        self._findings: tuple[Finding, ...] = ()
        self.last: Shown | None = None
        """The newest record."""
        self._unsent: deque[Sample] = deque(maxlen=HISTORY)
        self.samples: deque[Sample] = deque(maxlen=HISTORY)
        self.starts: dict[str, Happened] = {}
        """The newest start of each process."""
        self.models: dict[tuple[str, str], Happened] = {}
        """What each worker has said of each model that it loaded, by worker and model."""
        self.bundles: dict[str, Mapping[str, str]] = {}
        """What was verified of the bundle of each model."""

    def look(self) -> None:
        """Take what is new."""
        for record in self._records.take():
            self._take(record)
        for one in self._happened.take():
            self._hear(one)

    def _take(self, record: Shown) -> None:
        self.last, self._findings = record, record.findings
        at = record.shown_ns or record.captured_ns
        before = self._alerts
        self._alerts = {
            key: (presence, *(before[key][1:] if key in before else (record.seq, at)))
            for key, presence in record.alerts.items()
        }
        if record.seq and record.shown_ns:
            sample = sample_of(record)
            self.samples.append(sample)
            self._unsent.append(sample)

    def _hear(self, one: Happened) -> None:
        if one.name == "PROCESS_STARTED":
            self.starts[one.who] = one
        elif one.name == MODEL_LOADED:
            self.models[one.who, one.data.get("model", "")] = one
        elif one.name == BUNDLE_VERIFIED:
            self.bundles[one.data.get("model", "")] = one.data

    def state(self, now_ns: int) -> dict[str, Any]:
        """What the page shows beside the picture."""
        row, controls, record = self._board.row("display"), self._board.controls(), self.last
        return {
            "at_ns": now_ns,
            "wall": time.time(),
            "frame": row.get(Count.SEQ),
            "mode": Mode(row.get(Count.MODE)).name,
            "verdict": Verdict(row.get(Count.VERDICT) or Verdict.WITHHOLD).name,
            "is_off": record is None or record.verdict is Verdict.WITHHOLD,
            "age_ms": round(record.age_ns / NS_PER_MS, 1) if record is not None else None,
            "counts": {name: row.get(Count[name.upper()]) for name in ("frames", "missed", "show", "hold", "withhold")},
            "latency_ms": round(row.get(Count.LATENCY_NS) / NS_PER_MS, 2),
            "audible": Priority(row.get(Count.AUDIBLE)).name.lower(),
            "faults": sorted(self._board.faults()),
            "controls": _controls(controls, now_ns),
            "alerts": self._listed(now_ns),
            "findings": [self._finding(one, now_ns) for one in self._findings],
        }

    def fresh(self) -> list[Sample]:
        """The samples since the last call."""
        return [self._unsent.popleft() for _ in range(len(self._unsent))]

    def _listed(self, now_ns: int) -> list[dict[str, Any]]:
        listed = [
            {
                "key": key,
                "text": self._texts.get(key, (key, Priority.LOW))[0],
                "priority": self._texts.get(key, (key, Priority.LOW))[1].name.lower(),
                "presence": presence.name.lower(),
                "seconds": round(max(0, now_ns - since_ns) / NS_PER_S, 1),
                "frame": frame,
                "is_finding": key in self._rules,
            }
            for key, (presence, frame, since_ns) in self._alerts.items()
        ]
        return sorted(listed, key=lambda one: (-Priority[str(one["priority"]).upper()], -float(str(one["seconds"]))))

    def _finding(self, finding: Finding, now_ns: int) -> dict[str, Any]:
        return {
            "rule": finding.rule,
            "text": finding.text,
            "priority": finding.priority.name.lower(),
            "value": finding.value,
            "seconds": round(max(0, now_ns - finding.since_ns) / NS_PER_S, 1),
        }


def _controls(controls: Controls, now_ns: int) -> dict[str, Any]:
    left = max(0, controls.audio_until_ns - now_ns) / NS_PER_S if controls.audio is Audio.PAUSED else 0
    audio = controls.audio if controls.audio is not Audio.PAUSED or left else Audio.ON
    return {
        "opacity": controls.opacity,
        "overlay_on": controls.overlay_on,
        "audio": audio.name.lower(),
        "audio_left_s": round(left),
    }


def sample_of(record: Shown) -> Sample:
    """The times of one frame that was shown; its steps are those of the model whose own result came last."""
    own = [run for run in record.runs.values() if isinstance(run, Run) and run.seq == record.seq]
    total = _ms(record.shown_ns - record.captured_ns)
    if not own:
        return record.seq, total, None, None, None, None, None, int(record.verdict)
    steps = max(own, key=lambda run: run.steps.decoded).steps
    moments = (record.captured_ns, steps.started, steps.preprocessed, steps.inferred, steps.decoded, record.shown_ns)
    wait, preprocess, infer, decode, draw = (_ms(after - before) for before, after in pairwise(moments))
    return record.seq, total, wait, preprocess, infer, decode, draw, int(record.verdict)


def _ms(ns: int) -> float:
    return round(ns / NS_PER_MS, 2)
