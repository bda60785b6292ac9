"""The checkpoints of an update, each in a process of its own: a model that crashes, hangs or takes all the memory ends only that.

The process is partitioned as a worker is, and loads the model as a worker does: out of sealed memory, verified there and then.
Its last word is one line of JSON through a pipe: {"passed": …, "reason": one line}.
"""

import io
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from inframe import acceptance
from inframe.core.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import InframeError, one_line
from inframe.core.types import MissedReason, Output, Pixels
from inframe.machine import kernel
from inframe.machine.child import ChildContext
from inframe.pipeline.bundled import open_bundle_of
from inframe.pipeline.model import Model, load_model, load_of
from inframe.pipeline.outputs import InvalidOutput

if TYPE_CHECKING:
    from inframe.bundle import Bundle
    from inframe.bundle.manifest import BundledModel, Criterion, Golden

Said = tuple[bool, str]


def main(ctx: ChildContext) -> None:
    """The process's life."""
    import cv2

    cv2.setNumThreads(1)
    device = Device.model_validate(ctx.args["device"])
    try:
        passed, reason = STEPS[ctx.args["checkpoint"]](Subject(device, list(ctx.args["models"]), ctx))
    except InframeError as error:  # the model is refused: that is the answer
        passed, reason = False, str(error)
    except MemoryError:
        passed, reason = False, f"found no more memory, expected at most {device.worker_memory_mb} MB"
    os.write(ctx.fds["answer"], json.dumps({"passed": passed, "reason": one_line(reason, 400)}).encode() + b"\n")


class Subject:
    """What is examined: the models of one release, as this device would run them."""

    def __init__(self, device: Device, models: list[str], ctx: ChildContext) -> None:
        self.device, self.models, self.ctx = device, models, ctx
        self.clock = MonotonicClock()

    def load(self, name: str) -> Model:
        """As a worker does. Raises ConfigError, BundleError."""
        return load_of(self.device, name, self.ctx.fds[f"bundle.{name}"])

    def open(self, name: str) -> "Bundle":
        """The bundle of the model `name`, verified. Raises BundleError."""
        return open_bundle_of(self.device, name, self.ctx.fds[f"bundle.{name}"])

    def inside(self, bundle: "Bundle", name: str) -> "tuple[str, BundledModel]":
        """The model `name` by the name that it has within its bundle."""
        known = self.device.bundles[name].model or next(iter(bundle.manifest.models))
        return known, bundle.manifest.models[known]

    def load_for(self, name: str, bundle: "Bundle", frames: NDArray[np.uint8]) -> Model:
        """The model for frames of another size than the stream's."""
        _, inside = self.inside(bundle, name)
        config, size = self.device.models[name], (frames.shape[2], frames.shape[1])
        return load_model(name, config, Path(config.file).parent, size, bytes(bundle.member(inside.file)))


def _each(subject: Subject, step: Callable[[Subject, str], Said]) -> Said:
    """Of every model, up to the first that does not pass."""
    reasons = []
    for name in subject.models:
        passed, reason = step(subject, name)
        if not passed:
            return False, f"{name}: {reason}"
        reasons.append(f"{name}: {reason}")
    return True, "; ".join(reasons)


# --- golden outputs --------------------------------------------------------------------------------------------------


def golden(subject: Subject) -> Said:
    """Each model gives for the golden frames what it gave when the bundle was made, number by number."""
    return _each(subject, _golden_of)


def _golden_of(subject: Subject, name: str) -> Said:
    with subject.open(name) as bundle:
        known, _ = subject.inside(bundle, name)
        parts = [one for one in bundle.manifest.golden if one.model == known]
        if not parts:
            return False, "found no golden frames in the bundle, expected some for each model that runs"
        worst, count = 0.0, 0
        for part in parts:
            frames = golden_frames(bundle, part)
            with closing(subject.load_for(name, bundle, frames)) as model:
                wrong, share = _compared(model, frames, _outputs(bundle, part), part)
            if wrong:
                return False, wrong
            worst, count = max(worst, share), count + len(frames)
        return True, f"{count} frames, the largest difference is {100 * worst:.0f} % of its tolerance"


