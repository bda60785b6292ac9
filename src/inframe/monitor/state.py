"""The monitor's memory on the disk: one file for each stratum, replaced in one step, so that a power cut leaves the old or the new
one. Its first line has the digest of what follows: damage is known, and never taken for a fresh start.

A stratum is a device at a site with a modality and certain models. What is kept of it does not grow with the number of procedures:
histograms, the charts, and the newest RECENT procedures' values.
"""

import json
import secrets
from collections import deque
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.errors import DeviceFault
from inframe.monitor.attribution import cause
from inframe.monitor.charts import Charts
from inframe.monitor.reference import Reference
from inframe.monitor.summary import Scales, Summary, Tally
from inframe.trail.files import Files, make_folders, put

RECENT = 400
ALARMS = 32
_FIRST = "inframe monitor 1"

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stratum:
    """Whose procedures are counted together."""

    device: str
    site: str
    modality: str
    models: tuple[tuple[str, str], ...]
    """Each with the SHA-256 of its bundle, or of its file."""

    @property
    def path(self) -> str:
        """The name of its file."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16] + ".state"


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a chart said at the end of a procedure."""

    procedure: int
    """The how many-th of this stratum."""
    model: str
    """Whose reference."""
    kind: str
    """Of the cause: see `signals.Kind`."""
    text: str
    since: int
    """Procedures since it began."""
    e_value: float


@dataclass
class Watched:
    """One model's reference and the charts against it."""

    reference: Reference
    charts: Charts

    def as_json(self) -> dict[str, Any]:
        """The charts, with what a reader without the reference needs to know."""
        calibration = self.reference.file.calibration
        return {
            **self.charts.as_json(),
            "signals": self.reference.names,
            "signatures": [one.name for one in self.reference.file.signatures],
            "limits": [round(float(limit), 6) for limit in self.charts.limits],
            "e_value": self.charts.e_value(),
            "calibration": calibration.model_dump() if calibration is not None else None,
        }

    def numbers(self, names: tuple[str, ...], means: Array) -> Array:
        """What the charts get of a procedure whose signals' means are these."""
        at = {name: i for i, name in enumerate(names)}
        return self.reference.numbers(
            np.array([means[at[name]] if name in at else np.nan for name in self.reference.names])
        )


def watch(references: dict[str, Reference], run_length: float) -> dict[str, Watched]:
    """Charts for each model's reference, with limits so that all together raise a false alarm in `run_length` procedures."""
    each = run_length * len(references)
    return {
        model: Watched(one, Charts(one.limits(each), len(one.file.signatures), one.file.procedures))
        for model, one in references.items()
    }


