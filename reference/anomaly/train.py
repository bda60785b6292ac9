"""The anomaly model from nothing: ``python -m reference.anomaly.train --out DIR [--smoke]``."""

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reference.anomaly import ends, parts
from reference.anomaly.channels import CHANNELS, MEAN, SIZE, STD
from reference.anomaly.data import Frames, build, normalised
from reference.anomaly.losses import close_losses, whole_losses
from reference.anomaly.model import Anomaly, Close, Whole
from reference.anomaly.scripts import LEARNING
from reference.quantise import CALIBRATION, to_int8
from reference.train import follow, has_bfloat16, keep_memory, weights

AHEAD = 3  # batches made while a network learns
Batch = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Learning:
    """How one of the two networks learns."""

    steps: int
    batch: int
    easy: int  # steps until what is hard to see is asked for, too
    hard: float  # what the worst of what is sound counts at last
    rate: float = 1.5e-3
    warm: int = 300  # steps in which the rate rises to that
    settle: float = 0.95  # share of the steps, the last ones, in which it falls to nothing

    def rate_at(self, step: int) -> float:
        """Share of the full learning rate: up, even, down."""
        return min((step + 1) / self.warm, (self.steps - step) / (self.settle * self.steps), 1.0)


@dataclass(frozen=True)
class Plan:
    procedures: int = 1200
    whole: Learning = Learning(steps=16000, batch=32, easy=5000, hard=1.0)
    close: Learning = Learning(steps=9000, batch=128, easy=2500, hard=0.5)
    small: int = 4000  # steps with small pictures
    seed: int = 11

    def of(self, whole: int, close: int) -> "Plan":
        """The same with other numbers of steps."""
        return replace(self, whole=replace(self.whole, steps=whole), close=replace(self.close, steps=close))


SMOKE = Plan(
    procedures=2,
    whole=Learning(steps=3, batch=4, easy=1, hard=1.0),
    close=Learning(steps=3, batch=4, easy=1, hard=1.0),
    small=1,
)


def _ahead(one: Callable[[int], Batch], steps: int) -> Iterator[Batch]:
    """The batches in order, made by a thread."""
    with ThreadPoolExecutor(1) as thread:
        due: deque[Future[Batch]] = deque()
        for number in range(steps + AHEAD):
            if number < steps:
                due.append(thread.submit(one, number))
            if number >= AHEAD:
                yield due.popleft().result()


