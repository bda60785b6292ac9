"""A candidate on a running device: starts it beside the model shown, lets it be measured, shows it, and takes it back.

    propose   a second worker is started at the free place; the process `shadow` compares both
    switch    one word on the board: from the next frame on the display takes results from the candidate's ring
    back      the same word the other way round, then the candidate ends; by itself when a health rule is violated
    keep      the worker before it ends

All of it is called by the parent, beside the frame path; the moment of a change is the display's next look at that word.
"""

import math
import os
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.config import BundleConfig, Device, ModelConfig
from inframe.core.errors import UpdateError
from inframe.core.health import CandidateConfig, Health, HealthRules, Move, Phase, after, not_yet, violated
from inframe.fitting import Proposed, prepare
from inframe.machine.partition import Partition, reschedule
from inframe.machine.supervise import Notice, ProcessSpec, Supervisor
from inframe.onscreen import OnScreen
from inframe.pipeline.board import SHOWN, Board, Count
from inframe.pipeline.bundled import SIGNED_SLOT
from inframe.pipeline.places import NAMES, STAND_IN, UNSIGNED, bits, place, row_name, worker_and_place
from inframe.pipeline.ring import RingReader
from inframe.pipeline.shadow import read_measured
from inframe.recorder.batch import digest_of
from inframe.table import spec_of, unseen

SHOWN_NS = 5 * NS_PER_S
"""That a candidate was taken back is announced for so long."""
_COUNTS = (Count.FRAMES, Count.OVER_BUDGET, Count.INVALID, Count.FAILED)
TRIAL_SLOT = "trial"
Tell = Callable[[str, str, Mapping[str, str]], None]


@dataclass
class _One:
    """The candidate there is."""

    proposed: Proposed
    workers: tuple[str, ...]
    places: Mapping[str, int]
    """The candidate's place of each worker."""
    generation: int
    since_ns: int
    screen: OnScreen
    base: Mapping[str, tuple[int, ...]]
    release: str = ""
    crashes: int = 0

    @property
    def device(self) -> Device:
        """With the candidate's models."""
        return self.proposed.device

    @property
    def models(self) -> tuple[str, ...]:
        """Those for which it stands."""
        return self.proposed.models

    @property
    def rows(self) -> list[str]:
        return [row_name(worker, self.places[worker]) for worker in self.workers]

    @property
    def before(self) -> list[str]:
        return [row_name(worker, 1 - self.places[worker]) for worker in self.workers]


