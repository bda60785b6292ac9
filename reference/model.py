"""The segmentation network: a small residual encoder, and a decoder back to half the input's size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN, STD = (0.45, 0.30, 0.25), (0.28, 0.22, 0.20)  # of RGB scaled to 0..1, as the device file must state them


def _conv(inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):  # type: ignore[misc]  # mypy does not follow torch
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class Anatomy(nn.Module):  # type: ignore[misc]
    """(n, 3, 192, 320) normalised RGB -> (n, classes, 96, 160) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _conv(3, 16, stride=2)
        self.quarter = nn.Sequential(_conv(16, 32, stride=2), Block(32))
        self.eighth = nn.Sequential(_conv(32, 56, stride=2), Block(56))
        self.sixteenth = nn.Sequential(_conv(56, 88, stride=2), Block(88))
        self.deep = nn.Sequential(_conv(88, 96, stride=2), Block(96))
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(96, 64, 1), nn.ReLU(inplace=True))
        self.laterals = nn.ModuleList(nn.Conv2d(width, 64, 1) for width in (96, 88, 56))
        self.mix = nn.ModuleList((_conv(64, 64, groups=64), _conv(64, 64, groups=64)))
        self.to_quarter = nn.ModuleList((nn.Conv2d(64, 32, 1), _conv(64, 32)))
        self.to_half = nn.ModuleList((nn.Conv2d(32, 16, 1), _conv(32, 16)))
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        half = self.stem(x)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        deep = self.deep(sixteenth)
        y = self.laterals[0](deep) + self.context(deep)
        for lateral, mix, skip in zip(self.laterals[1:], self.mix, (sixteenth, eighth), strict=True):
            y = mix(_double(y) + lateral(skip))
        y = self.to_quarter[1](torch.cat([_double(self.to_quarter[0](y)), quarter], dim=1))
        y = self.to_half[1](torch.cat([_double(self.to_half[0](y)), half], dim=1))
        return self.head(y)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
