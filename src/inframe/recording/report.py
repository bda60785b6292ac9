"""What a replay found: the first difference, how many there are, and both sides beside each other."""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.types import Decision, Masks, Output
from inframe.recording import compare, schema
from inframe.recording.compare import TOLERANCE, Outcome
from inframe.recording.events import Said
from inframe.recording.read import Health

RESYNC_NS = 10 * NS_PER_S
"""After a gap in what the loop was told, its memory (rules, alerts, held results) may be another one for so long: differences
are counted apart."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One."""

    frame: int
    """Its sequence number; 0: a NO SIGNAL card."""
    what: str
    recorded: str
    replayed: str


@dataclass
class Side:
    """What one side decided."""

    verdicts: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    """Frames with the finding, by rule."""
    run_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long runs took, by model."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        medians = {name: round(statistics.median(times), 3) for name, times in self.run_ms.items()}
        counts = {"verdicts": dict(self.verdicts), "modes": dict(self.modes), "findings": dict(self.findings)}
        return {**counts, "run_ms": medians}


@dataclass
class Report:
    """Filled in by a replay."""

    tolerant: bool = False
    """Whether TOLERANCE applies, instead of bit for bit."""
    why: list[str] = field(default_factory=list)
    """Why it does; and what else is another than at the time of the recording."""
    decisions: int = 0
    results: int = 0
    identical_results: int = 0
    not_recorded: int = 0
    """Results taken from the recording, as their frame, or one that their model remembers, is not in it."""
    after_gap: int = 0
    """Differences that a gap in the recording explains."""
    missing: Counter[str] = field(default_factory=Counter)
    """What the recording says that it lacks."""
    cut: list[str] = field(default_factory=list)
    damaged_chunks: int = 0
    differences: Counter[str] = field(default_factory=Counter)
    """Frames that differ, by what does."""
    first: Difference | None = None
    recorded: Side = field(default_factory=Side)
    replayed: Side = field(default_factory=Side)
    _agreement: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _apart: Counter[str] = field(default_factory=Counter)
    _unsure_ns: int = -1
    _now_ns: int = 0

    @property
    def held(self) -> bool:
        """Whether everything is as it was, and there was something."""
        return not self.differences and self.decisions > 0

    def _differs(self, frame: int, what: str, recorded: object, replayed: object) -> None:
        if self._now_ns < self._unsure_ns:
            self.after_gap += 1
            return
        self.differences[what] += 1
        if self.first is None:
            self.first = Difference(frame, what, str(recorded), str(replayed))

    # --- what the replay calls

    def result(self, said: Said, computed: Outcome) -> None:
        """A model's output for one frame, recorded and now."""
        self.results += 1
        self._now_ns = max(self._now_ns, said.captured_ns)
        self.recorded.run_ms[said.model].append((said.steps.decoded - said.steps.started) / NS_PER_MS)
        if compare.same(said.output, computed):
            self.identical_results += 1
            self._agreement[said.model].append(1.0)
            return
        self._agreement[said.model].append(compare.agreement(said.output, computed))
        if not (self.tolerant and compare.near(said.output, computed)):
            self._differs(said.seq, f"result of {said.model}", *_told_apart(said.output, computed))

    def decision(self, recorded: schema.Decision, replayed: Decision) -> None:
        """What was decided, and what is decided now."""
        self.decisions += 1
        self._now_ns = max(self._now_ns, recorded.captured_ns if recorded.seq else recorded.deadline_ns)
        for side, verdict, mode, rules in (
            (self.recorded, recorded.verdict, recorded.mode, [f.rule for f in recorded.findings]),
            (self.replayed, replayed.verdict.name, replayed.mode.name, [f.rule for f in replayed.findings]),
        ):
            side.verdicts[verdict] += 1
            side.modes[mode] += 1
            side.findings.update(rules)
        apart = compare.decisions(recorded, replayed)
        for what, (before, now) in apart.strict.items():
            self._differs(recorded.seq, what, before, now)
        for what, (before, now) in apart.found.items():
            if not self.tolerant:
                self._differs(recorded.seq, what, before or "none", now or "none")
            elif (before is None) != (now is None):
                self._apart[what] += 1
                if self._apart[what] > TOLERANCE.frames:
                    self._differs(recorded.seq, what, before or "none", now or "none")
        for what in self._apart.keys() - {key for key, (a, b) in apart.found.items() if (a is None) != (b is None)}:
            del self._apart[what]

    def unanswered(self, recorded: schema.Decision) -> None:
        """The loop decided nothing where it had decided something."""
        self._differs(recorded.seq, "a decision", recorded.verdict, "none")

    def unknown(self, decision: schema.Decision) -> None:
        """What the loop was told of this frame was not recorded."""
        self._unsure_ns = max(self._now_ns, decision.captured_ns) + RESYNC_NS

    def midway(self, at_ns: int) -> None:
        """The recording begins here, and the procedure did not."""
        self.why.append("the recording begins midway: what the device remembered then is unknown")
        self._unsure_ns = at_ns + RESYNC_NS

    def gap(self, gap: schema.Gap) -> None:
        """Something is missing in the recording."""
        self.missing.update({"frames": gap.frames, "results": gap.results, "decisions": gap.decisions})
        if gap.samples:
            self.missing["samples"] += gap.samples
        if gap.decisions or gap.results or gap.samples:
            self._unsure_ns = self._now_ns + RESYNC_NS

    def unseen(self, _frame: int) -> None:
        """A result whose frame was not recorded."""
        self.not_recorded += 1

    def ran(self, model: str, ns: int) -> None:
        """A model ran."""
        self.replayed.run_ms[model].append(ns / NS_PER_MS)

    def health(self, health: Health) -> None:
        """What the files lack."""
        self.cut, self.damaged_chunks = health.cut, health.damaged

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        first = self.first
        return {
            "held": self.held,
            "compared": "within tolerance" if self.tolerant else "bit for bit",
            "why": self.why,
            "decisions": self.decisions,
            "results": self.results,
            "identical_results": self.identical_results,
            "agreement": {name: round(statistics.fmean(shares), 6) for name, shares in self._agreement.items()},
            "least_agreement": {name: round(min(shares), 6) for name, shares in self._agreement.items()},
            "not_recorded": self.not_recorded,
            "missing": dict(+self.missing),
            "cut": self.cut,
            "damaged_chunks": self.damaged_chunks,
            "after_gap": self.after_gap,
            "differences": dict(self.differences),
            "first_difference": None
            if first is None
            else {"frame": first.frame, "what": first.what, "recorded": first.recorded, "replayed": first.replayed},
            "recorded": self.recorded.as_json(),
            "replayed": self.replayed.as_json(),
        }


def _told_apart(before: Outcome, now: Outcome) -> tuple[str, str]:
    if isinstance(before, Masks) and isinstance(now, Masks) and before.classes.shape == now.classes.shape:
        count = int(np.count_nonzero(before.classes != now.classes))
        return _brief(before), f"{count} of {now.classes.size} pixels of another class"
    return _brief(before), _brief(now)


def _brief(outcome: Outcome) -> str:
    if isinstance(outcome, Output):
        name = type(outcome).__name__.lower()
        shape = next(getattr(outcome, key).shape for key in ("classes", "heat", "scores") if hasattr(outcome, key))
        return f"{name} of {'x'.join(map(str, shape))}"
    return outcome.name
