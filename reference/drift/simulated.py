"""The simulator of signals. It is statistical: no picture is rendered here.

What it is made of (`rendered.json`, measured with the device's own code on rendered procedures and the shipped model):

* between procedures: each signal's distribution as measured (240 procedures, a different camera, light, anatomy and set of
  instruments each), and their rank correlations (a Gaussian copula, shrunk by 5 %);
* within a procedure: samples ten times a second around the procedure's own value, with the SD and the correlation of neighbouring
  samples measured (first-order autoregressive, each signal for itself);
* a drift in the picture or in the instruments: the effect on each signal measured on 48 procedures before and after. Of the first
  half of these the reference learns its signatures; of the other half one is drawn for each procedure. `strength` scales it so
  that the signal which it moves most moves by so many SD (between procedures), and no other by more;
* a label shift: the same procedures in other proportions (exponential tilting), so that the label's area moves by so much.

What it leaves out: any dependence between one procedure and the next, and drifts that grow.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
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


@dataclass
class Population:
    """All procedures that there could be."""

    file: Path = FILE
    by_samples: bool = False
    """Procedures' means are taken of their samples; else of the distribution that such a mean has, which is quicker."""
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
        ranks = normal.cdf(rng.standard_normal((count, len(self.names))) @ self._root.T)
        at = (np.arange(len(self._sorted)) + 0.5) / len(self._sorted)
        return np.stack([np.interp(ranks[:, j], at, self._sorted[:, j]) for j in range(len(self.names))], axis=1)

    def drifted(self, rng: np.random.Generator, count: int, drift: str, strength: float) -> Array:
        """(count, signals): after the onset; `strength` in SD of the signal that moves most."""
        if drift not in self.effects:
            signal, pool = self.names.index(DRIFTS[drift].named[0]), self._pool
            weights = _tilted(pool[:, signal], self.mean[signal] + strength * self.sd[signal])
            return np.asarray(pool[rng.choice(len(pool), count, p=weights)])
        effects = self.scaled(drift, strength)
        return self._clipped(self.draw(rng, count) + effects[rng.integers(len(effects) // 2, len(effects), count)])

    def degraded(self, rng: np.random.Generator, count: int, drift: str) -> Array:
        """(count, signals): as `drifted` at strength 1, of the effects that signatures are learned from."""
        effects = self.scaled(drift, 1.0)
        return self._clipped(self.draw(rng, count) + effects[rng.integers(0, len(effects) // 2, count)])

    def scaled(self, drift: str, strength: float) -> Array:
        """(48, signals): the effects of a drift at that strength."""
        effects = self.effects[drift]
        most = float(np.max(np.abs(effects.mean(axis=0)) / np.where(self.sd > 0, self.sd, np.inf)))
        return np.asarray(strength / most * effects)

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
