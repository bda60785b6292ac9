"""A capture process's step, with a camera that does what it is told to; and how the loop knows a frozen camera."""

import math
from collections import deque
from typing import Any

import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.config import SyntheticStream
from inframe.core.errors import DeviceFault
from inframe.core.ports import EndOfStream, Shot
from inframe.core.types import FrameFlag, NoSignal, Pixels
from inframe.pipeline import loop, ring
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.capture import Capture
from inframe.pipeline.ring import Header, RingReader, RingWriter

WIDTH, HEIGHT, SLOTS = 16, 32, 4
STREAM = SyntheticStream(camera="synthetic", width=WIDTH, height=HEIGHT, fps=30)


class FakeCamera:
    """Gives what it was filled with, in order: a Shot and the value of all its pixels, None, or an exception."""

    width, height = WIDTH, HEIGHT

    def __init__(self, *events: tuple[Shot, int] | Exception | None) -> None:
        self.events = deque(events)

    def read(self, into: Pixels, timeout_s: float) -> Shot | None:
        assert into.shape == (HEIGHT, WIDTH, 3)
        assert 0 < timeout_s < 0.4, "longer than a heartbeat may be away"
        event = self.events.popleft()
        into.fill(255)  # half written, whatever comes of it
        if isinstance(event, Exception):
            raise event
        if event is None:
            return None
        shot, value = event
        into.fill(value)
        return shot

    def close(self) -> None:
        pass


class Desk:
    """A capture on a ring, with its row and a clock."""

    def __init__(self) -> None:
        fd = ring.create("frames", SLOTS, WIDTH * HEIGHT * 3)
        writer = RingWriter(fd, ())
        views = [p.reshape(HEIGHT, WIDTH, 3) for p in writer.payloads]
        self.clock, self.reader = ManualClock(), RingReader(fd)
        self.board = Board(create_board(2), ("capture.endoscope", "display"))
        self.row = self.board.row("capture.endoscope")
        self.capture = Capture(STREAM, writer, views, self.row, self.clock)

    def newest(self) -> tuple[Header, int]:
        header = self.reader.latest()
        assert header is not None
        pixels = self.reader.payload(header.seq)
        assert (pixels == pixels[0]).all()
        return header, int(pixels[0])


def test_a_frame_goes_into_its_slot_with_all_that_the_camera_says() -> None:
    desk = Desk()
    shot = Shot(desk.clock.now() - 5 * NS_PER_MS, source_ns=77, flags=FrameFlag.CORRUPT | FrameFlag.RESIZED, dropped=3)
    assert desk.capture.step(FakeCamera((shot, 9)))
    header, value = desk.newest()
    assert value == 9
    assert header == Header(1, 1, shot.captured_ns, desk.clock.now(), 77, int(shot.flags), 3)
    expected = {
        Count.FRAMES: 1,
        Count.SEQ: 1,
        Count.DROPPED: 3,
        Count.CORRUPT: 1,
        Count.LATENCY_NS: 5 * NS_PER_MS,
    }
    assert {count: desk.row.get(count) for count in expected} == expected
    assert desk.row.heartbeat_ns == desk.clock.now()


def test_a_camera_without_a_time_of_its_own() -> None:
    desk = Desk()
    desk.capture.step(FakeCamera((Shot(5), 1)))
    assert desk.newest()[0].source_ns == 0
    assert (desk.row.get(Count.DROPPED), desk.row.get(Count.CORRUPT)) == (0, 0)


def test_frames_are_numbered_as_they_come_and_what_was_dropped_adds_up() -> None:
    desk = Desk()
    camera = FakeCamera(*((Shot(i, dropped=i % 3), i) for i in range(1, 20)))
    for i in range(1, 20):
        desk.clock.advance(NS_PER_MS)
        assert desk.capture.step(camera)
        header, value = desk.newest()
        assert (header.seq, header.tag, value) == (i, i, i)
    assert desk.row.get(Count.DROPPED) == sum(i % 3 for i in range(1, 20))
    assert desk.row.get(Count.FRAMES) == 19


def test_no_frame_in_time_is_no_frame_and_a_heartbeat() -> None:
    desk = Desk()
    desk.capture.step(FakeCamera((Shot(1), 5)))
    desk.clock.advance(NS_PER_S)
    assert not desk.capture.step(FakeCamera(None))
    header, value = desk.newest()
    assert (header.seq, value) == (1, 5)
    assert desk.row.get(Count.FRAMES) == 1
    assert desk.row.heartbeat_ns == desk.clock.now()


@pytest.mark.parametrize("error", [EndOfStream(), DeviceFault("lost")])
def test_the_end_and_a_loss_are_passed_on_and_leave_the_last_frame(error: Exception) -> None:
    desk = Desk()
    desk.capture.step(FakeCamera((Shot(1), 5)))
    with pytest.raises(type(error)):
        desk.capture.step(FakeCamera(error))
    assert desk.newest()[1] == 5
    desk.capture.step(FakeCamera((Shot(2), 6)))
    assert desk.newest()[0].seq == 2


