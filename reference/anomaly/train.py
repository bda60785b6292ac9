"""The anomaly model from nothing: ``python -m reference.anomaly.train --out DIR [--smoke]``."""

import argparse
import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reference.anomaly.channels import CHANNELS, SIZE
from reference.anomaly.data import Batches, Frames, build, normalised, truths
from reference.anomaly.model import Anomaly
from reference.anomaly.scripts import LEARNING
from reference.quantise import CALIBRATION, to_int8
from reference.train import follow, has_bfloat16, keep_memory, normalise, weights

HARD = 0.01  # share of the cells: the worst of those that show nothing odd
WEIGHT = (0.1, 1.0)  # what they count at last, by channel: on instruments, sound and odd are too alike for more
AHEAD = 3  # batches made while the network learns
CLASSES = 0.5  # what telling shafts, tips and tissue apart counts
Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Plan:
    procedures: int = 2000
    steps: int = 20000
    batch: int = 32
    easy: int = 6000  # steps until what is hard to see is asked for, too
    small: int = 4000  # steps with small pictures
    rate: float = 1.5e-3
    warm: int = 300  # steps in which the rate rises to that
    settle: float = 0.95  # share of the steps, the last ones, in which it falls to nothing
    seed: int = 11


SMOKE = Plan(procedures=2, steps=3, batch=4)


def _ahead(source: Batches, steps: int) -> Iterator[Batch]:
    """The batches in order, made by a thread."""
    with ThreadPoolExecutor(1) as thread:
        due: deque[Future[Batch]] = deque()
        for number in range(steps + AHEAD):
            if number < steps:
                due.append(thread.submit(source.one, number))
            if number >= AHEAD:
                yield due.popleft().result()


def _regions(each: Tensor, where: Tensor, most: bool) -> Tensor:
    """(channels,): the mean over pictures of the mean over these cells and of that over a third of them, the most or the least.

    In each picture what is odd counts as much, be it two cells or a hundred; and where one part of it gives it away, the rest
    may look as sound as it does.
    """
    each, where = each.flatten(2), where.flatten(2)
    many = where.sum(dim=2)
    few = torch.ceil(many / 3)
    ranks = each.masked_fill(where == 0, -torch.inf if most else torch.inf).sort(dim=2, descending=most).values
    third = ranks.masked_fill(torch.arange(each.shape[2]) >= few[..., None], 0.0).sum(dim=2) / few.clamp(min=1)
    mean = (each * where).sum(dim=2) / many.clamp(min=1)
    return 0.5 * (mean + third).sum(dim=0) / (many > 0).sum(dim=0).clamp(min=1)


def losses_of(logits: Tensor, truth: Tensor, hard: Tensor) -> Tensor:
    """Cross-entropy by channel, (3,), of pairs: what is odd, the same cells of its sound twin, and all that is sound.

    The twins' cells count as much as what is odd. Among all cells few are odd and few are instruments: without the twins it is
    enough to say of every instrument that it is odd. The worst of what is sound counts ``hard`` times more, but not from
    the start: it is what looks a little odd, and nothing would be learned of what does. What is on the lens is no matter of
    few cells: there a plain mean it is.
    """
    each = functional.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), reduction="none")
    odd = (truth[1::2, :2] == 1).float()
    missed, twins = _regions(each[1::2, :2], odd, most=False), _regions(each[::2, :2], odd, most=True)
    plain = (each * (truth == 0))[:, :2].transpose(0, 1).flatten(1)
    worst = plain.topk(int(HARD * plain.shape[1]), dim=1).values
    lens = (each[:, 2] * (truth[:, 2] >= 0)).mean()
    return torch.cat([missed + twins + plain.mean(dim=1) + hard * worst.mean(dim=1), lens[None]])


def rate_at(plan: Plan, step: int) -> float:
    """Share of the full learning rate: up, even, down."""
    return min((step + 1) / plan.warm, (plan.steps - step) / (plan.settle * plan.steps), 1.0)


