"""Second image streams in the picture. What is drawn of one was whole when it was copied; a picture that is too old, or was
overwritten meanwhile, is not drawn, and a line says so. Each takes a bounded time: a resize, or a table made at the start.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.core.inset import Inset
from inframe.core.types import Pixels
from inframe.pipeline.furniture import Rect
from inframe.pipeline.readings import LACKING, READING
from inframe.pipeline.surroundings import Aside
from inframe.pipeline.text import Lettering, Sprite

Size = tuple[int, int]
"""Width and height."""


class Insets:
    """Of one device."""

    def __init__(self, device: Device, asides: Mapping[str, Aside], lettering: Lettering) -> None:
        """`asides`: the streams, by name."""
        shown, self._asides, self._letters = device.streams[device.display], asides, lettering
        self._drawn: dict[str, tuple[Inset, _Placed | _Registered]] = {}
        self.covered: list[Rect] = []
        """What nothing else in the picture can be seen through."""
        for name, inset in device.overlay.insets.items():
            stream = device.streams[inset.stream]
            own, whole = (stream.width, stream.height), (shown.width, shown.height)
            self._drawn[name] = (
                inset,
                _Registered(inset, own, whole) if inset.at is None else _Placed(inset.at, own, whole),
            )

        self.covered = [drawn.rect for _, drawn in self._drawn.values() if isinstance(drawn, _Placed)]

    def draw(self, into: Pixels, at_ns: int) -> list[list[Sprite]]:
        """Into the picture of the frame captured at `at_ns`; returns a line for each that is registered, or that is not there."""
        lines = []
        for name, (inset, drawn) in self._drawn.items():
            aside = self._asides[inset.stream]
            picture = aside.newest(at_ns, int(inset.max_age_ms * NS_PER_MS))
            made = drawn.make(picture) if picture is not None else None
            if made is None or not aside.still():
                lines.append([self._letters.plate(f"{name}: NO PICTURE", LACKING)])
                continue
            drawn.put(into, made)
            if inset.error_px is not None:
                lines.append([self._letters.plate(f"{name}: registration {inset.error_px:.1f} px RMS", READING)])
        return lines


class _Placed:
    """In a rectangle, as large as its aspect lets it be."""

    def __init__(self, at: tuple[float, float, float, float], own: Size, whole: Size) -> None:
        x, y, width, height = (round(share * side) for share, side in zip(at, (*whole, *whole), strict=True))
        scale = min(width / own[0], height / own[1])
        self._size = max(1, round(own[0] * scale)), max(1, round(own[1] * scale))
        x0, y0 = x + (width - self._size[0]) // 2, y + (height - self._size[1]) // 2
        self._made = np.empty((self._size[1], self._size[0], 3), np.uint8)
        self.rect: Rect = (x0, y0, x0 + self._size[0], y0 + self._size[1])

    def make(self, picture: Pixels) -> Pixels:
        """The picture at its size."""
        cv2.resize(picture, self._size, dst=self._made, interpolation=cv2.INTER_LINEAR)
        return self._made

    def put(self, into: Pixels, made: Pixels) -> None:
        """With a frame of one pixel."""
        x0, y0, x1, y1 = self.rect
        into[y0:y1, x0:x1] = made
        cv2.rectangle(into, (x0, y0), (x1 - 1, y1 - 1), (255, 255, 255), 1)


class _Registered:
    """Laid over what it shows: for each pixel of the displayed picture that it covers, where it is in its own."""

    def __init__(self, inset: Inset, own: Size, whole: Size) -> None:
        matrix = np.array(inset.transform, np.float64).reshape(3, 3)
        x, y = np.meshgrid(np.arange(whole[0], dtype=np.float64), np.arange(whole[1], dtype=np.float64))
        there = np.linalg.inv(matrix) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
        ahead = np.sign(there[2]) == np.sign(np.median(there[2]))  # beyond the horizon nothing is seen
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (there[:2] / there[2]).reshape(2, whole[1], whole[0])
        covered = (u >= 0) & (u <= own[0] - 1) & (v >= 0) & (v <= own[1] - 1) & ahead.reshape(u.shape)
        self._part = _around(covered)
        x0, y0, x1, y1 = self._part
        part = (slice(y0, y1), slice(x0, x1))
        self._covered: NDArray[np.uint8] = covered[part].astype(np.uint8)
        self._u, self._v = (
            np.where(covered, u, 0)[part].astype(np.float32),
            np.where(covered, v, 0)[part].astype(np.float32),
        )
        self._opacity = inset.opacity

    def make(self, picture: Pixels) -> Pixels | None:
        """The picture where it goes; None where it is nowhere in sight."""
        if not self._covered.size:
            return None
        return np.asarray(cv2.remap(picture, self._u, self._v, cv2.INTER_LINEAR), np.uint8)

    def put(self, into: Pixels, made: Pixels) -> None:
        """Over what lies under it."""
        x0, y0, x1, y1 = self._part
        under = into[y0:y1, x0:x1]
        mixed = cv2.addWeighted(under, 1 - self._opacity, made, self._opacity, 0)
        cv2.copyTo(mixed, self._covered, under)


def _around(covered: NDArray[np.bool_]) -> Rect:
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1) if len(rows) else (0, 0, 0, 0)