def test_a_recording_played_as_fast_as_possible_waits_for_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    display = desk.capture.follow = desk.board.row("display")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        desk.clock.advance(NS_PER_MS)
        display.beat(desk.clock.now())
        if len(waited) == 5:
            display.set(Count.SEQ, 1)

    monkeypatch.setattr("time.sleep", sleep)
    desk.capture.step(FakeCamera((Shot(1), 5)))
    assert len(waited) == 5


def test_a_display_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.capture.follow = desk.board.row("display")
    desk.capture.follow.beat(desk.clock.now())
    monkeypatch.setattr("time.sleep", lambda _: desk.clock.advance(NS_PER_S // 10))
    begin = desk.clock.now()
    desk.capture.step(FakeCamera((Shot(1), 5)))
    assert NS_PER_S <= desk.clock.now() - begin < 2 * NS_PER_S


# --- a frozen camera -------------------------------------------------------------------------------------------------

PERIOD = 33 * NS_PER_MS


class Watch:
    """The loop's `Incoming` on a ring of pictures."""

    def __init__(self, frozen_ms: float = 300) -> None:
        fd = ring.create("frames", SLOTS, WIDTH * HEIGHT * 3)
        self.writer, self.clock, self.steps = RingWriter(fd, ()), ManualClock(), 0
        reader = RingReader(fd)
        views = [p.reshape(HEIGHT, WIDTH, 3) for p in reader.payloads]
        known: dict[str, Any] = {"period_ns": PERIOD, "deadline_ns": PERIOD, "stall_ns": 10 * NS_PER_S}
        self.incoming = loop.Incoming(
            "endoscope",
            reader,
            views,
            frozen_ns=frozen_ms * NS_PER_MS,
            clock=self.clock,
            wait=lambda _until: False,
            stopping=lambda: False,
            skipped=lambda _n: None,
            idle=lambda: None,
            **known,
        )
        self.frames = iter(self.incoming)

    def see(self, picture: Pixels, flags: FrameFlag = FrameFlag.NONE) -> FrameFlag:
        """The flags of the next frame, a period later, with these pixels."""
        self.clock.advance(PERIOD)
        self.writer.begin()[:] = picture.reshape(-1)
        self.writer.commit(Header(0, captured_ns=self.clock.now(), flags=int(flags)))
        frame = next(self.frames)
        assert not isinstance(frame, NoSignal)
        self.incoming.remember(frame)
        return frame.flags


def picture(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def test_the_same_picture_for_too_long_is_a_frozen_camera_until_another_comes() -> None:
    watch = Watch()
    flags = [watch.see(picture(1)) for _ in range(15)]
    first = flags.index(FrameFlag.FROZEN)
    assert first * PERIOD >= 300 * NS_PER_MS > (first - 1) * PERIOD
    assert flags[first:] == [FrameFlag.FROZEN] * (15 - first)
    later = [watch.see(picture(i)) for i in range(2, 6)]
    assert later[1:] == [FrameFlag.NONE] * 3  # the first new picture is looked at after it was handed on


def test_pictures_that_change_never_freeze() -> None:
    watch = Watch()
    assert {watch.see(picture(i)) for i in range(40)} == {FrameFlag.NONE}
    assert {watch.see(picture(i % 2)) for i in range(40)} == {FrameFlag.NONE}


def test_a_flag_of_the_camera_stays_beside_it() -> None:
    watch = Watch()
    flags = [watch.see(picture(1), FrameFlag.CORRUPT) for _ in range(12)]
    assert flags[0] == FrameFlag.CORRUPT
    assert flags[-1] == FrameFlag.CORRUPT | FrameFlag.FROZEN


def test_without_a_limit_nothing_is_ever_frozen() -> None:
    watch = Watch(math.inf)
    assert {watch.see(picture(1)) for _ in range(100)} == {FrameFlag.NONE}


def test_a_lost_signal_begins_the_count_anew() -> None:
    watch = Watch()
    for _ in range(8):
        assert watch.see(picture(1)) == FrameFlag.NONE
    watch.incoming.remember(NoSignal("endoscope", 0, watch.clock.now()))
    flags = [watch.see(picture(1)) for _ in range(12)]
    assert flags[:8] == [FrameFlag.NONE] * 8
    assert flags[-1] == FrameFlag.FROZEN


def test_a_camera_that_comes_back_from_a_pause_with_the_same_picture_is_not_taken_for_alive() -> None:
    watch = Watch()
    watch.see(picture(1))
    watch.clock.advance(NS_PER_S)
    watch.see(picture(1))
    assert watch.see(picture(1)) == FrameFlag.FROZEN
