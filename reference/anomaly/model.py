"""Two networks in one file: one looks at the whole picture, the other at close-ups of the instruments that the first finds."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from reference.anomaly.channels import STRIDE
from reference.anomaly.closeup import HINGE, SCALE, SHAPE
from reference.model import Block, conv

STEM = 32  # channels at a quarter of the input's size
WIDTHS = (48, 64, 80)  # at an eighth, a sixteenth, a thirty-second
DECODER = 48
CLOSE = (24, 48, 96)  # channels of a close-up at a half, a quarter, an eighth of its size
CLOSE_BLOCKS = (1, 1, 2)
FOREIGN, LENS, FOUND = (
    0,
    1,
    2,
)  # of the first network's answers; then: where the hinge is, the way of the shaft, its width
SAID = 8
HALF = 16.0  # pixels: the width whose logarithm is 0
AT_ONCE = 3  # instruments that are looked at
SURE = -0.5  # logit from which a hinge is one
NOWHERE = -20.0  # logit
MIDST = 2.0  # logits below the oddest cell of a close-up: these cells are shown


class Whole(nn.Module):  # type: ignore[misc]
    """(n, 3, h, w) normalised RGB -> (n, 8, h / 8, w / 8): logits of something foreign, of a dirty lens and of a hinge; from
    the cell's middle to it, cells; the way from shaft to tip; the logarithm of half the shaft's width / 16 pixels.

    Nothing runs at more than a quarter of the input's size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(48, STEM), Block(STEM))  # a needle is a few pixels wide
        self.stages = nn.ModuleList(
            nn.Sequential(conv(before, width, stride=2), Block(width))
            for before, width in zip((STEM, *WIDTHS), WIDTHS, strict=False)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, DECODER, 1) for width in WIDTHS)
        self.mixes = nn.ModuleList(conv(DECODER, DECODER) for _ in WIDTHS[1:])
        self.head = nn.Conv2d(DECODER, SAID, 1)
        nn.init.constant_(self.head.bias, 0.0)
        nn.init.constant_(self.head.bias[FOUND : FOUND + 1], -4.0)  # hinges are few

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(functional.pixel_unshuffle(x, 4))
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        y = self.laterals[-1](seen[-1])
        for lateral, mix, skip in zip(self.laterals[-2::-1], self.mixes, seen[-2::-1], strict=True):
            y = mix(functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False) + lateral(skip))
        return self.head(y)


class Close(nn.Module):  # type: ignore[misc]
    """(n, 3, 48, 128) close-ups -> (n, 1, 6, 16) logits of each cell, and (n,) of the instrument."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    conv(before, width, stride=1 if before == 12 else 2), *(Block(width) for _ in range(blocks))
                )
                for before, width, blocks in zip((12, *CLOSE), CLOSE, CLOSE_BLOCKS, strict=False)
            )
        )
        self.cells = nn.Conv2d(CLOSE[-1], 1, 1)
        self.judge = nn.Sequential(
            nn.Linear(2 * CLOSE[-1], CLOSE[-1]), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(CLOSE[-1], 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.stages(functional.pixel_unshuffle(x, 2))
        seen = y.flatten(2)
        whole = torch.cat([seen.mean(dim=2), seen.amax(dim=2)], dim=1)
        return self.cells(y), self.judge(whole)[:, 0]


def places(said: Tensor) -> tuple[Tensor, Tensor]:
    """The first network's answer to one picture -> the logits of the AT_ONCE likeliest hinges, and (5, AT_ONCE): see Places."""
    width = said.shape[3]
    hinge = said[:, FOUND : FOUND + 1]
    alone = torch.where(hinge == functional.max_pool2d(hinge, 5, 1, 2), hinge, torch.full_like(hinge, NOWHERE))
    sure, index = alone.flatten().topk(AT_ONCE)
    right, down, a, b, half = said[0, FOUND + 1 :].flatten(1)[:, index].unbind(0)
    x = ((index % width).to(said.dtype) + 0.5 + right) * STRIDE
    y = (torch.div(index, width, rounding_mode="floor").to(said.dtype) + 0.5 + down) * STRIDE
    long = (a * a + b * b).sqrt() + 1e-3
    return sure, torch.stack([x, y, a / long, b / long, HALF * half.clamp(-2, 2).exp()])


class Anomaly(nn.Module):  # type: ignore[misc]
    """(1, 3, h, w) -> (1, 3, h / 8, w / 8): logits of CHANNELS."""

    def __init__(self, whole: Whole, close: Close, size: tuple[int, int]) -> None:
        super().__init__()
        self.whole, self.close = whole, close
        rows, columns = (torch.arange(n, dtype=torch.float32) + 0.5 for n in SHAPE)
        along, across = (HINGE[1] - columns) / SCALE, (rows - HINGE[0]) / SCALE
        self.register_buffer("along", along[None].expand(SHAPE).contiguous())
        self.register_buffer("across", across[:, None].expand(SHAPE).contiguous())
        rows, columns = (STRIDE * (torch.arange(n // STRIDE, dtype=torch.float32) + 0.5) for n in size)
        self.register_buffer("x", columns[None].expand(len(rows), -1).contiguous())
        self.register_buffer("y", rows[:, None].expand(-1, len(columns)).contiguous())
        self.height, self.width = size

    def cut(self, image: Tensor, at: Tensor) -> Tensor:
        """The close-ups (AT_ONCE, 3, 48, 128) at these places."""
        x, y, a, b, half = (row[:, None, None] for row in at.unbind(0))
        column = x + half * (self.along * a - self.across * b)
        row = y + half * (self.along * b + self.across * a)
        grid = torch.stack([2 * column / self.width - 1, 2 * row / self.height - 1], dim=3)
        flat = grid.reshape(1, AT_ONCE * SHAPE[0], SHAPE[1], 2)
        cut = functional.grid_sample(image, flat, mode="bilinear", padding_mode="zeros", align_corners=False)
        return cut.reshape(3, AT_ONCE, *SHAPE).transpose(0, 1)

    def back(self, shown: Tensor, at: Tensor) -> Tensor:
        """What is shown of each close-up's cells, back in the picture: (AT_ONCE, h / 8, w / 8)."""
        x, y, a, b, half = (row[:, None, None] for row in at.unbind(0))
        right, down = (self.x - x) / half, (self.y - y) / half
        column = HINGE[1] - SCALE * (right * a + down * b)
        row = HINGE[0] + SCALE * (down * a - right * b)
        grid = torch.stack([2 * column / SHAPE[1] - 1, 2 * row / SHAPE[0] - 1], dim=3)
        return functional.grid_sample(shown, grid, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]

    def forward(self, image: Tensor) -> Tensor:
        said = self.whole(image)
        sure, at = places(said)
        cells, odd = self.close(self.cut(image, at))
        odd = torch.where(sure > SURE, odd, torch.full_like(odd, NOWHERE))
        shown = (cells > cells.amax(dim=(2, 3), keepdim=True) - MIDST).to(image.dtype)
        there = self.back(shown, at) > 0.5
        tool = torch.where(there, odd[:, None, None], torch.full_like(self.x, NOWHERE)).amax(dim=0)
        return torch.cat([tool[None, None], said[:, : LENS + 1]], dim=1)
