"""A trace in W3C PROV-JSON (member submission 24 April 2013): what was derived from what, by which activity, on whose behalf."""

from typing import Any

from inframe.core.types import MissedReason, Run
from inframe.trail.records import Model
from inframe.trail.trace import Trace, as_json, time_text

NAMESPACE = "urn:inframe:prov:"
Json = dict[str, Any]


def document(t: Trace) -> Json:
    """The PROV-JSON document of one frame. Names: inframe:<what>-<digest or number>."""
    told = as_json(t)
    name = f"{t.checkpoint.origin.replace('/', '.')}-{t.index}-{t.row}"
    frame, shown, decide = f"inframe:frame-{name}", f"inframe:shown-{name}", f"inframe:decide-{name}"
    doc = _decision(t, told, (frame, shown, decide))
    for model, run in zip(t.leaf.models, t.frame.runs, strict=True):
        if isinstance(run, Run):
            _put_run(doc, t, model, run, frame)
            _relate(doc, "used", decide, f"inframe:result-{name}-{model.name}")
    for i, finding in enumerate(told["findings"]):
        entity = f"inframe:finding-{name}-{i}"
        known = _plain(finding, "rule", "text", "priority", "since", "value")
        doc["entity"][entity] = {"prov:type": "inframe:Finding"} | known
        _relate(doc, "wasGeneratedBy", entity, decide)
    for sample in told.get("samples", ()):
        entity = f"inframe:sample-{name}-{sample['stream']}"
        doc["entity"][entity] = {"prov:type": "inframe:Sample"} | _plain(
            sample, "stream", "sample", "age_ns", "quality"
        )
        _relate(doc, "used", decide, entity)
    missed = [m.name for m, run in zip(t.leaf.models, t.frame.runs, strict=True) if isinstance(run, MissedReason)]
    if missed:
        doc["activity"][decide]["inframe:missed"] = ", ".join(missed)
    return doc


def _decision(t: Trace, told: Json, names: tuple[str, str, str]) -> Json:
    """The document with what every frame has: the frame, what was shown, the configuration and the decision."""
    frame, shown, decide = names
    device, config = "inframe:device", f"inframe:config-{told['config']}"
    span = {"prov:startTime": told["captured"], "prov:endTime": told["shown"]}
    doc: Json = {
        "prefix": {"inframe": NAMESPACE},
        "entity": {
            frame: {"prov:type": "inframe:Frame"}
            | _plain(told, "stream", "frame", "captured", "input", "dropped_before"),
            shown: {"prov:type": "inframe:Shown"} | _plain(told, "shown", "verdict", "mode", "output"),
            config: {"prov:type": "inframe:DeviceConfig", "inframe:sha256": told["config"]},
        },
        "activity": {decide: {"prov:type": "inframe:Decide"} | span},
        "agent": {device: {"prov:type": "prov:SoftwareAgent", "inframe:origin": t.checkpoint.origin}},
    }
    doc |= {relation: {} for relation in _ENDS}
    _relate(doc, "used", decide, frame)
    _relate(doc, "used", decide, config)
    _relate(doc, "wasGeneratedBy", shown, decide)
    _relate(doc, "wasAssociatedWith", decide, device)
    _relate(doc, "wasDerivedFrom", shown, frame)
    return doc


def _put_run(doc: Json, t: Trace, model: Model, run: Run, frame: str) -> None:
    name = f"{frame.removeprefix('inframe:frame-')}-{model.name}"
    activity, result = f"inframe:run-{name}", f"inframe:result-{name}"
    bundle, engine = f"inframe:bundle-{model.bundle.hex()}", f"inframe:engine-{model.name}"
    wall = t.leaf.header.wall_ns
    doc["entity"][result] = {"prov:type": "inframe:Result", "inframe:frame": run.seq}
    doc["entity"][bundle] = {
        "prov:type": "inframe:Bundle",
        "inframe:sha256": model.bundle.hex(),
        "inframe:slot": model.slot,
    }
    doc["agent"][engine] = {"prov:type": "prov:SoftwareAgent", "inframe:engine": model.engine}
    doc["activity"][activity] = {
        "prov:type": "inframe:Run",
        "prov:startTime": time_text(wall(run.steps.started)),
        "prov:endTime": time_text(wall(run.steps.decoded)),
        "inframe:preprocess": model.preprocess.hex(),
    }
    if run.seq == t.frame.seq:
        _relate(doc, "used", activity, frame)
    _relate(doc, "used", activity, bundle)
    _relate(doc, "wasGeneratedBy", result, activity)
    _relate(doc, "wasAssociatedWith", activity, engine)


_ENDS = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
}


def _relate(doc: Json, relation: str, one: str, other: str) -> None:
    ends = _ENDS[relation]
    doc[relation][f"_:{relation}{len(doc[relation])}"] = {ends[0]: one, ends[1]: other}


def _plain(told: Json, *names: str) -> Json:
    return {f"inframe:{name}": told[name] for name in names if told[name] is not None}
