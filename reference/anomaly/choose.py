"""Choose thresholds on procedures of their own: ``python -m reference.anomaly.choose --models DIR``.

The kinds of HELD_OUT are not among them. What is chosen goes to ``thresholds.json``, and the anomaly model's logits into
the model itself (``shift``), so that a device needs to know of none: 0 is where each channel begins to count.
"""

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from inframe.core.clock import NS_PER_S
from inframe.core.types import Priority
from inframe.pipeline.measure import Area
from inframe.pipeline.rules import RulePlan
from reference.anomaly.baselines import ColourModel, as_maps, doubt
from reference.anomaly.channels import CHANNELS
from reference.anomaly.judge import ALERTS, REGION, Outcome, classes_of, findings, judge
from reference.anomaly.run import logits_of, maps_of, session
from reference.anomaly.scripts import CHOOSING, FAULTS, HELD_OUT
from reference.anomaly.watch import CELLS, Watched, cases, kept
from reference.scene.litter import FOREIGN

KINDS = tuple(kind for kind in FAULTS if kind not in HELD_OUT)
EACH, WITHOUT, SECONDS = 7, 24, 6.0
ALLOWED = 0.5  # false alerts a minute, of both rules together
LOGITS = tuple(np.arange(0.0, 6.01, 0.5).tolist())
AREAS = (0, 1, 3, 6)  # cells, more than which
LASTS = ((4, 6), (6, 9), (9, 12))  # k of n results, 15 a second
Maps = NDArray[np.float32]
MapsAt = Callable[[float], Sequence[Maps]]


@dataclass(frozen=True)
class Choice:
    """What makes a rule, and what it gave on the procedures that it was chosen on."""

    threshold: float
    cells: int
    k: int
    n: int
    found: float
    worst: float
    false_a_minute: float

    def plan(self, rule: str) -> RulePlan:
        """The rule of the device file, with what was chosen filled in."""
        above = area(self.cells)
        measure = Area("anomaly", (ALERTS[rule],))
        name = Priority.MEDIUM
        return RulePlan(
            rule, measure, above, None, above, self.k, self.n, None, NS_PER_S, NS_PER_S, NS_PER_S // 7, rule, name
        )


def area(cells: int) -> float:
    """The share of the region that is passed when more than so many cells count."""
    return (cells + 0.5) / (CELLS[0] * CELLS[1])


def outcomes(seen: Sequence[Watched], maps: Iterable[Maps], plans: tuple[RulePlan, ...]) -> list[Outcome]:
    """How every procedure goes with these rules."""
    results = []
    for one, some in zip(seen, maps, strict=True):
        classes = classes_of(some)
        standing = findings(classes, plans, "anomaly", REGION)
        results.append(judge((one.seed, one.kind), classes, standing, one.wrong, one.visible, one.kind in FOREIGN))
    return results


def rates(results: Iterable[Outcome]) -> tuple[dict[str, tuple[int, int]], float]:
    """By kind: found, of how many that were visible; and false alerts a minute."""
    hits: dict[str, list[bool]] = defaultdict(list)
    alerts, seconds = 0, 0.0
    for one in results:
        alerts, seconds = alerts + len(one.false), seconds + one.seconds
        if one.kind and one.visible_at is not None:
            hits[one.kind].append(one.found)
    return {kind: (sum(some), len(some)) for kind, some in hits.items()}, 60 * alerts / seconds


def search(
    rule: str,
    kinds: Iterable[str],
    seen: Sequence[Watched],
    maps_at: MapsAt,
    thresholds: Iterable[float],
    allowed: float,
) -> Choice:
    """What finds most at no more false alerts than allowed: the mean over kinds decides, then the worst of them."""
    best = Choice(float("inf"), 0, 1, 1, 0.0, 0.0, 0.0)
    for threshold in thresholds:
        maps = list(maps_at(threshold))
        for cells, (k, n) in itertools.product(AREAS, LASTS):
            trial = Choice(threshold, cells, k, n, 0, 0, 0)
            found, alerts = rates(outcomes(seen, maps, (trial.plan(rule),)))
            shares = [found[kind][0] / found[kind][1] for kind in kinds if kind in found]
            one = Choice(threshold, cells, k, n, float(np.mean(shares)), min(shares), alerts)
            if alerts <= allowed and (one.found, one.worst, -alerts) > (best.found, best.worst, -best.false_a_minute):
                best = one
    print(f"{rule}: {best}", flush=True)
    return best


