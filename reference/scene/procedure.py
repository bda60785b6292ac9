"""A procedure is a number: ``Procedure(seed)`` fixes organs, light, camera, instruments and everything that happens."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene import instruments
from reference.scene.canvas import Painter, blur
from reference.scene.classes import BACKGROUND, GALLBLADDER, TIP
from reference.scene.instruments import Instrument, Pose
from reference.scene.litter import bleed, leave
from reference.scene.noise import Field
from reference.scene.optics import Lens, draw_camera, draw_lamp, light
from reference.scene.organs import arrange
from reference.scene.script import HAZE, Script, Use, improvise

Truth = dict[str, Any]


def _waver(t: float, rate: float, phase: float) -> float:
    """A smooth wandering in about -1..1."""
    return float(0.6 * np.sin(2 * np.pi * rate * t + phase) + 0.4 * np.sin(2 * np.pi * rate * 2.3 * t + 2.1 * phase))


class Procedure:
    """``size`` is (height, width); the scene is the same at every size. Frames are rendered in any order."""

    def __init__(self, seed: int, size: tuple[int, int] = (180, 320), fps: float = 30.0, script: Script | None = None) -> None:
        self.seed, self.size, self.fps = seed, size, fps
        streams = np.random.default_rng(seed).spawn(6)
        self.script = script or improvise(streams[0])
        layers, self.grips = arrange(streams[1], self.script.gallbladder)
        painter = Painter(streams[2], size)
        for layer in layers:
            painter.add(layer)
        bleed(painter, self.script.blood)
        for kind, x, y in self.script.objects:
            leave(painter, kind, x, y)
        self._canvas = painter.finish()
        self._lamp, camera = draw_lamp(streams[3]), draw_camera(streams[3])
        height, width = size
        self._x, self._y = np.meshgrid(
            ((np.arange(width) + 0.5 - width / 2) / height).astype(np.float32),
            ((np.arange(height) + 0.5 - height / 2) / height).astype(np.float32),
        )
        self._lens = Lens(camera, (self._x, self._y), float(height), streams[4])
        self._phases = streams[5].uniform(0, 2 * np.pi, 16)
        self._zoom = streams[5].uniform(1.0, 1.25)
        self.tools = [instruments.make(use.kind, streams[5], use.defect) for use in self.script.uses]
        self._flips = streams[5].choice([-1.0, 1.0], len(self.tools))
        self._tapers = streams[5].uniform(0.0, 0.9, len(self.tools))
        self._lens.expose(self._lit(0.0, *self._aim(0.0))[0])

    def frame(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Truth]:
        """Frame ``i``: RGB uint8 (h, w, 3), classes uint8 (h, w), and what is true of it.

        The truth holds ``tips`` (kind, x, y in 0..1 of the picture), ``defects`` (kind, x, y), and the strengths of ``smoke``,
        ``smear``, ``fog`` and ``jolt``; what is out of sight is not listed.
        """
        t = i / self.fps
        matrix, shift = self._aim(t)
        rgb, label = self._lit(t, matrix, shift)
        truth: Truth = {"tips": [], "defects": []}
        for n, (use, tool) in enumerate(zip(self.script.uses, self.tools, strict=True)):
            if use.enters < t < use.leaves:
                self._use(n, use, tool, t, matrix, shift, rgb, label, truth)
        for kind, x, y in self.script.objects:
            self._note(truth["defects"], kind, *np.linalg.solve(matrix, np.array([x, y]) - shift), label, BACKGROUND)
        haze = {kind: max((s.at(t) for s in self.script.spells if s.kind == kind), default=0.0) for kind in HAZE}
        truth.update(haze)
        label[self._lens.view < 0.5] = BACKGROUND
        return self._lens.picture(rgb, haze, 0.1 * t, np.random.default_rng((self.seed, i))), label, truth

    def _aim(self, t: float) -> tuple[Field, Field]:
        """Where the camera looks: canvas point = matrix @ picture point + shift, in scene units."""
        rate, sway, phase = self.script.beats["sway"], self.script.sway, self._phases
        roll, zoom = 0.8 * sway * _waver(t, rate, phase[2]), self._zoom * (1 + sway * _waver(t, rate, phase[3]))
        cos, sin = np.cos(roll) / zoom, np.sin(roll) / zoom
        shift = np.array([_waver(t, rate, phase[0]) * 1.4, _waver(t, rate, phase[1])]) * sway
        return np.array([[cos, -sin], [sin, cos]]), shift

    def _lit(self, t: float, matrix: Field, shift: Field) -> tuple[Field, NDArray[np.uint8]]:
        """Tissue and its classes as the camera sees them, before anything stands in front."""
        canvas = self._canvas
        rows, columns = canvas.label.shape
        (a, b), (c, d) = (matrix * canvas.scale).astype(np.float32)
        at_x = a * self._x + b * self._y + np.float32(shift[0] * canvas.scale + columns / 2)
        at_y = c * self._x + d * self._y + np.float32(shift[1] * canvas.scale + rows / 2)
        breath = self.script.breath * canvas.scale * _waver(t, self.script.beats["breath"], self._phases[4])
        moved = cv2.remap(canvas.mobility, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        at_y += np.float32(breath) * moved
        at_x += np.float32(0.3 * breath) * moved
        albedo, height = (cv2.remap(f, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for f in (canvas.albedo, canvas.height))
        label = cv2.remap(canvas.label, at_x, at_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        return light(self._lamp, albedo, height, (self._x, self._y), canvas.scale), label

    def _pose(self, n: int, use: Use, t: float, matrix: Field, shift: Field) -> Pose:
        """Where instrument ``n`` is: on its way in, at work, on its way out."""
        phase = self._phases[n % 4 + 5]
        target = np.array(use.target)
        if use.holds and len(self.grips):
            target = np.linalg.solve(matrix, self.grips[0] - shift)
        else:
            target = target + use.roam * np.array([_waver(t, 0.21, phase), _waver(t, 0.17, phase + 2)])
        inside = np.clip(min((t - use.enters) / 1.2, (use.leaves - t) / 1.2), 0, 1)
        inside = inside * inside * (3 - 2 * inside)
        way = np.array([np.cos(use.side), np.sin(use.side)])
        tip = target + way * (1 - inside) * 1.6
        swing = 0.12 * _waver(t, 0.1, phase + 1)
        opening = 0.1 if use.holds else 0.5 + 0.5 * _waver(t, 0.4, phase)
        return Pose((float(tip[0]), float(tip[1])), use.side + np.pi + swing, use.radius, float(np.clip(opening, 0, 1)),
                    float(self._tapers[n]), float(self._flips[n]), float(0.7 + 0.5 * (1 - np.hypot(*tip))))

    def _use(self, n: int, use: Use, tool: Instrument, t: float, matrix: Field, shift: Field, rgb: Field, label: NDArray[np.uint8], truth: Truth) -> None:
        pose = self._pose(n, use, t, matrix, shift)
        instruments.cast(rgb, tool, pose)
        instruments.draw(rgb, label, tool, pose, self._cover(use, tool, pose, label))
        x, y = instruments.tip_point(tool, pose)
        self._note(truth["tips"], use.kind, x, y, label, TIP)
        for defect in tool.defects:
            self._note(truth["defects"], defect, x, y, label, TIP)

    def _cover(self, use: Use, tool: Instrument, pose: Pose, label: NDArray[np.uint8]) -> Field | None:
        """Tissue in front of an instrument, 0..1: what it passes behind, and the fold that it holds."""
        cover = np.zeros(label.shape, np.float32)
        if use.behind is not None:
            cover[label == use.behind] = 1
        if use.holds:
            far = np.hypot(self._x - pose.tip[0], self._y - pose.tip[1])
            cover = np.maximum(cover, np.clip(3 - far / (0.3 * use.radius * tool.hinge), 0, 1) * (label == GALLBLADDER))
        return blur(cover, 0.01 * self._canvas.scale) if cover.any() else None

    def _note(self, notes: list[Truth], kind: str, x: float, y: float, label: NDArray[np.uint8], expected: int) -> None:
        """Note something at a scene point, if what is seen there is of the ``expected`` class: hidden things are not noted."""
        height, width = self.size
        column, row = x * height + width / 2, y * height + height / 2
        seen = 0 <= column < width and 0 <= row < height and self._lens.view[int(row), int(column)] > 0.5
        if seen and label[int(row), int(column)] == expected:
            notes.append({"kind": kind, "x": float(column / width), "y": float(row / height)})
