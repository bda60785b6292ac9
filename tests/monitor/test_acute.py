"""What is wrong with the picture right now."""

from functools import cache

import cv2
import numpy as np
import pytest

from inframe.monitor.acute import ACUTE, RAISED_AFTER, Acute, limits_of
from inframe.monitor.reference import Reference, ReferenceFile
from inframe.monitor.signals import Look, Values
from inframe.monitor.summary import Block
from tests.monitor import monitor_made as made

SIGNALS = ("luma", "sharpness", "saturation", "red", "blue", "view", "view_x", "view_y", "change")
BLOCK_S = 0.5


@cache
def picture(number: int, how: str) -> np.ndarray:
    """A reddish, textured picture with a round view, or what a fault makes of it."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:180, 0:320]
    base = 90 + 40 * np.sin(x / 9) * np.sin(y / 7) + rng.normal(0, 4, (180, 320))
    tint = (1.0, 0.5, 0.4) if how != "out of body" else (0.9, 0.9, 0.92)
    pixels = np.clip(base[..., None] * np.array(tint), 0, 255)
    radius = 85 if how != "wrong camera" else 30
    inside = (x - 160) ** 2 + (y - 90) ** 2 < radius**2
    if how == "lens dirty":
        pixels = cv2.GaussianBlur(pixels, (0, 0), 6)
    if how == "black":
        pixels *= 0.01
    return np.ascontiguousarray(np.where(inside[..., None], pixels, 0).astype(np.uint8))


def block(look: Look, how: str) -> Values:
    """Five looks; all but a frozen camera's differ."""
    one = Block(SIGNALS)
    for i in range(5):
        one.add(look.picture(picture(0, "") if how == "frozen" else picture(1 + i, how)))
    return {name: float(v) for name, v in zip(SIGNALS, one.close(), strict=True) if not np.isnan(v)}


@pytest.fixture(scope="module")
def reference() -> Reference:
    look = Look()
    blocks = [block(look, "") for _ in range(3)][1:]
    file = made.reference_file()
    template = file.signals[0]
    rows = []
    for name in SIGNALS:
        values = np.array([one[name] for one in blocks])
        spread = max(float(np.ptp(values)), 0.02 * abs(float(values.mean())))
        middle = (float(values.mean()),) * len(template.quantiles)
        low, high = float(values.min()) - spread, float(values.max()) + spread
        rows.append(template.model_copy(update={"name": name, "quantiles": middle, "low": low, "high": high}))
    n = len(rows)
    eye = tuple(tuple(float(i == j) for j in range(n)) for i in range(n))
    rows = [row.model_copy(update={"weights": (0.0,) * n}) for row in rows]
    return Reference(ReferenceFile(procedures=100, signals=tuple(rows), correlation=eye, overlap=1))


@pytest.mark.parametrize("how", [row.name for row in ACUTE])
def test_each_fault_is_told_within_two_seconds_and_ends(reference: Reference, how: str) -> None:
    look, acute = Look(), Acute(limits_of(reference))
    for _ in range(6):
        assert acute.step(block(look, "")) == []
    told: list[str] = []
    blocks = 0
    while how not in told:
        blocks += 1
        told += acute.step(block(look, how))
        assert blocks <= 4
    # the fault begins within a block, at worst just behind its beginning: one block more
    assert (blocks + 1) * BLOCK_S <= 2.0
    for _ in range(6):
        acute.step(block(look, ""))
    assert not any(acute.present.values())


def test_one_odd_block_is_nothing_and_without_a_reference_two_faults_are_known() -> None:
    look, acute = Look(), Acute({})
    assert RAISED_AFTER == 2
    told = [name for how in ("", "black", "", "black", "") for name in acute.step(block(look, how))]
    assert told == []
    for how in ("out of body", "wrong camera", "lens dirty", "black", "frozen"):
        for _ in range(3):
            told += acute.step(block(look, how))
    assert told == ["black", "frozen"]