def only(maps: Sequence[Maps], channel: int, threshold: float) -> list[Maps]:
    """Maps in which one channel counts, from a threshold on, and a dirty lens may outvote it."""
    shift = np.full((1, len(CHANNELS), 1, 1), 99, np.float32)
    shift[0, channel], shift[0, 2] = threshold, 0
    return [some - shift for some in maps]


def write_shift(path: Path, shift: NDArray[np.float32]) -> None:
    """Put thresholds into a model, in place of those that are there."""
    model = onnx.load(path)
    (found,) = [one for one in model.graph.initializer if one.name == "shift"]
    found.CopyFrom(numpy_helper.from_array(shift.reshape(1, -1, 1, 1).astype(np.float32), "shift"))
    onnx.save(model, path)


def _quantiles(scores: Sequence[Maps], seen: Sequence[Watched]) -> list[float]:
    sound = np.concatenate([some.ravel() for some, one in zip(scores, seen, strict=True) if one.kind is None])
    return [float(x) for x in np.quantile(sound, [0.97, 0.99, 0.997, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 1.0])]


def choose_model(path: Path, seen: Sequence[Watched]) -> dict[str, Choice]:
    """Thresholds for both rules; they are in the model when this returns. Half of the false alerts are allowed to the first,
    and what it leaves to the second."""
    write_shift(path, np.zeros(len(CHANNELS), np.float32))
    model = session(path)
    maps = [maps_of(model, one.pictures) for one in seen]
    chosen, shift, allowed = {}, np.zeros(len(CHANNELS), np.float32), ALLOWED / 2
    for rule, label in ALERTS.items():
        kinds = [kind for kind in KINDS if (kind in FOREIGN) == (rule == "foreign_object_left")]

        def maps_at(threshold: float, channel: int = label - 1) -> Sequence[Maps]:
            return only(maps, channel, threshold)

        chosen[rule] = search(rule, kinds, seen, maps_at, LOGITS, allowed)
        allowed = ALLOWED - chosen[rule].false_a_minute
        shift[label - 1] = min(chosen[rule].threshold, 99)
    write_shift(path, shift)
    both = [some - shift.reshape(1, -1, 1, 1) for some in maps]
    found, alerts = rates(outcomes(seen, both, tuple(chosen[rule].plan(rule) for rule in ALERTS)))
    print(
        "both:", ", ".join(f"{kind} {a}/{b}" for kind, (a, b) in sorted(found.items())), f"{alerts:.2f} false a minute"
    )
    return chosen


def choose_baselines(folder: Path, seen: Sequence[Watched]) -> dict[str, Choice]:
    """Thresholds for both baselines, with all of the false alerts allowed to their one rule."""
    colour = ColourModel.learn([one.pictures for one in seen if one.kind is None])
    colour.save(folder / "colour-model.npy")
    anatomy = session(folder / "anatomy.onnx")
    chosen = {}
    for name, scores in (
        ("colour", [colour.scores(one.pictures) for one in seen]),
        ("doubt", [doubt(logits_of(anatomy, one.pictures)) for one in seen]),
    ):

        def maps_at(threshold: float, some: Sequence[Maps] = tuple(scores)) -> Sequence[Maps]:
            return [as_maps(one, threshold) for one in some]

        print(name, end=" ")
        chosen[name] = search("instrument_anomaly", KINDS, seen, maps_at, _quantiles(scores, seen), ALLOWED)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with anomaly.onnx and anatomy.onnx")
    parser.add_argument("--data", type=Path, help="folder that keeps rendered procedures (default: MODELS/choosing)")
    parser.add_argument("--each", type=int, default=EACH, help="procedures of each kind")
    parser.add_argument("--without", type=int, default=WITHOUT, help="procedures with nothing wrong")
    parser.add_argument("--baselines", action="store_true", help="choose the baselines' thresholds too")
    options = parser.parse_args()
    data = options.data or options.models / "choosing"
    seen = [kept(data, seed, kind, SECONDS) for seed, kind in cases(CHOOSING, KINDS, options.each, options.without)]
    path = options.models / "thresholds.json"
    chosen = json.loads(path.read_text()) if path.exists() else {}
    chosen.update({rule: asdict(one) for rule, one in choose_model(options.models / "anomaly.onnx", seen).items()})
    if options.baselines:
        chosen.update({name: asdict(one) for name, one in choose_baselines(options.models, seen).items()})
    path.write_text(json.dumps(chosen, indent=1) + "\n")


if __name__ == "__main__":
    main()
