"""Choose the anomaly model's thresholds on procedures of their own: ``python -m reference.anomaly.choose MODEL.onnx``.

The two kinds of HELD_OUT are not among them. The thresholds are written into the model (``shift``); how large an
area and how long it must last is printed, for the device file's rules.
"""

import argparse
import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import

import onnxruntime
from onnx import numpy_helper

from inframe.pipeline.measure import Area
from inframe.pipeline.rules import RulePlan
from reference.anomaly.channels import CHANNELS
from reference.anomaly.judge import ALERTS, Outcome, classes_of, findings, judge
from reference.anomaly.scripts import CHOOSING, FAULTS, HELD_OUT
from reference.anomaly.watch import CELLS, Watched, cases, kept
from reference.model_input import normalised
from reference.scene.litter import FOREIGN

KINDS = tuple(kind for kind in FAULTS if kind not in HELD_OUT)
EACH, WITHOUT, SECONDS = 7, 24, 6.0
REGION = (0.0, 8 / 720, 1.0, 712 / 720)
ALLOWED = 0.25  # false alerts a minute, of each of the two rules
LOGITS = np.arange(-1.0, 5.01, 0.5)
AREAS = (0, 1, 3)  # cells, more than which
LASTS = ((4, 6), (6, 9))  # k of n results, 15 a second


def session(path: Path) -> onnxruntime.InferenceSession:
    """One thread, as on the device."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def maps_of(model: onnxruntime.InferenceSession, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, 3, 44, 80) logits."""
    return np.concatenate([model.run(["maps"], {"image": normalised(picture[None])})[0] for picture in pictures])


def plan(rule: str, cells: int, k: int, n: int) -> RulePlan:
    """A rule of the device file, with what is being chosen filled in."""
    from inframe.core.types import Priority

    above = (cells + 0.5) / (CELLS[0] * CELLS[1])
    area = Area("anomaly", (ALERTS[rule],))
    second = 1_000_000_000
    return RulePlan(
        rule, area, above, None, above, k, n, None, second, second, second // 7, rule, Priority.MEDIUM
    )


def outcomes(
    seen: list[tuple[Watched, NDArray[np.float32]]], shift: NDArray[np.float32], plans: tuple[RulePlan, ...]
) -> Iterator[Outcome]:
    """How every procedure goes with these thresholds and rules."""
    for one, maps in seen:
        classes = classes_of(maps - shift.reshape(1, -1, 1, 1))
        standing = findings(classes, plans, "anomaly", REGION)
        yield judge((one.seed, one.kind), classes, standing, one.wrong, one.visible, one.kind in FOREIGN)


def table(results: list[Outcome]) -> tuple[dict[str, tuple[int, int]], float]:
    """By kind: found, of how many; and false alerts a minute."""
    found: dict[str, list[bool]] = defaultdict(list)
    for one in results:
        if one.kind and one.visible_at is not None:
            found[one.kind].append(one.found)
    minutes = sum(one.seconds for one in results) / 60
    return {kind: (sum(hits), len(hits)) for kind, hits in found.items()}, sum(len(one.false) for one in results) / minutes


def search(
    rule: str, seen: list[tuple[Watched, NDArray[np.float32]]]
) -> tuple[float, int, tuple[int, int], float, float]:
    """The logit, area and persistence that find most at no more false alerts than ALLOWED: the worst kind decides,
    then the mean, then the fewest false alerts."""
    channel = ALERTS[rule] - 1
    kinds = [kind for kind in KINDS if (kind in FOREIGN) == (rule == "foreign_object_left")]
    best, chosen = (-1.0, -1.0, -9.0), (0.0, 0, (1, 1), 0.0, 0.0)
    for logit, cells, (k, n) in itertools.product(LOGITS, AREAS, LASTS):
        shift = np.full(len(CHANNELS), 99, np.float32)
        shift[channel], shift[2] = logit, 0
        rates, alerts = table(list(outcomes(seen, shift, (plan(rule, cells, k, n),))))
        found = [rates[kind][0] / rates[kind][1] for kind in kinds if kind in rates]
        score = (min(found), float(np.mean(found)), -alerts)
        if alerts <= ALLOWED and score > best:
            best, chosen = score, (float(logit), cells, (k, n), float(np.mean(found)), alerts)
    return chosen


def write_shift(path: Path, shift: NDArray[np.float32]) -> None:
    """Put thresholds into a model, in place of those that are there."""
    model = onnx.load(path)
    (found,) = [one for one in model.graph.initializer if one.name == "shift"]
    found.CopyFrom(numpy_helper.from_array(shift.reshape(1, -1, 1, 1).astype(np.float32), "shift"))
    onnx.save(model, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps rendered procedures")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--without", type=int, default=WITHOUT)
    options = parser.parse_args()
    write_shift(options.model, np.zeros(len(CHANNELS), np.float32))
    model = session(options.model)
    seen = []
    for seed, kind in cases(CHOOSING, KINDS, options.each, options.without):
        one = kept(options.data, seed, kind, SECONDS)
        seen.append((replace(one, wrong=np.asarray(one.wrong)), maps_of(model, one.pictures)))
    shift, plans = np.zeros(len(CHANNELS), np.float32), []
    for rule, label in ALERTS.items():
        shift[label - 1], cells, (k, n), found, alerts = search(rule, seen)
        plans.append(plan(rule, cells, k, n))
        print(f"{rule}: logit {shift[label - 1]:.1f}, more than {cells} cells (area above {plans[-1].above:.6f}), "
              f"{k} of {n}: mean sensitivity {found:.2f}, {alerts:.2f} false alerts a minute")
    rates, alerts = table(list(outcomes(seen, shift, tuple(plans))))
    print("both:", ", ".join(f"{kind} {hits}/{total}" for kind, (hits, total) in rates.items()), f"{alerts:.2f} false a minute")
    write_shift(options.model, shift)


if __name__ == "__main__":
    main()
