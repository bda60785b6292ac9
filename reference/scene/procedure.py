"""A procedure is a number: ``Procedure(seed)`` fixes organs, light, camera, instruments and everything that happens."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.scene import instruments
from reference.scene.canvas import Painter, blur
from reference.scene.classes import BACKGROUND, GALLBLADDER, TIP
from reference.scene.defects import DEFECTS, make
from reference.scene.instruments import Instrument, Pose
from reference.scene.litter import FOREIGN, bleed, leave
from reference.scene.noise import Field
from reference.scene.optics import Lens, draw_camera, draw_lamp, light
from reference.scene.organs import arrange
from reference.scene.script import HAZE, Script, Use, improvise
from reference.scene.shapes import Points

Truth = dict[str, Any]
Mask = NDArray[np.uint8]
SHUTTER = 0.015  # s that the sensor collects light for one frame
WRONG = (*DEFECTS, *FOREIGN)  # the defect mask holds 1 + the index of one of these
VISIBLE = 100 / 720**2  # a defect is listed while it covers so much: 100 pixels of 1280x720
CONTRAST = 0.1  # of full scale, by which a defect's pixels differ from the same instrument without it
TRAVEL = 1.6  # scene units that an instrument comes in from, and goes back to


def _waver(t: float, rate: float, phase: float) -> float:
    """A smooth wandering in about -1..1."""
    return float(0.6 * np.sin(2 * np.pi * rate * t + phase) + 0.4 * np.sin(2 * np.pi * rate * 2.3 * t + 2.1 * phase))


@dataclass(frozen=True)
class Aim:
    """Where the camera looks: canvas point = matrix @ picture point + shift, in scene units."""

    matrix: Points
    shift: Points

    def picture(self, point: Points) -> Points:
        return np.asarray(np.linalg.solve(self.matrix, point - self.shift))


class Procedure:
    """``size`` is (height, width); the scene is the same at every size. Frames are rendered in any order."""

    def __init__(
        self, seed: int, size: tuple[int, int] = (180, 320), fps: float = 30.0, script: Script | None = None
    ) -> None:
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
        moves = streams[5]
        self._phases = moves.uniform(0, 2 * np.pi, 16)
        self._zoom = moves.uniform(1.0, 1.25)
        self.tools = [make(use.kind, moves, use.defect) for use in self.script.uses]
        self._flips = moves.choice([-1.0, 1.0], len(self.tools))
        self._tapers = moves.uniform(0.0, 0.9, len(self.tools))
        self._lens.expose(self._lit(0.0, self._aim(0.0))[0])

    def frame(self, i: int) -> tuple[NDArray[np.uint8], Mask, Truth]:
        """Frame ``i``: RGB uint8 (h, w, 3), classes uint8 (h, w), and what is true of it.

        The truth holds ``tips`` and ``defects`` (each: kind, x, y in 0..1 of the picture; what is out of sight is not
        listed), the strength of each of HAZE, and ``wrong``, uint8 (h, w): 1 + the index in WRONG of the defect seen.
        """
        t = i / self.fps
        aim = self._aim(t)
        rgb, label = self._lit(t, aim)
        wrong = self._litter(aim, label)
        truth: Truth = {"tips": [], "defects": [], "wrong": wrong}
        for n, (use, tool) in enumerate(zip(self.script.uses, self.tools, strict=True)):
            if not use.enters < t < use.leaves:
                continue
            self._draw(n, t, aim, rgb, label, wrong)
            at = instruments.tip_point(tool, self._pose(n, t, aim))
            if self._sees(at, label, TIP):
                truth["tips"].append(self._note(use.kind, at))
        wrong[self._lens.view < 0.5] = 0
        truth["defects"] = self._list(wrong)
        haze = {kind: max((s.at(t) for s in self.script.spells if s.kind == kind), default=0.0) for kind in HAZE}
        truth.update(haze)
        label[self._lens.view < 0.5] = BACKGROUND
        return self._lens.picture(rgb, haze, t, np.random.default_rng((self.seed, i))), label, truth

    def _aim(self, t: float) -> Aim:
        rate, sway, phase = self.script.beats["sway"], self.script.sway, self._phases
        roll, zoom = 0.8 * sway * _waver(t, rate, phase[2]), self._zoom * (1 + sway * _waver(t, rate, phase[3]))
        cos, sin = np.cos(roll) / zoom, np.sin(roll) / zoom
        shift = np.array([_waver(t, rate, phase[0]) * 1.4, _waver(t, rate, phase[1])]) * sway
        return Aim(np.array([[cos, -sin], [sin, cos]]), shift)

    def tissue(self, i: int) -> Mask:
        """The classes of frame ``i`` as they would be seen if no instrument stood before them, uint8 (h, w)."""
        t = i / self.fps
        at_x, at_y = self._where(t, self._aim(t))
        label = cv2.remap(self._canvas.label, at_x, at_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        label[self._lens.view < 0.5] = BACKGROUND
        return np.asarray(label)

    def _lit(self, t: float, aim: Aim) -> tuple[Field, Mask]:
        """Tissue and its classes as the camera sees them, before anything stands in front."""
        canvas, border = self._canvas, cv2.BORDER_REFLECT
        at_x, at_y = self._where(t, aim)
        albedo = cv2.remap(canvas.albedo, at_x, at_y, cv2.INTER_LINEAR, borderMode=border)
        height = cv2.remap(canvas.height, at_x, at_y, cv2.INTER_LINEAR, borderMode=border)
        label = cv2.remap(canvas.label, at_x, at_y, cv2.INTER_NEAREST, borderMode=border)
        return light(self._lamp, albedo, height, (self._x, self._y), canvas.scale), label

    def _where(self, t: float, aim: Aim) -> tuple[Field, Field]:
        """Which point of the canvas each pixel sees: the camera looks there, and the tissue breathes."""
        canvas = self._canvas
        rows, columns = canvas.label.shape
        (a, b), (c, d) = (aim.matrix * canvas.scale).astype(np.float32)
        at_x = a * self._x + b * self._y + np.float32(aim.shift[0] * canvas.scale + columns / 2)
        at_y = c * self._x + d * self._y + np.float32(aim.shift[1] * canvas.scale + rows / 2)
        breath = self.script.breath * canvas.scale * _waver(t, self.script.beats["breath"], self._phases[4])
        moved = cv2.remap(canvas.mobility, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        at_y += np.float32(breath) * moved
        at_x += np.float32(0.3 * breath) * moved
        return at_x, at_y

    def _pose(self, n: int, t: float, aim: Aim) -> Pose:
        """Where instrument ``n`` is: on its way in, at work, on its way out."""
        use, phase = self.script.uses[n], self._phases[n % 4 + 5]
        if use.holds and len(self.grips):
            target = aim.picture(self.grips[0])
        else:
            times, *ways = zip(*(use.stops or ((0.0, *use.target),)), strict=True)
            target = np.array([np.interp(t, times, way) for way in ways])
            target += use.roam * np.array([_waver(t, 0.21, phase), _waver(t, 0.17, phase + 2)])
        inside = np.clip(min((t - use.enters) / 1.2, (use.leaves - t) / 1.2), 0, 1)
        inside = inside * inside * (3 - 2 * inside)
        x, y = target + np.array([np.cos(use.side), np.sin(use.side)]) * (1 - inside) * TRAVEL
        angle = use.side + np.pi + 0.12 * _waver(t, 0.1, phase + 1)
        opening = 0.1 if use.holds else float(np.clip(0.5 + 0.5 * _waver(t, 0.4, phase), 0, 1))
        glare = float(0.7 + 0.5 * (1 - np.hypot(x, y)))
        return Pose((float(x), float(y)), angle, use.radius, opening, self._tapers[n], self._flips[n], glare)

    def _litter(self, aim: Aim, label: Mask) -> Mask:
        """The defect mask before any instrument is drawn: foreign objects, which have no class on the tissue."""
        wrong = np.zeros_like(label)
        nearest = np.full(label.shape, np.inf, np.float32)
        for kind, x, y in self.script.objects:
            at = aim.picture(np.array([x, y]))
            away = (self._x - np.float32(at[0])) ** 2 + (self._y - np.float32(at[1])) ** 2
            wrong[(label == BACKGROUND) & (away < nearest)] = 1 + WRONG.index(kind)
            nearest = np.minimum(nearest, away)
        return wrong

    def _list(self, wrong: Mask) -> list[Truth]:
        """Each defect that covers enough of the picture, at the place in the middle of it."""
        listed = []
        counts = np.bincount(wrong.ravel(), minlength=len(WRONG) + 1)[1:]
        for k in np.flatnonzero(counts >= VISIBLE * self.size[0] ** 2):
            rows, columns = np.nonzero(wrong == k + 1)
            middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
            x, y = (columns[middle] + 0.5) / self.size[1], (rows[middle] + 0.5) / self.size[0]
            listed.append({"kind": WRONG[k], "x": float(x), "y": float(y)})
        return listed

    def _mark(self, tool: Instrument, pose: Pose, cover: Field | None, rgb: Field, label: Mask, wrong: Mask) -> None:
        """Into the defect mask: what this instrument hides of it, and where it differs from its sound twin."""
        if not (tool.sound or wrong.any()):
            return
        drawn = [rgb.copy() for _ in range(2)]
        for picture, one in zip(drawn, (tool, tool.sound or tool), strict=True):
            instruments.draw(picture, label.copy(), one, pose, cover)
        wrong[np.any(drawn[0] != rgb, axis=0)] = 0
        if tool.sound:
            contrast = np.abs(drawn[0] - drawn[1]).max(axis=0) * self._lens.gain
            wrong[contrast > CONTRAST] = 1 + WRONG.index(tool.defects[0])

    def _draw(self, n: int, t: float, aim: Aim, rgb: Field, label: Mask, wrong: Mask) -> None:
        """Draw instrument ``n`` and its shadow; blurred where it moves while the shutter is open."""
        tool, now, before = self.tools[n], self._pose(n, t, aim), self._pose(n, t - SHUTTER, aim)
        cover = self._cover(self.script.uses[n], tool, now, label)
        instruments.cast(rgb, tool, now)
        self._mark(tool, now, cover, rgb, label, wrong)
        moved = np.hypot(now.tip[0] - before.tip[0], now.tip[1] - before.tip[1]) * self._canvas.scale
        ghosts = []
        for part in np.linspace(1, 0, min(int(moved / 2), 6), endpoint=False):  # one for every 2 pixels
            ghosts.append(rgb.copy())
            instruments.draw(ghosts[-1], label.copy(), tool, self._pose(n, t - SHUTTER * float(part), aim), cover)
        instruments.draw(rgb, label, tool, now, cover)
        if ghosts:
            rgb[:] = (rgb + sum(ghosts)) / (len(ghosts) + 1)

    def _cover(self, use: Use, tool: Instrument, pose: Pose, label: Mask) -> Field | None:
        """Tissue in front of an instrument, 0..1: what it passes behind, and the fold that it holds."""
        cover = np.zeros(label.shape, np.float32)
        if use.behind is not None:
            cover[label == use.behind] = 1
        if use.holds:
            far = np.hypot(self._x - pose.tip[0], self._y - pose.tip[1])
            fold = np.clip(3 - far / (0.3 * use.radius * tool.hinge), 0, 1) * (label == GALLBLADDER)
            cover = np.maximum(cover, fold)
        return blur(cover, 0.01 * self._canvas.scale) if cover.any() else None

    def _sees(self, at: Points, label: Mask, expected: int) -> bool:
        """Whether what the picture shows at a scene point is of the ``expected`` class and within the field of view."""
        height, width = self.size
        column, row = int(at[0] * height + width / 2), int(at[1] * height + height / 2)
        if not (0 <= column < width and 0 <= row < height):
            return False
        return bool(self._lens.view[row, column] > 0.5 and label[row, column] == expected)

    def _note(self, kind: str, at: Points) -> Truth:
        height, width = self.size
        return {"kind": kind, "x": float(at[0] * height / width + 0.5), "y": float(at[1] + 0.5)}
