"""What the two networks are asked for. Batches are pairs: each odd picture follows its sound twin."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reference.anomaly.channels import STRIDE
from reference.anomaly.model import FOREIGN, FOUND, HALF, LENS

HARD = 0.01  # share of the cells: the worst of those that show nothing odd
WHERE = 0.5  # what finding hinges counts, and what the ways of their shafts do


def regions(each: Tensor, where: Tensor, most: bool) -> Tensor:
    """The mean over pictures of the mean over these cells and of that over a third of them, the most or the least.

    In each picture what is odd counts as much, be it two cells or a hundred; and where one part of it gives it away, the rest
    may look as sound as it does. ``each``, ``where``: (n, h, w).
    """
    each, where = each.flatten(1), where.flatten(1)
    many = where.sum(dim=1)
    few = torch.ceil(many / 3)
    ranks = each.masked_fill(where == 0, -torch.inf if most else torch.inf).sort(dim=1, descending=most).values
    kept = torch.arange(each.shape[1], device=each.device) < few[:, None]
    third = ranks.masked_fill(~kept, 0.0).sum(dim=1) / few.clamp(min=1)
    mean = (each * where).sum(dim=1) / many.clamp(min=1)
    return 0.5 * (mean + third).sum() / (many > 0).sum().clamp(min=1)


def cells_of(logits: Tensor, truth: Tensor, hard: float) -> Tensor:
    """Cross-entropy of pairs: what is odd, the same cells of its sound twin, and all that is sound.

    The twins' cells count as much as what is odd: among all cells few are odd. The worst of what is sound counts ``hard`` times
    more, but not from the start: it is what looks a little odd, and nothing would be learned of what does.
    """
    each = functional.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), reduction="none")
    odd = (truth[1::2] == 1).float()
    missed, twins = regions(each[1::2], odd, most=False), regions(each[::2], odd, most=True)
    plain = (each * (truth == 0)).flatten()
    worst = plain.topk(int(HARD * plain.numel())).values
    return missed + twins + plain.mean() + hard * worst.mean()


def hinges(said: Tensor, places: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """How well hinges are found, and how well the instruments' places are told. ``places``: (n, some, 5), pixels; not a number
    where there is none."""
    count, _, height, width = said.shape
    at = torch.from_numpy(places).to(said.device)
    there = ~torch.isnan(at[..., 0])
    at = torch.nan_to_num(at, nan=-1e4)
    x, y = at[..., 0] / STRIDE, at[..., 1] / STRIDE
    columns = torch.arange(width, device=said.device) + 0.5
    rows = torch.arange(height, device=said.device) + 0.5
    right = x[..., None, None] - columns  # (n, some, 1, w)
    down = y[..., None, None] - rows[:, None]  # (n, some, h, 1)
    far = right**2 + down**2  # (n, some, h, w)
    near, which = torch.where(there[..., None, None], far, torch.full_like(far, 1e6)).min(dim=1)
    logits, glow = said[:, FOUND], torch.exp(-near / 2)
    here = (near <= 0.5).float()
    chance = logits.sigmoid()
    seen = here * (1 - chance) ** 2 * functional.logsigmoid(logits)
    none = (1 - here) * (1 - glow) ** 4 * chance**2 * functional.logsigmoid(-logits)
    found = -(seen + none).sum() / here.sum().clamp(min=1)
    about = (near < 2.5).float()
    picked = torch.gather(at, 1, which.flatten(1)[..., None].expand(-1, -1, 5)).reshape(count, height, width, 5)
    wanted = torch.stack(
        [
            picked[..., 0] / STRIDE - columns,
            picked[..., 1] / STRIDE - rows[:, None],
            picked[..., 2],
            picked[..., 3],
            torch.log(picked[..., 4].clamp(min=1) / HALF),
        ],
        dim=1,
    )
    away = functional.smooth_l1_loss(said[:, FOUND + 1 :], wanted, beta=0.1, reduction="none")
    weight = torch.tensor([0.5, 0.5, 2.0, 2.0, 2.0], device=said.device)[None, :, None, None]
    return found, (away * weight * about[:, None]).sum() / about.sum().clamp(min=1)


def whole_losses(said: Tensor, truth: Tensor, places: NDArray[np.float32], hard: float) -> Tensor:
    """(4,): something foreign, a dirty lens, hinges, their places. ``truth``: (n, 2, h, w) 0, 1, -1 = either."""
    each = functional.binary_cross_entropy_with_logits(said[:, LENS], truth[:, 1].clamp(min=0), reduction="none")
    lens = (each * (truth[:, 1] >= 0)).mean()
    found, told = hinges(said, places)
    return torch.stack([cells_of(said[:, FOREIGN], truth[:, 0], hard), lens, WHERE * found, WHERE * told])


def close_losses(cells: Tensor, odd: Tensor, truth: Tensor, wrong: Tensor, hard: float) -> Tensor:
    """(2,): the cells of close-ups, and the instruments. ``truth``: (n, h, w), ``wrong``: (n,), 0, 1, -1 = either."""
    each = functional.binary_cross_entropy_with_logits(odd, wrong.clamp(min=0), reduction="none")
    judged = (each * (wrong >= 0)).sum() / (wrong >= 0).sum().clamp(min=1)
    return torch.stack([0.5 * cells_of(cells[:, 0], truth, hard), 2 * judged])
