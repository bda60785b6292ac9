"""Tips from kinematics on rendered procedures: how far off the distance to the gallbladder is, and what alerts make of it.

    python -m reference.guidance --procedures 8 --seconds 20

The scene knows where a tool's tip is. Its pose is measured 100 times a second with noise, on a clock that drifts, arrives late and
in bursts, and is looked at through a hand-eye calibration that is a little off: the device's own chain from there on (Sensing,
alignment, projection, the shipped model's masks, rules). What the truth is, and when an alert is false, is in `reference.grading`.
Thresholds and the filter were chosen on other procedures (seeds from 960001).
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock, MonotonicClock
from inframe.core.config import Device
from inframe.core.ports import Block
from inframe.core.samples import Aligned, Samples
from inframe.core.types import Masks, Result, Steps
from inframe.core.yamlfile import read_device
from inframe.pipeline.align import Aligner, plan_of
from inframe.pipeline.board import Board, create_board
from inframe.pipeline.model import Model, load_of
from inframe.pipeline.project import rotate, tip_of
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.rules import RulePlan, RuleState, findings, step_rules
from inframe.pipeline.samplering import SampleReader, SampleWriter, create, slots_for
from inframe.pipeline.sense import Sensing
from inframe.pipeline.tips import TipDistance, away_of
from inframe.reference_device import device_file
from inframe.resolve import resolve
from reference import grading
from reference.grading import GRADES, Numbers, Watched
from reference.scene import CLASSES, instruments
from reference.scene.classes import GALLBLADDER
from reference.scene.kinds import KINDS
from reference.scene.procedure import Procedure
from reference.scene.script import Use

WIDTH, HEIGHT, FPS = 640, 360, 30
FULL = 1280 / WIDTH  # distances are told in pixels of 1280x720
FX, DEPTH_MM = 600.0, 100.0
NOISE_MM, TURN_DEG, SHIFT_MM = 0.15, 0.15, 0.2  # of each reading; of the hand-eye calibration
DRIFT, JITTER_MS = 150e-6, 3.0
WARM_S, EARLY_NS, DECIDED_NS = 3.0, NS_PER_MS, 15 * NS_PER_MS
BEGAN = 1000 * NS_PER_S
FIRST_SEED = 990_000
CLEAR_S = 0.3
TOOL_LABELS = ("instrument shaft", "instrument tip")
FINE = (320, 192)  # the mask that distances are taken from: the model's scores, interpolated where it answers coarser
ROAM = 0.28  # how far the tool wanders, in heights of the picture


def device() -> Device:
    """The reference device with a tool, and rules on its tip: near, close, and contact to come."""
    values = resolve(read_device(device_file()), device_file()).model_dump(mode="json")
    pose = {"sensor": "simulator", "signal": "kinematics", "rate_hz": 100, "frozen_ms": None}
    pose |= {"channels": {name: {"unit": "mm"} for name in "xyz"}, "align": {"how": "interpolate", "max_age_ms": 60}}
    camera = {"fx": FX, "fy": FX, "cx": WIDTH / 2, "cy": HEIGHT / 2, "error_px": 0.5}
    tip = {"kind": "tip_distance", "tool": "tool", "target": "gallbladder", "behind": TOOL_LABELS}
    common = {"model": "anatomy", "absent": "keep", "clear_s": CLEAR_S, "persist": {"k": 3, "n": 4}}
    rules = {
        "near": {**common, "when": {**tip, "below": 48 / FULL, "release": 60 / FULL}, "text": "TIP NEAR"},
        "close": {
            **common,
            "when": {**tip, "below": 22 / FULL, "release": 28 / FULL},
            "text": "TIP CLOSE",
            "priority": "high",
        },
    }
    contact = {**tip, "kind": "tip_contact", "below": 1.2, "release": 1.5}
    rules["contact"] = {**common, "when": contact, "text": "TIP ABOUT TO TOUCH"}
    values["models"]["anatomy"]["decode"]["size"] = FINE
    stream = {"camera": "synthetic", "width": WIDTH, "height": HEIGHT, "fps": FPS}
    changes = {"streams": {values["display"]: stream}, "sensors": {"pose": pose}, "rules": rules, "trail": None}
    return Device.model_validate(values | changes | {"tools": {"tool": {"sensor": "pose", "camera": camera}}})


def tip_mm(scene: Procedure, n: int, t: float) -> tuple[float, float, float]:
    """Where the tip of instrument `n` is in the camera's axes."""
    at = scene._note("", instruments.tip_point(scene.tools[n], scene._pose(n, t, scene._aim(t))))
    depth = DEPTH_MM + 15 * np.sin(0.8 * t)
    return (at["x"] - 0.5) * WIDTH / FX * depth, (at["y"] - 0.5) * HEIGHT / FX * depth, float(depth)


