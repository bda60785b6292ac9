"""A recording without labels, through the device's own models and rules: every finding that they make of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import Device
from inframe.core.types import Masks, MissedReason, Result
from inframe.core.yamlfile import read_device
from inframe.pipeline.model import Model, load_model
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.rules import RuleState, findings, step_rules
from inframe.resolve import resolve


def _frames(path: Path, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(path)) as video:
        for frame in video.decode(video=0):
            picture = frame.to_ndarray(format="rgb24")
            yield picture if picture.shape[1::-1] == size else cv2.resize(picture, size)


def _device(file: Path, folder: Path) -> Device:
    """The device, with the models of a folder in place of its own."""
    device = resolve(read_device(file), file)
    models = {
        name: model.model_copy(update={"file": str((folder / f"{name}.onnx").absolute())})
        for name, model in device.models.items()
    }
    return device.model_copy(update={"models": models})


def _draw(picture: NDArray[np.uint8], results: dict[str, Result]) -> NDArray[np.uint8]:
    """A small picture with what the anomaly model marks outlined: instrument magenta, foreign object orange."""
    small = np.asarray(cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA), np.uint8)
    output = results["anomaly"].output if "anomaly" in results else None
    if isinstance(output, Masks):
        y0, y1 = (round(360 * output.region[k]) for k in (1, 3))
        classes = cv2.resize(output.classes, (640, y1 - y0), interpolation=cv2.INTER_NEAREST)
        for label, colour in ((1, (255, 79, 216)), (2, (255, 140, 26))):
            lines, _ = cv2.findContours((classes == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(small, [line + np.array([0, y0]) for line in lines], -1, colour, 2)
    return small


def watch_clip(
    path: Path, folder: Path, file: Path, fps: float
) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """Each finding (rule, from, to, s), and a picture of every tenth of the clip and of each finding's first frame."""
    device = _device(file, folder)
    stream = device.streams[device.display]
    size = (stream.width, stream.height)
    models: dict[str, Model] = {
        name: load_model(name, config, file.parent, size) for name, config in device.models.items()
    }
    plans = plan_rules(device, {name: tuple(c.labels) for name, c in device.models.items()}, int(NS_PER_S / fps))
    states, clock = tuple(RuleState() for _ in plans), MonotonicClock()
    found: list[dict[str, Any]] = []
    standing: dict[str, dict[str, Any]] = {}
    results: dict[str, Result] = {}
    pictures = []
    for k, picture in enumerate(_frames(path, size)):
        now = int((k + 1) * NS_PER_S / fps)
        fresh = []
        for name, model in models.items():
            if k % device.models[name].every == 0:
                output, steps = model.run(picture, clock)
                if not isinstance(output, MissedReason):
                    results[name] = Result(name, k + 1, now, output, steps)
                    fresh.append(results[name])
        states = step_rules(plans, tuple(fresh), now, states, ai_on=True)
        present = {one.rule for one in findings(plans, states)}
        begun = present - standing.keys()
        for rule in begun:
            standing[rule] = {"rule": rule, "from": k / fps}
            found.append(standing[rule])
        for rule in list(standing):
            standing[rule]["to"] = k / fps
            if rule not in present:
                del standing[rule]
        if begun or k % 25 == 12:
            pictures.append(_draw(picture, results))
    return found, pictures
