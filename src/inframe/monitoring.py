"""The process `monitor`: looks ten times a second at what is in shared memory, and at each procedure's end at its charts. It only
reads, on background cores; nothing waits for it, and the frame path does nothing for it.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device, ModelConfig
from inframe.core.drift import MonitorConfig
from inframe.core.errors import DeviceFault
from inframe.core.types import MissedReason, Result, Run, Scores, Verdict
from inframe.machine.child import ChildContext
from inframe.monitor import reference, state
from inframe.monitor.acute import Acute, limits_of
from inframe.monitor.reference import Reference
from inframe.monitor.signals import Listen, Look, Values, names_of
from inframe.monitor.state import Alarm, Stratum
from inframe.monitor.summary import WHOLE, Block, Summary
from inframe.pipeline import results, start
from inframe.pipeline.board import SHOWN, Board, Count
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.ring import RingReader
from inframe.trail.files import Disk, Files

PERIOD_NS = NS_PER_S // 10
SAMPLES = 5
"""So many looks make a block: half a second."""
SAVED_NS = 30 * NS_PER_S
"""So much of a running procedure a power cut may take from the statistics."""
SHOWN_NS = 5 * NS_PER_S
MAX_NOTE = 280


def main(ctx: ChildContext) -> None:
    """The process's life. Raises ConfigError for a bundle's reference that is none."""
    device = Device.model_validate(ctx.args["device"])
    if device.monitor is None:
        raise RuntimeError("a monitor for a device without `monitor:`")
    clock, board = MonotonicClock(), Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    row = board.row(ctx.name)
    folder = Path(device.monitor.folder)
    folder.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(device, device.monitor, Disk(folder), references_of(device, ctx.fds), str(ctx.args["procedure"]))
    monitor = Monitor(device, ctx.fds, board, keeper, clock)
    start.ready(ctx, row, clock)
    told = 0
    next_ns = clock.now()
    while not ctx.stop.wait(max(0.0, (next_ns - clock.now()) / NS_PER_S)):
        next_ns = max(next_ns + PERIOD_NS, clock.now())
        monitor.step()
        for what, why in keeper.notes[told:]:
            start.note(ctx, what, why[:MAX_NOTE])
        told = len(keeper.notes)
        row.set_faults(monitor.faults(), clock.now())
        row.set(Count.FRAMES, monitor.samples)
        row.beat(clock.now())
    told = len(keeper.notes)
    keeper.close()
    for what, why in keeper.notes[told:]:
        start.note(ctx, what, why[:MAX_NOTE])


def references_of(device: Device, fds: Mapping[str, int]) -> dict[str, Reference]:
    """Of each model on the displayed stream, from what the parent took out of its verified bundle; those of another modality are
    no measure here. Raises ConfigError."""
    found = {}
    for name in device.models:
        fd = fds.get(f"reference.{name}")
        raw = os.pread(fd, os.fstat(fd).st_size, 0) if fd is not None else b""
        if not raw:
            continue
        one = reference.parse(raw, f"{device.bundles[name].file}: reference of {name}")
        if device.monitor is None or one.file.modality in (None, device.monitor.modality):
            found[name] = one
    return found


def signals_of(device: Device) -> tuple[str, ...]:
    """The names of all that is measured of this device."""
    shown = {name: model for name, model in device.models.items() if model.stream == device.display}
    return names_of({name: (_kind(model), tuple(model.labels)) for name, model in shown.items()}, tuple(device.rules))


def _kind(model: ModelConfig) -> str:
    return getattr(model.decode, "returns", None) or model.decode.kind


def stratum_of(device: Device, config: MonitorConfig) -> Stratum:
    """Where this device's procedures are counted."""
    digests = []
    for name, model in device.models.items():
        bundle = device.bundles.get(name)
        digest = bundle.digest if bundle is not None else hashlib.sha256(Path(model.file).read_bytes()).hexdigest()
        digests.append((name, digest or ""))
    return Stratum(device.device, config.site, config.modality, tuple(digests))


class Keeper:
    """The state of this device's stratum, opened, kept safe and closed. A memory that is damaged is put aside, and a new one is
    begun: `damaged` says so."""

    def __init__(
        self, device: Device, config: MonitorConfig, files: Files, references: dict[str, Reference], procedure: str
    ) -> None:
        self._files, self._least = files, round(config.least_s * NS_PER_S / (PERIOD_NS * SAMPLES))
        self.notes: list[tuple[str, str]] = []
        """What service should know: what, why."""
        self.damaged = False
        names, stratum = signals_of(device), stratum_of(device, config)
        self.references = references
        try:
            self.state = state.load(files, stratum, names, state.watch(references, config.run_length))
        except DeviceFault as error:
            self.notes.append(("MONITOR_DAMAGED", str(error)))
            self.damaged = True
            files.rename(stratum.path, f"{stratum.path}.damaged")
            self.state = state.load(files, stratum, names, state.watch(references, config.run_length))
        self.summary = self._begin(procedure)

    def _begin(self, procedure: str) -> Summary:
        """Go on with the procedure, where this process was started again in the midst of it; what another one left open was
        ended by a power cut or a crash."""
        if self.state.running is not None and self.state.running[0] == procedure:
            return self.state.running[1]
        self._tell(self.state.close_procedure(self._least, was_cut=True))
        for model in self.state.standing:
            last = next((alarm for alarm in reversed(self.state.alarms) if alarm.model == model), None)
            if last is not None and ("DRIFT", _said(last)) not in self.notes:
                self.notes.append(("DRIFT", _said(last)))
        summary = Summary(self.state.scales)
        self.state.running = procedure, summary
        self.save()
        return summary

    def save(self) -> None:
        """Keep it safe; a disk that takes nothing is tried again."""
        try:
            self.state.save(self._files)
        except OSError as error:
            self.notes.append(("MONITOR_UNSAVED", str(error)))

    def close(self) -> None:
        """The procedure is over."""
        self._tell(self.state.close_procedure(self._least))
        self.save()

    def _tell(self, alarms: list[Alarm]) -> None:
        self.notes += [("DRIFT", _said(alarm)) for alarm in alarms]


