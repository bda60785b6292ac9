"""Data, training, calibration, evaluation, quantisation, export: ``python -m reference.train --out DIR [--smoke]``."""

import argparse
import ctypes
import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib import pyplot
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reference.augment import augment
from reference.calibrate import Classes, Logits, iou, reliability, temperature
from reference.data import INPUT, MEAN, STD, Frames, Progress, build, digest
from reference.model import Anatomy
from reference.quantise import quantise
from reference.scene import CLASSES

UNSEEN = 1_000_000  # first seed of the procedures kept for evaluation
APART = 2_000_000  # and of those that the confidence is calibrated on
AHEAD = 2  # batches that wait
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Stage:
    """Some steps at one size (height, width): small pictures first, as most is learned from them at a quarter the cost."""

    steps: int
    batch: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    stages: tuple[Stage, ...] = (Stage(30000, 16, (96, 160)), Stage(19000, 12, INPUT))
    procedures: int = 2400
    frames: int = 6  # of each procedure
    unseen: int = 100
    apart: int = 50
    rate: float = 2e-3
    warm: int = 200  # steps in which the rate rises to that
    settle: int = 16000  # and last ones in which it falls to nothing
    seed: int = 7

    def longer(self, times: float) -> "Plan":
        """The same with so many times the steps; those in which the rate falls stay as many."""
        stages = tuple(replace(stage, steps=round(times * stage.steps)) for stage in self.stages)
        return replace(self, stages=stages)


SMOKE = Plan((Stage(2, 4, (96, 160)), Stage(2, 4, INPUT)), procedures=8, frames=2, unseen=2, apart=2)


