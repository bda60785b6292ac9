"""Which frames on trial count as missed."""

from typing import Any

from inframe.onscreen import OnScreen
from inframe.pipeline.board import Count


class Display:
    """What the display has counted."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((Count.FRAMES, Count.IN_TIME, Count.STOOD_IN), 0)

    def get(self, count: Count) -> int:
        return self.counts[count]

    def show(self, frames: int, in_time: int, stood_in: int = 0) -> Any:
        for count, n in ((Count.FRAMES, frames), (Count.IN_TIME, in_time), (Count.STOOD_IN, stood_in)):
            self.counts[count] += n
        return self


def test_nothing_is_missed_before_its_workers_are_up_and_everything_after() -> None:
    display, screen = Display(), OnScreen(10)
    screen.begin(display.show(100, 100), up=False)
    screen.look(display.show(40, 0), up=False)
    screen.look(display.show(3, 0), up=True)
    assert (screen.frames, screen.missed, screen.recent) == (0, 0, 0)
    screen.look(display.show(20, 18, stood_in=1), up=True)
    assert (screen.frames, screen.missed, screen.recent) == (20, 3, 3)
    screen.look(display.show(8, 0), up=False)  # they died: that counts
    assert (screen.frames, screen.missed, screen.recent) == (28, 11, 10)


def test_only_the_newest_frames_are_recent() -> None:
    display, screen = Display(), OnScreen(10)
    screen.begin(display.show(0, 0), up=True)
    screen.look(display.show(6, 0), up=True)
    assert screen.recent == 6
    screen.look(display.show(10, 10), up=True)
    assert (screen.missed, screen.recent) == (6, 0)