def golden_frames(bundle: "Bundle", part: "Golden") -> NDArray[np.uint8]:
    """The golden frames. Raises BundleError."""
    frames = _array(bundle, part.frames)
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        from inframe.bundle import BundleError

        raise BundleError(bundle.name, part.frames, "another array", "(n, height, width, 3) uint8")
    return np.ascontiguousarray(frames)


def _outputs(bundle: "Bundle", part: "Golden") -> dict[str, NDArray[np.generic]]:
    found = _array(bundle, part.outputs)
    return found if isinstance(found, dict) else {}


def _array(bundle: "Bundle", member: str) -> Any:
    from inframe.bundle import BundleError

    try:
        loaded = np.load(io.BytesIO(bytes(bundle.member(member))), allow_pickle=False)
        return {name: loaded[name] for name in loaded.files} if hasattr(loaded, "files") else loaded
    except (KeyError, OSError, ValueError, EOFError, BadZipFile) as error:
        raise BundleError(bundle.name, member, error, "an array of numpy's") from None


def _compared(
    model: Model, frames: NDArray[np.uint8], expected: Mapping[str, NDArray[np.generic]], part: "Golden"
) -> tuple[str, float]:
    """What is wrong, and the largest share of the tolerance that was used."""
    worst = 0.0
    for number, frame in enumerate(frames):
        try:
            answer = model.raw(frame)
        except (InvalidOutput, InframeError) as error:
            return f"frame {number}: {error}", worst
        if set(answer) != set(expected):
            return (
                f"frame {number}: found outputs {', '.join(sorted(answer))}, expected {', '.join(sorted(expected))}",
                worst,
            )
        for output, found in answer.items():
            wanted = np.asarray(expected[output])
            if len(wanted) <= number or wanted[number].shape != found.shape:
                shape = wanted.shape[1:] if len(wanted) > number else "none"
                return f"frame {number}: {output}: found shape {found.shape}, expected {shape}", worst
            wrong, share = _difference(np.asarray(found, np.float64), np.asarray(wanted[number], np.float64), part)
            if wrong:
                return f"frame {number}: {output}: {wrong}", worst
            worst = max(worst, share)
    return "", worst


def _difference(found: NDArray[np.float64], wanted: NDArray[np.float64], part: "Golden") -> tuple[str, float]:
    allowed = part.absolute + part.relative * np.abs(wanted)
    off = np.abs(found - wanted)
    bad = ~(off <= allowed)  # a NaN is in no tolerance
    if bad.any():
        at = int(np.argmax(np.where(bad, np.nan_to_num(off, nan=np.inf) - allowed, -np.inf)))
        said = f"found {found.flat[at]:.6g}, expected {wanted.flat[at]:.6g} within {allowed.flat[at]:.2g}"
        return f"{said} ({np.count_nonzero(bad)} of {bad.size} numbers)", 0.0
    share = np.divide(off, allowed, out=np.zeros_like(off), where=allowed > 0)
    return "", float(share.max(initial=0.0))


# --- acceptance ------------------------------------------------------------------------------------------------------


def accepted(subject: Subject) -> Said:
    """Each criterion holds on the locked cases, which are the very ones that the bundle names. The runtime's own pipeline."""
    folder = Path(subject.ctx.args["cases"])
    with _Judges(subject) as judges:
        if judges.wrong:
            return False, judges.wrong
        lines = []
        for line, case in acceptance.read_cases(folder):
            lines.append(line)
            if wrong := judges.see(case):
                return False, wrong
        digest = acceptance.digest_of(lines)
        for name, bundle in judges.bundles.items():
            data = bundle.manifest.acceptance.data if bundle.manifest.acceptance is not None else None
            if data is not None and data.sha256 != digest:
                found = f"found cases with the digest {digest}"
                return False, f"{name}: {found}, expected {data.sha256} ({data.name})"
        return judges.said(len(lines))


