"""`inframe check` and the way `inframe inspect` is run: whatever reads foreign files does so in a process of its own, so that
a parser that crashes or hangs is one clear line, not the end of the program."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from inframe.core.clock import MonotonicClock
from inframe.core.config import Device, Stream
from inframe.core.errors import ConfigError, InframeError
from inframe.core.yamlfile import read_device
from inframe.resolve import resolve

LIMIT_S = 120.0


def device_schema() -> dict[str, Any]:
    """The JSON Schema of `device.yaml`, for editors."""
    return Device.model_json_schema()


def check_device(path: Path) -> dict[str, Any]:
    """Check the device file and all that it names. Returns {"device", "checked": [one line each]}. Raises ConfigError."""
    device = read_device(path)
    resolve(device, path)
    report = ask_child("inframe.checking", path)
    return {"device": device.device, "file": str(path), "checked": report["checked"]}


def ask_child(module: str, path: Path, *more: str) -> dict[str, Any]:
    """Run `python -m MODULE PATH` and return the JSON that it prints last.

    Raises ConfigError with its own line when it refuses the file, and with one of ours when it crashes or hangs.
    """
    command = [sys.executable, "-m", module, str(path), *more]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(path, "file", f"no answer within {LIMIT_S:g} s", "files that can be read") from None
    if done.returncode == 0:
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report
    lines = done.stderr.decode(errors="replace").splitlines()
    if done.returncode < 0 or not lines:
        raise ConfigError(path, "file", f"a crash of the reader (signal {-done.returncode})", "files that can be read")
    raise Refused(lines[-1].removeprefix("inframe: "))


class Refused(InframeError):
    """A child's own line, passed on as it is."""

    exit_code = 2


def _check_all(path: Path) -> list[str]:
    """In the child: open each camera's file, load each model and run it once, make the plan."""
    import cv2

    from inframe.pipeline.decide import make_plan
    from inframe.pipeline.model import load_model

    cv2.setNumThreads(1)
    device = resolve(read_device(path), path)
    done = [_check_stream(name, stream) for name, stream in device.streams.items()]
    labels = {}
    for name, config in device.models.items():
        stream = device.streams[config.stream]
        model = load_model(name, config, Path(config.file).parent, (stream.width, stream.height))
        done.append(f"model {name}: {Path(config.file).name} on {model.engine.name}, {len(model.labels)} labels")
        labels[name] = model.labels
        model.close()
    make_plan(device, labels)
    done += [f"rule {name}: {rule.text} ({rule.priority})" for name, rule in device.rules.items()]
    return done


def _check_stream(name: str, stream: Stream) -> str:
    what = f"stream {name}: {stream.camera}, {stream.width}x{stream.height} at {stream.fps:g} fps"
    if stream.camera != "file":
        return f"{what} (not opened)"
    import numpy as np

    from inframe.drivers.cameras import open_camera

    camera = open_camera(stream, MonotonicClock())
    try:
        camera.read(np.empty((stream.height, stream.width, 3), np.uint8), 5.0)
    finally:
        camera.close()
    return f"{what}, {Path(stream.path).name}"


def main(arguments: list[str]) -> int:
    """The child."""
    try:
        sys.stdout.write(json.dumps({"checked": _check_all(Path(arguments[1]))}) + "\n")
    except InframeError as error:
        sys.stderr.write(f"inframe: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
