"""The fusion models on procedures that nobody has seen, through the device's own rings, alignment, inputs and models.

    python -m reference.fusion.evaluate --procedures 10 --seconds 10

Asked is whether the tip touches the gallbladder within half a second. A frame counts if its true tip is in the picture then
and until then; a second line counts those only on which it is not there yet. Beside the models stands the rule on
`tip_contact`, by its seconds.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import Device
from inframe.core.types import Scores
from inframe.pipeline.approach import contact_s
from inframe.pipeline.model import Model, load_of
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.surroundings import Surroundings
from reference import guidance
from reference.fusion import AHEAD_S, KINDS, PAST, RATE_HZ, WINDOW
from reference.grading import FPS, Numbers, Watched, interval

AHEAD = int(AHEAD_S * FPS)
RULE = "rule"
MODELS = Path(__file__).parent / "models"  # those whose figures are in docs/guidance.md


def device(folder: Path) -> Device:
    """The device of `reference.guidance` with the three models beside its own."""
    values = guidance.device().model_dump(mode="json")
    window = {"how": "window", "samples": WINDOW, "over": "last", "max_age_ms": 1000 * 3 / RATE_HZ}
    pose = {"sensor": "pose", "align": window, "absent": "miss"}
    classes = {"model": "anatomy", "absent": "miss"}
    for kind in KINDS:
        own = values["models"]["anatomy"] | {"file": str(folder / f"contact_{kind}.onnx"), "labels": ["contact"]}
        own |= {"decode": {"kind": "classification", "activation": "sigmoid", "output": "contact"}, "colours": {}}
        own |= {"preprocess": own["preprocess"] | {"input": "image"}, "required": True, "max_age_ms": 0}
        own["inputs"] = {"pose": pose} if kind != "video" else {}
        own["inputs"] |= {"classes": classes} if kind != "kinematics" else {}
        own |= {"state": {"past_out": "past"}, "shapes": {"past": [1, PAST, 2]}} if kind == "video" else {}
        values["models"][kind] = own
    return Device.model_validate(values)


def watch(seed: int, seconds: float, made: Device, models: dict[str, Model]) -> Watched | None:
    """One procedure; None where there is no gallbladder to work on."""
    scene = guidance.at_work(seed, seconds)
    if scene is None:
        return None
    for model in models.values():
        model.forget()
    plans = plan_rules(made, {name: tuple(m.labels) for name, m in made.models.items()}, NS_PER_S // FPS)
    clock, grades = MonotonicClock(), guidance.Grades(plans, Watched(seed))
    chances = grades.watched.chances = {name: [] for name in (*KINDS, RULE)}
    surroundings: Surroundings | None = None
    for moment in guidance.moments(scene, seed, seconds, made):
        surroundings = surroundings or Surroundings(made, {"pose": moment.robot.reader})
        said: dict[str, Any] = {}
        for name, model in models.items():
            given, _ = surroundings.of(name, moment.now_ns, said.get)
            said[name], _ = model.run(moment.pixels, clock, given)
        for kind in KINDS:
            output = said[kind]
            chances[kind].append(float(output.scores[0]) if isinstance(output, Scores) else np.nan)
        grades.take(moment, said["anatomy"])
        known = grades.states[0].approach
        seconds_to = contact_s(known, guidance.WIDTH) if known is not None and known.at_ns == moment.now_ns else None
        chances[RULE].append(float(np.exp(-seconds_to)) if seconds_to is not None else 0.0)
    return grades.watched


def rows_of(one: Watched, *, off: bool) -> Numbers:
    """(frames, 1 + models): the truth, and what each says."""
    px = np.array(one.true_px)
    found = []
    for i in range(len(px) - AHEAD):
        ahead = px[i : i + AHEAD + 1]
        says = [one.chances[name][i] for name in (*KINDS, RULE)]
        if np.isfinite(ahead).all() and np.isfinite(says[:-1]).all() and not (off and px[i] <= 0):
            found.append([float((ahead <= 0).any()), *says])
    return np.array(found, np.float64).reshape(-1, 2 + len(KINDS))


def area(truth: NDArray[Any], says: NDArray[Any]) -> float:
    """Under the receiver operating characteristic: how often a frame with a contact is given more than one without."""
    order = np.argsort(says, kind="stable")
    sorted_says = says[order]
    ranks = np.empty(len(says))
    first = np.searchsorted(sorted_says, sorted_says, "left")
    last = np.searchsorted(sorted_says, sorted_says, "right")
    ranks[order] = (first + last + 1) / 2
    positive = truth > 0.5
    count = int(positive.sum())
    if count in (0, len(truth)):
        return float("nan")
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(truth) - count)))


def areas(column: int, minus: int | None = None) -> Callable[[list[Numbers]], float]:
    """Of one model, or of how much it is above another."""

    def of(parts: list[Numbers]) -> float:
        whole = np.concatenate(parts)
        found = area(whole[:, 0], whole[:, column])
        return found if minus is None else found - area(whole[:, 0], whole[:, minus])

    return of


def report(done: list[Watched]) -> str:
    """For the page."""
    lines = []
    for what, off in (("all frames", False), ("not on it yet", True)):
        parts = [rows_of(one, off=off) for one in done]
        parts = [part for part in parts if len(part)]
        whole = np.concatenate(parts)
        lines.append(
            f"{what}: {len(whole)} of {len(parts)} procedures, {whole[:, 0].mean():.2f} with a contact within {AHEAD_S} s"
        )
        for column, name in enumerate((*KINDS, RULE), 1):
            middle, low, high = interval(parts, areas(column), 1000)
            text = f"  {name}: area {middle:.3f} ({low:.3f} to {high:.3f})"
            if name != RULE:
                text += f", Brier {np.mean((whole[:, column] - whole[:, 0]) ** 2):.3f}"
            lines.append(text)
        for column, name in enumerate((*KINDS[1:], RULE), 2):
            middle, low, high = interval(parts, areas(1, column), 1000)
            lines.append(f"  fused above {name}: {middle:+.3f} ({low:+.3f} to {high:+.3f})")
    return "\n".join(lines)


def _one(folder: Path, seed: int, seconds: float) -> Watched | None:
    """In a process of its own, which makes device and models once."""
    made, models = _device(folder)
    return watch(seed, seconds, made, models)


@cache
def _device(folder: Path) -> tuple[Device, dict[str, Model]]:
    cv2.setNumThreads(1)
    made = device(folder)
    return made, {name: load_of(made, name) for name in made.models}


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--procedures", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--first", type=int, default=guidance.FIRST_SEED, help="procedures behind this seed")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    seeds = count(chosen.first + 1)
    seen = (seed for seed in seeds if guidance.at_work(seed, chosen.seconds, (36, 64)) is not None)
    done: list[Watched] = []
    with ProcessPoolExecutor(chosen.workers) as pool:
        tasks = [
            pool.submit(_one, chosen.models.absolute(), seed, chosen.seconds)
            for seed in islice(seen, chosen.procedures)
        ]
        for task in tasks:
            one = task.result()
            if one is not None:
                done.append(one)
                print(f"{one.seed}: watched", flush=True)
    print(guidance.report(done))
    print(report(done))


if __name__ == "__main__":
    main()
