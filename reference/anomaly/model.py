"""The anomaly network: a whole frame at half of 1280x720, an answer for every 8x8 pixels of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from reference.model import MEAN, STD, Block, _conv

SIZE = (352, 640)  # height, width of the input; a whole frame is stretched to it
STRIDE = 8
CHANNELS = ("instrument anomaly", "foreign object", "lens dirty")
"""What the maps say, each a logit: something wrong with an instrument, something that belongs to neither instruments
nor tissue, a smear or fog on the lens. The first two are learned from made-up corruption, the third from the simulator."""

__all__ = ["CHANNELS", "MEAN", "SIZE", "STD", "STRIDE", "Anomaly"]


class Anomaly(nn.Module):  # type: ignore[misc]  # mypy does not follow torch
    """(n, 3, h, w) normalised RGB -> (n, 3, h / 8, w / 8) logits of CHANNELS."""

    def __init__(self, widths: tuple[int, int, int, int, int] = (12, 24, 40, 72, 96)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, deep = widths
        self.fine = nn.Sequential(_conv(3, half, stride=2), _conv(half, quarter, stride=2))
        self.eighth = nn.Sequential(_conv(quarter, eighth, stride=2), Block(eighth))
        self.sixteenth = nn.Sequential(_conv(eighth, sixteenth, stride=2), Block(sixteenth))
        self.deep = nn.Sequential(_conv(sixteenth, deep, stride=2), Block(deep), Block(deep))
        self.laterals = nn.ModuleList(nn.Conv2d(width, eighth, 1) for width in (deep, sixteenth, eighth))
        self.mix = _conv(eighth, eighth, groups=eighth)
        self.last = _conv(eighth, eighth)
        self.head = nn.Conv2d(eighth, len(CHANNELS), 1)

    def forward(self, x: Tensor) -> Tensor:
        eighth = self.eighth(self.fine(x))
        sixteenth = self.sixteenth(eighth)
        y = self.laterals[0](self.deep(sixteenth))
        y = self.mix(_double(y) + self.laterals[1](sixteenth))
        y = self.last(functional.relu(_double(y) + self.laterals[2](eighth)))
        return self.head(y)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
