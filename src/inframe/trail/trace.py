"""One frame explained: what was on the screen, why, and the proof that the record is in the trail."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from inframe.core.types import Finding, MissedReason, Run
from inframe.trail.errors import TrailDamaged
from inframe.trail.leaf import STEPS, decode
from inframe.trail.note import Checkpoint, Key
from inframe.trail.prove import Proof, prove
from inframe.trail.read import Log
from inframe.trail.records import NO_DIGEST, NO_ID, EventRecord, FrameLeaf, FrameRecord, Model


@dataclass(frozen=True, slots=True)
class Trace:
    """A frame's record with everything that explains it."""

    index: int
    row: int
    leaf: FrameLeaf
    proof: Proof
    checkpoint: Checkpoint
    between: tuple[tuple[int, EventRecord], ...] = ()
    """Stops and gaps between the frame and the moment asked for: what was on the screen then may not be this frame."""

    @property
    def frame(self) -> FrameRecord:
        """The record itself."""
        return self.leaf.frames[self.row]


def trace(log: Log, index: int, row: int, between: list[tuple[int, EventRecord]] | None = None) -> Trace:
    """Explain row `row` of leaf `index`, its proof checked. Raises TrailDamaged."""
    proof = prove(log, index)
    return from_proof(proof, log.key, row, between)


def from_proof(proof: Proof, key: Key, row: int, between: list[tuple[int, EventRecord]] | None = None) -> Trace:
    """The same from a proof file alone, without the log."""
    checkpoint = proof.check(key)
    leaf = decode(proof.entry)
    if not isinstance(leaf, FrameLeaf) or not 0 <= row < len(leaf.frames):
        raise TrailDamaged(f"leaf {proof.index}", "no such frame", f"row {row} of a second of frames")
    return Trace(proof.index, row, leaf, proof, checkpoint, tuple(between or ()))


def time_text(wall_ns: int) -> str:
    """ISO 8601, UTC, with all nine digits."""
    whole, rest = divmod(wall_ns, 10**9)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def as_json(t: Trace) -> dict[str, Any]:
    """All of it, for programs."""
    root = base64.b64encode(t.checkpoint.root).decode()
    return {
        **_frame(t.leaf, t.frame),
        "config": t.leaf.config.hex(),
        "models": [_model(model, run, t.frame) for model, run in zip(t.leaf.models, t.frame.runs, strict=True)],
        "findings": [_finding(t.leaf, finding) for finding in t.frame.findings],
        **({"samples": _samples(t)} if t.leaf.sensors else {}),
        "alerts": {key: presence.name for key, presence in t.frame.alerts},
        "stops_and_gaps_since": [{"leaf": leaf, "name": e.name, "text": e.text} for leaf, e in t.between],
        "leaf": t.index,
        "row": t.row,
        "log": {"origin": t.checkpoint.origin, "size": t.checkpoint.size, "root": root},
        "proof": t.proof.text().decode(),
    }


def _frame(leaf: FrameLeaf, frame: FrameRecord) -> dict[str, Any]:
    header = leaf.header
    times = {name: getattr(frame, f"{name}_ns") for name in ("captured", "deadline", "shown")}
    return {
        "stream": leaf.stream,
        "frame": frame.seq,
        "procedure": header.procedure.hex() if header.procedure != NO_ID else None,
        **{name: time_text(header.wall_ns(ns)) for name, ns in times.items()},
        **{f"{name}_ns": ns for name, ns in times.items()},
        "boot": header.moment.boot.hex(),
        "clock": header.moment.clock,
        "verdict": frame.verdict.name,
        "mode": frame.mode.name,
        "flags": [flag.name for flag in frame.flags],
        "dropped_before": frame.dropped,
        "age_ns": frame.age_ns,
        "input": _digest(frame.input),
        "output": _digest(frame.output),
    }


def _finding(leaf: FrameLeaf, f: Finding) -> dict[str, Any]:
    since = time_text(leaf.header.wall_ns(f.since_ns))
    return {"rule": f.rule, "text": f.text, "priority": f.priority.name, "since": since, "value": f.value}


