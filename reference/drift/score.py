"""Run lengths and delays, of inframe's monitor and of the others."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.monitor.attribution import cause
from inframe.monitor.charts import SLACK, Charts, cusum_limit, cusum_run_length
from inframe.monitor.reference import Reference, lock
from inframe.monitor.signals import Kind
from inframe.monitor.signatures import Known
from inframe.monitor.state import State, Stratum, Watched
from inframe.monitor.summary import Block, Scales, Summary
from reference.drift import rivals
from reference.drift.faults import DRIFTS, WATCHED
from reference.drift.simulated import SAMPLES, Population

Array = NDArray[np.float64]
RUN_LENGTH = 500.0
LOCKED = 300
"""Procedures in the reference of each simulated device."""
DEGRADED = 300
"""Procedures from which a signature is learned."""
BEFORE = 40
"""Procedures in control before the onset."""
LONGEST = 300


@dataclass
class Unit:
    """One simulated device, with a reference of its own."""

    population: Population
    reference: Reference
    limits: Array

    @staticmethod
    def of(population: Population, seed: int, without: str = "") -> "Unit":
        """With signatures of all drifts but that one."""
        rng = np.random.default_rng(seed)
        procedures = population.measured(rng, population.draw(rng, LOCKED))
        known = [
            Known(
                name,
                Kind(DRIFTS[name].kind),
                population.measured(rng, population.degraded(rng, DEGRADED, name)),
            )
            for name in population.effects
            if name != without
        ]
        watch = [one for one in WATCHED if without not in DRIFTS or one not in DRIFTS[without].named]
        ends = dict.fromkeys(population.names, (0.0, 1.0))
        reference = Reference(lock(population.names, procedures, ends, known=known, watch=watch))
        return Unit(population, reference, reference.limits(RUN_LENGTH))

    def numbers(self, rng: np.random.Generator, values: Array) -> Array:
        """(…, charts) of procedures, (…, signals)."""
        columns = [self.population.names.index(name) for name in self.reference.names]
        return self.reference.numbers(self.population.measured(rng, values)[..., columns])

    def charts(self) -> Charts:
        """Which have seen nothing yet."""
        return Charts(self.limits, len(self.reference.signatures), LOCKED)


class Side:
    """Charts of many streams side by side, as `Charts` has them, until their first alarm: tests compare both."""

    def __init__(self, unit: Unit, streams: int) -> None:
        n, two_sided = len(unit.limits), 2 * len(unit.reference.names)
        self._limits = np.concatenate([unit.limits, unit.limits[:two_sided]])
        self._two_sided, self._charts = two_sided, n
        self.sums = np.zeros((streams, n + two_sided))
        """Up, then down."""
        self.since = np.zeros(self.sums.shape, np.int32)

    def add(self, z: Array) -> NDArray[np.bool_]:
        """(streams, charts), one procedure of each stream; which streams have an alarm."""
        both = np.concatenate([z, -z[:, : self._two_sided]], axis=1)
        np.maximum(self.sums + both - SLACK, 0.0, out=self.sums)
        self.since = np.where(self.sums > 0, self.since + 1, 0)
        return np.asarray((self.sums > self._limits).any(axis=1))

    def clear(self, streams: NDArray[np.bool_]) -> None:
        """These begin anew."""
        self.sums[streams] = 0.0
        self.since[streams] = 0

    def alarm(self, stream: int) -> tuple[int, int]:
        """The chart that is highest above its limit, and since when it is not 0."""
        at = int(np.argmax(self.sums[stream] - self._limits))
        return at if at < self._charts else at - self._charts, int(self.since[stream, at])


def in_control(unit: Unit, seed: int, procedures: int, chains: int = 20) -> tuple[int, int]:
    """(procedures, false alarms); the charts begin anew after each."""
    rng, side, alarms = np.random.default_rng(seed), Side(unit, chains), 0
    for _ in range(procedures // chains):
        above = side.add(unit.numbers(rng, unit.population.draw(rng, chains)))
        alarms += int(np.count_nonzero(above))
        side.clear(above)
    return procedures // chains * chains, alarms


def sampled(unit: Unit, seed: int, procedures: int) -> tuple[int, int, float]:
    """(procedures, alarms, procedures to the first e-value above the run length or all). Every sample goes through the very
    code that runs on a device: blocks, histograms, state, charts; as there, an alarm is told once, and charts begin anew when
    it is over."""
    population, reference = unit.population, unit.reference
    charts = unit.charts()
    state = State(Stratum("simulated", "", "", ()), Scales(population.names), {"anatomy": Watched(reference, charts)})
    rng, alarms, crossed = np.random.default_rng(seed), 0, float(procedures)
    for start in range(0, procedures, 50):
        samples = population.samples(rng, population.draw(rng, min(50, procedures - start)))
        for i in range(samples.shape[1]):
            state.running = str(start + i), _summary(state, samples[:, i])
            alarms += len(state.close_procedure(1))
            if charts.e_value() > RUN_LENGTH:
                crossed = min(crossed, start + i + 1.0)
    return procedures, alarms, crossed


def _summary(state: State, samples: Array) -> Summary:
    summary, block = Summary(state.scales), Block(state.scales.names)
    for at in range(0, len(samples), 5):
        for sample in samples[at : at + 5]:
            block.add(dict(zip(state.scales.names, sample.tolist(), strict=True)))
        summary.add(block.close())
    return summary


@dataclass
class Found:
    """What came of one drift at one strength."""

    delays: list[int]
    by_unit: list[float]
    """Of each device the mean delay."""
    kinds_right: list[bool]
    names_right: list[bool]
    missed: int = 0
    """Not found in LONGEST procedures."""

    def as_json(self) -> dict[str, Any]:
        share = [float(np.mean(one)) if one else float("nan") for one in (self.kinds_right, self.names_right)]
        return {
            "delay_mean": round(float(np.mean(self.delays)), 2),
            "delay_interval": self._interval(),
            "delay_median": float(np.median(self.delays)),
            "delay_p90": float(np.quantile(self.delays, 0.9)),
            "kind_right": round(share[0], 3),
            "named_right": round(share[1], 3),
            "runs": len(self.delays),
            "missed": self.missed,
        }

    def _interval(self) -> tuple[float, float] | None:
        """Of the mean delay, 95 %: devices differ, and streams of one device are alike."""
        if len(self.by_unit) < 2:
            return None
        half = 1.96 * float(np.std(self.by_unit, ddof=1)) / len(self.by_unit) ** 0.5
        return round(float(np.mean(self.by_unit)) - half, 2), round(float(np.mean(self.by_unit)) + half, 2)


def detect(units: list[Unit], drift: str, strength: float, runs: int, seed: int) -> Found:
    """`runs` streams, as many of each unit: BEFORE procedures in control, then the drift. Streams with a false alarm before it are
    drawn anew."""
    found = Found([], [], [], [])
    for i, unit in enumerate(units):
        rng = np.random.default_rng((seed, i))
        _detect(found, unit, rng, drift, strength, runs // len(units) + (i < runs % len(units)))
    return found


def _detect(found: Found, unit: Unit, rng: np.random.Generator, drift: str, strength: float, runs: int) -> None:
    streams = 2 * runs  # enough: one in ten has an alarm before
    side, quiet, numbers = Side(unit, streams), np.ones(streams, np.bool_), []
    for _ in range(BEFORE):
        numbers.append(unit.numbers(rng, unit.population.draw(rng, streams)))
        quiet &= ~side.add(numbers[-1])
    going = set(np.flatnonzero(quiet)[:runs].tolist())
    for t in range(1, LONGEST + 1):
        numbers.append(unit.numbers(rng, unit.population.drifted(rng, streams, drift, strength)))
        for stream in going & set(np.flatnonzero(side.add(numbers[-1])).tolist()):
            going.remove(stream)
            found.delays.append(t)
            chart, since = side.alarm(stream)
            _attribute(found, unit, drift, np.array([one[stream] for one in numbers[-since:]]), chart)
        if not going:
            break
    found.delays += [LONGEST] * len(going)
    found.missed += len(going)
    found.by_unit.append(float(np.mean(found.delays[-runs:])))


def _attribute(found: Found, unit: Unit, drift: str, numbers: Array, chart: int) -> None:
    said, named = cause(unit.reference, numbers, chart), DRIFTS[drift].named
    found.kinds_right.append(said.kind.value == DRIFTS[drift].kind)
    found.names_right.append(
        said.signature == drift or said.signature.partition(" ")[2] in named or said.signals[0][0] in named
    )


# --- one chart alone, and the others ---------------------------------------------------------------------------------


def one_chart() -> dict[str, float]:
    """A single two-sided chart with the whole budget, known distribution: by the Markov chain."""
    limit = cusum_limit(RUN_LENGTH)
    return {f"{shift:g} SD": round(cusum_run_length(limit, shift), 2) for shift in (0.5, 1.0, 2.0)}


Detector = Callable[[], Any]
STREAMING: dict[str, Detector] = {
    "Page-Hinkley": rivals.PageHinkley,
    "ADWIN": rivals.Adwin,
    "KSWIN": rivals.Kswin,
}
TOLD_BY = "sharpness"
"""The signal that detectors of one number are given: the best one for the drift that they are tried on."""


def rival_streams(population: Population, seed: int, procedures: int, *, samples: bool) -> dict[str, dict[str, float]]:
    """False alarms of the streaming detectors in control, and their delay after a blur of 1 SD, in procedures. `samples`: given
    every sample, as they are used; else each procedure's mean."""
    rng, signal = np.random.default_rng(seed), population.names.index(TOLD_BY)
    shift, scale = population.mean[signal], population.sd[signal]

    def stream(values: Array) -> list[Array]:
        if not samples:
            return [population.measured(rng, values)[:, signal]]
        return list(population.samples(rng, values)[:, :, signal].T)

    found = {}
    quiet = [(one - shift) / scale for one in stream(population.draw(rng, procedures))]
    moved = [
        (one - shift) / scale for one in stream(population.drifted(rng, LONGEST if not samples else 20, "blur", 1.0))
    ]
    per = SAMPLES if samples else 1
    for name, make in STREAMING.items():
        detector = make()
        alarms = sum(detector.add(float(x)) for one in quiet for x in one)
        late = next((t for t, x in enumerate(np.concatenate(moved), 1) if detector.add(float(x))), None)
        delay = float("nan") if late is None else late / per
        found[name] = {
            "procedures": procedures,
            "alarms": alarms,
            "run_length": procedures / max(alarms, 1),
            "delay": delay,
        }
    return found