def at_work(seed: int, seconds: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Procedure | None:
    """The scene of a seed with one tool, which wanders about the gallbladder."""
    plain = Procedure(seed, (36, 64), FPS)
    if not len(plain.grips):
        return None
    x, y = plain._aim(0.0).picture(plain.grips[0])
    rng = np.random.default_rng(seed)
    kind, side = str(rng.choice(list(KINDS))), float(rng.uniform(-np.pi, np.pi))
    use = Use(kind, -5.0, seconds + 5, side, (float(x), float(y)), ROAM, 0.03, None, False, None)
    return Procedure(seed, size, FPS, replace(plain.script, uses=(use,)))


@dataclass
class Robot:
    """What the device knows of the tool: readings that are a little off and late."""

    scene: Procedure
    n: int
    one: Any
    rng: np.random.Generator
    count: int = 0
    until: int = 0

    def __post_init__(self) -> None:
        board, ring = create_board(1), create("pose", slots_for(self.one), 3)
        self.clock = ManualClock(BEGAN)
        row = Board(board, ("sensor.pose",)).row("sensor.pose")
        self.sensing = Sensing(self.one, SampleWriter(ring), row, self.clock)
        self.reader = SampleReader(ring)
        self.aligner = Aligner({"pose": plan_of(self.one)}, {"pose": self.reader})
        os.close(board)
        os.close(ring)
        half = np.radians(TURN_DEG) / 2
        axis = self.rng.normal(size=3)
        axis *= np.sin(half) / np.linalg.norm(axis)
        self.turn = (float(axis[0]), float(axis[1]), float(axis[2]), float(np.cos(half)))
        self.shift = self.rng.normal(0, SHIFT_MM, 3)

    def samples(self, captured_ns: int, after_ns: int) -> Samples:
        """What is known of a frame so long after its capture."""
        while True:
            true = BEGAN + self.count * 10 * NS_PER_MS
            held = int(self.rng.integers(20, 80)) * NS_PER_MS if self.rng.random() < 0.003 else 0
            arrives = max(self.until, true + held + int(self.rng.exponential(JITTER_MS) * NS_PER_MS))
            if arrives > captured_ns + after_ns:
                break
            self.until, self.count = arrives, self.count + 1
            at = tip_mm(self.scene, self.n, (true - BEGAN) / NS_PER_S - WARM_S)
            read = np.array(rotate(self.turn, at)) + self.shift + self.rng.normal(0, NOISE_MM, 3)
            self.clock.set(max(arrives, self.clock.now()))
            self.sensing.take(Block([read.tolist()], arrives, [round((true - BEGAN) * (1 + DRIFT)) + 77]))
        return self.aligner.at(captured_ns)


class Moment(NamedTuple):
    """One frame of a procedure as the device has it, and what is true of it."""

    i: int
    now_ns: int
    pixels: Any
    tissue: Any
    """The scene's classes, also where a tool hides them."""
    robot: "Robot"
    """What the device knows of the tool: by now what a worker knows when it begins."""
    exact: Samples
    """The true pose."""


def moments(scene: Procedure, seed: int, seconds: float, made: Device) -> Iterator[Moment]:
    """Frame by frame."""
    robot = Robot(scene, 0, made.sensors["pose"], np.random.default_rng(seed))
    for i in range(int(seconds * FPS)):
        now = BEGAN + int((WARM_S + i / FPS) * NS_PER_S)
        pixels, _, _ = scene.frame(i)
        robot.samples(now, EARLY_NS)
        exact: Samples = {"pose": Aligned(tip_mm(scene, 0, i / FPS), 1, 0, 0)}
        yield Moment(i, now, np.ascontiguousarray(pixels), scene.tissue(i), robot, exact)


@dataclass
class Grades:
    """The rules of the device on one procedure."""

    plans: tuple[RulePlan, ...]
    watched: Watched
    states: tuple[RuleState, ...] = ()

    def __post_init__(self) -> None:
        self.states = tuple(RuleState() for _ in self.plans)
        measure = self.plans[0].measure
        assert isinstance(measure, TipDistance)
        self.measure = measure

    def take(self, moment: Moment, output: Any) -> None:
        """One more frame, and what the model says of it."""
        steps = Steps(moment.now_ns, moment.now_ns, moment.now_ns, moment.now_ns)
        fresh = (Result("anatomy", 1, moment.now_ns, output, steps),) if isinstance(output, Masks) else ()
        samples = moment.robot.samples(moment.now_ns, DECIDED_NS)
        self.states = step_rules(self.plans, fresh, moment.now_ns, self.states, ai_on=True, samples=samples)
        watched, tissue = self.watched, Masks(np.ascontiguousarray(moment.tissue, np.uint8))
        watched.true_px.append(self._away(tissue, moment.exact))
        watched.own_px.append(self._away(tissue, samples))
        known = self.states[0].approach
        watched.said_px.append(known.px * FULL if known is not None and known.at_ns == moment.now_ns else np.nan)
        stands = {one.rule for one in findings(self.plans, self.states)}
        for grade in GRADES:
            watched.standing[grade].append(grade in stands)

    def _away(self, masks: Masks, samples: Samples) -> float:
        tip = tip_of(self.measure.guide, samples)
        away = away_of(self.measure.structure, masks, tip) if tip is not None else None
        return away.px * FULL if away is not None else np.nan


def watch(seed: int, seconds: float, made: Device, model: Model, plans: tuple[RulePlan, ...]) -> Watched | None:
    """One procedure; None where there is no gallbladder to work on."""
    scene = at_work(seed, seconds)
    if scene is None:
        return None
    clock, grades = MonotonicClock(), Grades(plans, Watched(seed))
    for moment in moments(scene, seed, seconds, made):
        output, _ = model.run(moment.pixels, clock)
        grades.take(moment, output)
    return grades.watched


def errors(done: list[Watched], which: str, *, off: bool = False) -> list[Numbers]:
    """Of each procedure the errors of the distance, 0 inside; `off`: only where the tip is not on the structure."""
    found = []
    for one in done:
        true, said = np.array(one.true_px), np.array(getattr(one, which))
        error = np.abs(np.maximum(said, 0) - np.maximum(true, 0))
        found.append(error[np.isfinite(error) & ((true > 0) | (not off))])
    return found


def _median(parts: list[Numbers]) -> float:
    return float(np.median(np.concatenate(parts)))


def report(done: list[Watched]) -> str:
    """For the page."""
    lines = [f"procedures {len(done)}, frames {sum(len(one.true_px) for one in done)}"]
    for what, which, off in (
        ("distance error, px of 1280x720", "said_px", False),
        ("the same where the tip is off it", "said_px", True),
        ("by kinematics, clocks and calibration alone", "own_px", False),
    ):
        parts = errors(done, which, off=off)
        middle, low, high = grading.interval(parts, _median)
        every = np.concatenate(parts)
        ends = [float(np.median(part)) for part in parts if len(part)]
        lines.append(
            f"{what}: median {middle:.1f} ({low:.1f} to {high:.1f}), p95 {np.percentile(every, 95):.1f}, {len(every)} frames; "
            f"medians of procedures {min(ends):.1f} to {max(ends):.1f}"
        )
    lines += [_graded(grade, done) for grade in GRADES]
    touched = [lead for one in done for lead in grading.leads(np.array(one.true_px), _warned(one))]
    told = [lead for lead in touched if np.isfinite(lead)]
    spread = f"; lead time median {np.median(told):.2f} s, least {min(told):.2f} s" if told else ""
    return "\n".join([*lines, f"contacts: {len(touched)}, announced before {sum(t > 0 for t in told)}{spread}"])


def _warned(one: Watched) -> list[grading.Span]:
    """When `near` or `contact` stands."""
    return grading.spans([a or b for a, b in zip(one.standing["near"], one.standing["contact"], strict=True)])


def _graded(grade: str, done: list[Watched]) -> str:
    scores = [grading.score(grade, np.array(one.true_px), one.standing[grade]) for one in done]
    rows = [np.array([[s.events, s.found, s.false, s.strictly, s.minutes]], float) for s in scores]

    def share(parts: list[Numbers]) -> float:
        total = np.concatenate(parts).sum(axis=0)
        return float(total[1] / total[0]) if total[0] else float("nan")

    def rate(parts: list[Numbers], column: int = 2) -> float:
        total = np.concatenate(parts).sum(axis=0)
        return float(total[column] / total[4])

    sensitivity, low, high = grading.interval(rows, share)
    false, least, most = grading.interval(rows, rate)
    total = np.concatenate(rows).sum(axis=0)
    exactly = rate(rows, 3)
    return (
        f"{grade}: {total[1]:.0f} of {total[0]:.0f} found, {sensitivity:.3f} ({low:.3f} to {high:.3f}); "
        f"false {total[2]:.0f} in {total[4]:.1f} min, {false:.2f} a minute ({least:.2f} to {most:.2f}); "
        f"strictly {total[3]:.0f}, {exactly:.2f} a minute"
    )


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--procedures", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="procedures behind this seed")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    made = device()
    model = load_of(made, "anatomy")
    model.warm_up(MonotonicClock())
    plans = plan_rules(made, {name: tuple(m.labels) for name, m in made.models.items()}, NS_PER_S // FPS)
    assert CLASSES[GALLBLADDER] == "gallbladder"
    done: list[Watched] = []
    seed = chosen.first
    while len(done) < chosen.procedures:
        seed += 1
        one = watch(seed, chosen.seconds, made, model, plans)
        if one is not None:
            done.append(one)
            print(f"{seed}: median {_median(errors([one], 'said_px')):.1f} px", flush=True)
    print(report(done))


if __name__ == "__main__":
    main()
