"""The overlay: the only place that touches pixels. It draws what the gate has let through, and decides nothing.

How results are drawn (measured at 1280x720 on one core, docs/performance.md): the frame is copied, labels are filled
opaque as polygons into the copy, and one `addWeighted` with the frame itself makes the fills translucent: outside of
them it blends a pixel with itself, which leaves it exactly as it was. Rejected, being slower: scaled colour images with
masks, a lookup table per label, `blendLinear`, numpy arithmetic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S
from inframe.core.types import (
    Boxes,
    Controls,
    Decision,
    Heat,
    Masks,
    NoSignal,
    Pixels,
    Priority,
    Region,
    Result,
    Scores,
    Verdict,
)
from inframe.pipeline.blocks import Blocks
from inframe.pipeline.furniture import Furniture, Rect
from inframe.pipeline.insets import Insets
from inframe.pipeline.outline import SHIFT, Outline, Polygon, Tracer, thin_out
from inframe.pipeline.palette import BLACK, FAINT, HEAT, WHITE, Look, Rgb, lighter
from inframe.pipeline.readings import Readings
from inframe.pipeline.text import Lettering, Round, Sprite, Style, row_width, stamp, stamp_row
from inframe.pipeline.tipmarks import TipMarks

NAME = Style(opacity=0.66)
CARD = Style(ink=WHITE, paper=BLACK, weight=600)
BOXES = 100
"""Boxes drawn, best first; how many more there are is said. It bounds the time that a picture takes."""
NAMED = 24
"""Boxes with their name."""
LETTERS = 28
"""A longer name is cut."""
SMALLEST_NAMED = 0.0008
"""A part smaller than this share of the mask gets no name: the name would hide it."""


@dataclass
class _Canvas:
    """What one picture's results ask for, in the order of drawing: fills, blend, strokes, names."""

    bottom: int
    """Where the alert band begins."""
    touched: Rect | None = None
    strokes: list[tuple[Pixels, list[list[Polygon]], Rgb]] = field(default_factory=list)
    names: list[tuple[float, tuple[str, str], tuple[int, int], Sprite]] = field(default_factory=list)
    lines: list[list[Sprite]] = field(default_factory=list)
    boxes: list[tuple[Look, Boxes]] = field(default_factory=list)

    def touch(self, rect: Rect) -> None:
        """The fills have changed the picture within `rect`."""
        x0, y0, x1, y1 = rect
        t = self.touched or rect
        self.touched = (min(t[0], x0), min(t[1], y0), max(t[2], x1), max(t[3], y1))


