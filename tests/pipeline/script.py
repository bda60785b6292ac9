"""A run of `decide` as a script: frames at a camera's pace on a ManualClock, and what the models say of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.config import Device
from inframe.core.types import (
    Controls,
    Decision,
    Frame,
    FrameFlag,
    Masks,
    Missed,
    MissedReason,
    NoSignal,
    Output,
    Result,
    Steps,
)
from inframe.pipeline.decide import Plan, State, decide, due, initial, make_plan

FPS = 30
PERIOD_NS = NS_PER_S // FPS
LABELS = ("background", "organ", "instrument")
PIXELS = np.zeros((9, 16, 3), np.uint8)

Say = MissedReason | Output | Result
"""What a model says of a frame: why not, or what it sees; a Result is passed on as it is."""


def model(**changes: Any) -> dict[str, Any]:
    """A model's section of the device file."""
    return {
        "stream": "endoscope",
        "file": "organs.onnx",
        "budget_ms": 20,
        "preprocess": {
            "size": [16, 9],
            "fit": "stretch",
            "colour": "rgb",
            "layout": "nchw",
            "dtype": "float32",
            "scale": 1,
        },
        "decode": {"kind": "segmentation"},
        "labels": list(LABELS),
    } | changes


def device(models: Mapping[str, Any] | None = None, rules: Mapping[str, Any] | None = None, fps: float = FPS) -> Device:
    """A checked device file with these models (default: one, `organs`) and rules."""
    return Device.model_validate(
        {
            "device": "test",
            "streams": {
                "endoscope": {"camera": "synthetic", "width": 1280, "height": 720, "fps": fps},
                "ultrasound": {"camera": "synthetic", "width": 640, "height": 480, "fps": fps},
            },
            "display": "endoscope",
            "allow_unsigned": True,
            "models": {"organs": model()} if models is None else models,
            "rules": rules or {},
        }
    )


def labels(file: Device) -> dict[str, tuple[str, ...]]:
    """The labels of each model, as `load_model` would read them."""
    return {name: tuple(m.labels) for name, m in file.models.items() if not isinstance(m.labels, str)}


def masks(*covered: tuple[int, float], size: tuple[int, int] = (10, 10)) -> Masks:
    """A mask on which each (label, share) covers that share of the pixels."""
    flat = np.zeros(size[0] * size[1], np.uint8)
    at = 0
    for label, share in covered:
        flat[at : at + round(share * flat.size)] = label
        at += round(share * flat.size)
    return Masks(flat.reshape(size))


NOTHING = masks()


def result(seq: int, captured_ns: int, name: str = "organs", output: Output = NOTHING) -> Result:
    """A model's word on a frame."""
    return Result(name, seq, captured_ns, output, Steps(captured_ns, captured_ns, captured_ns, captured_ns))


@dataclass
class Run:
    """A device at work."""

    device: Device = field(default_factory=device)
    clock: ManualClock = field(default_factory=lambda: ManualClock(100 * NS_PER_S))
    seq: int = 0
    period_ns: int = PERIOD_NS
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    plan: Plan = field(init=False)
    state: State = field(init=False)
    last_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.plan = make_plan(self.device, labels(self.device))
        self.state = initial(self.plan, self.clock.now())
        self.last_ns = self.clock.now()

    def frame(
        self,
        *said: Say,
        flags: FrameFlag = FrameFlag.NONE,
        faults: Mapping[str, int] | None = None,
        controls: Controls | None = None,
        names: Sequence[str] = (),
    ) -> Decision:
        """One frame, one period later, of which the due models (in the order of the device file) say this."""
        self.clock.advance(self.period_ns)
        self.seq += 1
        now = self.last_ns = self.clock.now()
        frame = Frame("endoscope", self.seq, now, now + self.period_ns, PIXELS, flags)
        results: dict[str, Result | Missed] = {}
        for name, word in zip(names or self.device.models, said, strict=False):
            if isinstance(word, MissedReason):
                results[name] = Missed(name, self.seq, word)
            elif isinstance(word, Result):
                results[name] = word
            elif due(self.plan, name, self.seq):
                results[name] = result(self.seq, now, name, word)
            else:
                results[name] = Missed(name, self.seq, MissedReason.NOT_DUE)
        return self._decide(frame, results, faults, controls)

    def no_signal(self, faults: Mapping[str, int] | None = None, controls: Controls | None = None) -> Decision:
        """The loop waited in vain for 100 ms more."""
        self.clock.advance(NS_PER_S // 10)
        return self._decide(NoSignal("endoscope", self.last_ns, self.clock.now()), {}, faults, controls)

    def frames(self, seconds: float, *said: Say, **more: Any) -> list[Decision]:
        """As many frames as pass in so many seconds, all of which are alike."""
        return [self.frame(*said, **more) for _ in range(round(seconds * NS_PER_S / self.period_ns))]

    def started(self, *said: Say) -> "Run":
        """This run, after one good second."""
        self.frames(1, *(said or (NOTHING,) * len(self.device.models)))
        return self

    def _decide(
        self, frame: Frame | NoSignal, results: dict[str, Result | Missed], faults: Any, controls: Controls | None
    ) -> Decision:
        decision, self.state = decide(self.plan, frame, results, faults or {}, controls or Controls(), self.state)
        self.decisions.append((self.clock.now(), decision))
        return decision


def present(decision: Decision) -> dict[str, str]:
    """The alerts by key: their presence's name."""
    return {alert.key: alert.presence.name for alert in decision.alerts}
