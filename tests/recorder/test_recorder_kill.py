"""`kill -9` of the recorder at random moments, while frames go on: each frame is in the trail exactly once, each kill a gap.

INFRAME_KILLS=200 pytest tests/recorder/test_recorder_kill.py        the full campaign (the suite does 12)
"""

import os
import random
import signal
from pathlib import Path

import pytest

from inframe.core.clock import NS_PER_MS, MonotonicClock
from inframe.pipeline.board import Count
from inframe.recorder import main as recorder
from inframe.trail.records import NO_DIGEST, EventKind
from tests.recorder.desk import Desk

KILLS = int(os.environ.get("INFRAME_KILLS", "12"))
BATCH_NS = 4 * NS_PER_MS
"""Commits without end, so that most kills strike one."""


def record_for_ever(desk: Desk, looks: int) -> None:
    """The child: a recorder with its real thread, that looks without pause."""
    desk.clock = MonotonicClock()  # type: ignore[assignment]
    desk.start()
    desk.store.start()
    while True:
        desk.recorder.step()
        if desk.store.health.is_open:
            os.write(looks, b".")


def one_life(desk: Desk, rng: random.Random) -> None:
    """Start a recorder, let frames come while it looks, kill it somewhere in between."""
    looks, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(looks)
            record_for_ever(desk, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    assert os.read(looks, 1), "the recorder did not come up"
    while desk.row.get(Count.FRAMES) < desk.seq:  # what the one before left behind
        assert os.read(looks, 1024)
    for _ in range(rng.randrange(1, 12)):
        desk.frame(look=False)
        for _ in range(rng.randrange(4)):
            assert os.read(looks, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(looks)


@pytest.mark.timeout(1800)  # the full campaign takes its time
def test_kill_9_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "BATCH_NS", BATCH_NS)
    desk = Desk(tmp_path / "trail")
    desk.load("a")
    desk.second()
    desk.kill()  # the first of them, so that each that follows finds something written
    rng = random.Random(1)
    for _ in range(KILLS):
        one_life(desk, rng)
    desk.clock.set(MonotonicClock().now())
    desk.begin()
    desk.second()
    desk.close()
    frames = desk.frames()
    assert [frame.seq for frame in frames] == list(range(1, desk.seq + 1))
    assert [event.name for event in desk.events() if event.kind is EventKind.GAP].count("LOST") == 0
    gaps = [event.name for event in desk.events("NOT_CLOSED", "TORN")]
    assert len(gaps) == KILLS + 1
    for frame in frames:
        assert frame.input in (NO_DIGEST, desk.input_digest(frame.seq))
        assert frame.output in (NO_DIGEST, desk.output_digest(frame.seq))
    assert sum(frame.input != NO_DIGEST for frame in frames) > 30
