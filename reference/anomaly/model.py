"""The anomaly network: an answer for every 8x8 pixels of its input."""

from torch import Tensor, nn
from torch.nn import functional

from reference.anomaly.channels import CHANNELS

WIDTHS = (16, 24, 48, 72, 96)  # channels at a half, a quarter … of the input


def _conv(inside: int, outside: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):  # type: ignore[misc]  # mypy does not follow torch
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class Anomaly(nn.Module):  # type: ignore[misc]
    """(n, 3, h, w) normalised RGB -> (n, 3, h / 8, w / 8) logits of CHANNELS."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, deep = WIDTHS
        self.fine = nn.Sequential(_conv(3, half, stride=2), _conv(half, quarter, stride=2))
        self.eighth = nn.Sequential(_conv(quarter, eighth, stride=2), _Block(eighth))
        self.sixteenth = nn.Sequential(_conv(eighth, sixteenth, stride=2), _Block(sixteenth))
        self.deep = nn.Sequential(_conv(sixteenth, deep, stride=2), _Block(deep), _Block(deep))
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
