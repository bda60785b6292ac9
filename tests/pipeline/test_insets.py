"""Other streams' pictures in the displayed one: where they go, against OpenCV; none that is too old or torn."""

from typing import Any

import cv2
import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.core.types import Controls, Decision, Masks, Mode, Result, Steps, Verdict
from inframe.pipeline import ring
from inframe.pipeline.insets import Insets
from inframe.pipeline.overlay import Overlay
from inframe.pipeline.palette import Look
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.surroundings import Aside
from inframe.pipeline.text import Lettering

OWN, WHOLE = (64, 48), (160, 96)
SHIFTED = [1.2, 0.1, 30.0, -0.05, 1.1, 12.0, 0.0004, 0.0002, 1.0]
PLACED = {"stream": "probe", "at": [0.6, 0.5, 0.4, 0.5], "max_age_ms": 100}
REGISTERED = {"stream": "probe", "transform": SHIFTED, "error_px": 2.14, "opacity": 0.5, "max_age_ms": 100}


def device(*insets: dict[str, Any]) -> Device:
    def camera(size: tuple[int, int]) -> dict[str, Any]:
        return {"camera": "synthetic", "width": size[0], "height": size[1], "fps": 30}

    named = {f"inset{i}": inset for i, inset in enumerate(insets)}
    streams = {"endoscope": camera(WHOLE), "probe": camera(OWN)}
    return Device.model_validate(
        {"device": "test", "streams": streams, "display": "endoscope", "overlay": {"insets": named}}
    )


class Probe:
    """The other stream."""

    def __init__(self, *insets: dict[str, Any]) -> None:
        memory = ring.create("probe", 4, OWN[0] * OWN[1] * 3)
        self.writer, reader = RingWriter(memory, ()), RingReader(memory)
        self.aside = Aside(reader, [p[: OWN[0] * OWN[1] * 3].reshape(OWN[1], OWN[0], 3) for p in reader.payloads])
        self.insets = Insets(device(*insets), {"probe": self.aside}, Lettering(10))
        rng = np.random.default_rng(1)
        self.picture = cv2.GaussianBlur(rng.integers(0, 256, (OWN[1], OWN[0], 3), np.uint8), (5, 5), 0)
        self.under = np.full((WHOLE[1], WHOLE[0], 3), 50, np.uint8)

    def captured(self, ns: int) -> None:
        self.writer.begin()[: self.picture.size] = self.picture.reshape(-1)
        self.writer.commit(Header(0, captured_ns=ns))


def test_a_picture_in_the_picture_is_where_the_device_file_says() -> None:
    probe, into = Probe(PLACED), None
    probe.captured(1000)
    into = probe.under.copy()
    assert probe.insets.draw(into, 1000) == []
    x, y, width, height = 96, 48, 64, 48
    assert np.array_equal(into[y + 1 : y + height - 1, x + 1 : x + width - 1], probe.picture[1:-1, 1:-1])
    into[y : y + height, x : x + width] = 50
    assert (into == 50).all(), "and nowhere else"


@pytest.mark.parametrize(("region", "named"), [((0.7, 0.6, 0.25, 0.3), False), ((0.1, 0.3, 0.3, 0.4), True)])
def test_a_region_under_another_picture_has_no_name_half_hidden_by_it(
    region: tuple[float, float, float, float], named: bool
) -> None:
    probe = Probe(PLACED)
    probe.captured(1000)
    looks = {"m": Look(("background", "liver"), (None, (200, 40, 40)), 1.0)}
    overlay = Overlay("test", looks, *WHOLE, scored=False, insets=lambda _: probe.insets)
    x, y, width, height = (round(share * side) for share, side in zip(region, (*WHOLE, *WHOLE), strict=True))
    classes = np.zeros((WHOLE[1], WHOLE[0]), np.uint8)
    classes[y : y + height, x : x + width] = 1
    shown = (Result("m", 1, 1000, Masks(classes), Steps(0, 0, 0, 0)),)
    stamped: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inframe.pipeline.overlay.stamp", lambda _into, _plate, left, _top: stamped.append(left))
        into = probe.under.copy()
        overlay.draw_over(
            into, probe.under, Decision(Verdict.SHOW, Mode.NOMINAL, (), (), shown), Controls(), 1000, 1000
        )
    assert bool(stamped) is named


def test_a_registered_one_lies_where_opencv_warps_it() -> None:
    probe = Probe(REGISTERED)
    probe.captured(1000)
    into = probe.under.copy()
    (line,) = probe.insets.draw(into, 1000)
    assert len(line) == 1
    matrix = np.array(SHIFTED).reshape(3, 3)
    warped = cv2.warpPerspective(probe.picture, matrix, WHOLE)
    inside = cv2.erode(cv2.warpPerspective(np.full(OWN[::-1], 255, np.uint8), matrix, WHOLE), np.ones((5, 5)))
    expected = (warped.astype(np.float32) + 50) / 2
    assert np.abs(into.astype(np.float32) - expected)[inside == 255].max() <= 4
    outside = cv2.dilate(cv2.warpPerspective(np.full(OWN[::-1], 255, np.uint8), matrix, WHOLE), np.ones((5, 5)))
    assert (into[outside == 0] == 50).all()


@pytest.mark.parametrize("inset", [PLACED, REGISTERED])
def test_a_picture_that_is_too_old_or_of_later_is_not_drawn(inset: dict[str, Any]) -> None:
    probe = Probe(inset)
    for at in (None, 1000):
        if at is not None:
            probe.captured(at + 1)
        into = probe.under.copy()
        assert len(probe.insets.draw(into, 1000)) == 1
        assert (into == 50).all()
    into = probe.under.copy()
    probe.insets.draw(into, 1001 + 100 * NS_PER_MS)
    assert (into != 50).any()
    into = probe.under.copy()
    assert len(probe.insets.draw(into, 1002 + 100 * NS_PER_MS)) == 1
    assert (into == 50).all()


def test_a_picture_that_was_overwritten_meanwhile_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(PLACED)
    probe.captured(1000)
    resize = cv2.resize

    def slow(*args: Any, **more: Any) -> Any:
        for n in range(4):
            probe.captured(1001 + n)
        return resize(*args, **more)

    monkeypatch.setattr(cv2, "resize", slow)
    into = probe.under.copy()
    assert len(probe.insets.draw(into, 1000)) == 1
    assert (into == 50).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stream": "endoscope"}, "overlay.insets.inset0.stream: found 'endoscope', expected another stream .*: probe"),
        ({"at": None}, "found both or neither of at and transform"),
        ({"at": [0.7, 0, 0.4, 0.5]}, "at: found .*, expected a rectangle within the picture"),
        ({"error_px": 1.0}, "error_px: found it without transform"),
        (
            {"at": None, "transform": [1, 0, 0, 1, 0, 0, 0, 0, 1], "error_px": 1},
            "transform: found a matrix that can't be inverted",
        ),
    ],
)
def test_what_can_not_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        device(PLACED | changes)