class Overlay:
    """Draws the pictures of one stream of `width` x `height`.

    `looks`: by model name, see `palette.look`. `texts`: what the rules of the device may say. `watermark`: small text
    in the right lower corner of each picture, "" for none. `unsigned`: each picture says so beside the mode.
    `scored`: whether a model may give boxes or scores, whose
    percentages are written on the picture (made ready here, 0.1 s). `readings` makes the rows of sensors,
    `tips` the marks of tools, `insets` the pictures of other streams.
    """

    def __init__(
        self,
        device: str,
        looks: Mapping[str, Look],
        width: int,
        height: int,
        *,
        texts: Sequence[str] = (),
        watermark: str = "",
        unsigned: bool = False,
        scored: bool = True,
        readings: Callable[[Lettering], Readings] | None = None,
        tips: Callable[[Lettering], TipMarks] | None = None,
        insets: Callable[[Lettering], Insets] | None = None,
    ) -> None:
        self._shape = (height, width, 3)
        self._looks = dict(looks)
        self._letters = Lettering(max(10, round(min(height, width * 9 / 16) / 42)))
        self._line = max(1, round(height / 400))
        self._furniture = Furniture(
            device, (width, height), self._letters, texts=texts, watermark=watermark, unsigned=unsigned
        )
        self._readings = readings(self._letters) if readings is not None else None
        self._tips = tips(self._letters) if tips is not None else None
        self._insets = insets(self._letters) if insets is not None else None
        self._tracers: dict[str, tuple[tuple[int, int], Region, Tracer]] = {}
        self._blocks: dict[str, tuple[tuple[tuple[int, ...], ...], Blocks]] = {}
        self._anchors: dict[tuple[str, str], tuple[int, int]] = {}
        self._percent = [self._letters.plate(f"{p} %", NAME, "right") for p in range(101 if scored else 0)]
        for look in self._looks.values():
            for label, colour in zip(look.labels, look.colours, strict=True):
                self._name(label, colour)
                self._name(label, colour, "left")

    def draw(self, into: Pixels, source: Pixels, decision: Decision, controls: Controls, now_ns: int) -> None:
        """Write the whole picture into `into` from the frame `source`; both (height, width, 3) uint8 RGB.

        Raises RuntimeError for another shape.
        """
        if into.shape != self._shape or source.shape != self._shape:
            raise RuntimeError(f"found pictures of {into.shape} and {source.shape}, expected {self._shape}")
        np.copyto(into, source)
        self.draw_over(into, source, decision, controls, now_ns)

    def say_unsigned(self, unsigned: bool) -> None:
        """From the next picture on: whether each says so beside the mode."""
        self._furniture.unsigned = unsigned

    def draw_over(
        self, into: Pixels, source: Pixels, decision: Decision, controls: Controls, now_ns: int, captured_ns: int = 0
    ) -> None:
        """The same where `into` holds the frame already, which was captured at that moment."""
        canvas = _Canvas(bottom=self._furniture.band_top(decision.alerts))
        if controls.overlay_on and decision.verdict is not Verdict.WITHHOLD:
            self._results(into, source, decision.shown, min(max(controls.opacity, 0.0), 1.0), canvas)
            if self._tips is not None:
                canvas.lines += self._tips.draw(into, decision)
        if controls.overlay_on and self._insets is not None and captured_ns:
            canvas.lines += self._insets.draw(into, captured_ns)
        bottom = self._furniture.draw(into, decision, controls, now_ns)
        for finding in decision.findings:
            if finding.priority is Priority.NONE:
                canvas.lines.append([self._letters.plate(finding.text, NAME)])
        if self._readings is not None:
            canvas.lines += self._readings.rows(decision)
        if canvas.lines:
            self._furniture.lines(into, canvas.lines, bottom)

    def card(self, into: Pixels, decision: Decision, signal: NoSignal, controls: Controls) -> None:
        """The picture where there is none: black, since when, and the alerts. Raises RuntimeError for a wrong shape."""
        if into.shape != self._shape:
            raise RuntimeError(f"found a picture of {into.shape}, expected {self._shape}")
        into.fill(0)
        height, width, _ = self._shape
        seconds = max(0, signal.now_ns - signal.since_ns) // NS_PER_S
        big = self._letters.plate("NO CAMERA SIGNAL", replace(CARD, scale=min(3.0, width / 320), weight=800))
        row = self._letters.number(f"{signal.stream}: no picture for", seconds, "s", CARD)
        stamp(into, big, (width - big.width) // 2, height // 2 - big.height)
        stamp_row(into, row, (width - row_width(row)) // 2, height // 2 + self._letters.size)
        bottom = self._furniture.draw(into, decision, controls, signal.now_ns)
        if self._readings is not None:
            self._furniture.lines(into, self._readings.rows(decision), bottom)

    # --- results -----------------------------------------------------------------------------------------------------

    def _results(self, into: Pixels, source: Pixels, shown: Sequence[Result], opacity: float, canvas: _Canvas) -> None:
        for result in shown:
            look = self._looks[result.model]
            match result.output:
                case Masks() as masks:
                    self._masks(into, result.model, look, masks, canvas)
                case Heat() as heat:
                    self._heat(into, result.model, look, heat, canvas)
                case Scores(scores):
                    best = int(scores.argmax())
                    name = self._name(look.labels[best], look.colours[best], "left")
                    canvas.lines.append([name, self._score(scores[best])])
                case Boxes() as boxes:
                    canvas.boxes.append((look, boxes))
        self._blend(into, source, opacity, canvas.touched)
        for window, strokes, colour in canvas.strokes:
            for stroke in strokes[:-1]:
                cv2.polylines(window, stroke, True, colour, 1, cv2.LINE_8, SHIFT)
            cv2.polylines(window, strokes[-1], True, colour, 1, cv2.LINE_AA, SHIFT)
        for look, boxes in canvas.boxes:
            self._boxes(into, look, boxes, canvas)
        self._names(into, canvas)

    def _masks(self, into: Pixels, model: str, look: Look, masks: Masks, canvas: _Canvas) -> None:
        visible = {i: colour for i, colour in enumerate(look.colours) if colour is not None}
        classes = thin_out(masks.classes)
        tracer = self._tracer(model, classes.shape, masks.region)
        x0, y0, x1, y1 = tracer.window
        window = into[y0:y1, x0:x1]
        if window.size == 0:
            return
        outlines = tracer.trace(classes, list(visible))
        if outlines is None:
            canvas.touch(tracer.window)
            self._block(model, window, classes, visible)
            return
        if outlines:
            canvas.touch(tracer.reach)
        for value, outline in outlines.items():
            self._fill(window, outline, visible[value], canvas)
            if outline.area >= SMALLEST_NAMED:
                label = look.labels[value]
                at = (x0 + outline.anchor[0], y0 + outline.anchor[1])
                canvas.names.append((outline.area, (model, label), at, self._name(label, visible[value])))

    def _heat(self, into: Pixels, model: str, look: Look, heat: Heat, canvas: _Canvas) -> None:
        """A heat map as nested levels: sharp at the frame's resolution, and far cheaper than scaling colours up."""
        steps = len(HEAT)
        share = np.clip(heat.heat * np.float32(steps / look.full_scale), 0, steps)
        levels = thin_out(cv2.GaussianBlur(share, (5, 5), 0).astype(np.uint8))
        tracer = self._tracer(model, levels.shape, heat.region)
        x0, y0, x1, y1 = tracer.window
        window = into[y0:y1, x0:x1]
        canvas.lines.append([self._letters.plate(f"{model} {heat.score:.2f}", NAME)])
        if window.size == 0 or not levels.any():
            return
        outlines = tracer.trace(levels, range(1, steps + 1), nested=True)
        if outlines is None:
            canvas.touch(tracer.window)
            self._block(model, window, levels, {i + 1: colour for i, colour in enumerate(HEAT)})
            return
        if outlines:
            canvas.touch(tracer.reach)
        for value, outline in outlines.items():
            cv2.fillPoly(window, outline.fill, HEAT[value - 1], cv2.LINE_AA, SHIFT)

    def _block(self, model: str, window: Pixels, classes: NDArray[np.uint8], colours: Mapping[int, Rgb]) -> None:
        """The bounded way for a mask too broken up to be traced; what it needs is made anew only when sizes change."""
        sizes = classes.shape, window.shape
        known = self._blocks.get(model)
        if known is None or known[0] != sizes:
            rows, columns = classes.shape
            known = self._blocks[model] = sizes, Blocks((rows, columns), (window.shape[1], window.shape[0]))
        known[1].fill(window, classes, colours)

    def _fill(self, window: Pixels, outline: Outline, colour: Rgb, canvas: _Canvas) -> None:
        cv2.fillPoly(window, outline.fill, colour, shift=SHIFT)
        canvas.strokes.append((window, outline.strokes, lighter(colour)))

    def _blend(self, into: Pixels, source: Pixels, opacity: float, touched: Rect | None) -> None:
        if touched is None:
            return
        x0, y0, x1, y1 = touched
        part = into[y0:y1, x0:x1]
        cv2.addWeighted(source[y0:y1, x0:x1], 1 - opacity, part, opacity, 0, dst=part)

    def _boxes(self, into: Pixels, look: Look, boxes: Boxes, canvas: _Canvas) -> None:
        height, width, _ = self._shape
        size = np.array([width, height, width, height], np.float32)
        corners = np.rint(np.clip(boxes.boxes[:BOXES], -1, 2) * size).astype(int).tolist()
        for i, (x0, y0, x1, y1) in enumerate(corners):
            kind = int(boxes.classes[i])
            colour = look.colours[kind]
            if colour is None:
                continue
            for inset in range(self._line + 1):
                ink = BLACK if inset == self._line else colour
                cv2.rectangle(into, (x0 + inset, y0 + inset), (x1 - inset, y1 - inset), ink, 1)
            if i < NAMED:
                row = [self._name(look.labels[kind], colour, "left"), self._score(boxes.scores[i])]
                y = y0 - row[0].height if y0 >= row[0].height else y0 + self._line
                stamp_row(into, row, min(max(0, x0), width - row_width(row)), y)
        if len(boxes.boxes) > BOXES:
            canvas.lines.append([self._letters.plate(f"+{len(boxes.boxes) - BOXES} more boxes", NAME)])

    # --- names -------------------------------------------------------------------------------------------------------

    def _names(self, into: Pixels, canvas: _Canvas) -> None:
        """Names of regions, the smallest region's first; one that would hide another moves up or down, and one that would lie under
        another picture is left out."""
        width = self._shape[1]
        covered = self._insets.covered if self._insets is not None else []
        taken: list[Rect] = [self._furniture.watermark_at(canvas.bottom)]
        for _, key, anchor, plate in sorted(canvas.names, key=lambda name: name[0]):
            x, y = self._steady(key, anchor)
            x = min(max(0, x - plate.width // 2), max(0, width - plate.width))
            y = min(max(2 * plate.height, y - plate.height // 2), max(0, canvas.bottom - 2 * plate.height))
            for move in (0, 1, -1, 2, -2):
                rect = (x, y + move * plate.height, x + plate.width, y + (move + 1) * plate.height)
                if not any(_overlap(rect, other) for other in taken):
                    break
            if any(_overlap(rect, other) for other in covered):
                continue
            taken.append(rect)
            stamp(into, plate, rect[0], rect[1])

    def _steady(self, key: tuple[str, str], anchor: tuple[int, int]) -> tuple[int, int]:
        """Where the name was, unless its region has moved by more than a letter: names must not tremble."""
        old = self._anchors.get(key)
        if old is None or max(abs(old[0] - anchor[0]), abs(old[1] - anchor[1])) > self._letters.size:
            self._anchors[key] = old = anchor
        return old

    def _name(self, label: str, colour: Rgb | None, rounded: Round = "all") -> Sprite:
        text = label.replace("_", " ")
        text = text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
        return self._letters.plate(
            text if rounded == "all" else text + "  ", replace(NAME, mark=colour or FAINT), rounded
        )

    def _score(self, score: float) -> Sprite:
        return self._percent[min(max(round(float(score) * 100), 0), 100)]

    def _tracer(self, model: str, shape: tuple[int, ...], region: Region) -> Tracer:
        """The model's tracer; made anew only when its mask changes shape or place."""
        known = self._tracers.get(model)
        size = (shape[0], shape[1])
        if known is None or known[0] != size or known[1] != region:
            tracer = Tracer(size, region, self._shape[1], self._shape[0], self._line)
            self._tracers[model] = known = (size, region, tracer)
        return known[2]


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