def keep_memory() -> None:
    """Let the C library keep freed memory: mapping each tensor's anew costs a quarter of a training step."""
    most, trim, maps = 2**31 - 1, -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of <malloc.h>
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(maps, 0)
        libc.mallopt(trim, most)


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself: where it does not, torch imitates it ten times slower."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def normalise(pictures: NDArray[np.uint8]) -> Tensor:
    """RGB uint8 (n, h, w, 3) -> float32 (n, 3, h, w), as the device file states it."""
    scaled = (torch.from_numpy(pictures).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return scaled.permute(0, 3, 1, 2)  # channels last in memory


def batches(plan: Plan, frames: Frames) -> Iterator[Batch]:
    """Batches of every stage in turn, made ahead by a thread."""
    rng = np.random.default_rng(plan.seed)
    count = len(frames[0])

    def make(chosen: NDArray[np.int64], size: tuple[int, int]) -> Batch:
        pairs = [augment(rng, frames[0][k], frames[1][k], size) for k in chosen]
        masks = np.stack([mask[::2, ::2] for _, mask in pairs])  # the model answers at half its input's size
        return normalise(np.stack([picture for picture, _ in pairs])), torch.from_numpy(masks.astype(np.int64))

    shuffle = np.random.default_rng((plan.seed, 1))
    order = np.empty(0, np.int64)
    with ThreadPoolExecutor(1) as thread:
        ahead: deque[Future[Batch]] = deque()
        for stage in plan.stages:
            for _ in range(stage.steps):
                if len(order) < stage.batch:
                    order = np.concatenate([order, shuffle.permutation(count)])
                chosen, order = order[: stage.batch], order[stage.batch :]
                ahead.append(thread.submit(make, chosen, stage.size))
                if len(ahead) > AHEAD:
                    yield ahead.popleft().result()
        for batch in ahead:
            yield batch.result()


def loss_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy and soft Dice: the second keeps thin instruments from being outvoted by liver."""
    chances = logits.softmax(dim=1)
    truth = functional.one_hot(masks, logits.shape[1]).permute(0, 3, 1, 2).float()
    overlap = (chances * truth).sum(dim=(0, 2, 3))
    dice = (2 * overlap + 1) / (chances.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3)) + 1)
    return functional.cross_entropy(logits, masks) + (1 - dice).mean()


def rate_at(plan: Plan, step: int) -> float:
    """Share of the full learning rate: up, even, down. The even part can be as long as there is time for."""
    left = sum(stage.steps for stage in plan.stages) - step
    return min((step + 1) / plan.warm, left / plan.settle, 1.0)


def follow(mean: list[Tensor], model: list[Tensor], step: int) -> None:
    """Move the weights ``mean`` towards ``model``: averaged over some hundred steps they are steadier than the last ones."""
    with torch.no_grad():
        torch._foreach_lerp_(mean, model, 1 - min(0.998, step / (step + 10)))


def weights(model: Anatomy) -> list[Tensor]:
    """All numbers of a model, those of its norms too."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


def train(plan: Plan, frames: Frames) -> tuple[Anatomy, list[float]]:
    """The trained model, and its loss averaged over each hundredth of the training."""
    torch.manual_seed(plan.seed)
    steps = sum(stage.steps for stage in plan.stages)
    model = Anatomy(len(CLASSES)).to(memory_format=torch.channels_last)
    mean: Anatomy = deepcopy(model)
    averaged, trained = weights(mean), weights(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(rate_at, plan))
    progress, losses, halved = Progress("training", steps), [], has_bfloat16()
    for step, (pictures, masks) in enumerate(batches(plan, frames)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            logits = model(pictures)
        loss = loss_of(logits.float(), masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        follow(averaged, trained, step)
        losses.append(loss.item())
        progress.at(step + 1, f"loss {np.mean(losses[-50:]):.3f}")
    mean.eval()
    return mean, [float(np.mean(part)) for part in np.array_split(losses, min(100, len(losses)))]


def export(model: Anatomy, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, *INPUT),),
        str(part),
        opset_version=17,
        input_names=["image"],
        output_names=["classes"],
        dynamo=False,
    )
    part.replace(path)


def answers(model: Anatomy, frames: Frames) -> tuple[Logits, Classes]:
    """The model's logits for all frames, and the truth at the same size."""
    with torch.inference_mode():
        logits = [model(normalise(np.array(frames[0][k : k + 16]))).numpy() for k in range(0, len(frames[0]), 16)]
    return np.concatenate(logits), np.asarray(frames[1][:, ::2, ::2]).astype(np.int64)


def calibrate(model: Anatomy, frames: Frames) -> float:
    """Fold the temperature that these frames ask for into the model's last layer, so that no device needs to know it."""
    found = temperature(*answers(model, frames))
    with torch.no_grad():
        model.head.weight /= found
        model.head.bias /= found
    return found


def plot(losses: list[float], path: Path) -> None:
    """The course of the training."""
    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    axes.plot(np.linspace(0, 100, len(losses)), losses)
    axes.set(xlabel="% of all steps", ylabel="loss (cross-entropy + Dice)", yscale="log")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def evaluate(model: Anatomy, frames: Frames) -> dict[str, Any]:
    logits, truth = answers(model, frames)
    return {"iou": iou(logits.argmax(axis=1), truth), "confidence": reliability(logits, truth)}


def run(plan: Plan, out: Path, data: Path) -> dict[str, Any]:
    """The whole chain; the results that it also writes to ``out``."""
    started = time.monotonic()
    frames = build(data, "train", range(plan.procedures), plan.frames)
    apart = build(data, "calibration", range(APART, APART + plan.apart), plan.frames)
    unseen = build(data, "unseen", range(UNSEEN, UNSEEN + plan.unseen), plan.frames)
    results: dict[str, Any] = {"data_sha256": digest(frames), "unseen_sha256": digest(unseen)}
    print("data set digest", results["data_sha256"])
    rendered = time.monotonic()
    model, results["loss"] = train(plan, frames)
    trained = time.monotonic()
    plot(results["loss"], out / "loss.png")
    results["temperature"] = calibrate(model, apart)
    results.update(evaluate(model, unseen))
    export(model, out / "anatomy.onnx")
    results["int8"] = quantise(out / "anatomy.onnx", out / "anatomy-int8.onnx", apart, unseen)
    results["seconds"] = {"render": rendered - started, "train": trained - rendered, "rest": time.monotonic() - trained}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model, its labels and the results")
    parser.add_argument("--data", type=Path, help="folder that keeps rendered frames (default: OUT/frames)")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that the chain works")
    parser.add_argument("--times", type=float, default=1.0, help="train so many times as long as the shipped model was")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    keep_memory()
    plan = SMOKE if options.smoke else Plan().longer(options.times)
    results = run(plan, options.out, options.data or options.out / "frames")
    (options.out / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({key: value for key, value in results.items() if key != "loss"}, indent=1))


if __name__ == "__main__":
    main()
