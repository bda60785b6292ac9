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
from inframe.pipeline.model import load_model
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
    device = read_device(file)
    models = {
        name: model.model_copy(update={"file": str((folder / f"{name}.onnx").absolute())})
        for name, model in device.models.items()
    }
    return resolve(device.model_copy(update={"models": models}), file)


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


class _Watch:
    """Runs models and rules frame by frame, and keeps what they found."""

    def __init__(self, device: Device, file: Path, fps: float) -> None:
        stream = device.streams[device.display]
        self.size = (stream.width, stream.height)
        self.found: list[dict[str, Any]] = []
        self.results: dict[str, Result] = {}
        self._device, self._fps, self._clock = device, fps, MonotonicClock()
        self._models = {
            name: load_model(name, config, file.parent, self.size) for name, config in device.models.items()
        }
        labels = {name: tuple(config.labels) for name, config in device.models.items()}
        self._plans = plan_rules(device, labels, int(NS_PER_S / fps))
        self._states = tuple(RuleState() for _ in self._plans)
        self._standing: dict[str, dict[str, Any]] = {}

    def frame(self, k: int, picture: NDArray[np.uint8]) -> bool:
        """Whether a finding began with frame ``k``, from 0."""
        now = int((k + 1) * NS_PER_S / self._fps)
        fresh = []
        for name, model in self._models.items():
            if k % self._device.models[name].every == 0:
                output, steps = model.run(picture, self._clock)
                if not isinstance(output, MissedReason):
                    self.results[name] = Result(name, k + 1, now, output, steps)
                    fresh.append(self.results[name])
        self._states = step_rules(self._plans, tuple(fresh), now, self._states, ai_on=True)
        return self._note({one.rule for one in findings(self._plans, self._states)}, k / self._fps)

    def _note(self, present: set[str], at: float) -> bool:
        begun = present - self._standing.keys()
        for rule in sorted(begun):
            self._standing[rule] = {"rule": rule, "from": at}
            self.found.append(self._standing[rule])
        for rule in list(self._standing):
            self._standing[rule]["to"] = at
            if rule not in present:
                del self._standing[rule]
        return bool(begun)


def watch_clip(
    path: Path, folder: Path, file: Path, fps: float
) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """Each finding (rule, from, to, s), and a picture of every 25th frame and of each finding's first."""
    watch = _Watch(_device(file, folder), file, fps)
    pictures = []
    for k, picture in enumerate(_frames(path, watch.size)):
        if watch.frame(k, picture) or k % 25 == 12:
            pictures.append(_draw(picture, watch.results))
    return watch.found, pictures
