"""The pictures of docs/pictures/, made from our own renderings only:

demo.jpg      a frame of out/demo.mkv, which `make demo` writes: one with one lit medium alert, else its middle
states.jpg    one rendered frame in each state of the overlay, drawn by the overlay itself
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from inframe.core.errors import ConfigError
from inframe.core.events import EVENTS
from inframe.core.types import (
    Alert,
    Audio,
    Boxes,
    Controls,
    Decision,
    Heat,
    Masks,
    Mode,
    NoSignal,
    Output,
    Pixels,
    Presence,
    Priority,
    Result,
    Scores,
    Steps,
    Verdict,
)
from inframe.core.yamlfile import read_device
from inframe.pipeline.model import load_model
from inframe.pipeline.overlay import Overlay
from inframe.pipeline.palette import ALERT, look
from inframe.reference_device import device_file
from inframe.resolve import resolve

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
LARGEST = 200_000
DARK_NS = 13 * NS_PER_S // 10
"""A moment at which alerts that flash are dark; they are lit at 0."""
EVERY = 15
"""Of the procedure's frames, each so-many-th is looked at to find a good one."""


def main() -> int:
    """Make both."""
    FOLDER.mkdir(exist_ok=True)
    _save("demo.jpg", demo())
    _save("states.jpg", states())
    return 0


def _save(name: str, pixels: Pixels) -> None:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    for quality in range(88, 40, -6):
        _, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
        if data.nbytes < LARGEST:
            break
    (FOLDER / name).write_bytes(data.tobytes())
    sys.stdout.write(f"docs/pictures/{name} {data.nbytes} bytes\n")


def _frames(path: Path) -> Iterator[Pixels]:
    with av.open(str(path)) as container:
        yield from (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


def demo() -> Pixels:
    """The frame for demo.jpg. Raises ConfigError where `make demo` has not run."""
    videos = sorted((ROOT / "out").glob("demo*.mkv"), key=lambda path: path.stat().st_mtime)
    if not videos:
        raise ConfigError("out", "demo.mkv", "no file", "the video that `make demo` writes")
    lit = [_is_lit(pixels) for pixels in _frames(videos[-1])]
    numbers = [i for i, is_lit in enumerate(lit) if is_lit] or list(range(len(lit)))
    wanted = numbers[len(numbers) // 2]
    return next(pixels for i, pixels in enumerate(_frames(videos[-1])) if i == wanted)


def _is_lit(pixels: Pixels) -> bool:
    """Whether one row at the lower edge, and no second one, is the paper of a medium alert."""
    edges = np.median(pixels[[-4, -48], pixels.shape[1] // 4 :], axis=1)
    first, second = np.abs(edges - ALERT[Priority.MEDIUM][0]).max(axis=1) < 24
    return bool(first and not second)


# --- the overlay's states --------------------------------------------------------------------------------------------


class Scene:
    """One rendered frame with the reference model's result, and an overlay that knows some made-up models too."""

    def __init__(self) -> None:
        path = device_file()
        device = resolve(read_device(path), path)
        stream = device.streams[device.display]
        (self.name, config), *_ = device.models.items()
        model = load_model(self.name, config, path.parent, (stream.width, stream.height))
        looks = {
            self.name: look(model.labels, config.colours),
            "tools": look(("grasper", "hook"), {}),
            "view": look(("in the body", "outside"), {}),
            "bleeding": look(("bleeding",), {}),
        }
        self.overlay = Overlay(device.device, looks, stream.width, stream.height, watermark=device.overlay.watermark)
        tip, organ = model.labels.index("instrument tip"), model.labels.index("gallbladder")
        best = -1
        for pixels in islice(_frames(path.parent / "procedure.mp4"), 0, None, EVERY):
            output, _ = model.run(pixels, MonotonicClock())
            if isinstance(output, Masks):
                seen = min(int((output.classes == tip).sum()), int((output.classes == organ).sum()))
                if seen > best:
                    best, self.pixels, self.masks = seen, pixels, Masks(output.classes.copy(), output.region)

    def draw(self, decision: Decision, controls: Controls | None = None, now_ns: int = 0) -> Pixels:
        """The picture for this decision."""
        into = np.empty_like(self.pixels)
        self.overlay.draw(into, self.pixels, decision, controls or Controls(), now_ns)
        return into

    def said(self, **outputs: Output) -> tuple[Result, ...]:
        """Results of this frame."""
        return tuple(Result(name, 1, 0, output, Steps(0, 0, 0, 0)) for name, output in outputs.items())


def states() -> Pixels:
    """Eight pictures, two beside each other, with a letter each."""
    scene = Scene()
    own = scene.said(**{scene.name: scene.masks})
    near = Alert("tip", "TIP NEAR GALLBLADDER", Priority.MEDIUM, Presence.ON, 0)
    seen = Alert("tip", "TIP NEAR GALLBLADDER", Priority.MEDIUM, Presence.ACKNOWLEDGED, 0)
    past = Alert("view", "ANATOMY NOT VISIBLE", Priority.LOW, Presence.LATCHED, 0)
    lost = (_event("NO_SIGNAL"), _event("CAPTURE_LOST"))
    late = Decision(Verdict.HOLD, Mode.DEGRADED, (), (_event("AI_LATE"),), own, 67 * NS_PER_MS)
    off = Decision(Verdict.WITHHOLD, Mode.VIDEO_ONLY, (), (_event("WORKER_GIVEN_UP"),), ())
    card = np.empty_like(scene.pixels)
    fault = Decision(Verdict.WITHHOLD, Mode.FAULT, (), lost, ())
    scene.overlay.card(card, fault, NoSignal("endoscope", 0, 4 * NS_PER_S), Controls())
    pictures = [
        scene.draw(_nominal(own, near)),
        scene.draw(_nominal(own, seen, past), Controls(audio=Audio.PAUSED, audio_until_ns=95 * NS_PER_S), DARK_NS),
        scene.draw(late),
        scene.draw(off),
        card,
        scene.draw(_nominal(own), Controls(overlay_on=False)),
        scene.draw(_nominal(scene.said(tools=_boxes(), view=Scores(np.array([0.97, 0.03], np.float32))))),
        scene.draw(_nominal(scene.said(bleeding=_heat()))),
    ]
    tiles = [_tile(picture, letter) for picture, letter in zip(pictures, "abcdefgh", strict=True)]
    return np.vstack([np.hstack(tiles[i : i + 2]) for i in range(0, len(tiles), 2)])


def _nominal(shown: tuple[Result, ...], *alerts: Alert) -> Decision:
    return Decision(Verdict.SHOW, Mode.NOMINAL, (), alerts, shown)


def _event(name: str) -> Alert:
    return Alert(name, EVENTS[name].text, EVENTS[name].priority, Presence.ON, 0)


def _boxes() -> Boxes:
    corners = np.array([[0.12, 0.3, 0.45, 0.62], [0.55, 0.4, 0.8, 0.85]], np.float32)
    return Boxes(corners, np.array([0.93, 0.61], np.float32), np.array([0, 1], np.int32))


def _heat() -> Heat:
    y, x = np.mgrid[:90, :160].astype(np.float32)
    heat = np.exp(-((x - 95) ** 2 + (y - 40) ** 2) / 500)
    return Heat(heat, float(heat.max()))


def _tile(picture: Pixels, letter: str) -> Pixels:
    small: Pixels = cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA)
    cv2.rectangle(small, (0, 164), (32, 196), (255, 255, 255), -1)
    cv2.putText(small, letter, (8, 188), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
    small[:, :2] = small[:, -2:] = small[:2] = small[-2:] = 255
    return small
