"""The anomaly network: an answer for every 8x8 pixels of its input."""

from torch import Tensor, nn
from torch.nn import functional

from reference.anomaly.channels import CHANNELS
from reference.model import Block, conv

WIDTHS = (16, 24, 48, 72, 96)  # channels at a half, a quarter … of the input


class Anomaly(nn.Module):  # type: ignore[misc]
    """(n, 3, h, w) normalised RGB -> (n, 3, h / 8, w / 8) logits of CHANNELS."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, deep = WIDTHS
        self.fine = nn.Sequential(conv(3, half, stride=2), conv(half, quarter, stride=2))
        self.eighth = nn.Sequential(conv(quarter, eighth, stride=2), Block(eighth))
        self.sixteenth = nn.Sequential(conv(eighth, sixteenth, stride=2), Block(sixteenth))
        self.deep = nn.Sequential(conv(sixteenth, deep, stride=2), Block(deep), Block(deep))
        self.laterals = nn.ModuleList(nn.Conv2d(width, eighth, 1) for width in (deep, sixteenth, eighth))
        self.mix = conv(eighth, eighth, groups=eighth)
        self.last = conv(eighth, eighth)
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
