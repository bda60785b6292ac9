"""`inframe check` and `inframe inspect`: whatever reads foreign files does so in a process of its own, so that a parser that
crashes or hangs is one clear line, not the end of the program."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from inframe.core.clock import MonotonicClock
from inframe.core.config import Device, FileStream, ModelConfig, Stream
from inframe.core.errors import ConfigError, DeviceFault, InframeError, one_line
from inframe.core.ports import EndOfStream
from inframe.core.sensor import Sensor, SimulatedSensor
from inframe.core.types import Output
from inframe.core.yamlfile import read_device
from inframe.resolve import resolve

if TYPE_CHECKING:
    from inframe.pipeline.model import Model

LIMIT_S = 120.0
FIRST_FRAME_S = 10.0


def device_schema() -> dict[str, Any]:
    """The JSON Schema of `device.yaml`, for editors."""
    return Device.model_json_schema()


def check_device(path: Path) -> dict[str, Any]:
    """Check the device file and all that it names. Returns {"device", "checked": [one line each]}. Raises ConfigError."""
    device = read_device(path)
    resolve(device, path)
    report = ask_child("inframe.checking", path)
    return {"device": device.device, "file": str(path), "checked": report["checked"]}


def inspect_model(out: Console, model: Path, starter: Path | None) -> dict[str, Any]:
    """Print what the model is, write the starter device file if one is asked for, return the report. Raises ConfigError."""
    from inframe.inspection import inspect_apart, save_starter, show

    if starter is not None and starter.exists():  # said before the model is read, which may take its time
        raise ConfigError(starter, "--starter", "a file that exists", "a name that is free")
    report = inspect_apart(model)
    show(report, out)
    if starter is not None:
        save_starter(report, starter)
        out.print(f"written: {starter}", markup=False)
    return asdict(report)


def ask_child(module: str, path: Path, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Run `python -m MODULE PATH` and return the JSON that it prints last.

    Raises Refused with its own line when it refuses the file, ConfigError with one of ours when it crashes or hangs.
    """
    command = [sys.executable, "-P", "-m", module, str(path)]  # -P: no module is taken from the current folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise ConfigError(path, "file", f"no answer within {limit_s:g} s", "files that can be read") from None
    if done.returncode == 0:
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode < 0 or not said:
        end = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
        raise ConfigError(path, "file", f"files that crash what reads them ({end})", "files that can be read")
    raise Refused(one_line(said[-1].removeprefix("inframe: "), 1000))


class Refused(InframeError):
    """A child's own line, passed on as it is."""

    exit_code = 2


def _check_all(path: Path) -> list[str]:
    """In the child: open each recording, load each model and run it once. That the rules fit is seen by `resolve`."""
    import cv2

    from inframe.pipeline import results
    from inframe.pipeline.model import load_of

    cv2.setNumThreads(1)
    device = resolve(read_device(path), path)
    done = [_check_stream(path, name, stream) for name, stream in device.streams.items()]
    done += [_check_sensor(name, sensor) for name, sensor in device.sensors.items()]
    said: dict[str, Output] = {}
    for name, config in device.models.items():
        model = load_of(device, name)
        said[name] = _try(name, config, model, said)
        signed = " UNSIGNED" if name in device.unsigned else ""
        beside = f", beside the image: {', '.join(model.takes)}" if model.takes else ""
        done.append(
            f"model {name}: {Path(config.file).name} on {model.engine.name}, {len(model.labels)} labels{beside}{signed}"
        )
        results.must_fit(name, config, model.capacity)
        model.close()
    done += [f"rule {name}: {rule.text} ({rule.priority})" for name, rule in device.rules.items()]
    return done


def _try(name: str, config: ModelConfig, model: "Model", said: Mapping[str, Output]) -> Output:
    """What it says of a grey frame of which the models before it say `said`."""
    from inframe.pipeline.outputs import InvalidOutput

    try:
        return model.tried(said)
    except (InvalidOutput, DeviceFault) as error:
        found, _, expected = str(error).partition(", expected ")
        expected = expected or "what its other inputs give"
        raise ConfigError(config.file, f"models.{name}.inputs", found, expected) from None


def _check_stream(path: Path, name: str, stream: Stream) -> str:
    what = f"stream {name}: {stream.camera}, {stream.width}x{stream.height} at {stream.fps:g} fps"
    if not isinstance(stream, FileStream):
        return f"{what} (not opened)"
    import numpy as np

    from inframe.drivers.cameras import open_camera

    camera = open_camera(stream, MonotonicClock())
    try:
        shot = camera.read(np.empty((stream.height, stream.width, 3), np.uint8), FIRST_FRAME_S)
    except EndOfStream:
        shot = None
    finally:
        camera.close()
    if shot is None:
        raise ConfigError(path, f"streams.{name}.path", f"no picture in {stream.path}", "a recording")
    return f"{what}, {Path(stream.path).name}"


def _check_sensor(name: str, sensor: Sensor) -> str:
    from inframe.drivers.sensors import is_recorded, open_sensor

    channels = ", ".join(f"{key} {channel.unit}".strip() for key, channel in sensor.channels.items())
    what = f"sensor {name}: {sensor.sensor}, {sensor.rate_hz:g} Hz, {channels}"
    if not (is_recorded(sensor) or isinstance(sensor, SimulatedSensor)):
        return f"{what} (not opened)"
    open_sensor(sensor, MonotonicClock(), 0).close()
    return what


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
