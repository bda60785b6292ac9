"""What stands on every picture, whatever the models say: mode, age, alert band, and the mark of a picture without AI.

It keeps to the edges: endoscopes leave the corners dark, and the middle belongs to the surgeon.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.events import EVENTS
from inframe.core.types import Alert, Audio, Controls, Decision, Mode, Pixels, Presence, Priority, Verdict
from inframe.pipeline.alerts import flash_on
from inframe.pipeline.palette import ALERT, BLACK, FAINT, GOOD, PAPER, WHITE, Rgb
from inframe.pipeline.text import Lettering, Sprite, Style, row_width, stamp, stamp_row

MODES = {Mode.NOMINAL: "NOMINAL", Mode.DEGRADED: "DEGRADED", Mode.VIDEO_ONLY: "VIDEO ONLY", Mode.FAULT: "FAULT"}
MARKS = {Priority.NONE: "", Priority.LOW: "!", Priority.MEDIUM: "!!", Priority.HIGH: "!!!"}
"""IEC 60601-1-8 table 5: priority also by a sign, for people who can't tell the colours."""
STATES = {Presence.LATCHED: "  (over, not acknowledged)", Presence.ACKNOWLEDGED: "  (acknowledged)"}
QUIET = Style(ink=FAINT, weight=400)
SMALL = Style(ink=FAINT, weight=400, scale=0.85)
NUMBER = Style(opacity=0.86, weight=600)
MODE = Style(mark=GOOD, weight=600)
NOTICE = Style(ink=BLACK, paper=WHITE, opacity=0.9, weight=750)
"""For what needs attention and is no alert."""
MARK = Style(ink=BLACK, paper=WHITE, opacity=0.94, scale=1.7, weight=800)
LOUD = Style(opacity=0.0, scale=1.1, weight=700, pad=0.0)
BAND_ROWS = 3
"""Alerts shown at once; how many more there are is said."""

Rect = tuple[int, int, int, int]
"""A window of the picture: x0, y0, x1, y1."""


