"""Data, training, evaluation and export in one command: ``python -m reference.train --out DIR [--smoke]``."""

import argparse
import json
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reference.augment import augment
from reference.data import INPUT, Frames, build
from reference.model import MEAN, STD, Anatomy
from reference.scene import CLASSES

UNSEEN = 1_000_000  # first seed of the procedures kept for evaluation


@dataclass(frozen=True)
class Plan:
    procedures: int = 3000
    frames: int = 4  # of each procedure
    unseen: int = 60
    steps: int = 1500
    batch: int = 16
    rate: float = 3e-3
    seed: int = 7


SMOKE = Plan(procedures=8, frames=2, unseen=2, steps=4, batch=4)


def normalise(pictures: NDArray[np.uint8]) -> Tensor:
    """RGB uint8 (n, h, w, 3) -> float32 (n, 3, h, w), as the device file states it."""
    scaled = (pictures.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(scaled.astype(np.float32)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def batches(plan: Plan, frames: Frames) -> Iterator[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(plan.seed)
    order = np.concatenate(
        [rng.permutation(len(frames[0])) for _ in range(plan.steps * plan.batch // len(frames[0]) + 1)]
    )
    for step in range(plan.steps):
        chosen = order[step * plan.batch : (step + 1) * plan.batch]
        pairs = [augment(rng, np.asarray(frames[0][k]), np.asarray(frames[1][k])) for k in chosen]
        masks = np.stack([mask[::2, ::2] for _, mask in pairs])  # the model answers at half its input's size
        yield normalise(np.stack([picture for picture, _ in pairs])), torch.from_numpy(masks.astype(np.int64))


def loss_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy and soft Dice: the second keeps thin instruments from being outvoted by liver."""
    classes = logits.shape[1]
    chances = logits.softmax(dim=1)
    truth = functional.one_hot(masks, classes).permute(0, 3, 1, 2).float()
    overlap = (chances * truth).sum(dim=(0, 2, 3))
    dice = (2 * overlap + 1) / (chances.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3)) + 1)
    return functional.cross_entropy(logits, masks, label_smoothing=0.02) + (1 - dice).mean()


def train(plan: Plan, frames: Frames) -> Anatomy:
    torch.manual_seed(plan.seed)
    model = Anatomy(len(CLASSES)).to(memory_format=torch.channels_last)
    mean: Anatomy = deepcopy(model)  # of the weights over the last few hundred steps: steadier than the last weights
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.1)
    started, smooth = time.monotonic(), 0.0
    for step, (pictures, masks) in enumerate(batches(plan, frames)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(pictures)
        loss = loss_of(logits.float(), masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        keep = min(0.995, step / (step + 10))
        with torch.no_grad():
            for kept, new in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
                kept.copy_(kept * keep + new * (1 - keep)) if kept.is_floating_point() else kept.copy_(new)
        smooth += (loss.item() - smooth) * max(0.02, 1 / (step + 1))
        if step % 50 == 0:
            print(
                f"\rstep {step}/{plan.steps}  loss {smooth:.3f}  {time.monotonic() - started:.0f} s", end="", flush=True
            )
    print()
    mean.eval()
    return mean


def evaluate(model: Anatomy, frames: Frames) -> dict[str, float]:
    """Intersection over union by class over all frames, and their mean."""
    count = len(CLASSES)
    table = np.zeros((count, count), np.int64)
    with torch.inference_mode():
        for start in range(0, len(frames[0]), 16):
            found = model(normalise(np.asarray(frames[0][start : start + 16]))).argmax(dim=1).numpy()
            truth = np.asarray(frames[1][start : start + 16, ::2, ::2]).astype(np.int64)
            table += np.bincount((truth * count + found).ravel(), minlength=count * count).reshape(count, count)
    union = table.sum(axis=0) + table.sum(axis=1) - np.diag(table)
    scores = {name: float(np.diag(table)[k] / max(union[k], 1)) for k, name in enumerate(CLASSES)}
    return {**scores, "mean": float(np.mean(list(scores.values())))}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model, its labels and the results")
    parser.add_argument("--data", type=Path, help="folder that keeps rendered frames (default: OUT/frames)")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that the chain works")
    options = parser.parse_args()
    plan = SMOKE if options.smoke else Plan()
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    started = time.monotonic()
    data = options.data or options.out / "frames"
    frames = build(data, "train", range(plan.procedures), plan.frames)
    unseen = build(data, "unseen", range(UNSEEN, UNSEEN + plan.unseen), plan.frames)
    rendered = time.monotonic()
    model = train(plan, frames)
    results = {"iou": evaluate(model, unseen), "render_s": rendered - started, "train_s": time.monotonic() - rendered}
    export(model, options.out / "anatomy.onnx")
    (options.out / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
