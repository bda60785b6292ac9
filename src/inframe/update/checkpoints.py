"""What a release must pass on this very device before it may be shown. A checkpoint is a name and a function; those that need
an engine, a load or a golden input come from the rooms that have them, and are handed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inframe.update.states import Release


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a checkpoint found."""

    passed: bool
    reason: str
    """One line: what was measured against what; for a failure: what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One step. `run` gets the release and must not raise for a bad one: a raised error is a fault of the checkpoint itself,
    and counts as not passed."""

    name: str
    run: Callable[[Release], Outcome]


@dataclass(frozen=True, slots=True)
class Passed:
    """One line of the report."""

    checkpoint: str
    outcome: Outcome


def run_all(checkpoints: Sequence[Checkpoint], release: Release) -> list[Passed]:
    """Run them in order, up to the first that is not passed, which is then the last of the list."""
    done: list[Passed] = []
    for checkpoint in checkpoints:
        done.append(Passed(checkpoint.name, _outcome(checkpoint, release)))
        if not done[-1].outcome.passed:
            break
    return done


def _outcome(checkpoint: Checkpoint, release: Release) -> Outcome:
    try:
        return checkpoint.run(release)
    except Exception as error:  # noqa: BLE001  # whatever a model makes a checkpoint raise, the release has not passed it
        return Outcome(False, f"{type(error).__name__}: {error}")
