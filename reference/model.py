"""The segmentation network: a small residual encoder on 4x4 patches, and a decoder that answers at half the input's size.

Nothing runs at more than a quarter of the input's size: on a CPU the wide, shallow layers there cost most of the time, in
training as on the device, and hold little.
"""

from torch import Tensor, nn
from torch.nn import functional

from reference.data import MEAN, STD

__all__ = ["MEAN", "STD", "Anatomy", "Block", "conv"]

WIDTHS = (32, 64, 96, 80)  # at a quarter, an eighth, a sixteenth, a thirty-second of the input's size
BLOCKS = (1, 3, 2, 1)
DECODER = 48


def conv(inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, the batch's norm, and nothing below zero."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):  # type: ignore[misc]  # mypy does not follow torch
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class Anatomy(nn.Module):  # type: ignore[misc]
    """(n, 3, h, w) normalised RGB, h and w multiples of 32 -> (n, classes, h / 2, w / 2) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        inside = (48, *WIDTHS)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(before, width, stride=1 if k == 0 else 2), *(Block(width) for _ in range(BLOCKS[k])))
            for k, (before, width) in enumerate(zip(inside, WIDTHS, strict=False))
        )
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(WIDTHS[-1], DECODER, 1), nn.ReLU(inplace=True))
        self.laterals = nn.ModuleList(nn.Conv2d(width, DECODER, 1) for width in WIDTHS)
        self.mixes = nn.ModuleList(conv(DECODER, DECODER) for _ in WIDTHS[1:])
        self.head = nn.Conv2d(DECODER, 4 * classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(x, 4)
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        y = self.laterals[-1](seen[-1]) + self.context(seen[-1])
        for lateral, mix, skip in zip(self.laterals[-2::-1], self.mixes, seen[-2::-1], strict=True):
            y = mix(functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False) + lateral(skip))
        return functional.pixel_shuffle(self.head(y), 2)
