"""From the frame to the model's image input, exactly as `core.inputs.Preprocess` says.

Geometry, all in whole pixels (W, H the frame, w, h the model's size):

    stretch    both sides to (w, h)
    letterbox  k = min(w/W, h/H); the picture becomes (round(W*k), round(H*k)), in the middle, bars of `pad` around it
    crop       k = max(w/W, h/H); the middle (round(w/k), round(h/k)) of the frame becomes (w, h)

Numbers: the picture is resized as 8-bit RGB (rounded by OpenCV, pixel centres at half positions), then turned to grey
if asked (BT.601 weights), and each of the 256 possible values of each channel goes through a table that holds
`((pixel * scale) - mean) / std`, computed in float64 and rounded once to the model's dtype. So float32 is the float32
nearest to the formula, float16 likewise; uint8 and int8 are rounded half to even and saturate. `mean` and `std` are in
the order of the model's own channels: blue first for bgr.

Why a table: measured at 256x256x3 on one core, `cv2.LUT` takes 0.11 ms and is exact; `cv2.addWeighted` per channel
0.09 ms and `np.multiply` and friends 0.10 ms, neither exact; `np.take` 0.23 ms; `cv2.dnn.blobFromImage` 1.0 ms.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.inputs import Preprocess
from inframe.core.types import Pixels, Region

# OpenCV's own thread pool would run outside the cores and priority of the process that calls it, and wakes up slower
# than one of these steps takes.
cv2.setNumThreads(1)

_INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "cubic": cv2.INTER_CUBIC,
}

Rectangle = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


class Preprocessor:
    """Frames of one size to the model's image input; every array is allocated once, here."""

    region: Region
    """The part of the frame that the model's input covers. With letterbox it reaches beyond 0..1: the bars."""
    shape: tuple[int, int, int, int]
    """(1, c, h, w) or (1, h, w, c)."""
    dtype: np.dtype[np.generic]
    frame_shape: tuple[int, int, int]
    """(height, width, 3) of the frames."""

    def __init__(self, config: Preprocess, width: int, height: int) -> None:
        """`width`, `height`: of the frames that will come, pixels."""
        w, h = config.size
        channels = 1 if config.colour == "gray" else 3
        self._source, self._target = geometry(config, width, height)
        self.region = _region(self._source, self._target, (width, height), (w, h))
        self.dtype = np.dtype(config.dtype)
        self.shape = (1, channels, h, w) if config.layout == "nchw" else (1, h, w, channels)
        self._interpolation = _INTERPOLATION[config.interpolation]
        self.frame_shape = (height, width, 3)
        self._canvas = np.full((h, w, 3), config.pad, np.uint8)
        x, y, tw, th = self._target
        self._whole = (tw, th) == (w, h)
        self._picture = self._canvas if self._whole else np.empty((th, tw, 3), np.uint8)
        self._inner = self._canvas[y : y + th, x : x + tw]
        self._gray = np.empty((h, w), np.uint8)
        self._planes = [np.empty((h, w), np.uint8) for _ in range(channels)]
        self._prepare_output(config, channels)

    def _prepare_output(self, config: Preprocess, channels: int) -> None:
        tables = _tables(config, channels)
        # OpenCV knows no float16: its 16-bit unsigned table moves the same bits.
        carrier = np.dtype(np.uint16) if self.dtype == np.float16 else self.dtype
        self._out = np.empty(self.shape, self.dtype)
        bits = self._out.view(carrier)
        self._tables = np.ascontiguousarray(tables.view(carrier))
        self._order = (2, 1, 0) if config.colour == "bgr" else tuple(range(channels))
        self._planar = config.layout == "nchw" or channels == 1
        if self._planar:
            planes = bits.reshape(channels, *self._gray.shape)
            self._destinations = [planes[i] for i in range(channels)]
        else:
            self._packed_table = np.ascontiguousarray(self._tables.T.reshape(1, 256, channels))
            self._packed = bits[0]
            self._swapped = np.empty_like(self._canvas) if config.colour == "bgr" else self._canvas

    def run(self, pixels: Pixels) -> NDArray[np.generic]:
        """The model's image input, `shape` and `dtype`; the same array each time, overwritten by the next call.

        pixels: (height, width, 3) uint8 RGB of the size given at the start. Raises RuntimeError for another size.
        """
        if pixels.shape != self.frame_shape:
            raise RuntimeError(f"found a frame of {pixels.shape}, expected {self.frame_shape}")
        x, y, w, h = self._source
        picture = self._picture
        cv2.resize(
            pixels[y : y + h, x : x + w],
            (picture.shape[1], picture.shape[0]),
            dst=picture,
            interpolation=self._interpolation,
        )
        if not self._whole:
            # Not resized straight into the middle of the canvas: OpenCV refuses strided destinations.
            np.copyto(self._inner, picture)
        if len(self._planes) == 1:
            cv2.cvtColor(self._canvas, cv2.COLOR_RGB2GRAY, dst=self._gray)
            cv2.LUT(self._gray, self._tables[0], dst=self._destinations[0])
        elif self._planar:
            cv2.split(self._canvas, self._planes)
            for i, channel in enumerate(self._order):
                cv2.LUT(self._planes[channel], self._tables[i], dst=self._destinations[i])
        else:
            if self._swapped is not self._canvas:
                cv2.cvtColor(self._canvas, cv2.COLOR_RGB2BGR, dst=self._swapped)
            cv2.LUT(self._swapped, self._packed_table, dst=self._packed)
        return self._out


def geometry(config: Preprocess, width: int, height: int) -> tuple[Rectangle, Rectangle]:
    """Which part of the frame goes where in the model's input: (x, y, width, height) in frame and in input pixels."""
    w, h = config.size
    whole: Rectangle = (0, 0, width, height)
    if config.fit == "letterbox":
        k = min(w / width, h / height)
        tw, th = max(1, min(w, round(width * k))), max(1, min(h, round(height * k)))
        return whole, ((w - tw) // 2, (h - th) // 2, tw, th)
    if config.fit == "crop":
        k = max(w / width, h / height)
        cw, ch = max(1, min(width, round(w / k))), max(1, min(height, round(h / k)))
        return ((width - cw) // 2, (height - ch) // 2, cw, ch), (0, 0, w, h)
    return whole, (0, 0, w, h)


def _region(source: Rectangle, target: Rectangle, frame: tuple[int, int], size: tuple[int, int]) -> Region:
    """The whole input's rectangle in fractions of the frame: `target` back onto `source`, continued to the edges."""
    low, high = [], []
    for axis in (0, 1):
        step = source[axis + 2] / target[axis + 2]  # frame pixels per input pixel
        start = source[axis] - target[axis] * step
        low.append(start / frame[axis])
        high.append((start + size[axis] * step) / frame[axis])
    return low[0], low[1], high[0], high[1]


def _tables(config: Preprocess, channels: int) -> NDArray[np.generic]:
    """(channels, 256) in the model's dtype: the value of each pixel value; the channels in the model's order."""
    pixel = np.arange(256, dtype=np.float64)[None, :]
    mean = np.broadcast_to(np.asarray(config.mean, np.float64), (channels,))[:, None]
    std = np.broadcast_to(np.asarray(config.std, np.float64), (channels,))[:, None]
    values = (pixel * config.scale - mean) / std
    dtype = np.dtype(config.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    with np.errstate(over="ignore"):  # too large for float16: infinity, which the model's first run then shows
        return values.astype(dtype)