@dataclass
class State:
    """All that is known of one stratum. `close_procedure` is the only way in which charts move."""

    stratum: Stratum
    scales: Scales
    watched: dict[str, Watched]
    origin: str = field(default_factory=lambda: secrets.token_hex(8))
    """Tells this memory from any other, so that nothing is counted twice where exports are merged."""
    procedures: int = 0
    cut: int = 0
    """Of these, ended by a power cut or a crash."""
    blocks: dict[str, Tally] = field(default_factory=dict)
    """By phase: half seconds of all procedures."""
    means: Tally = field(init=False)
    """Procedures."""
    recent: deque[list[float | None]] = field(default_factory=lambda: deque(maxlen=RECENT))
    alarms: list[Alarm] = field(default_factory=list)
    running: tuple[str, Summary] | None = None
    """The procedure that goes on, by its id, as far as it has come."""

    def __post_init__(self) -> None:
        self.means = Tally(self.scales)

    @property
    def standing(self) -> dict[str, list[tuple[int, int, int]]]:
        """By model the charts that are above their limits now; see `Charts.alarms`."""
        found = {model: one.charts.alarms() for model, one in self.watched.items()}
        return {model: alarms for model, alarms in found.items() if alarms}

    def close_procedure(self, least_blocks: int, *, was_cut: bool = False) -> list[Alarm]:
        """Count the running procedure, unless it was too short; the alarms that it brings."""
        if self.running is None:
            return []
        _, summary = self.running
        self.running = None
        if summary.blocks < least_blocks:
            return []
        self.procedures += 1
        self.cut += was_cut
        for phase, tally in summary.phases.items():
            self.blocks.setdefault(phase, Tally(self.scales)).merge(tally)
        means = summary.whole().means()
        self.means.add(means)
        self.recent.append([None if np.isnan(v) else float(f"{v:.5g}") for v in means])
        new = [alarm for model, one in self.watched.items() for alarm in self._charted(model, one, means)]
        self.alarms = (self.alarms + new)[-ALARMS:]
        return new

    def _charted(self, model: str, one: Watched, means: Array) -> list[Alarm]:
        """At most one alarm: the procedure at which the first of a model's charts exceeds its limit."""
        before = bool(one.charts.alarms())
        one.charts.add(one.numbers(self.scales.names, means))
        alarms = one.charts.alarms()
        if before or not alarms:
            return []
        chart, _, since = alarms[0]
        since = max(1, min(since, len(self.recent)))
        rows = np.array(list(self.recent)[-since:], np.float64)  # None becomes NaN
        found = cause(one.reference, np.array([one.numbers(self.scales.names, row) for row in rows]), chart)
        return [Alarm(self.procedures, model, found.kind.value, found.text(), since, one.charts.e_value())]

    # --- on the disk

    def save(self, files: Files) -> None:
        """Durably. Raises OSError."""
        body = json.dumps(self._as_json(), sort_keys=True, separators=(",", ":")).encode()
        put(files, self.stratum.path, f"{_FIRST} {sha256(body).hexdigest()}\n".encode() + body)

    def _as_json(self) -> dict[str, Any]:
        return {
            "stratum": asdict(self.stratum),
            "origin": self.origin,
            "names": self.scales.names,
            "procedures": self.procedures,
            "cut": self.cut,
            "blocks": {phase: tally.as_json() for phase, tally in self.blocks.items()},
            "means": self.means.as_json(),
            "recent": list(self.recent),
            "charts": {model: one.as_json() for model, one in self.watched.items()},
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "running": None if self.running is None else [self.running[0], self.running[1].as_json()],
        }


def load(files: Files, stratum: Stratum, names: tuple[str, ...], watched: dict[str, Watched]) -> State:
    """The stratum's state; a fresh one where there is none. Raises DeviceFault for a damaged one, OSError."""
    make_folders(files, "")
    raw = files.read(stratum.path)
    state = State(stratum, Scales(names), watched)
    if raw is None:
        return state
    content = unsealed(stratum.path, raw)
    try:
        _fill(state, content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(stratum.path, "content", error) from None
    return state


def _fill(state: State, content: dict[str, Any]) -> None:
    known = {name: i for i, name in enumerate(content["names"])}
    order = [known.get(name) for name in state.scales.names]
    state.origin, state.procedures, state.cut = str(content["origin"]), int(content["procedures"]), int(content["cut"])
    state.blocks = {phase: Tally.of_json(state.scales, one) for phase, one in content["blocks"].items()}
    state.means = Tally.of_json(state.scales, content["means"])
    state.recent.extend([None if i is None else row[i] for i in order] for row in content["recent"])
    for model, one in state.watched.items():
        if model in content["charts"]:
            one.charts.restore(content["charts"][model])
    state.alarms = [Alarm(**alarm) for alarm in content["alarms"]]
    if content["running"] is not None:
        procedure, summary = content["running"]
        state.running = str(procedure), Summary.of_json(state.scales, summary)


def unsealed(path: str, raw: bytes) -> dict[str, Any]:
    """What is in a state's file. Raises DeviceFault."""
    head, _, body = raw.partition(b"\n")
    first, _, digest = head.decode("ascii", "replace").rpartition(" ")
    if first != _FIRST:
        raise _damaged(path, "first line", head[:60])
    if sha256(body).hexdigest() != digest:
        raise _damaged(path, "digest", sha256(body).hexdigest()[:16])
    content = json.loads(body)
    if not isinstance(content, dict):
        raise _damaged(path, "content", body[:40])
    return content


def _damaged(path: str, field_: str, found: object) -> DeviceFault:
    return DeviceFault(f"{path}: {field_}: found {found!r}, expected what the monitor wrote; it is damaged")
