"""The gate: which results may be drawn on this frame. Nothing reaches the screen except what `judge` lets through.
Pure.

A model looks at every n-th frame. Its result is, on a given frame,

    CURRENT   the schedule asks for no newer one: it is of the last frame that the model had to look at
    HELD      overdue, and at most `max_age_ms` old
    ABSENT    neither

SHOW if every required model is CURRENT, HOLD if the worst of them is HELD, else WITHHOLD. With `every: 1` CURRENT
means "of this very frame". With `every: 3` results are 0, 1 and 2 frames old by design: that is SHOW, and the age
shown is their true age; the third frame without a new one is HOLD or WITHHOLD. SHOW again on the frames after a
missed one, only because their result is still younger than `max_age_ms`, was rejected: the same old picture would
change its verdict with nothing new said.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from inframe.core.types import Frame, Missed, MissedReason, Result, Results, Verdict


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What the gate knows of a model."""

    name: str
    every: int
    schedule_ns: int
    """`every` frame periods: a result this old is overdue, however few frames the camera sent meanwhile."""
    max_age_ns: int
    required: bool


class Fit(IntEnum):
    """How a model's latest result suits a frame; higher is better."""

    ABSENT = 0
    HELD = 1
    CURRENT = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """A model's latest good result, and why there is no newer one (None: there need be none)."""

    last: Result | None = None
    why: MissedReason | None = None


@dataclass(frozen=True, slots=True)
class GateState:
    """What the gate remembers from frame to frame, one Memory per model of the plan."""

    memories: tuple[Memory, ...]
    seq: int = 0
    captured_ns: int = 0
    not_before_ns: int = 0
    """Results captured until then belong to another picture: before a cut, a damaged frame or a lost signal."""


@dataclass(frozen=True, slots=True)
class Gated:
    """The gate's word on one frame."""

    verdict: Verdict
    shown: tuple[Result, ...] = ()
    age_ns: int = 0
    """Age of the oldest result shown, at the frame's capture."""
    fresh: tuple[Result, ...] = ()
    """Good results that came with this frame: each result of a model once in its life."""
    why: tuple[tuple[ModelPlan, MissedReason], ...] = ()
    """The models without a CURRENT result, and the reason."""


def looks_at(every: int, seq: int) -> bool:
    """Whether a model with this `every` looks at frame `seq`: the first frame (1) and each n-th after it."""
    return (seq - 1) % every == 0


def fit(model: ModelPlan, frame: Frame, last: Result | None) -> Fit:
    """How the model's latest result suits the frame. The limits are inclusive for max_age_ms, exclusive for the
    schedule."""
    if last is None:
        return Fit.ABSENT
    age_ns = frame.captured_ns - last.captured_ns
    last_due = frame.seq - (frame.seq - 1) % model.every
    if last.seq >= last_due and 0 <= age_ns < model.schedule_ns:
        return Fit.CURRENT
    return Fit.HELD if 0 <= age_ns <= model.max_age_ns else Fit.ABSENT


def judge(models: tuple[ModelPlan, ...], frame: Frame, results: Results, past: GateState) -> tuple[Gated, GateState]:
    """What may be drawn on `frame`, and the state for the next one.

    A frame with a flag is never drawn upon, and what was held is forgotten: CORRUPT and FROZEN mean that nobody knows
    what went on in front of the camera, RESIZED that every coordinate has moved; `max_age_ms` is a statement about a
    scene that was watched all the time. The price is at most one model schedule without an overlay afterwards.
    """
    if frame.flags:
        return Gated(Verdict.WITHHOLD), forget(past, frame.captured_ns, frame)
    if frame.seq < past.seq:  # the capture process began to count anew
        past = forget(past, past.captured_ns, frame)
    memories, fits, fresh = [], [], []
    for model, memory in zip(models, past.memories, strict=True):
        said = results.get(model.name)
        good = isinstance(said, Result) and _acceptable(model, frame, said, memory, past.not_before_ns)
        last = said if good and isinstance(said, Result) else memory.last
        if good and last is not None:
            fresh.append(last)
        fits.append(fit(model, frame, last))
        memories.append(Memory(last, None if fits[-1] is Fit.CURRENT else _why(model, frame, said, memory.why)))
    verdict = _verdict(models, fits)
    shown = tuple(m.last for m, f in zip(memories, fits, strict=True) if m.last is not None and f is not Fit.ABSENT)
    if verdict is Verdict.WITHHOLD:
        shown = ()
    age_ns = max((frame.captured_ns - result.captured_ns for result in shown), default=0)
    why = tuple((model, m.why) for model, m in zip(models, memories, strict=True) if m.why is not None)
    state = replace(past, memories=tuple(memories), seq=frame.seq, captured_ns=frame.captured_ns)
    return Gated(verdict, shown, age_ns, tuple(fresh), why), state


def forget(past: GateState, until_ns: int, frame: Frame | None = None) -> GateState:
    """Nothing captured until `until_ns` will be shown any more; also for a lost signal (no frame)."""
    memories = tuple(Memory(None, memory.why) for memory in past.memories)
    seq, captured_ns = (frame.seq, frame.captured_ns) if frame is not None else (past.seq, past.captured_ns)
    return GateState(memories, seq, captured_ns, max(until_ns, past.not_before_ns))


def _acceptable(model: ModelPlan, frame: Frame, said: Result, memory: Memory, not_before_ns: int) -> bool:
    """A new result of this frame, or one of an earlier frame that came late and is still young enough to be held."""
    own = said.seq == frame.seq and said.captured_ns == frame.captured_ns
    late = said.seq < frame.seq and said.captured_ns < frame.captured_ns
    newer = said.captured_ns > max(not_before_ns, memory.last.captured_ns if memory.last is not None else 0)
    return said.model == model.name and newer and (own or (late and fit(model, frame, said) is not Fit.ABSENT))


def _why(model: ModelPlan, frame: Frame, said: Result | Missed | None, before: MissedReason | None) -> MissedReason:
    """The reason that stands: on frames that the model does not look at, the one of the last frame that it did."""
    if isinstance(said, Missed) and said.seq == frame.seq and said.reason is not MissedReason.NOT_DUE:
        return said.reason
    return MissedReason.LATE if before is None or looks_at(model.every, frame.seq) else before


def _verdict(models: tuple[ModelPlan, ...], fits: list[Fit]) -> Verdict:
    """The worst required model decides. If none is required the best one does: SHOW with nothing to draw would read as
    "the AI looked and saw nothing", which is why a device without models is WITHHOLD, too."""
    required = [f for model, f in zip(models, fits, strict=True) if model.required]
    decisive = min(required) if required else max(fits, default=Fit.ABSENT)
    return {Fit.CURRENT: Verdict.SHOW, Fit.HELD: Verdict.HOLD, Fit.ABSENT: Verdict.WITHHOLD}[decisive]
