"""What a recording says of the device that made it: all that is needed to run it again, and no secrets."""

import hashlib
import json
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inframe import __version__
from inframe.core.config import Device, ModelConfig, RtspStream
from inframe.drivers.cameras.rtsp_session import without_password
from inframe.recording import schema

ENGINES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
"""By the name in the device file: the package whose version counts."""


def about(device: Device, procedure: str, wall_minus_monotonic_ns: int) -> dict[str, str]:
    """The metadata `inframe` of each part."""
    return {
        "format": schema.FORMAT,
        "inframe": __version__,
        "procedure": procedure,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "codec": device.recording.codec if device.recording is not None else "lossless",
        "wall_minus_monotonic_ns": str(wall_minus_monotonic_ns),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(),
        "device": without_secrets(device).model_dump_json(),
        "models": json.dumps(digests(device)),
        **here(device),
    }


def here(device: Device) -> dict[str, str]:
    """What must be the same for a replay to be the same bit for bit: this machine's processor, and the engines' versions."""
    used = {model.engine.name for model in device.models.values()}
    return {"machine": processor(), "engines": json.dumps({name: _version(ENGINES[name]) for name in sorted(used)})}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Architecture and model of the processor."""
    found = ""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        found = next(
            (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), ""
        )
    except OSError:
        pass  # only to be shown and compared
    return f"{platform.machine()} {found}".strip()


def without_secrets(device: Device) -> Device:
    """The device with the passwords of its cameras taken out."""
    streams = {
        name: s.model_copy(update={"url": without_password(s.url)}) if isinstance(s, RtspStream) else s
        for name, s in device.streams.items()
    }
    return device.model_copy(update={"streams": streams})


def digests(device: Device) -> dict[str, str]:
    """SHA-256 of each model's file, and of the integrator's function that reads its outputs, by model name."""
    return {name: digest(model) for name, model in device.models.items()}


def digest(model: ModelConfig) -> str:
    """Of one model; empty where a file can't be read."""
    function = getattr(model.decode, "function", None) or ""
    files = [model.file, *([function.rpartition(":")[0]] if ".py:" in function else [])]
    try:
        return " ".join(hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files)
    except OSError:
        return ""


def wall_minus_monotonic() -> int:
    """The wall clock minus the device clock now, ns: the least of three, as this process may be held up between two readings."""
    return min(time.time_ns() - time.monotonic_ns() for _ in range(3))