def _samples(t: Trace) -> list[dict[str, Any]]:
    """What was known of each sensor: which sample, how old, and the rules that it went into."""
    return [
        {
            "stream": sensor.stream,
            "quality": use.why.name,
            "sample": use.seq,
            "age_ns": use.age_ns,
            "rules": [*sensor.rules],
        }
        for sensor, use in zip(t.leaf.sensors, t.frame.samples, strict=True)
    ]


def _sample(told: dict[str, Any]) -> str:
    rules = f", read by {', '.join(told['rules'])}" if told["rules"] else ""
    if not told["sample"]:
        return f"{told['stream']}: absent ({told['quality']}), never a sample{rules}"
    state = "" if told["quality"] == "OK" else f"absent ({told['quality']}), "
    return f"{told['stream']}: {state}sample {told['sample']}, {told['age_ns'] / 1e6:.2f} ms old{rules}"


def _digest(digest: bytes) -> str | None:
    return None if digest == NO_DIGEST else digest.hex()


def _model(model: Model, run: Run | MissedReason, frame: FrameRecord) -> dict[str, Any]:
    told: dict[str, Any] = {"name": model.name, "bundle": model.bundle.hex(), "slot": model.slot}
    told |= {"engine": model.engine, "preprocess": model.preprocess.hex()}
    if isinstance(run, MissedReason):
        return told | {"result": run.name}
    ends = [frame.captured_ns, *(getattr(run.steps, name) for name in STEPS)]
    names = ("wait_ns", "preprocess_ns", "infer_ns", "decode_ns")
    return told | {"result": f"of frame {run.seq}"} | {n: b - a for n, a, b in zip(names, ends, ends[1:], strict=False)}


def page(t: Trace) -> str:
    """All of it, for people, on one page."""
    told = as_json(t)
    frame = t.frame
    lines = [
        f"{told['stream']}, frame {frame.seq}" if frame.seq else f"{told['stream']}: the NO SIGNAL card",
        f"  shown     {told['shown']}, {(frame.shown_ns - frame.captured_ns) / 1e6:.2f} ms after capture at {told['captured']}",
        f"  verdict   {told['verdict']}, mode {told['mode']}"
        + (f", results {frame.age_ns / 1e6:.1f} ms old" if frame.age_ns else ""),
        f"  input     {told['input'] or 'no digest taken'} {' '.join(told['flags'])}".rstrip(),
        f"  output    {told['output'] or 'no digest taken'}",
        f"  dropped   {frame.dropped} frames before it",
        f"  procedure {told['procedure'] or 'none'}",
        f"  config    {told['config']}",
    ]
    for model in told["models"]:
        lines += [
            f"  model     {model['name']}: {_result(model)}",
            f"            {model['engine']}, {_slot(model['slot'])}",
        ]
        lines += [f"            bundle {model['bundle']}", f"            preprocess {model['preprocess']}"]
    lines += [
        f"  finding   {f['rule']}: {f['text']} ({f['priority']}, {f['value']:.4g}) since {f['since']}"
        for f in told["findings"]
    ]
    lines += [f"  sample    {_sample(sample)}" for sample in told.get("samples", ())]
    lines += [f"  alert     {key} {presence}" for key, presence in told["alerts"].items()]
    lines += [f"  SINCE     {event.name} (leaf {leaf}): {event.text}" for leaf, event in t.between]
    lines += [
        f"  clocks    {told['clock']}, boot {told['boot']}",
        f"  record    row {t.row} of leaf {t.index} of {t.checkpoint.size} in {t.checkpoint.origin}",
        f"            proven by {len(t.proof.path)} hashes to the signed root {told['log']['root']}",
    ]
    return "\n".join(lines) + "\n"


def _slot(slot: str) -> str:
    return "UNSIGNED" if slot == "unsigned" else f"slot {slot}"


def _result(model: dict[str, Any]) -> str:
    if "infer_ns" not in model:
        return f"no result ({model['result']})"
    steps = ", ".join(f"{name} {model[f'{name}_ns'] / 1e6:.2f}" for name in ("wait", "preprocess", "infer", "decode"))
    return f"result {model['result']}; ms: {steps}"


def json_text(t: Trace) -> str:
    """`as_json` as text."""
    return json.dumps(as_json(t), indent=2, ensure_ascii=False) + "\n"