def _said(alarm: Alarm) -> str:
    return f"model {alarm.model}, since {alarm.since} procedures: {alarm.text}"


class Monitor:
    """One look after the other."""

    def __init__(self, device: Device, fds: Mapping[str, int], board: Board, keeper: Keeper, clock: Clock) -> None:
        self._keeper, self._board, self._clock = keeper, board, clock
        stream = device.streams[device.display]
        self._shape = (stream.height, stream.width, 3)
        self._frames, self._look = RingReader(fds["frames"]), Look()
        self._records = RecordReader(RingReader(fds["records"]), fields_of(device))
        self._records.last = RingReader(fds["records"]).newest()
        self._rules = {f"finding:{rule}": 0.0 for rule in device.rules}
        self._models = [
            (name, len(model.labels), RingReader(fds[f"results.{name}"]), _listen(name, model))
            for name, model in device.models.items()
            if model.stream == device.display
        ]
        self._phase_model = device.monitor.phase if device.monitor is not None else None
        self._phase = WHOLE
        self._seen: dict[str, int] = {}
        self._block = Block(keeper.state.scales.names)
        one = next(iter(keeper.references.values()), None)
        self.acute = Acute(limits_of(one))
        self.samples = 0
        self._saved_ns = clock.now()
        self._acute_ns = 0

    def step(self) -> None:
        """Look once. A slot that was overwritten meanwhile says nothing."""
        self._picture()
        if self._board.shown() & SHOWN == 0:  # what a candidate says is not what the reference is of
            for name, labels, ring, listen in self._models:
                self._output(name, labels, ring, listen)
        for record in self._records.take():
            self._block.add(measured_of(record, self._rules))
        self.samples += 1
        if self.samples % SAMPLES == 0:
            self._close_block()

    def _picture(self) -> None:
        header = self._frames.latest()
        if header is None or header.seq == self._seen.get(""):
            return
        self._seen[""] = header.seq
        size = self._shape[0] * self._shape[1] * 3
        values = self._look.picture(self._frames.payload(header.seq)[:size].reshape(self._shape))
        if self._frames.holds(header.seq):
            self._block.add(values)
        self._frames.let_go()  # 11 MB of a ring of 1280x720, for 30 us a look

    def _output(self, name: str, labels: int, ring: RingReader, listen: Listen) -> None:
        header = ring.latest()
        if header is None or header.seq == self._seen.get(name):
            return
        self._seen[name] = header.seq
        said = results.read(ring, header, name, labels)
        if isinstance(said, Result):
            self._block.add(listen.output(said.output))
            if name == self._phase_model and isinstance(said.output, Scores):
                self._phase = listen.labels[int(said.output.scores.argmax())]

    def _close_block(self) -> None:
        means = self._block.close()
        if np.isnan(means).all():
            return
        names = self._keeper.state.scales.names
        self._keeper.summary.add(means, self._phase)
        began = self.acute.step({name: float(v) for name, v in zip(names, means, strict=True) if v == v})  # noqa: PLR0124
        now = self._clock.now()
        self._keeper.notes += [("PICTURE_UNUSUAL", row) for row in began]
        if now - self._saved_ns >= SAVED_NS:
            self._saved_ns = now
            self._keeper.save()

    def faults(self) -> dict[str, bool]:
        """The events that this process raises."""
        return {
            "PICTURE_UNUSUAL": any(self.acute.present.values()),
            "DRIFT": bool(self._keeper.state.standing),
            "MONITOR_DAMAGED": self._keeper.damaged,
        }


def _listen(name: str, model: ModelConfig) -> Listen:
    return Listen(name, tuple(model.labels), float(getattr(model.decode, "full_scale", 1.0)))


def measured_of(record: Shown, rules: Values) -> Values:
    """What a frame's record says: of the frame, of its models and its rules. `rules`: each rule's signal, 0."""
    if not (record.seq and record.shown_ns):
        return {}
    values = {
        **rules,
        "latency": (record.shown_ns - record.captured_ns) / NS_PER_MS,
        "withheld": float(record.verdict is Verdict.WITHHOLD),
    }
    for name, run in record.runs.items():
        if isinstance(run, Run):
            values[f"{name}.time"] = (run.steps.decoded - run.steps.started) / NS_PER_MS
        if run is not MissedReason.NOT_DUE:
            values[f"{name}.missed"] = float(not record.is_own(name))
    return values | {f"finding:{finding.rule}": 1.0 for finding in record.findings}
