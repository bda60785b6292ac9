"""A candidate: a model that runs beside the one shown. In which phase it is, what was measured of it, and what it must keep to.

    NONE ── propose ──► SHADOW ── switch ──► TRIAL ── keep ──► NONE, with the candidate shown
                           │                   │
                           └───── back ────────┴──────────────► NONE, with what was shown before

In SHADOW it runs on live frames and is never shown. On TRIAL it is shown, and the one before goes on running, unseen, so that it
can be shown again from the next frame on. Everything here is pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from pydantic import Field

from inframe.core.errors import UpdateError
from inframe.core.part import Fraction, Part


class Phase(IntEnum):
    """How far a candidate is."""

    NONE = 0
    """There is none."""
    SHADOW = 1
    TRIAL = 2


Move = Literal["propose", "switch", "back", "keep"]

MOVES: dict[tuple[Phase, Move], Phase] = {
    (Phase.NONE, "propose"): Phase.SHADOW,
    (Phase.SHADOW, "switch"): Phase.TRIAL,
    (Phase.SHADOW, "back"): Phase.NONE,
    (Phase.TRIAL, "back"): Phase.NONE,
    (Phase.TRIAL, "keep"): Phase.NONE,
}
"""The allowed moves, and where each leads; every other one is refused."""


def after(phase: Phase, move: Move) -> Phase:
    """The phase after `move`. Raises UpdateError where the table has no such move."""
    if (phase, move) not in MOVES:
        expected = " or ".join(one.name for one, known in MOVES if known == move)
        raise UpdateError(f"candidate: {move}: found phase {phase.name}, expected {expected}")
    return MOVES[phase, move]


class HealthRules(Part):
    """What a candidate must keep to, in shadow and on trial. Any violation ends it; on trial the model before it is shown again."""

    crashes: int = Field(0, ge=0, description="at most so many deaths of its worker")
    invalid: int = Field(
        0, ge=0, description="at most so many results that hold NaN or infinity, have a wrong shape, or failed"
    )
    missed: Fraction = Field(
        0.05, description="on trial: at most this share of the last `window` frames without its result in time"
    )
    disagreement: Fraction = Field(
        0.1, description="at most this mean disagreement with the model shown before, over the last `window` results"
    )
    findings: Fraction = Field(
        0.1, description="at most this difference between the shares of the last `window` results with a finding"
    )
    window: int = Field(90, ge=1, le=10_000, description="so many of the latest frames count for shares and means")
    shadow_frames: int = Field(300, ge=0, description="so many results must be compared before it may be shown")


class CandidateConfig(Part):
    """Models can be changed while the device runs: each worker has two places, and a candidate is judged beside what is shown."""

    control: str = Field("out/control", description="the socket at which the running device takes orders")
    health: HealthRules = HealthRules()


@dataclass(frozen=True, slots=True)
class Measured:
    """What the process `shadow` found, comparing the candidate's results with those of the model before it, frame by frame.

    Shares are 0..1, times ms. "Recent" is the last `HealthRules.window` results.
    """

    compared: int = 0
    lost: int = 0
    """Runs of the candidate that could not be compared: it said nothing (its frame was overwritten while it ran), its result was
    overwritten before it was read, or the other one said nothing."""
    disagreement: float = 0.0
    """Mean over all; see `pipeline.disagree` for what it is of each kind of output."""
    recent: float = 0.0
    worst: float = 0.0
    """The greatest `recent` of a full window."""
    findings: float = 0.0
    """Recent share of the candidate's results from which a rule made a finding."""
    findings_before: float = 0.0
    """The same of the model before it."""
    p50_ms: float = 0.0
    """How long the candidate's recent runs took, and the longest of all."""
    p99_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """What shadow and trial measured of one candidate. Counts are since it was proposed, but for `shown` and `missed`."""

    phase: Phase = Phase.NONE
    models: tuple[str, ...] = ()
    """The models for which it stands."""
    since_ns: int = 0
    """When the phase began, device clock."""
    ready: bool = False
    """Its workers have been set up."""
    crashes: int = 0
    runs: int = 0
    over_budget: int = 0
    """Runs longer than its budget_ms. In shadow it has only what time the others leave: this is then no verdict on it."""
    invalid: int = 0
    """INVALID and FAILED."""
    shown: int = 0
    """Frames shown on trial."""
    missed: int = 0
    """Of these, without all results in time."""
    missed_recent: int = 0
    """Of the last `HealthRules.window` of these."""
    measured: Measured = Measured()


_Check = tuple[str, Callable[[HealthRules, Health], float], Callable[[HealthRules], float]]

CHECKS: tuple[_Check, ...] = (
    ("crashes", lambda _, health: health.crashes, lambda rules: rules.crashes),
    ("invalid", lambda _, health: health.invalid, lambda rules: rules.invalid),
    ("missed", lambda rules, health: health.missed_recent / rules.window, lambda rules: rules.missed),
    (
        "disagreement",
        lambda rules, health: health.measured.recent if health.measured.compared >= rules.window else 0.0,
        lambda rules: rules.disagreement,
    ),
    (
        "findings",
        lambda rules, health: (
            abs(health.measured.findings - health.measured.findings_before)
            if health.measured.compared >= rules.window
            else 0.0
        ),
        lambda rules: rules.findings,
    ),
)
"""Each rule's name, what is found, and its limit."""


def violated(rules: HealthRules, health: Health) -> str | None:
    """The first health rule that is violated, in words; None while the candidate keeps to all. Without a candidate: None."""
    if health.phase is Phase.NONE:
        return None
    for name, found, limit in CHECKS:
        if found(rules, health) > limit(rules):
            return f"{name}: found {found(rules, health):.4g}, expected at most {limit(rules):.4g}"
    return None


def not_yet(rules: HealthRules, health: Health) -> str | None:
    """Why the candidate may not be shown yet, in words; None where it may."""
    if not health.ready:
        return "ready: found a worker that is still being set up, expected all"
    if health.measured.compared < rules.shadow_frames:
        return f"compared: found {health.measured.compared} results, expected at least {rules.shadow_frames}"
    return violated(rules, health)
