"""The checkpoints that a release must pass on this very device, for `update.checkpoints`: what is asked, in which order, and with
what. Each runs in a process of its own (`validation`); here is the parent's side.

    compatibility   signatures, versions, engine; it fits the device file and what the running device was set up for
    plan            what it changes is within a change control plan, and what that demands was shown; where the device has plans
    golden          what it answers to the golden frames
    acceptance      what it makes of the locked cases
    latency         how long its runs take, with a worker's cores and priority, under load
    memory          what it needs, under the worker's limit
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inframe import planned
from inframe.bench.load import ALL, Load
from inframe.core.config import Device
from inframe.core.errors import InframeError, UpdateError
from inframe.fitting import Proposed, beside_active, of_slots
from inframe.machine.launch import launch
from inframe.machine.partition import Partition
from inframe.machine.supervise import Process, ProcessSpec, exit_reason
from inframe.pipeline.bundled import open_bundle_of
from inframe.resolve import resolve
from inframe.revalidation.cases import MANIFEST
from inframe.table import layout_of, partition_of
from inframe.updatable import Updatable, status_of
from inframe.update.checkpoints import Checkpoint, Outcome
from inframe.update.slots import STORE
from inframe.update.states import Release

RUNS = 300
"""Of each model, for its latency: 10 s at 30 frames a second; the 99th percentile is then of three runs."""
LIMIT_S = 600.0
"""A checkpoint that has not ended by then has failed: it hangs, or is far too slow."""
WARM_S = 1.0
"""So long the load runs before anything is measured."""
BYTES = 1 << 16


@dataclass
class Examination:
    """The checkpoints of one release. Close it: it holds the release's sealed memory."""

    target: Updatable
    first: bool
    """Whether nothing is active yet, beside which it would have to fit."""
    proposed: Proposed | None = None

    def checkpoints(self) -> list[Checkpoint]:
        """In order."""
        return [
            Checkpoint("compatibility", self._compatible),
            *([Checkpoint("plan", self._planned)] if self.target.config.plans and not self.first else []),
            Checkpoint("golden", lambda _: self._apart("golden")),
            Checkpoint("acceptance", self._acceptance),
            Checkpoint("latency", lambda _: self._per_worker("latency")),
            Checkpoint("memory", lambda _: self._per_worker("memory")),
        ]

    def close(self) -> None:
        """Give the sealed memory back."""
        if self.proposed is not None:
            self.proposed.close()

    # --- compatibility, in this process: nothing of a model is parsed

    def _compatible(self, release: Release) -> Outcome:
        files = {one.name: str(self.target.folder / STORE / one.digest) for one in release.bundles}
        try:
            self.proposed = self._first(files) if self.first else beside_active(self._device(), files)
        except InframeError as error:
            return Outcome(False, str(error))
        who = self.proposed.signed_by or "nobody: UNSIGNED"
        return Outcome(True, f"models {', '.join(self.proposed.models)}, signed by {who}")

    def _planned(self, release: Release) -> Outcome:
        config, base = self.target.config, self.target.base
        active = status_of(self.target).active
        evidence = base / config.evidence if config.evidence is not None else None
        try:
            plans = planned.plans_of([base / file for file in config.plans])
            why = planned.why_not(plans, self._files(active), self._files(release), evidence, self.target.policy)
        except InframeError as error:
            return Outcome(False, str(error))
        return (
            Outcome(False, why) if why is not None else Outcome(True, planned.said(list(self._files(release)), plans))
        )

    def _files(self, release: Release | None) -> dict[str, Path]:
        bundles = release.bundles if release is not None else ()
        return {one.name: self.target.folder / STORE / one.digest for one in bundles}

    def _device(self) -> Device:
        return resolve(self.target.device, self.target.path)

    def _first(self, files: Mapping[str, str]) -> Proposed:
        device = resolve(self.target.device, self.target.path, files)
        models, sealed, signed_by = tuple(of_slots(device)), dict[str, int](), set[str]()
        if not models:
            raise UpdateError(
                f"{self.target.path}: bundles: found none without a file, expected one that uses the release"
            )
        for name in models:
            with open_bundle_of(device, name) as bundle:
                sealed[f"bundle.{name}"] = os.dup(bundle.fd)
                signed_by |= set(bundle.signed_by)
        return Proposed(device, models, sealed, ", ".join(sorted(signed_by)))

    # --- the others

    def _acceptance(self, release: Release) -> Outcome:
        config = self.target.config
        if config.acceptance == "signers":
            return Outcome(True, "not checked here: `acceptance: signers` leaves it to those who sign")
        if config.cases is None:
            found = "no locked cases on this device (update.cases)"
            return Outcome(False, f"found {found}, expected those of the bundle, or `acceptance: signers`")
        cases = self.target.base / config.cases
        if (cases / MANIFEST).exists():
            bundles, store = {one.name: one.digest for one in release.bundles}, str(self.target.folder / STORE)
            return self._apart(
                "acceptance", main="inframe.promised:main", cases=str(cases), bundles=bundles, store=store
            )
        return self._apart("acceptance", cases=str(cases))

    def _per_worker(self, name: str) -> Outcome:
        """The models of one worker share its process, its cores and its memory."""
        proposed, reasons = self._subject(), []
        for worker in sorted({proposed.device.models[model].worker for model in proposed.models}):
            outcome = self._of_worker(proposed, name, worker)
            if not outcome.passed:
                return outcome
            reasons.append(outcome.reason)
        return Outcome(True, "; ".join(reasons))

    def _of_worker(self, proposed: Proposed, name: str, worker: str) -> Outcome:
        device = proposed.device
        models = [model for model in proposed.models if device.models[model].worker == worker]
        partition = partition_of(device, "worker", worker, layout_of(device))
        if name == "latency":
            with TemporaryDirectory(dir=self.target.folder) as folder, Load(ALL, Path(folder)) as load:
                load.hold()
                return self._apart(name, models, partition, started=lambda: _warm(load), runs=RUNS)
        needs = sum(_needs(proposed, model) for model in {device.bundles[m].path: m for m in models}.values())
        if needs > device.worker_memory_mb:
            return Outcome(False, f"found bundles that need {needs} MB, expected at most {device.worker_memory_mb}")
        only_memory = Partition(memory_limit_mb=needs, network="none")
        return self._apart(name, models, only_memory, memory_mb=needs)

    def _subject(self) -> Proposed:
        if self.proposed is None:
            raise RuntimeError("a checkpoint before compatibility")
        return self.proposed

    def _apart(
        self,
        checkpoint: str,
        models: list[str] | None = None,
        partition: Partition | None = None,
        started: Callable[[], None] = lambda: None,
        main: str = "inframe.validation:main",
        **args: object,
    ) -> Outcome:
        """Run one in a process of its own."""
        proposed = self._subject()
        chosen = models if models is not None else list(proposed.models)
        threads = max(proposed.device.models[name].engine.threads for name in chosen)
        common = {"device": proposed.device.model_dump(mode="json"), "checkpoint": checkpoint, "models": chosen}
        with ExitStack() as held:
            (answer, theirs), (go_in, go) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
            for fd in (answer, go_in, go):
                held.callback(os.close, fd)
            with ExitStack() as until_started:
                until_started.callback(os.close, theirs)  # then its end is seen in the pipe
                spec = ProcessSpec(
                    "checkpoint",
                    main,
                    partition or Partition(memory_limit_mb=proposed.device.worker_memory_mb),
                    args={**common, "threads": threads, **args},
                    fds={**proposed.sealed, "answer": theirs, "go": go_in},
                )
                process = launch(spec)
            held.callback(_end, process)
            return _answer(process, answer, go, started)


def _end(process: Process) -> None:
    process.send(signal.SIGKILL)
    process.wait(10)
    process.close()


def _warm(load: Load) -> None:
    load.go()
    time.sleep(WARM_S)


def _answer(process: Process, answer: int, go: int, started: Callable[[], None]) -> Outcome:
    """What the process says; how it ended, where it says nothing."""
    end, said = time.monotonic() + LIMIT_S, b""
    while True:
        ready, _, _ = select.select([answer], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return Outcome(False, f"found no answer after {LIMIT_S:g} s, expected one")
        more = os.read(answer, BYTES)
        if not more:
            process.wait(10)
            code = process.poll()
            return Outcome(False, f"found a process that {'hangs' if code is None else f'died ({exit_reason(code)})'}")
        said += more
        if said == b"\n":
            started()
            os.write(go, b"g")
        elif said.endswith(b"\n"):
            told: dict[str, Any] = json.loads(said)
            return Outcome(bool(told["passed"]), str(told["reason"]))


def _needs(proposed: Proposed, model: str) -> int:
    with open_bundle_of(proposed.device, model, proposed.sealed[f"bundle.{model}"]) as bundle:
        return bundle.manifest.compatibility.memory_mb