class Candidates:
    """At most one candidate at a time, for one or several models that change together. Call `step` after each look at the
    table of processes, and `notice` with what that told."""

    def __init__(
        self,
        device: Device,
        shared: dict[str, int],
        board: Board,
        clock: Clock,
        tell: Tell,
        kept: Callable[[], None] = lambda: None,
        give: Callable[[int, Partition], str | None] = reschedule,
    ) -> None:
        """`shared` gets the bundles of a candidate that is kept. `tell(event, text, data)` writes into the trail; `kept` is called
        when what is shown for good has changed; `give` changes a running process's scheduling class."""
        self.device = device
        """As it is shown now."""
        self.supervisor: Supervisor
        """Set before the first call: it tells its notices to us."""
        self._shared, self._board, self._clock, self._tell = shared, board, clock, tell
        self._kept, self._give = kept, give
        self._measured = RingReader(shared["measured.read"]) if device.candidate is not None else None
        if device.candidate is not None:
            board.set_shown(_marked(0, device))
        self.ended: Callable[[str], None] = lambda _: None
        """Told why a candidate that is a release was taken back, when it is shown no more."""
        self.alone = False
        """What the device shows is a release on trial, with none before it: the first one of all."""
        self._one: _One | None = None
        self._phase = Phase.NONE
        self._generation = 0
        self._back_ns = 0
        self.last: tuple[str, Health] = "", Health()
        """Why the last candidate ended, and how it then was."""

    # --- what is asked of it

    def propose(self, models: Mapping[str, ModelConfig], bundles: Mapping[str, BundleConfig] | None = None) -> None:
        """Start a candidate in shadow: these models, resolved, and those in these bundles instead of those of the same names; the
        others of their workers run beside them as they are. Raises what `fitting.prepare` raises, UpdateError where there is a
        candidate already."""
        self._config("propose")
        after(self._phase, "propose")
        self.start(prepare(self.device, models, bundles or {}))

    def start(self, proposed: Proposed, *, release: str = "", trial: bool = False) -> None:
        """The same, of what was prepared, and closes it where it can't be started. `release`: the one of the slots that it is;
        then only the slots decide of it. `trial`: it is on trial already, and shown from the device's first frame on."""
        try:
            self._start(proposed, after(self._phase, "propose"), release)
            if trial:
                self._show(*self._moved("switch"))
        except BaseException:  # also when interrupted: the memory is given back, and the error goes on
            proposed.close()
            raise

    @property
    def release(self) -> str:
        """The release that the candidate is; empty without a candidate, and for one that somebody proposed."""
        return self._one.release if self._one is not None else ""

    def rules(self) -> HealthRules:
        """What a candidate must keep to."""
        return self._config("propose").health

    def is_busy(self) -> bool:
        """Whether there is a candidate, or what is left of one."""
        ending = (row_name(worker, 1 - place(self._board.shown(), bit)) for worker, bit in bits(self.device).items())
        return self._one is not None or any(self.supervisor.has(name) for name in (*ending, "shadow"))

    def _start(self, proposed: Proposed, phase: Phase, release: str) -> None:
        device, models = proposed.device, proposed.models
        workers = tuple(sorted({device.models[name].worker for name in models}))
        word, known = self._board.shown(), bits(device)
        places = {worker: 1 - place(word, known[worker]) for worker in workers}
        self._generation += 1
        screen = OnScreen(self.rules().window)
        one = _One(proposed, workers, places, self._generation, self._clock.now(), screen, {}, release)
        ending = [name for name in (*one.rows, "shadow") if self.supervisor.has(name)]
        if ending:
            raise UpdateError(f"candidate: propose: found {', '.join(ending)} still ending, expected a free place")
        one.base = {row: self._counts(row) for row in one.rows}
        for name in one.rows:
            self._board.row(name).clear()
            self.supervisor.put(self._row(one, name, seen=False))
        shadow = spec_of(device, "shadow", self._shared)
        sides = {name: places[device.models[name].worker] for name in models}
        self.supervisor.put(replace(shadow, args={**shadow.args, "places": sides, "generation": one.generation}))
        self._one, self._phase = one, phase
        self._tell("CANDIDATE_PROPOSED", "in shadow", self._about(one))

    def switch(self, *, of_release: bool = False) -> None:
        """Show the candidate from the next frame on. Raises UpdateError before it was compared for long enough, or where there is
        none in shadow."""
        one, phase = self._moved("switch")
        self._must_be(one, "switch", "inframe update trial", of_release=of_release)
        why = not_yet(self._config("switch").health, self.health())
        if why is not None:
            raise UpdateError(f"candidate: switch: {why}")
        self._show(one, phase)

    def _show(self, one: _One, phase: Phase) -> None:
        self._turn(one, to_candidate=True)
        one.screen.begin(self._board.row("display"), up=self._is_up(one))
        one.since_ns, self._phase = self._clock.now(), phase
        self._board.row("device").raise_fault("CANDIDATE_SHOWN", one.since_ns)
        self._tell("CANDIDATE_SHOWN", "on trial, from the next frame on", self._about(one) | self._figures())

    def back(self, why: str = "on command") -> None:
        """End the candidate. On trial what was shown before is shown again from the next frame on. Raises UpdateError where
        there is none."""
        one, phase = self._moved("back")
        if self._phase is Phase.TRIAL:
            self._turn(one, to_candidate=False)
        now, health = self._clock.now(), self.health()
        self.last = why, health
        data = self._about(one) | self._figures() | {"why": why, "phase": self._phase.name}
        self._end(phase, one.rows)
        self._back_ns = now
        self._board.row("device").raise_fault("CANDIDATE_TAKEN_BACK", now)
        self._tell("CANDIDATE_TAKEN_BACK", why, data)
        if one.release:
            self.ended(why)

    def keep(self, *, of_release: bool = False) -> None:
        """The candidate is what is shown now; the worker before it ends. Raises UpdateError where none is on trial."""
        one, phase = self._moved("keep")
        self._must_be(one, "keep", "inframe update commit", of_release=of_release)
        self.last = "kept", self.health()
        data = self._about(one) | self._figures()
        self.device = one.device
        self._board.set_shown(_marked(self._board.shown() & SHOWN, one.device))  # nobody is left to stand in
        for name in one.models:
            old = self._shared.pop(f"bundle.{name}", None)
            if old is not None:
                os.close(old)
        self._shared |= one.proposed.sealed
        one.proposed.sealed.clear()
        for name in one.rows:
            self.supervisor.put(spec_of(one.device, name, self._shared))  # restarted from now on as often as any worker
        self._end(phase, one.before)
        self._tell("CANDIDATE_KEPT", "it stays", data)
        self._kept()

    def committed(self) -> None:
        """What was on trial alone is so no more."""
        self.alone = False
        self._kept()

    def health(self) -> Health:
        """What is known of the candidate; all zero without one."""
        one = self._one
        if one is None or self._measured is None:
            return Health()
        counts = [self._since(one, row) for row in one.rows]
        runs, over, invalid, failed = (sum(column) for column in zip(*counts, strict=True))
        return Health(
            self._phase,
            one.models,
            one.since_ns,
            self._is_up(one),
            one.crashes,
            runs,
            over,
            invalid + failed,
            one.screen.frames,
            one.screen.missed,
            one.screen.recent,
            read_measured(self._measured, one.generation),
        )

    def close(self) -> None:
        """Give back what is held for the candidate, if there is one; its processes have what they need."""
        if self._one is not None:
            self._one.proposed.close()

    # --- what happens to it

    def step(self) -> None:
        """Look once at the candidate's health, and take it back where it violates a rule."""
        now, row = self._clock.now(), self._board.row("device")
        if self._back_ns and now - self._back_ns > SHOWN_NS:
            self._back_ns = 0
            row.clear_fault("CANDIDATE_TAKEN_BACK")
        if self._one is None:
            return
        if self._phase is Phase.TRIAL:
            self._one.screen.look(self._board.row("display"), up=self._is_up(self._one))
        over = {spec.name for spec in self.supervisor.over()}.intersection(self._one.rows)
        why = violated(self.rules(), self.health()) or (f"given up: found {', '.join(sorted(over))}" if over else None)
        if why is not None:
            self.back(why)

    def notice(self, notice: Notice) -> None:
        """Something happened to a process."""
        if self._one is not None and notice.name in self._one.rows and notice.kind == "died":
            self._one.crashes += 1

    def counts(self, row: str) -> bool:
        """Whether a process's absence is the device's trouble: not that of one which isn't shown."""
        kind, _, what = row.partition(".")
        if kind == "worker" and self.device.candidate is not None:
            worker, own = worker_and_place(what)
            return place(self._board.shown(), bits(self.device)[worker]) == own
        return kind != "shadow" or self._one is not None

    def loaded(self, row: str, model: str, slot: str) -> dict[str, str]:
        """What the trail is told of a model that a worker has loaded into `slot`, beyond what the worker says: the slot of a signed
        one on its way is `trial`; one that nobody signed stays `unsigned`."""
        if self.device.candidate is None:
            return {}
        kind, _, what = row.partition(".")
        data = {"place": NAMES[worker_and_place(what)[1]]} if kind == "worker" else {}
        if self._one is not None and row in self._one.rows:
            preprocess = digest_of(self._one.device.models[model].preprocess)
            data |= {"slot": TRIAL_SLOT if slot == SIGNED_SLOT else slot, "preprocess": preprocess.hex()}
        elif model in self.device.models:
            bundle = self.device.bundles.get(model)
            on_trial = self.alone and slot == SIGNED_SLOT and bundle is not None and bundle.bundle is not None
            data |= {"slot": TRIAL_SLOT} if on_trial else {}
            data["preprocess"] = digest_of(self.device.models[model].preprocess).hex()
        return data

    # --- within

    def _turn(self, one: _One, *, to_candidate: bool) -> None:
        """The word is one store: all models change between the same two frames. Who is shown next gets its priority first, who was
        shown loses it last."""
        known, word = bits(one.device), self._board.shown()
        for worker in one.workers:
            target = one.places[worker] if to_candidate else 1 - one.places[worker]
            bit, stands_in = 1 << known[worker], 1 << known[worker] << STAND_IN
            word = word & ~(bit | stands_in) | target << known[worker] | (stands_in if to_candidate else 0)
        word = _marked(word, self.device, *([one.device] if to_candidate else []))
        first, last = (one.rows, one.before) if to_candidate else (one.before, one.rows)
        for name in first:
            self._reschedule(one, name, seen=True)
        self._board.set_shown(word)
        for name in last:
            self._reschedule(one, name, seen=False)

    def _reschedule(self, one: _One, name: str, *, seen: bool) -> None:
        spec, pid = self._row(one, name, seen=seen), self.supervisor.pid(name)
        if pid is not None and self.device.real_time:
            self._give(pid, spec.partition)
        self.supervisor.put(spec)

    def _row(self, one: _One, name: str, *, seen: bool) -> ProcessSpec:
        """The row of a worker of the candidate, or of one before it. A candidate is started again as often as it may crash:
        without that limit the table's first look at its death would start what the next one ends."""
        own = name in one.rows
        if not own:
            spec = spec_of(self.device, name, self._shared)
        else:
            spec = spec_of(one.device, name, ChainMap(one.proposed.sealed, self._shared))
            limit = self._config("propose").health.crashes
            spec = replace(spec, restarts=replace(spec.restarts, limit=limit, within_s=math.inf))
        return spec if seen else unseen(spec)

    def _end(self, phase: Phase, rows: list[str]) -> None:
        for name in (*rows, "shadow"):
            self.supervisor.drop(name)
        self._board.row("device").clear_fault("CANDIDATE_SHOWN")
        self.close()
        self._one, self._phase = None, phase

    def _config(self, move: Move) -> CandidateConfig:
        if self.device.candidate is None:
            raise UpdateError(f"candidate: {move}: found a device file without candidate, expected `candidate:`")
        return self.device.candidate

    def _must_be(self, one: _One, move: Move, instead: str, *, of_release: bool) -> None:
        if bool(one.release) is not of_release:
            raise UpdateError(f"candidate: {move}: found the release {one.release} of the slots, expected `{instead}`")

    def _moved(self, move: Move) -> tuple[_One, Phase]:
        """The candidate, and the phase after the move."""
        phase = after(self._phase, move)
        if self._one is None:
            raise RuntimeError(f"phase {self._phase.name} without a candidate")
        return self._one, phase

    def _counts(self, row: str) -> tuple[int, ...]:
        return tuple(self._board.row(row).get(count) for count in _COUNTS)

    def _since(self, one: _One, row: str) -> list[int]:
        return [now - before for now, before in zip(self._counts(row), one.base[row], strict=True)]

    def _is_up(self, one: _One) -> bool:
        return all(self._board.row(row).get(Count.READY_NS) for row in one.rows)

    def _about(self, one: _One) -> dict[str, str]:
        files = {name: one.device.models[name].file for name in one.models}
        about = {"models": ", ".join(one.models), "files": ", ".join(files.values())}
        about |= {"release": one.release} if one.release else {}
        signed = {"signed_by": one.proposed.signed_by, "unsigned": ", ".join(one.proposed.unsigned)}
        return about | {key: value for key, value in signed.items() if value}

    def _figures(self) -> dict[str, str]:
        """What was measured, for the trail."""
        health = self.health()
        measured = health.measured
        return {
            "for_ms": str((self._clock.now() - health.since_ns) // NS_PER_MS),
            "compared": str(measured.compared),
            "disagreement": f"{measured.disagreement:.4f}",
            "recent": f"{measured.recent:.4f}",
            "p99_ms": f"{measured.p99_ms:.1f}",
            "runs": str(health.runs),
            "crashes": str(health.crashes),
            "invalid": str(health.invalid),
            "missed": f"{health.missed} of {health.shown}",
        }


def _marked(word: int, *devices: Device) -> int:
    """The word, with what it says of the signatures of all that may be shown: one of these devices' models."""
    return word & ~UNSIGNED | (UNSIGNED if any(device.unsigned for device in devices) else 0)
