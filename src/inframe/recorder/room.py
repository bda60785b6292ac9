"""Whether the trail has room for all that a device's records may say at one frame. Asked before the device runs: a recorder that
found out could only die, and each one after it."""

from inframe.core.config import Device
from inframe.core.samples import Quality
from inframe.core.types import Finding, FrameFlag, Mode, Presence, Run, Steps, Verdict
from inframe.pipeline.record import Fields, fields_of
from inframe.recorder.batch import sensors_of
from inframe.trail.leaf import MAX_MODELS, encode
from inframe.trail.records import FrameLeaf, FrameRecord, Header, Model, Moment, SampleUse
from inframe.trail.sensed import MAX_SENSORS
from inframe.trail.tiles import MAX_ENTRY

_LONG = 1 << 61
_TEXT = "x" * 100
"""In the place of what is not known yet: engines, clocks."""
_DIGEST = bytes([1]) * 32


def lacking(device: Device) -> tuple[str, str, str] | None:
    """Of a resolved device: the field that has too much, what was found, what is expected; None: there is room."""
    fields = fields_of(device)
    models, streams = len(fields.models), len(fields.sensors)
    if models > MAX_MODELS:
        return "models", f"{models} that look at {device.display}", f"at most {MAX_MODELS}, as the trail records them"
    inputs = sum(len(keys) for _, keys in fields.inputs)
    if streams + inputs > MAX_SENSORS:
        found = f"{streams} streams and {inputs} inputs of models that come from them"
        return "sensors", found, f"at most {MAX_SENSORS} together, as the trail records them"
    size = len(encode(_fullest(device, fields)))
    if size > MAX_ENTRY:
        found = f"{len(fields.rules)} whose findings may take {size:,} bytes at one frame"
        return "rules", found, f"at most {MAX_ENTRY:,} bytes, a leaf of the trail: fewer, or shorter names and texts"
    return None


def _fullest(device: Device, fields: Fields) -> FrameLeaf:
    """One frame at which all is found, and nothing is short."""
    sensors = sensors_of(device, fields)
    frame = FrameRecord(
        *(_LONG, _LONG, 0, 0),
        Verdict.SHOW,
        Mode.NOMINAL,
        tuple(Run(0, Steps(_LONG, 0, _LONG, 0)) for _ in fields.models),
        _DIGEST,
        _DIGEST,
        FrameFlag.CORRUPT,
        _LONG,
        _LONG,
        tuple(Finding(name, text, priority, _LONG, 0.0) for name, text, priority in fields.rules),
        tuple((key, Presence.LATCHED) for key in fields.alerts),
        tuple(SampleUse(Quality.OK, _LONG, _LONG) for _ in sensors),
    )
    models = tuple(Model(name, _DIGEST, _TEXT, _TEXT, _DIGEST) for name in fields.models)
    return FrameLeaf(Header(Moment(bytes(16), 0, 0, _TEXT), 0), fields.stream, _DIGEST, models, (frame,), sensors)
