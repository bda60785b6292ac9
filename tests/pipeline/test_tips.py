"""Tips from kinematics: where they are in the picture, against OpenCV; how far from a structure; and what rules make of it."""

import math
from typing import Any

import cv2
import numpy as np
import pytest

from inframe.core.budgets import START_NS
from inframe.core.clock import NS_PER_S
from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.guidance import Camera
from inframe.core.samples import Absent, Aligned, Quality
from inframe.core.types import Controls, Decision, Frame, Masks, Missed, MissedReason
from inframe.pipeline.approach import Approach, approached, contact_s
from inframe.pipeline.decide import decide, initial, make_plan
from inframe.pipeline.project import guides_of, project, rotate, tip_of
from inframe.pipeline.ruleplans import plan_rules
from inframe.pipeline.tips import TipDistance, away_of, own_result, uncovered
from tests.pipeline import script

WIDTH, HEIGHT = 1280, 720
CAMERA = {
    "fx": 900.0,
    "fy": 910.0,
    "cx": 640.0,
    "cy": 350.0,
    "distortion": [-0.2, 0.05, 0.001, -0.002, 0.01],
    "error_px": 0.5,
}
QUARTER = [0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)]
POSE = {
    "sensor": "simulator",
    "signal": "kinematics",
    "rate_hz": 100,
    "channels": {name: {"unit": "m" if len(name) == 1 else ""} for name in ("x", "y", "z", "qx", "qy", "qz", "qw")},
    "rotation": ["qx", "qy", "qz", "qw"],
    "align": {"how": "interpolate", "max_age_ms": 50},
}
TOOL = {"sensor": "pose", "camera": CAMERA}
WHEN: dict[str, Any] = {"kind": "tip_distance", "tool": "hook", "target": "organ", "below": 40, "release": 60}
NEAR: dict[str, Any] = {
    "model": "organs",
    "when": WHEN,
    "absent": "end",
    "clear_s": 0,
    "text": "TIP NEAR",
}


def device(tool: dict[str, Any] | None = None, **rules: Any) -> Device:
    values = script.device().model_dump(mode="json")
    return Device.model_validate(
        values | {"sensors": {"pose": POSE, "ecm": POSE}, "tools": {"hook": TOOL | (tool or {})}, "rules": rules}
    )


def posed(x: float, y: float, z: float, q: tuple[float, ...] = (0, 0, 0, 1)) -> dict[str, Aligned | Absent]:
    """In m."""
    return {"pose": Aligned((x, y, z, *q), 7, 0, 0)}


def test_a_point_is_where_opencv_puts_it() -> None:
    rng = np.random.default_rng(1)
    camera = Camera.model_validate(CAMERA)
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    points = rng.uniform((-60, -40, 80), (60, 40, 200), (200, 3))
    there, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, np.array(camera.distortion))
    for point, (px,) in zip(points, there, strict=True):
        tip = project(camera, (point[0], point[1], point[2]))
        assert tip is not None
        assert (tip.x, tip.y) == pytest.approx(tuple(px), abs=1e-6)
        assert tip.mm_px == pytest.approx(point[2] / 900)
    assert project(camera, (0, 0, 0.5)) is None
    assert project(camera, (0, 0, -100)) is None


def test_a_tip_goes_through_the_tools_axes_the_sensors_and_the_cameras() -> None:
    made = device({"tip_mm": [10, 0, 0], "rotation": QUARTER, "translation_mm": [0, 5, 100], "error_mm": 0.4})
    guide = guides_of(made.tools, made.sensors)["hook"]
    quarter = tuple(QUARTER)
    tip = tip_of(guide, posed(0.02, 0.0, 0.0, quarter))
    # the tip: 20 mm ahead in x, and 10 mm of the tool's x, which points to y; then a quarter turn: (-10, 20, 0); then the shift
    expected = project(made.tools["hook"].camera, (-10, 25, 100))
    assert tip is not None
    assert expected is not None
    assert (tip.x, tip.y, tip.depth_mm) == pytest.approx((expected.x, expected.y, 100))
    assert tip.error_px == pytest.approx(math.hypot(0.5, 0.4 / (100 / 900)))
    assert tip_of(guide, {"pose": Absent(Quality.STALE)}) is None
    assert rotate((0, 0, 0, 1), (1, 2, 3)) == (1, 2, 3)


