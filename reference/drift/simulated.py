"""The simulator of signals. It is statistical: no picture is rendered here.

What it is made of (`rendered.json`, measured with the device's own code on rendered procedures and the shipped model):

* between procedures: each signal's distribution as measured (240 procedures, a different camera, light, anatomy and set of
  instruments each), and their rank correlations (a Gaussian copula, shrunk by 5 %);
* within a procedure: samples ten times a second around the procedure's own value, with the SD and the correlation of neighbouring
  samples measured (first-order autoregressive, each signal for itself);
* a drift in the picture or in the instruments: the effect on each signal measured on 48 procedures before and after. Of the first
  half of these the reference learns its signatures; of the other half one is drawn for each procedure;
* a label shift: the same procedures in other proportions (exponential tilting), so that the label's area moves.

A drift of 1 SD: the signal that it moves most moves by 1 SD, and no other by more. The SD is that of the signal between
procedures, on the scale on which they are normally distributed (normal scores), as all charts' tables have it. `plainly`: on the
signal's own scale, where a few large values make most of a skewed signal's SD (a label's area that is 0 in one procedure of
seven): there 1 SD of a label shift is 0.85 SD of the scores, and harder to see than 1 SD of a normal number.

What it leaves out: any dependence between one procedure and the next, and drifts that grow.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframe.monitor import normal
from inframe.monitor.signals import signal_of
from reference.drift.faults import DRIFTS

Array = NDArray[np.float64]
FILE = Path(__file__).parent / "rendered.json"
SHRINK = 0.05
SAMPLES = 600
"""Of one procedure: a minute."""
POOL = 20_000
LEARNED_AT = 1.5
"""SD: whoever makes a signature degrades pictures clearly."""


@dataclass(eq=False)
class Population:
    """All procedures that there could be."""

    file: Path = FILE
    by_samples: bool = False
    """Procedures' means are taken of their samples; else of the distribution that such a mean has, which is quicker."""
    plainly: bool = False
    """A drift's strength is on the signals' own scales."""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        content = json.loads(self.file.read_text("utf-8"))
        self.names = tuple(content["names"])
        self._sorted = np.sort(np.array(content["procedures"]), axis=0)
        self.mean, self.sd = self._sorted.mean(axis=0), self._sorted.std(axis=0, ddof=1)
        scores = _scores(np.array(content["procedures"]))
        spread = np.where(scores.std(axis=0) > 0, scores.std(axis=0), 1.0)
        correlation = (scores / spread).T @ (scores / spread) / len(scores)
        self._root = np.linalg.cholesky((1 - SHRINK) * correlation + SHRINK * np.eye(len(self.names)))
        self.within_sd = np.array(content["within_sd"])
        self.within_correlation = np.clip(np.array(content["within_correlation"]), 0.0, 0.99)
        self.effects = {name: np.array(rows) for name, rows in content["effects"].items()}
        self._low = np.array([signal_of(name).low for name in self.names])
        self._high = np.array([signal_of(name).high for name in self.names])

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """(count, signals): the procedures' own values."""
        z = rng.standard_normal((count, len(self.names))) @ self._root.T
        return np.stack([np.interp(z[:, j], self._at, self._sorted[:, j]) for j in range(len(self.names))], axis=1)

    @cached_property
    def _at(self) -> Array:
        """The normal scores of the procedures that were rendered, in order."""
        n = len(self._sorted)
        return np.array([normal.inverse((i + 0.5) / n) for i in range(n)])

    def drifted(self, rng: np.random.Generator, count: int, drift: str, strength: float) -> Array:
        """(count, signals): after the onset; `strength` in SD of the signal that moves most."""
        if drift not in self.effects:
            upto = self._shifted(drift, strength)
            return np.asarray(self._pool[np.searchsorted(upto, rng.uniform(size=count))])
        effects = self.scaled(drift, strength)
        return self._clipped(self.draw(rng, count) + effects[rng.integers(0, len(effects), count)])

    @lru_cache(maxsize=64)  # noqa: B019  # as `scaled`
    def _shifted(self, drift: str, strength: float) -> Array:
        """(POOL,): of procedures in other proportions the share up to each."""
        signal = self.names.index(DRIFTS[drift].named[0])
        on = self._pool[:, signal] if self.plainly else self._scored(self._pool)[:, signal]
        upto = np.cumsum(_tilted(on, strength * float(on.std()) + float(on.mean())))
        return np.asarray(upto / upto[-1])

    def degraded(self, rng: np.random.Generator, count: int, drift: str) -> Array:
        """(count, signals): as `drifted`, strongly, of the effects that signatures are learned from."""
        effects = self.scaled(drift, LEARNED_AT, half=0)
        return self._clipped(self.draw(rng, count) + effects[rng.integers(0, len(effects), count)])

    @lru_cache(maxsize=64)  # noqa: B019  # a handful of populations lives as long as the program
    def scaled(self, drift: str, strength: float, half: int = 1) -> Array:
        """(24, signals): half of the effects of a drift, scaled to that strength."""
        effects, low, high = np.array_split(self.effects[drift], 2)[half], 0.0, 100.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self._moved(middle * effects) < strength else (low, middle)
        return np.asarray(high * effects)

    def _moved(self, effects: Array) -> float:
        """How far these effects move the signal that they move most."""
        if self.plainly:
            return float(np.max(np.abs(effects.mean(axis=0)) / np.where(self.sd > 0, self.sd, np.inf)))
        before = self._pool[: 40 * len(effects)]
        after = self._clipped(before + np.tile(effects, (40, 1)))
        return float(np.abs(self._scored(after).mean(axis=0) - self._scored(before).mean(axis=0)).max())

    def _scored(self, values: Array) -> Array:
        """(…, signals): normal scores among all procedures, with SD 1; equal values share the mean of theirs."""
        found = np.zeros_like(values)
        for j, (known, scores) in self._tables.items():
            found[..., j] = np.interp(values[..., j], known, scores)
        return found

    @cached_property
    def _tables(self) -> dict[int, tuple[Array, Array]]:
        """By signal: values, and their scores."""
        grid = (np.arange(1000) + 0.5) / 1000
        z = np.array([normal.inverse(p) for p in grid])
        at, found = (np.arange(len(self._sorted)) + 0.5) / len(self._sorted), {}
        for j in np.flatnonzero(self.sd > 0):
            points = np.interp(grid, at, self._sorted[:, j])
            known, where, counts = np.unique(points, return_inverse=True, return_counts=True)
            scores = np.bincount(where, z) / counts
            found[int(j)] = known, scores / np.sqrt(np.average(scores**2, weights=counts))
        return found

    def _clipped(self, values: Array) -> Array:
        return np.asarray(np.clip(values, self._low, self._high))

    @cached_property
    def _pool(self) -> Array:
        return self.draw(np.random.default_rng(5), POOL)

    def measured(self, rng: np.random.Generator, values: Array) -> Array:
        """(count, signals): the means that a monitor finds of SAMPLES samples of each procedure."""
        if self.by_samples:
            flat = values.reshape(-1, values.shape[-1])
            parts = [self.samples(rng, flat[i : i + 100]).mean(axis=0) for i in range(0, len(flat), 100)]
            return np.concatenate(parts).reshape(values.shape)
        r = self.within_correlation
        noise = self.within_sd * np.sqrt((1 + r) / (1 - r) / SAMPLES)
        return self._clipped(values + noise * rng.standard_normal(values.shape))

    def samples(self, rng: np.random.Generator, values: Array, count: int = SAMPLES) -> Array:
        """(count, procedures, signals): the samples themselves, autocorrelated."""
        r = self.within_correlation
        room = np.minimum(values - self._low, self._high - values)  # what is not in sight does not waver
        noise = rng.standard_normal((count, *values.shape))
        for t in range(1, count):
            noise[t] = r * noise[t - 1] + np.sqrt(1 - r * r) * noise[t]
        return self._clipped(values + np.minimum(self.within_sd, room / 3) * noise)


def _scores(values: Array) -> Array:
    """Normal scores by column; equal values share the middle of theirs."""
    n = len(values)
    found = np.empty_like(values)
    for j in range(values.shape[1]):
        known, at, counts = np.unique(values[:, j], return_inverse=True, return_counts=True)
        ranks = np.cumsum(counts) - (counts - 1) / 2 - 0.5
        found[:, j] = np.array([normal.inverse(float(rank) / n) for rank in ranks])[at] if len(known) > 1 else 0.0
    return found


def _tilted(values: Array, mean: float) -> Array:
    """Weights, exponential in the value, with that mean."""
    unit = (values - values.mean()) / values.std()
    goal = (mean - values.mean()) / values.std()
    low, high = 0.0, 20.0
    for _ in range(60):
        theta = (low + high) / 2
        weights = np.exp(theta * unit - (theta * unit).max())
        weights /= weights.sum()
        low, high = (theta, high) if float(weights @ unit) < goal else (low, theta)
    return np.asarray(weights)