def rival_windows(population: Population, seed: int, procedures: int) -> dict[str, dict[str, float]]:
    """Two-sample tests of each procedure's samples (each tenth) against as many of the reference, as if they were independent;
    and of the means of the newest 30 procedures against 300."""
    rng = np.random.default_rng(seed)
    tests: dict[str, Callable[[Array, Array], bool]] = {
        "Evidently-style columns": rivals.columns,
        "MMD": partial(rivals.mmd, rng=rng),
    }
    keep = population.sd > 0

    def standard(values: Array) -> Array:
        return np.asarray(((values - population.mean) / np.where(keep, population.sd, 1.0))[..., keep])

    locked = standard(population.samples(rng, population.draw(rng, 60))[::100].reshape(-1, len(population.names)))
    quiet = standard(population.samples(rng, population.draw(rng, procedures))[::10])
    means = standard(population.measured(rng, population.draw(rng, LOCKED)))
    found = {}
    for name, test in tests.items():
        alarms = sum(test(locked, quiet[:, i]) for i in range(procedures))
        found[f"{name}, samples of each procedure"] = _row(procedures, alarms)
        windows = [standard(population.measured(rng, population.draw(rng, 30))) for _ in range(procedures // 4)]
        alarms = sum(test(means, one) for one in windows)
        found[f"{name}, means of 30 procedures"] = _row(30 * len(windows), alarms)
    return found


def _row(procedures: int, alarms: int) -> dict[str, float]:
    return {
        "procedures": procedures,
        "alarms": alarms,
        "run_length": procedures / max(alarms, 1),
        "delay": float("nan"),
    }