class Furniture:
    """Draws it. `texts`: what the rules may say, rendered at the start: a first alert then costs what the next does."""

    def __init__(
        self,
        device: str,
        size: tuple[int, int],
        lettering: Lettering,
        *,
        texts: Sequence[str],
        watermark: str,
        unsigned: bool = False,
    ) -> None:
        self._width, self._height = width, height = size
        self._letters = lettering
        self._margin = max(4, round(lettering.size * 0.8))
        self._row = round(lettering.size * 1.9)
        self._device = lettering.plate(device[:40], QUIET)
        self._watermark = lettering.plate(watermark, SMALL) if watermark else None
        self._unsigned = lettering.plate("UNSIGNED", NOTICE)
        self.unsigned = unsigned
        self._edge = _striped(width, max(4, height // 90)), _striped(max(2, height // 180), height)
        self._modes = {m: lettering.plate(MODES[m], MODE if m is Mode.NOMINAL else NOTICE) for m in Mode}
        self._prepare(texts)

    def draw(self, into: Pixels, decision: Decision, controls: Controls, now_ns: int) -> int:
        """Everything but the results; returns the height that is left above the alert band and the lines over it."""
        if decision.verdict is Verdict.WITHHOLD:
            self._off(into, "AI OFF")
        elif not controls.overlay_on:
            self._off(into, "OVERLAY OFF")
        bottom = self.band(into, decision.alerts, now_ns)
        margin = self._margin
        mode = self._modes[decision.mode]
        stamp(into, mode, margin, margin)
        x = margin + mode.width + margin // 2
        if self.unsigned:
            stamp(into, self._unsigned, x, margin)
            x += self._unsigned.width + margin // 2
        if self._width >= 3 * self._device.width:
            stamp(into, self._device, x, margin)
        y = margin
        for plates in self._right(decision, controls, now_ns):
            stamp_row(into, plates, self._width - margin - row_width(plates), y)
            y += plates[0].height + margin // 3
        if self._watermark is not None:
            x, y, _, _ = self.watermark_at(bottom)
            stamp(into, self._watermark, x, y)
        return bottom

    def watermark_at(self, bottom: int) -> Rect:
        """Where the watermark is above `bottom`; a window of no area where there is none."""
        mark = self._watermark
        if mark is None:
            return 0, 0, 0, 0
        right, lower = self._width - self._margin, bottom - self._margin
        return right - mark.width, lower - mark.height, right, lower

    def lines(self, into: Pixels, rows: Sequence[list[Sprite]], bottom: int) -> None:
        """Rows of plates in the left lower corner, the first one on top, ending above `bottom`."""
        y = bottom - self._margin
        for row in reversed(rows):
            y -= row[0].height
            stamp_row(into, row, self._margin, y)
            y -= self._margin // 4

    def band_top(self, alerts: Sequence[Alert]) -> int:
        """The y where the alert band will begin."""
        return self._height - self._row * min(BAND_ROWS, len(_present(alerts)))

    def band(self, into: Pixels, alerts: Sequence[Alert], now_ns: int) -> int:
        """The alerts along the lower edge, most urgent first; returns the y where the band begins."""
        present = _present(alerts)
        present.sort(key=lambda a: (a.presence is Presence.ACKNOWLEDGED, -a.priority))  # else in the order given
        shown = present[:BAND_ROWS]
        top = y = self._height - self._row * len(shown)
        for alert in shown:
            colour, ink = ALERT[alert.priority]
            lit = alert.presence is not Presence.ACKNOWLEDGED and flash_on(alert.priority, now_ns)
            self._alert_row(into, y, alert, ink if lit else colour, colour if lit else PAPER)
            y += self._row
        if len(present) > len(shown):
            more = self._letters.plate(f"+{len(present) - len(shown)} more", NUMBER)
            stamp(into, more, self._width - self._margin - more.width, y - self._row + (self._row - more.height) // 2)
        return top

    def _alert_row(self, into: Pixels, y: int, alert: Alert, ink: Rgb, paper: Rgb) -> None:
        """Lit: ink on the priority's colour. Not lit: the priority's colour on dark, so that it can always be read."""
        cv2.rectangle(into, (0, y), (self._width - 1, y + self._row - 1), paper, -1)
        colour = ALERT[alert.priority][0]
        cv2.rectangle(into, (0, y), (max(3, self._row // 5), y + self._row - 1), colour, -1)
        text = self._alert_text(alert, ink)
        x = max(self._margin, (self._width - text.width) // 2)
        stamp(into, text, x, y + (self._row - text.height) // 2)

    def _alert_text(self, alert: Alert, ink: Rgb) -> Sprite:
        text = f"{MARKS[alert.priority]}  {alert.text}{STATES.get(alert.presence, '')}"
        return self._letters.plate(text, replace(LOUD, ink=ink))

    def _right(self, decision: Decision, controls: Controls, now_ns: int) -> list[list[Sprite]]:
        """Rows of plates for the right upper corner: the age of what is shown, and what people have switched."""
        rows: list[list[Sprite]] = []
        age_ms = round(decision.age_ns / NS_PER_MS)
        if decision.verdict is Verdict.HOLD:
            rows.append(self._letters.number("HELD", age_ms, "ms", NOTICE))
        elif decision.verdict is Verdict.SHOW and decision.shown:
            rows.append(self._letters.number("AI", age_ms, "ms", NUMBER))
        if decision.verdict is Verdict.WITHHOLD and not controls.overlay_on:
            rows.append([self._letters.plate("OVERLAY OFF", NOTICE)])
        if controls.audio is Audio.OFF:
            rows.append([self._letters.plate("AUDIO OFF", NOTICE)])
        elif controls.audio is Audio.PAUSED and controls.audio_until_ns > now_ns:
            left = -(-(controls.audio_until_ns - now_ns) // NS_PER_S)
            rows.append(self._letters.number("AUDIO PAUSED", left, "s", NOTICE))
        return rows

    def _off(self, into: Pixels, text: str) -> None:
        """A striped border and a plate at the top: nobody may take this picture for one that the AI has looked at."""
        across, down = self._edge
        into[: across.shape[0]] = across
        into[-across.shape[0] :] = across
        into[:, : down.shape[1]] = down
        into[:, -down.shape[1] :] = down
        plate = self._letters.plate(text, MARK)
        stamp(into, plate, (self._width - plate.width) // 2, self._margin)

    def _prepare(self, texts: Sequence[str]) -> None:
        """Render once what may be needed at any frame."""
        known = [(event.text, event.priority) for event in EVENTS.values() if event.text]
        known += [(text, priority) for text in texts for priority in Priority]
        for text, priority in known:
            for ink in ALERT[priority]:
                self._alert_text(Alert("", text, priority, Presence.ON, 0), ink)
        blank = np.zeros((self._height, self._width, 3), np.uint8)
        for verdict in Verdict:
            for controls in (Controls(), Controls(overlay_on=False), Controls(audio=Audio.OFF)):
                decision = Decision(verdict, Mode.NOMINAL, (), (), (), 1_234_567_890 * NS_PER_MS)
                self.draw(blank, decision, controls, 0)


def _present(alerts: Sequence[Alert]) -> list[Alert]:
    return [a for a in alerts if a.presence is not Presence.OFF and a.priority is not Priority.NONE]


def _striped(width: int, height: int) -> Pixels:
    """Diagonal stripes, black and white: unlike any tissue, and no alert's colour."""
    period = max(16, width // 40, height // 40)
    y, x = np.mgrid[:height, :width]
    white = ((x + y) // (period // 2)) % 2 == 0
    return np.where(white[..., None], np.uint8(240), np.uint8(16)).repeat(3, axis=2)