class Curve:
    """Smoothed losses by step, printed as they come."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps, self.points = name, steps, list[tuple[int, list[float]]]()
        self._smooth: NDArray[np.float32] = np.zeros(1, np.float32)
        self._started = time.monotonic()

    def add(self, step: int, losses: NDArray[np.float32]) -> None:
        self._smooth = self._smooth + (losses - self._smooth) * max(0.03, 1 / (step + 1))
        if step % 100 == 0:
            self.points.append((step, self._smooth.tolist()))
            spent = time.monotonic() - self._started
            print(f"{self.name} {step}/{self.steps}  losses {self._smooth.round(3)}  {spent:.0f} s", flush=True)


def learn(
    model: nn.Module,
    plan: Learning,
    source: Callable[[int], Batch],
    losses_of: Callable[[nn.Module, Batch, float], Tensor],
) -> tuple[nn.Module, Curve]:
    """The network with averaged weights, and its smoothed losses every 100 steps."""
    where = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(where, memory_format=torch.channels_last)
    mean = deepcopy(model).eval()
    averaged, trained = weights(mean), weights(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, plan.rate_at)
    halved = where == "cuda" or has_bfloat16()
    curve = Curve(type(model).__name__.lower(), plan.steps)
    for step, batch in enumerate(_ahead(source, plan.steps)):
        with torch.autocast(where, dtype=torch.bfloat16, enabled=halved):
            losses = losses_of(model, batch, plan.hard * step / plan.steps)
        optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimiser.step()
        schedule.step()
        follow(averaged, trained, step)
        if step % 10 == 0 or step < 100:
            curve.add(step, losses.detach().cpu().numpy())
    return mean.cpu(), curve


def _image(pictures: NDArray[np.uint8], model: nn.Module) -> Tensor:
    """RGB uint8 (n, h, w, 3) -> what the network takes, (n, 3, h, w), where the network is."""
    where = next(model.parameters()).device
    scaled = torch.from_numpy(pictures).to(where).float() / 255
    mean, std = (torch.tensor(some, device=where) for some in (MEAN, STD))
    return ((scaled - mean) / std).permute(0, 3, 1, 2)


def _parts(source: parts.Batches, number: int) -> Batch:
    pictures, planes, places = source.one(number)
    return pictures, parts.truths(planes), places


def _whole(model: nn.Module, batch: Batch, hard: float) -> Tensor:
    pictures, truth, places = batch
    said = model(_image(pictures, model)).float()
    return whole_losses(said, torch.from_numpy(truth).to(said.device), places, hard)


def _ends(source: ends.Batches, number: int) -> Batch:
    pictures, wrong = source.one(number)
    return pictures, *ends.truths(wrong)


def _close(model: nn.Module, batch: Batch, hard: float) -> Tensor:
    cells, odd = model(_image(batch[0], model))
    truth, judged = (torch.from_numpy(one).to(odd.device) for one in batch[1:])
    return close_losses(cells.float(), odd.float(), truth, judged, hard)


class Shipped(nn.Module):  # type: ignore[misc]
    """The network with room for thresholds: what ``reference.anomaly.choose`` writes into ``shift`` is taken off."""

    def __init__(self, whole: nn.Module, close: nn.Module) -> None:
        super().__init__()
        self.model = Anomaly(whole, close, SIZE)
        self.register_buffer("shift", torch.full((1, len(CHANNELS), 1, 1), 1e-3))  # not 0: it would be folded away

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.model(image) - self.shift
        return maps, maps[:, :2].amax(dim=1, keepdim=True).sigmoid()


def export(whole: nn.Module, close: nn.Module, path: Path) -> None:
    """``image`` -> ``maps`` (1, 3, 44, 80) logits of CHANNELS and ``heat`` (1, 1, 44, 80) 0..1, the larger of two."""
    part = path.with_suffix(".part")
    torch.onnx.export(
        Shipped(whole, close).eval(),
        (torch.zeros(1, 3, *SIZE),),
        str(part),
        opset_version=17,
        input_names=["image"],
        output_names=["maps", "heat"],
        dynamo=False,
    )
    part.replace(path)


def inputs(frames: Frames) -> Iterator[NDArray[np.float32]]:
    """Inputs of the full size for the calibration of int8: eight parts of sound frames, side by side."""
    height, width = SIZE[0] // 2, SIZE[1] // 4
    for some in np.array_split(np.arange(len(frames["sound"])), CALIBRATION):
        few = np.resize(some, 8)
        rows = [np.hstack([frames["sound"][k, :height, :width] for k in row]) for row in (few[:4], few[4:])]
        yield normalised(np.vstack(rows)[None])


def both(plan: Plan, data: Path) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    """Both networks, trained, and how it went."""
    seeds, started, spent = range(LEARNING, LEARNING + plan.procedures), time.monotonic(), list[float]()
    some = build(data / "parts", seeds, parts.PLANES, parts.render)
    spent.append(time.monotonic() - started)
    torch.manual_seed(plan.seed)
    source = parts.Batches(some, plan.whole.batch, plan.seed, plan.whole.easy, plan.small)
    whole, first = learn(Whole(), plan.whole, partial(_parts, source), _whole)
    spent.append(time.monotonic() - started)
    views = build(data / "ends", seeds, ends.PLANES, ends.render)
    spent.append(time.monotonic() - started)
    torch.manual_seed(plan.seed)
    close_ups = ends.Batches(views, plan.close.batch, plan.seed, plan.close.easy)
    close, second = learn(Close(), plan.close, partial(_ends, close_ups), _close)
    spent.append(time.monotonic() - started)
    names = ("parts rendered", "whole learned", "ends rendered", "close learned")
    return whole, close, {"curves": [first.points, second.points], "seconds": dict(zip(names, spent, strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and the results")
    parser.add_argument("--data", type=Path, help="folder that keeps what it learns from (default: OUT/data)")
    parser.add_argument("--steps", type=int, nargs=2, help="of both networks, for trials; default: the plan's")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that the chain works")
    options = parser.parse_args()
    plan = SMOKE if options.smoke else Plan()
    if options.steps:
        plan = plan.of(*options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    keep_memory()
    data = options.data or options.out / "data"
    whole, close, results = both(plan, data)
    export(whole, close, options.out / "anomaly.onnx")
    some = build(data / "parts", range(LEARNING, LEARNING + plan.procedures), parts.PLANES, parts.render)
    to_int8(options.out / "anomaly.onnx", options.out / "anomaly-int8.onnx", inputs(some))
    (options.out / "anomaly-training.json").write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
