"""Tips from kinematics on rendered procedures: how far off the distance to the gallbladder is, and what alerts make of it.

    python -m reference.guidance --procedures 8 --seconds 20

The scene knows where a tool's tip is. Its pose is measured 100 times a second with noise, on a clock that drifts, arrives late and
in bursts, and is looked at through a hand-eye calibration that is a little off: the device's own chain from there on (Sensing,
alignment, projection, the shipped model's masks, rules). The truth is the same rules on the scene's own masks and tips.
"""

import argparse
import os
import statistics
from dataclasses import dataclass, field, replace
from typing import Any

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
from inframe.pipeline.tips import TipDistance, distance_px
from inframe.reference_device import device_file
from inframe.resolve import resolve
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
WARM_S, DECIDED_NS = 3.0, 15 * NS_PER_MS
BEGAN = 1000 * NS_PER_S
SLACK_S = 0.5  # a finding may begin or end so much beside its event
FIRST_SEED = 990_000
ROAM = 0.28  # how far the tool wanders, in heights of the picture


def device() -> Device:
    """The reference device with a tool, and rules on its tip: near, close, and contact to come."""
    values = resolve(read_device(device_file()), device_file()).model_dump(mode="json")
    pose = {"sensor": "simulator", "signal": "kinematics", "rate_hz": 100, "frozen_ms": None}
    pose |= {"channels": {name: {"unit": "mm"} for name in "xyz"}, "align": {"how": "interpolate", "max_age_ms": 60}}
    camera = {"fx": FX, "fy": FX, "cx": WIDTH / 2, "cy": HEIGHT / 2, "error_px": 0.5}
    tip = {"kind": "tip_distance", "tool": "tool", "target": "gallbladder"}
    common = {"model": "anatomy", "absent": "keep", "clear_s": 0.3, "persist": {"k": 3, "n": 4}}
    rules = {
        "near": {**common, "when": {**tip, "below": 40 / FULL, "release": 60 / FULL}, "text": "TIP NEAR"},
        "close": {
            **common,
            "when": {**tip, "below": 16 / FULL, "release": 28 / FULL},
            "text": "TIP CLOSE",
            "priority": "high",
        },
    }
    contact = {"kind": "tip_contact", "tool": "tool", "target": "gallbladder", "below": 1.0}
    rules["contact"] = {**common, "when": contact, "text": "TIP ABOUT TO TOUCH"}
    stream = {"camera": "synthetic", "width": WIDTH, "height": HEIGHT, "fps": FPS}
    changes = {"streams": {values["display"]: stream}, "sensors": {"pose": pose}, "rules": rules, "trail": None}
    return Device.model_validate(values | changes | {"tools": {"tool": {"sensor": "pose", "camera": camera}}})


def tip_mm(scene: Procedure, n: int, t: float) -> tuple[float, float, float]:
    """Where the tip of instrument `n` is in the camera's axes."""
    at = scene._note("", instruments.tip_point(scene.tools[n], scene._pose(n, t, scene._aim(t))))
    depth = DEPTH_MM + 15 * np.sin(0.8 * t)
    return (at["x"] - 0.5) * WIDTH / FX * depth, (at["y"] - 0.5) * HEIGHT / FX * depth, float(depth)


def at_work(seed: int, seconds: float) -> Procedure | None:
    """The scene of a seed with one tool, which wanders about the gallbladder."""
    plain = Procedure(seed, (36, 64), FPS)
    if not len(plain.grips):
        return None
    x, y = plain._aim(0.0).picture(plain.grips[0])
    rng = np.random.default_rng(seed)
    kind, side = str(rng.choice(list(KINDS))), float(rng.uniform(-np.pi, np.pi))
    use = Use(kind, -5.0, seconds + 5, side, (float(x), float(y)), ROAM, 0.03, None, False, None)
    return Procedure(seed, (HEIGHT, WIDTH), FPS, replace(plain.script, uses=(use,)))


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
        self.aligner = Aligner({"pose": plan_of(self.one)}, {"pose": SampleReader(ring)})
        os.close(board)
        os.close(ring)
        half = np.radians(TURN_DEG) / 2
        axis = self.rng.normal(size=3)
        axis *= np.sin(half) / np.linalg.norm(axis)
        self.turn = (float(axis[0]), float(axis[1]), float(axis[2]), float(np.cos(half)))
        self.shift = self.rng.normal(0, SHIFT_MM, 3)

    def samples(self, captured_ns: int) -> Samples:
        """What is known of a frame when it is decided."""
        while True:
            true = BEGAN + self.count * 10 * NS_PER_MS
            held = int(self.rng.integers(20, 80)) * NS_PER_MS if self.rng.random() < 0.003 else 0
            arrives = max(self.until, true + held + int(self.rng.exponential(JITTER_MS) * NS_PER_MS))
            if arrives > captured_ns + DECIDED_NS:
                break
            self.until, self.count = arrives, self.count + 1
            at = tip_mm(self.scene, self.n, (true - BEGAN) / NS_PER_S - WARM_S)
            read = np.array(rotate(self.turn, at)) + self.shift + self.rng.normal(0, NOISE_MM, 3)
            self.clock.set(max(arrives, self.clock.now()))
            self.sensing.take(Block([read.tolist()], arrives, [round((true - BEGAN) * (1 + DRIFT)) + 77]))
        return self.aligner.at(captured_ns)


