"""Small references and states for the tests. No test in here."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.reference import Reference, ReferenceFile, lock
from inframe.monitor.signals import names_of
from inframe.monitor.state import State, Stratum, watch
from inframe.monitor.summary import Scales, Summary

LABELS = ("background", "organ", "tool")
NAMES = names_of({"m": ("segmentation", LABELS)}, ("near",))
STRATUM = Stratum("d", "s", "", (("m", "00"),))
CASE = NAMES.index("m.area.organ")
RED, SHARP, LUMA = NAMES.index("red"), NAMES.index("sharpness"), NAMES.index("luma")


def procedures(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """(count, signals): the organ's area differs, and the more of it there is the redder the picture."""
    values = 0.3 + 0.02 * rng.standard_normal((count, len(NAMES)))
    values[:, CASE] = 0.4 + 0.1 * rng.standard_normal(count)
    values[:, RED] = 0.4 + 0.3 * values[:, CASE] + 0.01 * rng.standard_normal(count)
    values[:, SHARP] = 3 + 0.5 * rng.standard_normal(count)
    values[:, LUMA] = 100 + 20 * rng.standard_normal(count)
    values[:, NAMES.index("m.empty")] = 0.0
    return values


@cache
def reference_file(count: int = 300) -> ReferenceFile:
    values = procedures(np.random.default_rng(1), count)
    ends = {name: (float(values[:, i].min()), float(values[:, i].max())) for i, name in enumerate(NAMES)}
    return lock(NAMES, values, ends)


def reference() -> Reference:
    return Reference(reference_file())


def state(run_length: float = 500) -> State:
    return State(STRATUM, Scales(NAMES), watch({"m": reference()}, run_length))


def operate(one: State, values: NDArray[np.float64], blocks: int = 2) -> list[str]:
    """One procedure after the other, until an alarm is raised; what its alarms say."""
    said: list[str] = []
    for i, row in enumerate(values):
        if said:
            break
        summary = Summary(one.scales)
        for _ in range(blocks):
            summary.add(row)
        one.running = f"{i}", summary
        said += [f"{alarm.kind}: {alarm.text}" for alarm in one.close_procedure(blocks)]
    return said
