"""Tools' tips on the picture: a cross where kinematics and calibration put each, in a circle as wide as that may be off, and a
line that says what the calibration's error was. Drawn with the overlay only: on a picture that is not looked at nothing is."""

import cv2

from inframe.core.config import Device
from inframe.core.types import Decision, Pixels
from inframe.pipeline.palette import BLACK, Rgb
from inframe.pipeline.project import guides_of, tip_of
from inframe.pipeline.readings import READING
from inframe.pipeline.text import Lettering, Sprite

INK: Rgb = (255, 255, 0)
LEAST_PX, MOST_PX = 4, 200
"""The circle is drawn no smaller and no larger than so."""


class TipMarks:
    """Of one device."""

    def __init__(self, device: Device, lettering: Lettering) -> None:
        self._guides = guides_of(device.tools, device.sensors)
        texts = {name: f"{name}: registration {tool.camera.error_px:.1f} px RMS" for name, tool in device.tools.items()}
        self._lines = {name: lettering.plate(text, READING) for name, text in texts.items()}

    def draw(self, into: Pixels, decision: Decision) -> list[list[Sprite]]:
        """Draw the tips that are known and in the picture; returns their lines."""
        height, width, _ = into.shape
        lines = []
        for name, guide in self._guides.items():
            tip = tip_of(guide, decision.samples)
            if tip is None or not (0 <= tip.x < width and 0 <= tip.y < height):
                continue
            at, radius = (round(tip.x), round(tip.y)), min(max(round(tip.error_px), LEAST_PX), MOST_PX)
            for ink, thickness in ((BLACK, 3), (INK, 1)):
                cv2.circle(into, at, radius, ink, thickness, cv2.LINE_AA)
                cv2.drawMarker(into, at, ink, cv2.MARKER_CROSS, 4 * LEAST_PX, thickness)
            lines.append([self._lines[name]])
        return lines
