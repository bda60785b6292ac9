"""A model changed while the device runs, well and badly: what it costs the picture. These need a device with `candidate:`."""

from collections.abc import Callable

from inframe.chaos.faults import Fault, Mend
from inframe.chaos.stage import Stage
from inframe.core.config import ModelConfig
from inframe.core.errors import DeviceFault, UpdateError
from inframe.core.health import Phase

LIMIT_S = 90.0
"""A candidate is set up, compared or taken back within this, or the entry fails."""
TRIAL_S = 1.5
CANDIDATE = {"health": {"shadow_frames": 90, "window": 45, "missed": 0.5}}
"""Many results may be missed: what is looked for here is what the change itself costs."""


def _candidate(stage: Stage, function: str) -> dict[str, ModelConfig]:
    """The device's model once more, with another decoder."""
    name, model = next(iter(stage.running.device.models.items()))
    decode = model.decode.model_copy(update={"function": f"inframe.chaos.model:{function}"})
    return {name: model.model_copy(update={"decode": decode})}


def _wait(stage: Stage, what: str, condition: Callable[[], bool]) -> None:
    running, before = stage.running, stage.running.candidate.last

    def over() -> bool:
        return condition() or running.candidate.last is not before

    stage.watch(LIMIT_S, over)
    if not condition():
        ended = running.candidate.last is not before
        raise DeviceFault(f"the candidate is not {what}: {running.candidate.last[0] if ended else running.health()}")


def _propose(stage: Stage, function: str) -> None:
    running = stage.running
    _wait(stage, "gone", lambda: not running.supervisor.has("shadow"))
    running.propose(_candidate(stage, function))


def _show(stage: Stage, function: str) -> None:
    _propose(stage, function)
    running, needed = stage.running, CANDIDATE["health"]["shadow_frames"]
    _wait(stage, "compared", lambda: running.health().ready and running.health().measured.compared >= needed)
    running.switch()


def _shown(end: Callable[[Stage], None]) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        _show(stage, "decode")
        stage.watch(TRIAL_S)
        return lambda: end(stage)

    return strike


def _disagreeing(stage: Stage) -> Mend:
    _propose(stage, "decode_nothing")
    _wait(stage, "stopped", lambda: stage.running.health().phase is Phase.NONE)
    _expect(stage, Phase.SHADOW, "disagreement")
    return lambda: None


def _crashing(stage: Stage) -> Mend:
    _show(stage, "decode_crashing")
    _wait(stage, "taken back", lambda: stage.running.health().phase is Phase.NONE)
    _expect(stage, Phase.TRIAL, "crashes")
    return lambda: None


def _expect(stage: Stage, phase: Phase, rule: str) -> None:
    why, health = stage.running.candidate.last
    if health.phase is not phase or not why.startswith(rule):
        raise UpdateError(f"candidate: found an end in {health.phase.name} by {why}, expected {phase.name} by {rule}")


FAULTS: tuple[Fault, ...] = (
    Fault(
        "candidate_back",
        _shown(lambda stage: stage.running.back()),
        0.0,
        ("CANDIDATE_SHOWN", "CANDIDATE_TAKEN_BACK"),
        candidate=True,
    ),
    Fault("candidate_kept", _shown(lambda stage: stage.running.keep()), 0.0, ("CANDIDATE_SHOWN",), candidate=True),
    Fault("candidate_disagreeing", _disagreeing, 0.0, ("CANDIDATE_TAKEN_BACK",), candidate=True),
    Fault("candidate_crashing", _crashing, 0.0, ("CANDIDATE_TAKEN_BACK",), candidate=True),
)
"""The changes of a model."""
