"""What is measured, against plain and slow ways to measure the same."""

import cv2
import numpy as np
import pytest

from inframe.core.types import Boxes, Heat, Masks, Scores
from inframe.monitor.signals import SIGNALS, Kind, Listen, Look, names_of, signal_of

LABELS = ("background", "a", "b")


def scene(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = cv2.resize(rng.integers(60, 250, (45, 80, 3), dtype=np.uint8), (640, 360)).astype(np.uint8)
    y, x = np.mgrid[0:360, 0:640]
    pixels[(x - 400) ** 2 + (y - 180) ** 2 > 150**2] = 0
    return np.ascontiguousarray(pixels)


def test_a_picture_is_measured_as_slowly_by_hand() -> None:
    pixels = scene()
    found = Look().picture(pixels)
    thin = pixels[::8, ::8].reshape(-1, 3).astype(float)
    inside = thin[thin.max(axis=1) >= 16]
    luma = inside @ [0.299, 0.587, 0.114]
    assert found["luma"] == pytest.approx(luma.mean(), rel=1e-4)
    assert found["contrast"] == pytest.approx(luma.std(), rel=1e-3)
    assert found["red"] == pytest.approx((inside[:, 0] / inside.sum(axis=1)).mean(), rel=1e-4)
    assert found["saturation"] == pytest.approx((1 - inside.min(axis=1) / inside.max(axis=1)).mean(), rel=1e-3)
    assert found["view"] == pytest.approx(np.pi * 150**2 / (640 * 360), rel=0.03)
    assert found["view_x"] == pytest.approx(400 / 640, abs=0.01)
    assert found["view_y"] == pytest.approx(0.5, abs=0.02)
    assert "change" not in found


def test_each_change_of_a_picture_moves_its_signal() -> None:
    pixels = scene()
    before = Look().picture(pixels)

    def after(changed: np.ndarray) -> dict[str, float]:
        return Look().picture(np.ascontiguousarray(np.clip(changed, 0, 255).astype(np.uint8)))

    assert after(cv2.GaussianBlur(pixels, (0, 0), 2))["sharpness"] < before["sharpness"] - 0.1
    assert after(pixels * 0.7)["luma"] == pytest.approx(0.7 * before["luma"], rel=0.02)
    assert after(pixels * np.array([1, 1, 1.2]))["blue"] > before["blue"] + 0.01
    look = Look()
    look.picture(pixels)
    assert look.picture(pixels)["change"] == 0.0
    assert look.picture(scene(2))["change"] > 1
    black = Look().picture(np.zeros_like(pixels))
    assert (black["luma"], black["view"]) == (0.0, 0.0)
    assert "red" not in black


def test_parts_less_holes_are_those_of_connected_components() -> None:
    for seed in range(20):
        classes = (cv2.resize(np.random.default_rng(seed).random((12, 20)), (80, 48)) > 0.5).astype(np.uint8)
        parts = cv2.connectedComponents(classes, connectivity=4)[0] - 1
        outside = np.pad(1 - classes, 1, constant_values=1)
        holes = cv2.connectedComponents(outside.astype(np.uint8), connectivity=8)[0] - 2
        found = Listen("m", ("background", "a")).output(Masks(classes))
        assert found["m.parts"] == parts - holes


def test_masks() -> None:
    listen = Listen("m", LABELS)
    classes = np.zeros((40, 60), np.uint8)
    classes[:20, :30], classes[30:, 30:] = 1, 2
    found = listen.output(Masks(classes))
    assert found["m.area.a"] == pytest.approx(0.25)
    assert found["m.area.b"] == pytest.approx(300 / 2400)
    assert (found["m.parts"], found["m.empty"]) == (2.0, 0.0)
    half = classes.copy()
    half[:10, :30] = 0
    assert listen.output(Masks(half))["m.steady"] == pytest.approx(600 / 900)
    assert listen.output(Masks(np.zeros_like(classes)))["m.empty"] == 1.0
    assert listen.output(Masks(np.zeros_like(classes)))["m.steady"] == 1.0


def test_other_outputs() -> None:
    scores = Listen("m", LABELS)
    found = scores.output(Scores(np.array([1 / 3, 1 / 3, 1 / 3], np.float32)))
    assert found["m.entropy"] == pytest.approx(1.0)
    found = scores.output(Scores(np.array([0, 1, 0], np.float32)))
    assert (found["m.confidence"], found["m.top.a"], found["m.steady"]) == (1.0, 1.0, 0.0)
    boxes = Listen("m", LABELS)
    one = Boxes(np.array([[0, 0, 0.5, 0.5]], np.float32), np.array([0.5], np.float32), np.array([1], np.int32))
    assert boxes.output(one) == {"m.count": 1, "m.empty": 0, "m.confidence": 0.5, "m.entropy": 1, "m.area": 0.25}
    assert boxes.output(one)["m.steady"] == 1.0
    none = Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))
    assert boxes.output(none) == {"m.count": 0, "m.empty": 1}
    heat = Listen("m", ("light",), 255.0)
    found = heat.output(Heat(np.full((8, 8), 255, np.float32), 255.0))
    assert (found["m.confidence"], found["m.edge"], found["m.empty"]) == (1.0, 0.0, 0.0)


def test_every_name_has_a_scale_and_a_kind() -> None:
    models = {
        "m": ("segmentation", LABELS),
        "luma": ("detection", ("x",)),
        "c": ("classification", LABELS),
        "h": ("heat", ("y",)),
    }
    names = names_of(models, ("near", "missed"))
    assert len(set(names)) == len(names)
    assert all(signal_of(name).low < signal_of(name).high for name in names)
    assert signal_of("luma.count") is SIGNALS["count"]
    assert signal_of("finding:missed").kind is Kind.CASE