class _Judges:
    """Every model with the criteria of its bundle, and what was seen of it."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.wrong = subject, ""
        self.bundles: dict[str, Bundle] = {}
        self.criteria: dict[str, list[Criterion]] = {}
        self.models: dict[str, Model] = {}
        self.tallies: dict[str, acceptance.Tally] = {}

    def __enter__(self) -> "_Judges":
        for name in self.subject.models:
            bundle = self.bundles[name] = self.subject.open(name)
            known, inside = self.subject.inside(bundle, name)
            part = bundle.manifest.acceptance
            self.criteria[name] = [one for one in part.criteria if one.model == known] if part is not None else []
            if not self.criteria[name]:
                self.wrong = f"{name}: found no criteria in the bundle, expected some, or `acceptance: signers`"
            for one in self.criteria[name]:
                if one.metric.lower() not in acceptance.METRICS:
                    known_ones = ", ".join(acceptance.METRICS)
                    self.wrong = f"{name}: found the metric {one.metric}, expected one of {known_ones}"
            self.models[name] = self.subject.load(name)
            self.tallies[name] = acceptance.Tally(tuple(inside.labels))
        return self

    def __exit__(self, *_: object) -> None:
        for model in self.models.values():
            model.close()
        for bundle in self.bundles.values():
            bundle.close()

    def see(self, case: acceptance.Case) -> str:
        """Run every model on a case; what is wrong."""
        for name, model in self.models.items():
            known, _ = self.subject.inside(self.bundles[name], name)
            if known not in case.truths:
                continue
            stream = self.subject.device.streams[self.subject.device.models[name].stream]
            if case.frames.shape[1:3] != (stream.height, stream.width):
                size = f"{case.frames.shape[2]}x{case.frames.shape[1]}"
                return f"{case.name}: found frames of {size}, expected {stream.width}x{stream.height}"
            model.forget()
            for number, frame in enumerate(case.frames):
                output, _ = model.run(frame, self.subject.clock)
                if isinstance(output, MissedReason):
                    return f"{name}: {case.name}, frame {number}: {output.name} ({model.last_fault})"
                if wrong := self._take(name, output, np.asarray(case.truths[known][number])):
                    return f"{name}: {case.name}, frame {number}: {wrong}"
        return ""

    def _take(self, name: str, output: Output, truth: NDArray[np.generic]) -> str:
        try:
            self.tallies[name].take(output, truth)
        except acceptance.WrongKind as error:
            return f"found {error}"
        return ""

    def said(self, cases: int) -> Said:
        """The verdict."""
        reasons = []
        for name, criteria in self.criteria.items():
            tally = self.tallies[name]
            for one in criteria:
                what = f"{name}: {one.metric}" + (f" of {one.label}" if one.label is not None else "")
                try:
                    found = acceptance.METRICS[one.metric.lower()](tally, one.label)
                except acceptance.WrongKind as error:
                    return False, f"{what}: found no number ({error}), expected one"
                least, most = one.at_least, one.at_most
                bound = f"at least {least:g}" if least is not None else f"at most {most:g}"
                if not (found >= least if least is not None else found <= (most if most is not None else 0.0)):
                    return False, f"{what}: found {found:.4f}, expected {bound}"
                reasons.append(f"{what} {found:.4f} ({bound})")
        frames = max(tally.frames for tally in self.tallies.values())
        return True, f"{', '.join(reasons)} on {cases} cases, {frames} frames"


# --- latency and memory ----------------------------------------------------------------------------------------------


def fast(subject: Subject) -> Said:
    """Each model's runs, at the pace of its frames and with a worker's priority, under load: their p99 is within its budget."""
    models = {name: subject.load(name) for name in subject.models}
    frames = {name: _at_stream_size(subject, name) for name in models}
    for model in models.values():
        model.warm_up(subject.clock)
    gave_up = subject.ctx.lock_down(gc_off=True)
    without = " WITHOUT real-time priority" if any("priority" in one.what for one in gave_up) else ""
    os.write(subject.ctx.fds["answer"], b"\n")  # ready
    os.read(subject.ctx.fds["go"], 1)
    return _each(subject, lambda subject, name: _fast(subject, name, models[name], frames[name], without))


def _fast(subject: Subject, name: str, model: Model, frames: list[Pixels], without: str) -> Said:
    config, runs = subject.device.models[name], int(subject.ctx.args["runs"])
    period_ns = int(config.every * NS_PER_S / subject.device.streams[config.stream].fps)
    times, faults = _timed(subject, model, frames, runs, period_ns)
    if faults:
        return False, f"found {faults} runs of {runs} without a result ({model.last_fault}), expected none"
    p99, limit = sorted(times)[min(runs - 1, int(runs * 0.99))], _budget(subject, name)
    said = f"p99 {p99:.1f} ms of {runs} runs under load{without}"
    return (
        (True, f"{said} (at most {limit:g})")
        if p99 <= limit
        else (False, f"found {said}, expected at most {limit:g} ms")
    )


def _budget(subject: Subject, name: str) -> float:
    with subject.open(name) as bundle:
        known, inside = subject.inside(bundle, name)
        return min([one.p99_ms for one in bundle.manifest.latency if one.model == known] or [inside.budget_ms])


def _at_stream_size(subject: Subject, name: str) -> list[Pixels]:
    import cv2

    stream = subject.device.streams[subject.device.models[name].stream]
    with subject.open(name) as bundle:
        known, _ = subject.inside(bundle, name)
        part = next(one for one in bundle.manifest.golden if one.model == known)
        frames = golden_frames(bundle, part)[:8]
    return [np.asarray(cv2.resize(frame, (stream.width, stream.height)), np.uint8) for frame in frames]


def _timed(subject: Subject, model: Model, frames: list[Pixels], runs: int, period_ns: int) -> tuple[list[float], int]:
    """How long each run took, ms, and how many gave nothing."""
    times, faults, due = [], 0, subject.clock.now()
    for number in range(runs):
        output, steps = model.run(frames[number % len(frames)], subject.clock)
        faults += isinstance(output, MissedReason)
        times.append((steps.decoded - steps.started) / NS_PER_MS)
        due = max(due + period_ns, subject.clock.now())
        time.sleep(max(0, due - subject.clock.now()) / NS_PER_S)
    return times, faults


def small(subject: Subject) -> Said:
    """All models of a worker together run within the memory that it has here, which the kernel enforces, and no more than their
    bundles say that they need."""
    models = [subject.load(name) for name in subject.models]
    try:
        for model in models:
            model.warm_up(subject.clock)
        gave_up = [one for one in subject.ctx.lock_down() if one.what == "memory limit"]
        for model, name in zip(models, subject.models, strict=True):
            for frame in _at_stream_size(subject, name):
                output, _ = model.run(frame, subject.clock)
                if isinstance(output, MissedReason):
                    return False, f"{name}: {output.name} within the memory limit: {model.last_fault}"
        used = int(kernel.status_of("self", "VmData").split()[0]) // 1024
        limit = int(subject.ctx.args["memory_mb"])
    finally:
        for model in models:
            model.close()
    if gave_up:
        return False, f"found {gave_up[0].why}, expected at most {limit} MB"
    return True, f"{used} MB of private memory, stacks of threads included (limit {limit})"


STEPS: dict[str, Callable[[Subject], Said]] = {
    "golden": golden,
    "acceptance": accepted,
    "latency": fast,
    "memory": small,
}
