"""The anomaly network: an answer for every 8x8 pixels of its input. Nothing runs at more than a quarter of the input's size."""

from torch import Tensor, nn
from torch.nn import functional

from reference.anomaly.channels import CHANNELS
from reference.model import Block, conv

STEM = 32  # channels at a quarter of the input's size
WIDTHS = (48, 64, 80)  # at an eighth, a sixteenth, a thirty-second
BLOCKS = (1, 1, 1)
DECODER = 48
CLASSES = 4  # nothing, tissue, shaft, tip: what it must know of instruments before it knows their oddities


class Anomaly(nn.Module):  # type: ignore[misc]
    """(n, 3, h, w) normalised RGB -> (n, 3, h / 8, w / 8) logits of CHANNELS."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(48, STEM), Block(STEM))  # what is worn or broken is a few pixels wide
        self.stages = nn.ModuleList(
            nn.Sequential(conv(before, width, stride=2), *(Block(width) for _ in range(blocks)))
            for before, width, blocks in zip((STEM, *WIDTHS), WIDTHS, BLOCKS, strict=False)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, DECODER, 1) for width in WIDTHS)
        self.mixes = nn.ModuleList(conv(DECODER, DECODER) for _ in WIDTHS[1:])
        self.head = nn.Conv2d(DECODER, len(CHANNELS), 1)
        self.classes = nn.Conv2d(DECODER, CLASSES, 1)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(functional.pixel_unshuffle(x, 4))
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        y = self.laterals[-1](seen[-1])
        for lateral, mix, skip in zip(self.laterals[-2::-1], self.mixes, seen[-2::-1], strict=True):
            y = mix(functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False) + lateral(skip))
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def learning(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of CHANNELS, and of CLASSES."""
        y = self.features(x)
        return self.head(y), self.classes(y)