@dataclass
class Measured:
    """One procedure."""

    seed: int
    errors_px: list[float] = field(default_factory=list)
    tip_errors_px: list[float] = field(default_factory=list)
    """With the scene's own masks: what kinematics, clocks and calibration alone are off."""
    true: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    found: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    contacts: list[int] = field(default_factory=list)
    frames: int = 0

    def note(self, spans: dict[str, list[tuple[int, int]]], standing: set[str], frame: int) -> None:
        """Which rules stand at a frame."""
        for rule in standing:
            known = spans.setdefault(rule, [])
            if known and known[-1][1] == frame - 1:
                known[-1] = (known[-1][0], frame)
            else:
                known.append((frame, frame))


def watch(seed: int, seconds: float, made: Device, model: Model, plans: tuple[RulePlan, ...]) -> Measured | None:
    """One procedure; None where there is no gallbladder to work on."""
    scene = at_work(seed, seconds)
    if scene is None:
        return None
    n = 0
    robot, clock, found = (
        Robot(scene, n, made.sensors["pose"], np.random.default_rng(seed)),
        MonotonicClock(),
        Measured(seed),
    )
    measure = plans[0].measure
    assert isinstance(measure, TipDistance)
    states, truths = (tuple(RuleState() for _ in plans),) * 2
    last = 1e9
    for i in range(int(seconds * FPS)):
        t = i / FPS
        now = BEGAN + int((WARM_S + t) * NS_PER_S)
        pixels, label, _ = scene.frame(i)
        output, _ = model.run(np.ascontiguousarray(pixels), clock)
        samples = robot.samples(now)
        exact: Samples = {"pose": Aligned(tip_mm(scene, n, t), 1, 0, 0)}
        truth = Masks(np.ascontiguousarray(label, np.uint8))
        states = _step(plans, output, samples, now, states)
        truths = _step(plans, truth, exact, now, truths)
        found.note(found.found, {f.rule for f in findings(plans, states)}, i)
        found.note(found.true, {f.rule for f in findings(plans, truths)}, i)
        true_tip, tip = tip_of(measure.guide, exact), tip_of(measure.guide, samples)
        true_px = distance_px(measure, truth, true_tip) if true_tip is not None else None
        px = distance_px(measure, output, tip) if tip is not None and isinstance(output, Masks) else None
        if true_px is not None and px is not None:
            found.errors_px.append(abs(px - true_px) * FULL)
        own_px = distance_px(measure, truth, tip) if tip is not None else None
        if true_px is not None and own_px is not None:
            found.tip_errors_px.append(abs(own_px - true_px) * FULL)
        if true_px is not None:
            if true_px * FULL < 4 <= last:
                found.contacts.append(i)
            last = true_px * FULL
        found.frames += 1
    return found


def _step(
    plans: tuple[RulePlan, ...], output: Any, samples: Samples, now: int, states: tuple[RuleState, ...]
) -> tuple[RuleState, ...]:
    fresh = (Result("anatomy", 1, now, output, Steps(now, now, now, now)),) if isinstance(output, Masks) else ()
    return step_rules(plans, fresh, now, states, ai_on=True, samples=samples)


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    slack = int(SLACK_S * FPS)
    return a[0] <= b[1] + slack and b[0] <= a[1] + slack


def report(done: list[Measured]) -> str:
    """For the page."""
    errors = [statistics.median(one.errors_px) for one in done if one.errors_px]
    every = [error for one in done for error in one.errors_px]
    own = [error for one in done for error in one.tip_errors_px]
    lines = [
        f"procedures {len(done)}, frames {sum(one.frames for one in done)}, with a distance {len(every)}",
        f"distance error, px of 1280x720: median {statistics.median(every):.1f}, p95 {np.percentile(every, 95):.1f}",
        f"by kinematics, clocks and calibration alone: median {statistics.median(own):.1f}, p95 {np.percentile(own, 95):.1f}",
        f"medians of procedures: {min(errors):.1f} to {max(errors):.1f}",
    ]
    minutes = sum(one.frames for one in done) / FPS / 60
    for rule in ("near", "close", "contact"):
        true = [(one, span) for one in done for span in one.true.get(rule, [])]
        hit = sum(any(_overlap(span, other) for other in one.found.get(rule, [])) for one, span in true)
        false = sum(
            not any(_overlap(span, other) for other in one.true.get(rule, []))
            for one in done
            for span in one.found.get(rule, [])
        )
        lines.append(
            f"{rule}: {hit} of {len(true)} events found, {false} false alerts in {minutes:.1f} min ({false / minutes:.2f} a minute)"
        )
    leads = []
    for one in done:
        for contact in one.contacts:
            spans = [*one.found.get("near", []), *one.found.get("contact", [])]
            standing = [span[0] for span in spans if span[0] <= contact <= span[1] + FPS // 2]
            if standing:
                leads.append((contact - min(standing)) / FPS)
    total = sum(len(one.contacts) for one in done)
    told = f"median {statistics.median(leads):.2f} s, least {min(leads):.2f} s" if leads else "-"
    lines.append(f"contacts (nearer than 4 px): {total}; announced before {len(leads)}, lead time {told}")
    return "\n".join(lines)


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--procedures", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    made = device()
    model = load_of(made, "anatomy")
    model.warm_up(MonotonicClock())
    plans = plan_rules(made, {name: tuple(m.labels) for name, m in made.models.items()}, NS_PER_S // FPS)
    assert CLASSES[GALLBLADDER] == "gallbladder"
    done: list[Measured] = []
    seed = FIRST_SEED
    while len(done) < chosen.procedures:
        seed += 1
        one = watch(seed, chosen.seconds, made, model, plans)
        if one is not None:
            done.append(one)
            print(f"{seed}: {one.frames} frames, {len(one.errors_px)} distances, {one.true}", flush=True)
    print(report(done))


if __name__ == "__main__":
    main()
