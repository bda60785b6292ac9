"""The networks: of both, of video alone, of kinematics alone. What is worked out of the inputs is inside, so that the exported file
takes what the device has: the picture, the anatomy model's answer of any size, a window of poses.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from reference.fusion import AHEAD_S, RATE_HZ, WINDOW
from reference.scene.classes import GALLBLADDER, SHAFT, TIP

SIDE, SPAN = 64, 0.25  # the part of the picture around the tip: cells, and frame widths
ASPECT = 16 / 9
FX = 600 / 640  # of the camera, in frame widths
MARKS = (0.0, AHEAD_S / 3, 2 * AHEAD_S / 3, AHEAD_S)  # where the tip will be then is marked for the network
BLOT = 0.012  # size of a mark, frame widths
LOOK_BACK_S = 0.1
STEPS = 11  # of the way ahead, at which the maps are read


def project(pose: Tensor) -> Tensor:
    """(n, k, 3) mm in the camera's axes -> (n, k, 2) in the picture: x in widths, y in widths from the middle."""
    return FX * pose[..., :2] / pose[..., 2:].clamp(min=1.0)


def motion(path: Tensor) -> tuple[Tensor, Tensor]:
    """(n, WINDOW, 2) places -> where it is now and its speed a second, (n, 2) each, by a straight line through all of them."""
    times = torch.arange(WINDOW, dtype=path.dtype) - (WINDOW - 1)
    middle = times - times.mean()
    speed = (path * middle[None, :, None]).sum(1) / (middle * middle).sum() * RATE_HZ
    return path.mean(1) - speed * times.mean() / RATE_HZ, speed


def around(at: Tensor) -> Tensor:
    """(n, 2) -> the sampling grid (n, SIDE, SIDE, 2) of the part of the picture around it, as grid_sample wants it."""
    step = (torch.arange(SIDE, dtype=at.dtype) + 0.5) / SIDE - 0.5
    y, x = torch.meshgrid(step * SPAN, step * SPAN, indexing="ij")
    return torch.stack([x, y], -1)[None] * torch.tensor([2.0, 2 * ASPECT]) + at[:, None, None] * torch.tensor(
        [2.0, 2 * ASPECT]
    )


def maps_of(classes: Tensor) -> Tensor:
    """(n, h, w) labels -> (n, 2, h, w): the gallbladder, instruments."""
    tool = (classes == SHAFT) | (classes == TIP)
    return torch.stack([(classes == GALLBLADDER).float(), tool.float()], 1)


def cut(picture: Tensor, at: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, SIDE, SIDE) around the tip; 0 beyond the picture."""
    return functional.grid_sample(picture, around(at), mode="bilinear", padding_mode="zeros", align_corners=False)


def marks(speed: Tensor) -> Tensor:
    """(n, 2) -> (n, len(MARKS), SIDE, SIDE): a blot where the tip will be at each of MARKS."""
    step = ((torch.arange(SIDE, dtype=speed.dtype) + 0.5) / SIDE - 0.5) * SPAN
    drawn = []
    for seconds in MARKS:
        to = (speed * seconds).clamp(-SPAN / 2, SPAN / 2)
        x, y = step[None, None, :] - to[:, 0, None, None], step[None, :, None] - to[:, 1, None, None]
        drawn.append(torch.exp(-(x * x + y * y) / (2 * BLOT * BLOT)))
    return torch.stack(drawn, 1)


def along(maps: Tensor, speed: Tensor) -> Tensor:
    """What the maps hold along the way of the next AHEAD_S, sharp and blurred: (n, 2, SIDE, SIDE) -> (n, 4 * STEPS)."""
    blurred = functional.avg_pool2d(maps, 7, 1, 3)
    ahead = torch.linspace(0, AHEAD_S, STEPS)[None, None, :, None] * speed[:, None, None, :] / (SPAN / 2)
    seen = functional.grid_sample(torch.cat([maps, blurred], 1), ahead, align_corners=False)
    return seen.flatten(1)


class Looking(nn.Module):  # type: ignore[misc]  # mypy does not follow torch
    """What is around the tip and where it goes -> a logit."""

    def __init__(self) -> None:
        super().__init__()
        widths = (5 + len(MARKS), 12, 16, 16, 16)
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.look = nn.Sequential(*layers)
        self.say = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(16 * 4 * 4 + 4 * STEPS + 2, 32), nn.ReLU(inplace=True), nn.Linear(32, 1)
        )

    def forward(self, part: Tensor, maps: Tensor, speed: Tensor) -> Tensor:
        seen = self.look(torch.cat([part, maps, marks(speed)], 1))
        return self.say(torch.cat([seen.flatten(1), along(maps, speed), speed * 5], 1))


class Moving(nn.Module):  # type: ignore[misc]
    """Where the tip is and where it goes -> a logit: kinematics alone."""

    def __init__(self) -> None:
        super().__init__()
        self.say = nn.Sequential(
            nn.Linear(5, 32), nn.ReLU(inplace=True), nn.Linear(32, 32), nn.ReLU(inplace=True), nn.Linear(32, 1)
        )

    def forward(self, at: Tensor, speed: Tensor, depth: Tensor) -> Tensor:
        return self.say(torch.cat([at * 4, speed * 5, depth], 1))


class Fused(nn.Module):  # type: ignore[misc]
    """As the device runs it: image (1, 3, h, w), classes (1, h', w'), pose (1, WINDOW, 3) -> chance logit (1, 1)."""

    def __init__(self, looking: Looking) -> None:
        super().__init__()
        self.looking = looking

    def forward(self, image: Tensor, classes: Tensor, pose: Tensor) -> Tensor:
        at, speed = motion(project(pose))
        return self.looking(cut(image, at), cut(maps_of(classes), at), speed)


class Seen(nn.Module):  # type: ignore[misc]
    """Video alone: where the anatomy model sees the tip, now and before."""

    def __init__(self, looking: Looking) -> None:
        super().__init__()
        self.looking = looking

    def forward(self, image: Tensor, classes: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        at = tip_seen(classes, past[:, -1])
        past = torch.cat([past[:, 1:], at[:, None]], 1)
        speed = (at - past[:, 3]) / LOOK_BACK_S  # three frames ago
        return self.looking(cut(image, at), cut(maps_of(classes), at), speed), past


class Posed(nn.Module):  # type: ignore[misc]
    """Kinematics alone. The picture is taken, as every model here has one, and not looked at."""

    def __init__(self, moving: Moving) -> None:
        super().__init__()
        self.moving = moving

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        at, speed = motion(project(pose))
        return self.moving(at, speed, depth_of(pose)) + 0 * image[:, :1, :1, :1].reshape(-1, 1)


def depth_of(pose: Tensor) -> Tensor:
    """(n, WINDOW, 3) -> (n, 1), about 0."""
    return pose[:, -1:, 2] / 100 - 1


def tip_seen(classes: Tensor, else_at: Tensor) -> Tensor:
    """(n, h, w) labels -> (n, 2): the middle of what is labelled a tip; the last one where there is none."""
    _, height, width = classes.shape
    tip = (classes == TIP).float()
    x = ((torch.arange(width, dtype=torch.float32) + 0.5) / width - 0.5)[None, None, :]
    y = ((torch.arange(height, dtype=torch.float32) + 0.5) / height - 0.5)[None, :, None] / ASPECT
    count = tip.sum((1, 2))
    at = torch.stack([(tip * x).sum((1, 2)), (tip * y).sum((1, 2))], 1) / count.clamp(min=1.0)[:, None]
    there = (count > 0).float()[:, None]
    return there * at + (1 - there) * else_at
