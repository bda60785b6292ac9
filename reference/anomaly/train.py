"""The anomaly model from nothing: ``python -m reference.anomaly.train --out DIR [--smoke]``."""

import argparse
import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reference.anomaly.channels import CHANNELS, SIZE
from reference.anomaly.data import Batches, build, normalised
from reference.anomaly.model import Anomaly
from reference.anomaly.scripts import LEARNING
from reference.quantise import CALIBRATION, to_int8
from reference.train import has_bfloat16, keep_memory

HARD = 0.02  # share of the cells: the worst of those that show nothing odd
AHEAD = 8  # batches made while the network learns
Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


@dataclass(frozen=True)
class Plan:
    procedures: int = 340
    frames: int = 3  # of each procedure
    steps: int = 6000
    batch: int = 24
    rate: float = 1.5e-3
    seed: int = 11


SMOKE = Plan(procedures=4, frames=1, steps=3, batch=4)


class _Maker:
    """What the process that makes batches knows; set there once, so that the frames need not be sent with each batch."""

    source: Batches

    @classmethod
    def begin(cls, source: Batches) -> None:
        cv2.setNumThreads(1)
        cls.source = source

    @classmethod
    def one(cls, number: int) -> Batch:
        return cls.source.one(number)


def _ahead(source: Batches, steps: int) -> Iterator[Batch]:
    """The batches in order, made by one process beside this one."""
    with ProcessPoolExecutor(1, get_context("fork"), _Maker.begin, (source,)) as pool:
        due: deque[Future[Batch]] = deque()
        for number in range(steps + AHEAD):
            if number < steps:
                due.append(pool.submit(_Maker.one, number))
            if number >= AHEAD:
                yield due.popleft().result()


def losses_of(logits: Tensor, truth: Tensor, hard: float) -> Tensor:
    """Cross-entropy by channel, (3,): what is odd counts as much as all that is not, and the worst of that ``hard`` times more.

    Few cells are odd; a plain mean is content for thousands of steps with saying so of none. And the worst of the others
    must not count from the start: they are those that look a little odd, and nothing would be learned of what does.
    """
    each = functional.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), reduction="none")
    each, truth = (part.transpose(0, 1).flatten(1) for part in (each, truth))
    odd, plain = (truth == 1).float(), each * (truth == 0)
    missed = (each * odd).sum(dim=1) / odd.sum(dim=1).clamp(min=1)
    worst = plain.topk(int(HARD * plain.shape[1]), dim=1).values
    return missed + plain.mean(dim=1) + hard * worst.mean(dim=1)


def _follow(mean: nn.Module, model: nn.Module, step: int) -> None:
    """A running mean of the weights: steadier than the last weights."""
    keep = min(0.99, step / (step + 10))
    with torch.no_grad():
        for kept, new in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
            kept.copy_(kept * keep + new * (1 - keep)) if kept.is_floating_point() else kept.copy_(new)


def train(plan: Plan, source: Batches) -> tuple[Anomaly, list[tuple[int, list[float]]]]:
    """The model with averaged weights, and its smoothed loss by channel every 50 steps."""
    torch.manual_seed(plan.seed)
    model = Anomaly().to(memory_format=torch.channels_last)
    mean: Anomaly = deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.1)
    started, smooth, curve, halved = time.monotonic(), np.zeros(len(CHANNELS)), [], has_bfloat16()
    for step, (pictures, truth) in enumerate(_ahead(source, plan.steps)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            logits = model(torch.from_numpy(normalised(pictures)).contiguous(memory_format=torch.channels_last))
        losses = losses_of(logits.float(), torch.from_numpy(truth), 0.5 * step / plan.steps)
        optimiser.zero_grad(set_to_none=True)
        losses.mean().backward()
        optimiser.step()
        schedule.step()
        _follow(mean, model, step)
        smooth += (losses.detach().numpy() - smooth) * max(0.01, 1 / (step + 1))
        if step % 50 == 0:
            curve.append((step, smooth.tolist()))
            spent = time.monotonic() - started
            print(f"\rstep {step}/{plan.steps}  losses {smooth.round(3)}  {spent:.0f} s", end="", flush=True)
    print()
    mean.eval()
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and the results")
    parser.add_argument("--data", type=Path, help="folder that keeps rendered frames (default: OUT/frames)")
    parser.add_argument("--steps", type=int, help="for trials; default: the plan's")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that the chain works")
    options = parser.parse_args()
    plan = SMOKE if options.smoke else Plan(steps=options.steps or Plan.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    keep_memory()
    started = time.monotonic()
    frames = build(
        options.data or options.out / "frames", "sound", range(LEARNING, LEARNING + plan.procedures), plan.frames
    )
    rendered = time.monotonic()
    model, curve = train(plan, Batches(frames, plan.batch, plan.seed))
    export(model, options.out / "anomaly.onnx")
    step = max(1, len(frames["picture"]) // CALIBRATION)
    to_int8(
        options.out / "anomaly.onnx",
        options.out / "anomaly-int8.onnx",
        (normalised(picture[None]) for picture in frames["picture"][::step]),
    )
    results = {"curve": curve, "render_s": rendered - started, "train_s": time.monotonic() - rendered}
    (options.out / "anomaly-training.json").write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