def test_a_tip_is_where_it_was_while_an_arm_moves_camera_and_tool_alike() -> None:
    """What is fixed to the camera stays in its picture, however the arm that holds it moves; and the camera's way is seen."""
    rotation = [0.6 * math.sin(0.3), 0.0, -0.8 * math.sin(0.3), math.cos(0.3)]
    made = device({"tip_mm": [3, -2, 9], "rotation": rotation, "translation_mm": [4, 5, 120], "carrier": "ecm"})
    guide, at, turn = guides_of(made.tools, made.sensors)["hook"], (0.01, 0.02, -0.015), (0.5, -0.5, 0.5, 0.5)
    still = {"pose": Aligned((*at, *turn), 7, 0, 0), "ecm": Aligned((0, 0, 0, 0, 0, 0, 1), 7, 0, 0)}
    first = tip_of(guide, still)
    assert first is not None
    for seed in range(20):
        rng = np.random.default_rng(seed)
        q = rng.normal(size=4)
        q, shift = q / np.linalg.norm(q), rng.uniform(-0.3, 0.3, 3)
        x, y, z, w = (float(value) for value in q)
        moved = np.add(rotate((x, y, z, w), at), shift)
        samples = {
            "pose": Aligned((*moved, *times((x, y, z, w), turn)), 7, 0, 0),
            "ecm": Aligned((*shift, x, y, z, w), 7, 0, 0),
        }
        tip = tip_of(guide, samples)
        assert tip is not None
        assert (tip.x, tip.y, tip.depth_mm) == pytest.approx((first.x, first.y, first.depth_mm), abs=1e-6)
    nearer = tip_of(guide, still | {"ecm": Aligned((0, 0, 0, *rotation[:3], -rotation[3]), 7, 0, 0)})
    assert nearer is not None
    assert abs(nearer.x - first.x) > 1
    assert tip_of(guide, still | {"ecm": Absent(Quality.STALE)}) is None
    assert guide.streams == ("pose", "ecm")


def times(p: tuple[float, ...], q: tuple[float, ...]) -> tuple[float, ...]:
    """The quaternion of the turn `q`, and then `p`."""
    a, b, c, d = p
    e, f, g, h = q
    return (
        d * e + a * h + b * g - c * f,
        d * f - a * g + b * h + c * e,
        d * g + a * f - b * e + c * h,
        d * h - a * e - b * f - c * g,
    )