def train(plan: Plan, source: Batches) -> tuple[Anomaly, list[tuple[int, list[float]]]]:
    """The model with averaged weights, and its smoothed losses (by channel, and of the classes) every 100 steps."""
    torch.manual_seed(plan.seed)
    model = Anomaly().to(memory_format=torch.channels_last)
    mean: Anomaly = deepcopy(model).eval()
    averaged, trained = weights(mean), weights(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(plan, step))
    started, smooth, curve, halved = time.monotonic(), np.zeros(len(CHANNELS) + 1), [], has_bfloat16()
    for step, (pictures, planes) in enumerate(_ahead(source, plan.steps)):
        truth, classes = truths(planes)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            logits, guessed = model.learning(normalise(pictures))
        hard = step / plan.steps * torch.tensor(WEIGHT)
        losses = losses_of(logits.float(), torch.from_numpy(truth), hard)
        known = functional.cross_entropy(guessed.float(), torch.from_numpy(classes), ignore_index=-1)
        optimiser.zero_grad(set_to_none=True)
        (losses.sum() + CLASSES * known).backward()
        optimiser.step()
        schedule.step()
        follow(averaged, trained, step)
        smooth += (np.append(losses.detach().numpy(), known.item()) - smooth) * max(0.01, 1 / (step + 1))
        if step % 100 == 0:
            curve.append((step, smooth.tolist()))
            spent = time.monotonic() - started
            print(f"step {step}/{plan.steps}  losses {smooth.round(3)}  {spent:.0f} s", flush=True)
    return mean, curve


class Shipped(nn.Module):  # type: ignore[misc]
    """The network with room for thresholds: what ``reference.anomaly.choose`` writes into ``shift`` is taken off."""

    def __init__(self, model: Anomaly) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("shift", torch.full((1, len(CHANNELS), 1, 1), 1e-3))  # not 0: it would be folded away

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.model(image) - self.shift
        return maps, maps[:, :2].amax(dim=1, keepdim=True).sigmoid()


def export(model: Anomaly, path: Path) -> None:
    """``image`` -> ``maps`` (1, 3, 44, 80) logits of CHANNELS and ``heat`` (1, 1, 44, 80) 0..1, the larger of two."""
    part = path.with_suffix(".part")
    torch.onnx.export(
        Shipped(model),
        (torch.zeros(1, 3, *SIZE),),
        str(part),
        opset_version=17,
        input_names=["image"],
        output_names=["maps", "heat"],
        dynamo=False,
    )
    part.replace(path)


def whole(frames: Frames) -> Iterator[NDArray[np.float32]]:
    """Inputs of the full size for the calibration of int8: eight parts of sound frames, side by side."""
    height, width = SIZE[0] // 2, SIZE[1] // 4
    for some in np.array_split(np.arange(len(frames["sound"])), CALIBRATION):
        few = np.resize(some, 8)
        rows = [np.hstack([frames["sound"][k, :height, :width] for k in row]) for row in (few[:4], few[4:])]
        yield normalised(np.vstack(rows)[None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and the results")
    parser.add_argument("--data", type=Path, help="folder that keeps what it learns from (default: OUT/parts)")
    parser.add_argument("--steps", type=int, help="for trials; default: the plan's")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that the chain works")
    options = parser.parse_args()
    plan = SMOKE if options.smoke else Plan(steps=options.steps or Plan.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    keep_memory()
    started = time.monotonic()
    frames = build(options.data or options.out / "parts", range(LEARNING, LEARNING + plan.procedures))
    rendered = time.monotonic()
    model, curve = train(plan, Batches(frames, plan.batch, plan.seed, plan.easy, plan.small))
    export(model, options.out / "anomaly.onnx")
    to_int8(options.out / "anomaly.onnx", options.out / "anomaly-int8.onnx", whole(frames))
    results = {"curve": curve, "render_s": rendered - started, "train_s": time.monotonic() - rendered}
    (options.out / "anomaly-training.json").write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
