"""The display's own parts: what it draws when drawing fails, and what counts as in time."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from inframe.core.clock import ManualClock
from inframe.core.types import Controls, Decision, Frame, Masks, Missed, MissedReason, Mode, Result, Steps, Verdict
from inframe.pipeline import ring
from inframe.pipeline.decide import make_plan
from inframe.pipeline.display import RingSurface, in_time
from inframe.pipeline.ring import RingReader, RingWriter
from tests.pipeline.test_loop import LABELS, device

SHOWN = Result("m", 1, 5, Masks(np.ones((8, 8), np.uint8)), Steps(1, 2, 3, 4))


@dataclass
class Fragile:
    """An overlay that can't draw results."""

    drawn: list[Verdict] = field(default_factory=list)

    def draw(self, into: Any, source: Any, decision: Decision, controls: Controls, now_ns: int) -> None:
        np.copyto(into, source)
        self.draw_over(into, source, decision, controls, now_ns)

    def draw_over(
        self, into: Any, source: Any, decision: Decision, controls: Controls, now_ns: int, captured_ns: int = 0
    ) -> None:
        self.drawn.append(decision.verdict)
        if decision.shown:
            into[:] = 99
            raise IndexError("no such label")


class Steady:
    """Frames that are never overtaken."""

    def still(self, frame: Frame) -> bool:
        return True


def test_an_overlay_that_can_not_be_drawn_costs_the_overlay_and_not_the_picture() -> None:
    memory = ring.create("screen", 4, 16 * 16 * 3)
    failures: list[int] = []
    overlay: Any = Fragile()
    incoming: Any = Steady()
    surface = RingSurface(
        overlay, RingWriter(memory, ()), (16, 16), incoming, ManualClock(), lambda: failures.append(1)
    )
    pixels = np.full((16, 16, 3), 7, np.uint8)
    surface.lay(Frame("endoscope", 1, 5, 50, pixels))
    decision = Decision(Verdict.SHOW, Mode.NOMINAL, (), (), (SHOWN,))
    assert surface.show(Frame("endoscope", 1, 5, 50, pixels), decision, Controls()) > 0
    screen = RingReader(memory)
    header = screen.latest()
    assert header is not None
    assert header.kind == Verdict.WITHHOLD
    assert (screen.payload(header.seq) == 7).all()
    assert overlay.drawn == [Verdict.SHOW, Verdict.WITHHOLD]
    assert failures == [1]


def test_what_was_drawn_is_drawn_once_more_where_nobody_sees_it() -> None:
    memory = ring.create("screen", 4, 16 * 16 * 3)
    overlay: Any = Fragile()
    incoming: Any = Steady()
    failures: list[int] = []
    surface = RingSurface(
        overlay, RingWriter(memory, ()), (16, 16), incoming, ManualClock(), lambda: failures.append(1)
    )
    pixels, screen = np.full((16, 16, 3), 7, np.uint8), RingReader(memory)
    frames = [Frame("endoscope", seq, 5 * seq, 50 * seq, pixels) for seq in (1, 2, 3)]
    surface.redraw(frames[0])
    assert overlay.drawn == []  # nothing yet
    surface.show(frames[0], Decision(Verdict.HOLD, Mode.NOMINAL, (), (), ()), Controls())
    surface.lay(frames[1])
    before = [payload.copy() for payload in screen.payloads]
    surface.redraw(frames[1])
    assert overlay.drawn == [Verdict.HOLD, Verdict.HOLD]
    header = screen.latest()
    assert header is not None
    assert header.tag == 1
    assert all((a == b).all() for a, b in zip(before, screen.payloads, strict=True))
    surface.show(frames[1], Decision(Verdict.SHOW, Mode.NOMINAL, (), (), (SHOWN,)), Controls())
    surface.redraw(frames[2])  # what could not be drawn is not tried again
    assert failures == [1]
    assert overlay.drawn[2:] == [Verdict.SHOW, Verdict.WITHHOLD]


@pytest.mark.parametrize(
    ("said", "seq", "expected"),
    [
        (SHOWN, 1, True),
        (SHOWN, 4, False),  # due, and only an old result is there
        (SHOWN, 2, True),  # not due: an old result that comes is welcome
        (Missed("m", 2, MissedReason.NOT_DUE), 2, True),
        (Missed("m", 4, MissedReason.LATE), 4, False),
        (Missed("m", 4, MissedReason.INVALID), 4, False),
    ],
)
def test_in_time_is_asked_of_the_models_that_are_due(said: Result | Missed, seq: int, expected: bool) -> None:
    plan = make_plan(device(every=3), {"m": LABELS})
    assert in_time(plan, said, seq) is expected