def measure(unit: str = "px") -> TipDistance:
    made = device(near=NEAR | {"when": WHEN | {"unit": unit}})
    (plan,) = plan_rules(made, script.labels(made), NS_PER_S // 30)
    assert isinstance(plan.measure, TipDistance)
    return plan.measure


def test_the_distance_is_right_to_half_a_cell_and_negative_on_the_structure() -> None:
    """Against a distance at the frame's own resolution; the mask has a quarter of it."""
    rng = np.random.default_rng(2)
    camera = Camera.model_validate({**CAMERA, "distortion": [0, 0, 0, 0, 0]})
    errors = []
    for _ in range(60):
        full = np.zeros((HEIGHT, WIDTH), np.uint8)
        centre = (int(rng.integers(200, 1000)), int(rng.integers(100, 600)))
        cv2.circle(full, centre, int(rng.integers(20, 120)), 1, -1)
        masks = Masks(np.ascontiguousarray(full[2::4, 2::4]))
        tip = project(camera, (rng.uniform(-60, 60), rng.uniform(-30, 30), 100.0))
        assert tip is not None
        found = away_of(measure().structure, masks, tip)
        inside = full[int(tip.y), int(tip.x)]
        ys, xs = np.nonzero(full != inside)
        true = float(np.min(np.hypot(xs + 0.5 - tip.x, ys + 0.5 - tip.y)))
        assert found is not None
        errors.append(abs(found.px - (-true if inside else true)))
    assert np.median(errors) <= 2
    assert max(errors) <= 5


def test_no_distance_where_there_is_none() -> None:
    camera = Camera.model_validate(CAMERA)
    outside, inside = project(camera, (100, 0, 100)), project(camera, (0, 0, 100))
    assert outside is not None
    assert inside is not None
    structure = measure().structure
    assert away_of(structure, Masks(np.ones((90, 160), np.uint8)), outside) is None
    assert away_of(structure, Masks(np.zeros((90, 160), np.uint8)), inside) is None
    everywhere = away_of(structure, Masks(np.ones((90, 160), np.uint8)), inside)
    assert everywhere is not None
    assert everywhere.px < 0


@pytest.mark.parametrize("seed", range(20))
def test_what_a_tool_hides_is_what_is_beside_it(seed: int) -> None:
    """Against a search over all pixels: what is filled in is the label of one that is as near as any."""
    rng = np.random.default_rng(seed)
    classes = cv2.resize(rng.integers(0, 3, (9, 16), dtype=np.uint8), (64, 36), interpolation=cv2.INTER_NEAREST)
    for _ in range(2):
        a, b = (tuple(map(int, rng.integers(0, (64, 36)))) for _ in range(2))
        cv2.line(classes, a, b, 4, int(rng.integers(1, 8)))
    whole = uncovered(classes, frozenset({4, 5}))
    ys, xs = np.nonzero(classes != 4)
    for y, x in zip(*np.nonzero(classes == 4), strict=True):
        far = np.hypot(ys - y, xs - x)
        near = far <= far.min() * 1.05 + 0.05  # the transform's own tables are that exact
        assert whole[y, x] in set(classes[ys[near], xs[near]].tolist())
    assert (whole[ys, xs] == classes[ys, xs]).all()
    assert uncovered(np.full((4, 4), 4, np.uint8), frozenset({4})).all()


def moving(speed: float, noise: float = 0.0, seconds: float = 1.0) -> Approach:
    """A tip that starts 200 pixels away."""
    rng, track = np.random.default_rng(3), None
    for n in range(int(30 * seconds)):
        px = 200 - speed * n / 30 + float(rng.normal(0, noise)) if noise else 200 - speed * n / 30
        track = approached(track, n * NS_PER_S // 30, px, max(noise, 2.0), WIDTH)
    assert track is not None
    return track


def test_the_time_to_contact_is_that_of_the_approach() -> None:
    assert contact_s(moving(100), WIDTH) == pytest.approx((200 - 100 * 29 / 30) / 100, rel=0.03)
    assert contact_s(moving(-100), WIDTH) is None
    assert contact_s(moving(2), WIDTH) is None, "slower than the edge trembles"
    assert contact_s(moving(250), WIDTH) == 0, "inside"


def test_a_noisy_edge_is_no_approach_and_does_not_hide_one() -> None:
    still = moving(0, noise=5)
    assert abs(still.px - 200) < 5
    assert contact_s(still, WIDTH) is None or still.px / -still.speed > 2
    assert contact_s(moving(100, noise=5), WIDTH) == pytest.approx(1.03, abs=0.3)
    assert still.variances[0] < 25, "it knows better than one distance does"


def test_one_that_has_just_come_into_the_picture_is_believed_to_be_fast() -> None:
    """After three distances: a tenth of a second."""
    assert contact_s(moving(190, seconds=0.1), WIDTH) == pytest.approx((200 - 190 * 2 / 30) / 190, rel=0.1)
    assert (contact_s(moving(0, noise=2, seconds=0.1), WIDTH) or math.inf) > 2, "an edge that trembles is no approach"


def test_after_a_jump_or_a_pause_it_begins_anew() -> None:
    track = moving(100)
    near = approached(track, track.at_ns + NS_PER_S // 30, 12.0, 2.0, WIDTH)
    assert (near.px, near.speed) == (12, 0), "at once: it may be true"
    later = approached(track, track.at_ns + NS_PER_S, track.px - 100, 2.0, WIDTH)
    assert (later.px, later.speed) == (track.px - 100, 0)
    earlier = approached(track, track.at_ns + NS_PER_S // 3, track.px - 33, 2.0, WIDTH)
    assert earlier.speed == pytest.approx(-100, abs=5)


def test_only_the_mask_of_the_very_moment_counts() -> None:
    mask = Masks(np.ones((2, 2), np.uint8))
    fresh = (script.result(6, 100, output=mask), script.result(7, 200, "other", mask))
    assert own_result(measure().model, fresh, 100) is mask
    assert own_result(measure().model, fresh, 200) is None


class Run:
    """A tool that moves in front of an organ in the left quarter of the picture."""

    def __init__(self, tool: dict[str, Any] | None = None, **rules: Any) -> None:
        self.device = device(tool, **rules)
        self.held: Aligned | Absent = Aligned((0, 0, 0, 0, 0, 0, 1), 7, 0, 0)
        self.plan = make_plan(self.device, script.labels(self.device))
        self.now, self.seq = 100 * NS_PER_S, 0
        self.state = initial(self.plan, self.now)
        self.now += START_NS
        self.classes = np.zeros((72, 128), np.uint8)
        self.classes[:, :32] = 1
        for _ in range(30):
            self.frame(Absent(Quality.STALE))

    def frame(self, tip_px: float | Absent, *, late: bool = False, of_before: bool = False) -> Decision:
        """The tip is at this x, in the middle of the height. `of_before`: the model speaks of the frame before only now."""
        self.now += script.PERIOD_NS
        self.seq += 1
        frame = Frame("endoscope", self.seq, self.now, self.now + script.PERIOD_NS, script.PIXELS)
        said: Any = script.result(self.seq, self.now, output=Masks(self.classes))
        if of_before:
            said = script.result(self.seq - 1, self.now - script.PERIOD_NS, output=Masks(np.ones_like(self.classes)))
        results = {"organs": Missed("organs", self.seq, MissedReason.LATE) if late else said}
        pose = {"pose": tip_px} if isinstance(tip_px, Absent) else posed((tip_px - 640) / 900 / 10, 0.0, 0.1)
        samples = {**pose, "ecm": self.held}
        decision, self.state = decide(self.plan, frame, results, {}, Controls(), self.state, samples)
        return decision


def found(decision: Decision) -> dict[str, float]:
    return {finding.rule: finding.value for finding in decision.findings}


FLAT = {"camera": {**CAMERA, "distortion": [0, 0, 0, 0, 0]}}
GRADED = {
    "near": NEAR,
    "close": NEAR | {"when": WHEN | {"below": 15, "release": 25}, "priority": "high"},
    "contact": NEAR | {"when": {"kind": "tip_contact", "tool": "hook", "target": "organ", "below": 1.0}},
}


def test_alerts_are_graded_with_hysteresis_and_contact_comes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOL, "camera", FLAT["camera"])
    run = Run(**GRADED)
    begins: dict[str, float] = {}
    for step in range(120):
        x = 620 - 3 * step  # 90 px a second; the organ ends at 320
        for rule in found(run.frame(x)):
            begins.setdefault(rule, x - 320)
    assert begins["near"] == pytest.approx(38, abs=3)
    assert begins["close"] == pytest.approx(14, abs=3)
    assert begins["contact"] == pytest.approx(88, abs=6), "a second before"
    for _ in range(30):
        decision = run.frame(320 + 57)
    assert found(decision) == {"near": pytest.approx(57, abs=0.5)}, "near until beyond 60; nothing approaches any more"
    for _ in range(30):
        decision = run.frame(320 + 63)
    assert found(decision) == {}


def test_neither_a_late_mask_nor_an_absent_pose_says_where_the_tip_is() -> None:
    run = Run(near=NEAR | {"absent": "keep", "clear_s": 0.2})
    assert found(run.frame(600)) == {}
    run.frame(330)
    assert "near" in found(run.frame(330))
    known = found(run.frame(330))["near"]
    assert found(run.frame(500, late=True))["near"] == known, "the mask was late: nothing is known of this frame"
    assert found(run.frame(500, of_before=True))["near"] == known, "organ everywhere, but a frame ago"
    assert "near" in found(run.frame(Absent(Quality.STALE)))
    ended = Run(near=NEAR)
    ended.frame(330)
    assert found(ended.frame(Absent(Quality.STALE))) == {}


def test_without_the_pose_of_the_arm_that_holds_the_camera_nobody_knows_where_the_tip_is() -> None:
    run = Run({"carrier": "ecm"}, near=NEAR)
    run.frame(330)
    assert "near" in found(run.frame(330))
    run.held = Absent(Quality.STALE)
    assert found(run.frame(330)) == {}


@pytest.mark.parametrize("unit", ["width", "mm"])
def test_other_units(unit: str) -> None:
    run = Run(near=NEAR | {"when": WHEN | {"unit": unit, "below": 50, "release": 50}})
    px = found(Run(near=NEAR).frame(330))["near"]
    assert found(run.frame(330))["near"] == pytest.approx(px / WIDTH if unit == "width" else px * 100 / 900, rel=1e-3)


@pytest.mark.parametrize(
    ("tool", "rule", "said"),
    [
        ({"sensor": "arm"}, {}, "tools.hook.sensor: found 'arm', expected one of sensors: pose, ecm"),
        ({"carrier": "arm"}, {}, "tools.hook.carrier: found 'arm', expected one of sensors: pose, ecm"),
        ({"position": ["x", "y", "w"]}, {}, "tools.hook.position: found 'w', expected one of: x, y"),
        ({"position": ["x", "y", "qx"]}, {}, "tools.hook.position: found units , m, expected all in m or all in mm"),
        ({"rotation": [0, 0, 0, 2]}, {}, "rotation: found a quaternion of length 2, expected 1"),
        (
            {},
            {"when": WHEN | {"tool": "saw"}},
            "rules.near.when.tool: found 'saw', expected one of tools: hook",
        ),
        ({}, {"absent": None}, "absent: found nothing, expected end, keep or raise"),
        ({}, {"model": None, "sensor": "pose"}, "when.kind: found tip_distance, expected one of sample, quality"),
    ],
)
def test_what_can_not_be_is_refused(tool: dict[str, Any], rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        device(tool, near=NEAR | rule)


def test_a_target_that_the_model_has_not_is_refused() -> None:
    made = device(near=NEAR | {"when": WHEN | {"target": "duct"}})
    with pytest.raises(ConfigError, match=r"rules.near.when.target: found duct, expected one of background, organ"):
        make_plan(made, script.labels(made))
