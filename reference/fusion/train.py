"""Train the fusion models and export them.

    python -m reference.fusion.train --data DIR --out DIR

One core, a few minutes. The last fifth of the procedures says when to stop; what is reported comes from
`reference.fusion.evaluate`, on other procedures, through the device.
"""

import argparse
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reference.fusion import KINDS, PAST, WINDOW
from reference.fusion.model import (
    LOOK_BACK_S,
    Fused,
    Looking,
    Moving,
    Posed,
    Seen,
    depth_of,
    motion,
    project,
)

BATCH, EPOCHS, RATE, SEED = 64, 10, 2e-3, 7


def read(folder: Path) -> list[dict[str, Any]]:
    """Procedures, in the order of their seeds; without those whose tool was never in sight."""
    every = [dict(np.load(file)) for file in sorted(folder.glob("*.npz"))]
    return [one for one in every if len(one["on"])]


def tensors(procedures: list[dict[str, Any]], kind: str) -> tuple[tuple[Tensor, ...], Tensor]:
    """What the network gets, and what is true."""
    every = {key: np.concatenate([one[key] for one in procedures]) for key in procedures[0]}
    truth = torch.from_numpy(every["will"].astype(np.float32))[:, None]
    if kind == "video":
        seen = torch.from_numpy(every["seen"].astype(np.float32))
        part, maps = every["seen_part"], every["seen_maps"]
        return (torch.from_numpy(part), torch.from_numpy(maps), (seen[:, :2] - seen[:, 2:]) / LOOK_BACK_S), truth
    pose = torch.from_numpy(every["pose"].astype(np.float32))
    at, speed = motion(project(pose))
    if kind == "kinematics":
        return (at, speed, depth_of(pose)), truth
    return (torch.from_numpy(every["part"]), torch.from_numpy(every["maps"]), speed), truth


def fed(parts: tuple[Tensor, ...], kind: str, *, shaken: bool) -> tuple[Tensor, ...]:
    """A batch as the network gets it; `shaken`: mirrored and in other light, as often as not."""
    if kind == "kinematics":
        return parts
    part, maps, speed = parts[0].float() / 32, parts[1].float() / 127, parts[2].clone()
    if shaken:
        for axis, side in ((-1, 0), (-2, 1)):
            if torch.rand(()) < 0.5:
                part, maps = part.flip(axis), maps.flip(axis)
                speed[:, side] = -speed[:, side]
        part = part * (0.8 + 0.4 * torch.rand(len(part), 3, 1, 1)) + 0.3 * torch.randn(len(part), 3, 1, 1)
    return part, maps, speed


def surprise(network: nn.Module, parts: tuple[Tensor, ...], truth: Tensor, kind: str) -> float:
    """Mean cross entropy."""
    network.eval()
    with torch.no_grad():
        total = [
            functional.binary_cross_entropy_with_logits(
                network(*fed(tuple(p[at : at + 256] for p in parts), kind, shaken=False)),
                truth[at : at + 256],
                reduction="sum",
            )
            for at in range(0, len(truth), 256)
        ]
    return float(torch.stack(total).sum() / len(truth))


def train(procedures: list[dict[str, Any]], kind: str) -> nn.Module:
    """The network of the epoch that surprised least."""
    torch.manual_seed(SEED)
    network: nn.Module = Moving() if kind == "kinematics" else Looking()
    cut = len(procedures) * 4 // 5
    (parts, truth), (held, known) = tensors(procedures[:cut], kind), tensors(procedures[cut:], kind)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    steps = EPOCHS * (len(truth) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    best, kept = float("inf"), deepcopy(network.state_dict())
    for epoch in range(EPOCHS):
        network.train()
        order = torch.randperm(len(truth))
        for at in range(0, len(order) // BATCH * BATCH, BATCH):
            some = order[at : at + BATCH]
            said = network(*fed(tuple(p[some] for p in parts), kind, shaken=True))
            loss = functional.binary_cross_entropy_with_logits(said, truth[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        now = surprise(network, held, known, kind)
        print(f"{kind} {epoch}: {now:.4f}", flush=True)
        if now < best:
            best, kept = now, deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return network.eval()


def export(network: nn.Module, kind: str, file: Path) -> None:
    """As ONNX; the anatomy model's answer may have any size."""
    image, classes = torch.zeros(1, 3, 192, 320), torch.zeros(1, 96, 160, dtype=torch.uint8)
    pose = torch.zeros(1, WINDOW, 3)
    pose[..., 2] = 100
    sizes = {"classes": {1: "rows", 2: "columns"}}
    common: dict[str, Any] = {"opset_version": 17, "dynamo": False}
    if kind == "fused":
        whole: nn.Module = Fused(network)
        given: tuple[Tensor, ...] = (image, classes, pose)
        names = {"input_names": ["image", "classes", "pose"], "output_names": ["contact"], "dynamic_axes": sizes}
    elif kind == "video":
        whole, given = Seen(network), (image, classes, torch.zeros(1, PAST, 2))
        names = {
            "input_names": ["image", "classes", "past"],
            "output_names": ["contact", "past_out"],
            "dynamic_axes": sizes,
        }
    else:
        whole, given, names = (
            Posed(network),
            (image, pose),
            {"input_names": ["image", "pose"], "output_names": ["contact"]},
        )
    torch.onnx.export(whole.eval(), given, str(file), **names, **common)


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    procedures = read(chosen.data)
    print(f"{len(procedures)} procedures, {sum(len(one['on']) for one in procedures)} moments", flush=True)
    for kind in KINDS:
        export(train(procedures, kind), kind, chosen.out / f"contact_{kind}.onnx")


if __name__ == "__main__":
    main()
