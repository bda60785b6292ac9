"""What keeping a record costs: on one device it runs for half a second and is held for half a second, turn about."""

import math
import os
import signal
import statistics
from itertools import pairwise
from typing import Any

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.types import Run
from inframe.device import Running
from inframe.pipeline.record import Shown
from inframe.table import names

BESIDE = ("recorder", "recording")
"""What keeps a record: processes of a device that run in the one half of the turns and are held in the other."""
TURN_NS = NS_PER_S // 2
"""Short, because a virtual machine's speed drifts by milliseconds within seconds."""
FLIP_NS = NS_PER_S // 10
"""After a change of turn what was held catches up: frames captured then count for neither."""
FEWEST_PAIRS = 8
ON_OFF = (True, False)
STEPS = ("hand_over", "preprocess", "infer", "decode", "gate_and_overlay")
WHOLE = "capture_to_screen"
Turn = tuple[int, int, bool]
"""Begin and end, ns, and whether what keeps a record ran."""
Pair = dict[str, float]
"""Of two turns one behind the other, how much longer each step took in the one with a record: differences of medians, ms."""


def beside(running: Running) -> list[str]:
    """The processes of a device that keep a record."""
    return [name for name in names(running.device) if name in BESIDE]


def steps_ms(record: Shown) -> dict[str, float]:
    """How long each step of the frame took, ms; nothing of a frame whose own result was not shown."""
    own = [run.steps for run in record.runs.values() if isinstance(run, Run) and run.seq == record.seq]
    if not own:
        return {}
    ends = (own[0].started, own[0].preprocessed, own[0].inferred, own[0].decoded)
    at = (record.captured_ns, *ends, record.shown_ns)
    return {name: (end - begin) / NS_PER_MS for name, (begin, end) in zip(STEPS, pairwise(at), strict=True)}


class Turns:
    """Lets the processes that keep a record run and holds them, turn about: the very same device with and without."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._on = False
        self._flips: list[tuple[int, bool]] = []

    def tick(self, now: int) -> None:
        """Change the turn when it is time."""
        if not self._flips or now - self._flips[-1][0] >= TURN_NS:
            self._set(not self._on)
            self._flips.append((now, self._on))

    def end(self) -> None:
        """The window is over; all are held."""
        self._set(on=False)

    def release(self) -> None:
        """Let them all run, so that they can end in order."""
        self._set(on=True)

    def _set(self, on: bool) -> None:
        self._on = on
        for name in beside(self._running):
            pid = self._running.supervisor.pid(name)
            if pid is not None:
                os.kill(pid, signal.SIGCONT if on else signal.SIGSTOP)

    def take(self) -> list[Turn]:
        """The whole turns since the last call."""
        flips, self._flips = self._flips, []
        return [(begin, end, on) for (begin, on), (end, _) in pairwise(flips)]


def pairs(turns: list[Turn], records: list[Shown]) -> list[Pair]:
    """Each two whole turns one behind the other, one with what keeps a record and one without."""
    found: dict[bool, dict[str, float]] = {}
    paired = []
    for begin, end, on in turns:
        inside = [r for r in records if begin + FLIP_NS <= r.captured_ns < end and r.seq and r.shown_ns]
        if inside:
            found[on] = _medians(inside)
        if len(found) == len(ON_OFF):
            paired.append({name: ms - found[False][name] for name, ms in found[True].items() if name in found[False]})
            found = {}
    return paired


def _medians(records: list[Shown]) -> dict[str, float]:
    steps = [found for record in records if (found := steps_ms(record))]
    whole = statistics.median((r.shown_ns - r.captured_ns) / NS_PER_MS for r in records)
    by_step = {name: statistics.median(one[name] for one in steps) for name in STEPS} if steps else {}
    return {WHOLE: whole} | by_step


def missed_in(turns: list[Turn], due_ns: list[int]) -> list[int]:
    """How many of the frames missed were due in turns with what keeps a record, and without."""
    return [sum(begin <= at < end for begin, end, ran in turns if ran is on for at in due_ns) for on in ON_OFF]


def turns_us(found: list[Pair], missed: list[list[int]]) -> dict[str, Any] | None:
    """How much what keeps a record adds to the median latency, microseconds: the median over the pairs, between which it lies with
    95 % confidence (order statistics; no distribution is assumed), and the same median of each step; and the frames missed
    with it and without, in as many turns. None of too few pairs."""
    whole = sorted(1000 * pair[WHOLE] for pair in found)
    rank = int((len(whole) - 1.96 * math.sqrt(len(whole))) / 2)  # so many of the smallest and largest are left out
    if len(whole) < FEWEST_PAIRS:
        return None
    by_step = {name: [1000 * pair[name] for pair in found if name in pair] for name in STEPS}
    steps = {name: statistics.median(ms) for name, ms in by_step.items() if ms}
    with_it, without = (sum(one[i] for one in missed) for i in range(2))
    told = {"median": statistics.median(whole), "low": whole[rank], "high": whole[-1 - rank], "pairs": len(whole)}
    return told | {"steps": steps, "missed_with": with_it, "missed_without": without}
