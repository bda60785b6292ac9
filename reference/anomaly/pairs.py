"""The same frame twice: as it is, and with something wrong that was made up. Both are seen by the same camera."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from reference.anomaly.closeup import Places, place
from reference.anomaly.corrupt import Layer, Worn, corrupt_tissue, corrupt_tool, over
from reference.anomaly.scripts import visits
from reference.anomaly.shapes import Colours, Plane, peak
from reference.scene import Procedure, instruments
from reference.scene.classes import BACKGROUND, SHAFT
from reference.scene.instruments import Instrument, Pose
from reference.scene.kinds import build
from reference.scene.optics import light
from reference.scene.procedure import Aim
from reference.scene.script import HAZE, Script, Use

RENDER = (360, 640)
WIDEST = 0.095  # scene units: of shafts in pictures for close-ups
FAINT = 0.08  # a change smaller than this share of full scale is not one that a model could be asked to see
FEW = 25  # pixels: neither is one of fewer
NONE, ON_TOOL, ON_TISSUE, EITHER = 0, 1, 2, 255  # what is wrong with a pixel of the corrupted frame
ODDS = {"tool": 0.65, "second": 0.25, "tissue": 0.8}
THINGS = 4  # at most, that do not belong on the tissue
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """Pictures RGB (h, w, 3); planes (h, w)."""

    sound: Picture
    odd: Picture
    label: Picture
    wrong: Picture  # NONE, ON_TOOL, ON_TISSUE, EITHER
    haze: Picture  # 0..255: how much is on the lens
    places: Places  # of the instruments whose hinge is seen
    hidden: Places  # of those where something is in front of it


@dataclass
class _Making:
    """Both pictures before the camera, (h, w, 3), and how much of each pixel is instrument."""

    pictures: list[Colours]
    tools: list[Plane]
    thing: Plane  # what does not belong on the tissue, as far as no instrument hides it
    half: float = 0.0  # of the widest instrument, pixels

    def lay(self, layers: tuple[Layer, Layer]) -> None:
        for k, layer in enumerate(layers):
            self.pictures[k] = over(layer, self.pictures[k])
            self.tools[k] = np.maximum(self.tools[k], layer[..., 3])
        self.thing = self.thing * (1 - layers[1][..., 3])


def _nearer(rng: np.random.Generator, use: Use, tool: Instrument, closer: float) -> Use:
    """The same visit, so much closer to the camera, its hinge somewhere in the middle."""
    radius = min(closer * use.radius, WIDEST)
    back = radius * tool.hinge * np.array([np.cos(use.side), np.sin(use.side)])
    x, y = rng.uniform((-0.45, -0.25), (0.45, 0.25)) - back
    return replace(use, radius=radius, target=(float(x), float(y)), roam=0.0, holds=use.holds and rng.random() < 0.3)


class Scene(Procedure):
    """A procedure that says how much is on the lens where, and shows itself as it is beside what could be wrong with it."""

    def __init__(self, seed: int, script: Script, size: tuple[int, int] = RENDER, fps: float = 30.0) -> None:
        super().__init__(seed, size, fps, script)

    def haze(self, strengths: dict[str, float]) -> Plane:
        """(h, w) 0..1: how strongly a smear or fog covers each pixel."""
        covered = np.maximum(self._lens.smear * np.float32(strengths["smear"]), np.float32(0.7 * strengths["fog"]))
        return np.asarray(covered, np.float32)

    def equip(self, rng: np.random.Generator, t: float) -> None:
        """Other instruments, at work at time ``t``: a new tissue costs ten times as much as they do.

        In a picture smaller than RENDER they are as many pixels wide as there, and their hinges are in sight.
        """
        uses = visits(rng, t)
        self.tools = [build(use.kind, rng) for use in uses]
        closer = RENDER[0] / self.size[0]
        if closer > 1:
            uses = tuple(_nearer(rng, use, tool, closer) for use, tool in zip(uses, self.tools, strict=True))
        self.script = replace(self.script, uses=uses)
        self._flips = rng.choice([-1.0, 1.0], len(uses))
        self._tapers = rng.uniform(0.0, 0.9, len(uses))

    def pair(self, i: int, rng: np.random.Generator) -> Pair:
        """Frame ``i``, and what ``rng`` makes of it."""
        t = i / self.fps
        aim = self._aim(t)
        made, label = self._tissue(rng, t, aim)
        for n, (use, tool) in enumerate(zip(self.script.uses, self.tools, strict=True)):
            self._add(rng, made, label, n, use, tool, t, aim)
        strengths = {kind: max((s.at(t) for s in self.script.spells if s.kind == kind), default=0.0) for kind in HAZE}
        sound_, odd = (
            self._lens.picture(
                np.ascontiguousarray(picture.transpose(2, 0, 1)), strengths, t, np.random.default_rng((self.seed, i))
            )
            for picture in made.pictures
        )
        label[self._lens.view < 0.5] = BACKGROUND
        wrong, haze = self._wrong(made, sound_, odd), (255 * self.haze(strengths)).astype(np.uint8)
        return Pair(sound_, odd, label, wrong, haze, *self._places(t, aim, label))

    def _places(self, t: float, aim: Aim, label: Picture) -> tuple[Places, Places]:
        """Of the instruments whose hinge is in the picture: where it is seen, and where it is not."""
        height, width = self.size
        empty = np.empty((0, 5), np.float32)
        rows = [place(tool, self._pose(n, t, aim), self.size) for n, tool in enumerate(self.tools)]
        rows = [row for row in rows if (row[0, :2] >= 0).all() and (row[0, :2] < (width, height)).all()]
        seen = [label[int(y), int(x)] >= SHAFT for ((x, y, *_),) in rows]
        both = ([row for row, one in zip(rows, seen, strict=True) if one == wanted] for wanted in (True, False))
        places, hidden = (np.concatenate([empty, *some]) for some in both)
        return places, hidden

    def _tissue(self, rng: np.random.Generator, t: float, aim: Aim) -> tuple[_Making, Picture]:
        canvas, border = self._canvas, cv2.BORDER_REFLECT
        at = self._where(t, aim)
        albedo = cv2.remap(canvas.albedo, *at, cv2.INTER_LINEAR, borderMode=border)
        height = cv2.remap(canvas.height, *at, cv2.INTER_LINEAR, borderMode=border)
        label = cv2.remap(canvas.label, *at, cv2.INTER_NEAREST, borderMode=border)
        grid = (self._x, self._y)
        plain = light(self._lamp, albedo, height, grid, canvas.scale).transpose(1, 2, 0)
        thing, other = np.zeros_like(height), plain
        if rng.random() < ODDS["tissue"] * (self.size[0] / RENDER[0]) ** 2:
            for _ in range(int(rng.integers(1, THINGS + 1))):
                albedo, height, one = corrupt_tissue(rng, albedo, height, self._lens.view > 0.5)
                thing = np.maximum(thing, one)
            other = light(self._lamp, albedo, height, grid, canvas.scale).transpose(1, 2, 0)
        clear = np.zeros_like(height)
        pictures = [np.ascontiguousarray(plain), np.ascontiguousarray(other).copy()]
        return _Making(pictures, [clear, clear], thing), np.asarray(label)

    def _add(
        self,
        rng: np.random.Generator,
        made: _Making,
        label: Picture,
        n: int,
        use: Use,
        tool: Instrument,
        t: float,
        aim: Aim,
    ) -> None:
        """Lay one instrument over both pictures, and perhaps a corrupted one over the second."""
        pose = self._pose(n, t, aim)
        cover = self._cover(use, tool, pose, label)
        for picture in made.pictures:
            instruments.cast(picture.transpose(2, 0, 1), tool, pose)
        body, part = self._layers(tool, pose, cover, label)
        scale = self.size[0]
        axis = np.array([np.cos(pose.angle), np.sin(pose.angle)])
        tip = np.array(pose.tip) * scale + np.array([self.size[1], scale]) / 2
        worn = Worn(body, part, tip, axis, pose.radius * scale, tool.hinge)
        made.half = max(made.half, worn.half)
        other = worn
        if rng.random() < ODDS["tool"]:
            for _ in range(1 + (rng.random() < ODDS["second"])):
                other = corrupt_tool(rng, other, made.pictures[1])
        made.lay((worn.whole, other.whole))

    def _layers(self, tool: Instrument, pose: Pose, cover: Plane | None, label: Picture) -> tuple[Layer, Layer]:
        """The instrument without its last part, and that part; its classes go into ``label``."""
        layers = []
        for some in (replace(tool, parts=tool.parts[:-1]), replace(tool, parts=tool.parts[-1:], marks=[])):
            dark, bright = (np.full((3, *self.size), tone, np.float32) for tone in (0, 1))
            instruments.draw(dark, label, some, pose, cover)
            instruments.draw(bright, label, some, pose, cover)
            layers.append(np.ascontiguousarray(np.stack([*dark, 1 - (bright - dark)[0]], axis=2)))
        return layers[0], layers[1]

    def _wrong(self, made: _Making, plain: Picture, odd: Picture) -> Picture:
        """What the difference between the pictures says is wrong, and of what: at a cut, what is left beside it."""
        seen = (peak(cv2.absdiff(plain, odd).astype(np.float32)) > 255 * FAINT) & (self._lens.view > 0.5)
        before, after = (tool > 0.5 for tool in made.tools)
        near = cv2.dilate((made.thing > 0.3).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        changed = seen & (before | after)
        lost = (changed & before & ~after).astype(np.uint8)
        width = 2 * int(0.4 * made.half + 2) + 1
        stump = (cv2.dilate(lost, np.ones((width, width), np.uint8)) > 0) & after
        wrong = np.zeros(self.size, np.uint8)
        touched = ((changed | (seen & ~near)).astype(np.uint8), (seen & near).astype(np.uint8))
        wrong[cv2.dilate(touched[0] | touched[1], np.ones((13, 13), np.uint8)) > 0] = EITHER
        for value, where in ((ON_TISSUE, seen & near & (made.thing > 0.3)), (ON_TOOL, (changed & after) | stump)):
            wrong[where] = value if where.sum() >= FEW else EITHER
        return wrong
