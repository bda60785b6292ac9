"""What reaches a screen: every picture in order while it keeps up, else the newest; and what people ask for at it."""

import os
from collections.abc import Callable

import numpy as np

from inframe.core.clock import NS_PER_MS, ManualClock
from inframe.core.types import Controls, Pixels
from inframe.drivers.screens.commands import AUDIO_PAUSE_NS, Command, Wish
from inframe.pipeline import ring
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.screen import BEHIND, STALE_NS, ScreenFeed

WIDTH, HEIGHT, SLOTS = 6, 4, 8


class FakeScreen:
    """Keeps what it was shown; `during` happens while it shows."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, int]] = []
        self.uniform = True
        self.commands: list[Command] = []
        self.during: Callable[[], object] = lambda: None

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert (pixels == pixels[0, 0, 0]).all() or not self.uniform
        self.shown.append((int(pixels[0, 0, 0]), seq, shown_ns))
        self.during()

    def poll(self) -> list[Command]:
        taken, self.commands = self.commands, []
        return taken

    def close(self) -> None:
        pass


class Desk:
    """A screen's feed on a ring of pictures."""

    def __init__(self) -> None:
        self.fd = ring.create("screen", SLOTS, WIDTH * HEIGHT * 3)
        self.writer, self.clock, self.driver = RingWriter(self.fd, ()), ManualClock(), FakeScreen()
        self.board = Board(create_board(2), ("display", "screen.0"))
        self.row = self.board.row("screen.0")
        self.feed = self.start()

    def start(self) -> ScreenFeed:
        return ScreenFeed(self.driver, RingReader(self.fd), (HEIGHT, WIDTH), self.board, self.row, self.clock)

    def picture(self, value: int) -> None:
        self.writer.begin().fill(value)
        self.writer.commit(Header(0, tag=1000 + value, published_ns=5000 + value))

    def step(self) -> list[int]:
        """The pictures that are shown now."""
        before = len(self.driver.shown)
        self.feed.step(lambda: False)
        return [value for value, _, _ in self.driver.shown[before:]]


def test_every_picture_in_order_and_once() -> None:
    desk = Desk()
    assert desk.step() == []
    desk.picture(1)
    assert desk.step() == [1]
    for value in range(2, 2 + SLOTS - BEHIND):
        desk.picture(value)
    assert desk.step() == list(range(2, 2 + SLOTS - BEHIND))
    assert desk.step() == []
    assert desk.driver.shown[0] == (1, 1001, 5001)
    assert (desk.row.get(Count.FRAMES), desk.row.get(Count.DROPPED)) == (1 + SLOTS - BEHIND, 0)
    assert desk.row.heartbeat_ns == desk.clock.now()


def test_a_screen_that_is_about_to_be_overtaken_skips_to_the_newest() -> None:
    desk = Desk()
    desk.picture(1)
    desk.step()
    last = 1 + SLOTS - BEHIND + 1
    for value in range(2, last + 1):
        desk.picture(value)
    assert desk.step() == [last]
    assert desk.row.get(Count.DROPPED) == last - 2
    assert desk.row.get(Count.SEQ) == last


def test_a_slow_screen_counts_all_that_it_did_not_show() -> None:
    desk = Desk()
    value = 0

    def three_more() -> None:
        nonlocal value
        for _ in range(3 if value < 60 else 0):
            value += 1
            desk.picture(value)

    desk.driver.during = three_more
    three_more()
    shown = desk.step()
    assert shown == sorted(set(shown))
    assert shown[-1] == value
    assert desk.row.get(Count.FRAMES) == len(shown)
    assert desk.row.get(Count.FRAMES) + desk.row.get(Count.DROPPED) == value


def test_a_damaged_picture_is_not_shown() -> None:
    desk = Desk()
    for value in (1, 2, 3):
        desk.picture(value)
    memory = np.frombuffer(os.pread(desk.fd, 1 << 20, 0), np.uint8)
    tag = np.frombuffer((1002).to_bytes(8, "little"), np.uint8)
    places = [i for i in range(4096, len(memory) - 8) if (memory[i : i + 8] == tag).all()]
    assert len(places) == 2, "a header before and one behind"
    for at in places:
        os.pwrite(desk.fd, b"\xee\xee", at)
    assert desk.step() == [1, 3]
    assert desk.row.get(Count.DROPPED) == 1


def test_it_stops_when_it_shall() -> None:
    desk = Desk()
    for value in (1, 2, 3):
        desk.picture(value)
    desk.feed.step(lambda: len(desk.driver.shown) == 2)
    assert [value for value, _, _ in desk.driver.shown] == [1, 2]


def test_a_screen_that_is_started_again_shows_nothing_twice() -> None:
    desk = Desk()
    desk.picture(1)
    desk.picture(2)
    desk.step()
    desk.feed = desk.start()
    desk.picture(3)
    assert desk.step() == [3]


def test_a_picture_that_stopped_is_said_to_have_stopped_once_and_until_the_next() -> None:
    desk = Desk()
    desk.feed.check(desk.clock.now() + STALE_NS)
    assert desk.driver.shown == [], "nothing was shown yet, so nothing can be taken for live"
    desk.picture(200)
    desk.step()
    for ms, count in ((499, 1), (1, 2), (1, 2), (5000, 2)):
        desk.clock.advance(ms * NS_PER_MS)
        desk.driver.uniform = False
        desk.feed.check(desk.clock.now())
        assert len(desk.driver.shown) == count
    said, seq, shown_ns = desk.driver.shown[1]
    assert said != 200, "not the old picture as it was"
    assert (seq, shown_ns) == (0, desk.clock.now() - 5001 * NS_PER_MS)
    desk.picture(7)
    desk.step()
    desk.clock.advance(STALE_NS)
    desk.feed.check(desk.clock.now())
    assert len(desk.driver.shown) == 4
    assert desk.row.get(Count.FRAMES) == 2, "only pictures of the device are counted"


def test_what_people_ask_for() -> None:
    desk = Desk()
    desk.board.set_controls(Controls(opacity=0.5))
    desk.driver.commands = [Command(Wish.OPACITY_BY, -0.2), Command(Wish.OVERLAY), Command(Wish.AUDIO_PAUSE)]
    desk.feed.listen(70)
    controls = desk.board.controls()
    assert (controls.opacity, controls.overlay_on, controls.audio_until_ns) == (0.3, False, 70 + AUDIO_PAUSE_NS)
    desk.driver.commands = [Command(Wish.ACKNOWLEDGE), Command(Wish.OVERLAY, 1)]
    desk.feed.listen(90)
    assert (desk.board.controls().acknowledged_ns, desk.board.controls().overlay_on) == (90, True)
    assert desk.row.get(Count.COMMAND) == 0


def test_quitting_is_posted_and_changes_no_control() -> None:
    desk = Desk()
    desk.board.set_controls(Controls(opacity=0.5))
    desk.driver.commands = [Command(Wish.QUIT)]
    desk.feed.listen(70)
    assert desk.row.get(Count.COMMAND) == 1
    assert desk.board.controls() == Controls(opacity=0.5)
