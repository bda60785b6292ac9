"""The frames of a case of which a model said the least right, as small pictures for people."""

import base64
import heapq
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Pixels
from inframe.pipeline.palette import AUTOMATIC
from inframe.revalidation.tally import Worst, fixed

WIDE = 320
QUALITY = 80
APART = 15
"""Frames: neighbours show the same."""


@dataclass
class WorstFrames:
    """The `keep` worst of one model in one case."""

    model: str
    keep: int
    _kept: list[tuple[float, int, Pixels, NDArray[np.uint8], NDArray[np.uint8]]] = field(default_factory=list)

    def see(self, score: float, seq: int, pixels: Pixels, true: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
        """`true`, `found`: masks of one shape, in the model's labels."""
        near = [one for one in self._kept if abs(one[1] - seq) < APART]
        if (
            not self.keep
            or any(one[0] <= score for one in near)
            or (len(self._kept) == self.keep and not near and score >= self._last)
        ):
            return
        height = round(WIDE * pixels.shape[0] / pixels.shape[1])
        small = np.asarray(cv2.resize(pixels, (WIDE, height), interpolation=cv2.INTER_AREA), np.uint8)
        others = [one for one in self._kept if one not in near] if near else self._kept
        kept = [*others, (score, seq, small, true.copy(), found.copy())]
        self._kept = heapq.nsmallest(self.keep, kept, key=lambda one: one[:2])

    @property
    def _last(self) -> float:
        return max(one[0] for one in self._kept)

    def pictures(self, labels: list[tuple[int, str]]) -> list[Worst]:
        """With what was true drawn on the left, and what was found on the right."""
        return [
            Worst(score=fixed(score), model=self.model, frame=seq, jpeg=_drawn(small, true, found, labels))
            for score, seq, small, true, found in self._kept
        ]


def _drawn(small: Pixels, true: NDArray[np.uint8], found: NDArray[np.uint8], labels: list[tuple[int, str]]) -> str:
    sides = []
    for mask in (true, found):
        side = small.copy()
        for k, _ in labels:
            large = cv2.resize((mask == k).astype(np.uint8), side.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            lines, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(side, lines, -1, AUTOMATIC[k % len(AUTOMATIC)], 1, cv2.LINE_AA)
        sides.append(side)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(np.hstack(sides), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return base64.b64encode(data.tobytes()).decode()
