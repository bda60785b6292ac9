"""`kill -9` of a writer at random moments: the log opens, verifies, holds what was acknowledged and shows a gap.

INFRAME_KILLS=200 pytest tests/trail/test_kill.py        the full campaign (the suite does 20)
"""

import os
import random
import signal
from pathlib import Path

import pytest

from inframe.trail.files import Disk
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf
from inframe.trail.verify import verify
from inframe.trail.write import Writer
from tests.trail.made import KEY, SIGNER, Clock, event

KILLS = int(os.environ.get("INFRAME_KILLS", "20"))
A_LOG = 10
"""So many kills to a log."""


def write_for_ever(folder: Path, acks: int, seed: int) -> None:
    """The child: leaves of all sizes, a commit after each few, now and then a publication; a byte for each commit."""
    rng = random.Random(seed)
    w = Writer(Disk(folder), [SIGNER], Clock())
    while True:
        for _ in range(rng.randrange(1, 40)):
            w.append(event(w.header(0), pad="x" * rng.choice((1, 100, 4000))))
        size = w.commit()
        os.write(acks, size.to_bytes(8, "big"))
        if rng.random() < 0.1:
            w.publish()


def one_kill(folder: Path, seed: int) -> int:
    """Start a writer, let it acknowledge a random number of commits and a bit, kill it; returns what it last acknowledged."""
    rng = random.Random(seed)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            write_for_ever(folder, theirs, seed)
        finally:
            os._exit(1)
    os.close(theirs)
    last = int.from_bytes(os.read(ours, 8), "big")
    for _ in range(rng.randrange(12)):
        last = int.from_bytes(os.read(ours, 8), "big")
    for _ in range(rng.randrange(20_000)):  # some time, of no fixed length, into whatever it does now
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(ours, 8):
        last = int.from_bytes(more, "big")
    os.close(ours)
    return last


@pytest.mark.timeout(1800)  # the full campaign takes its time
def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    for seed in range(KILLS):
        folder = tmp_path / str(seed // A_LOG)  # each kill verifies the whole log: one for all would take hours
        folder.mkdir(exist_ok=True)
        acknowledged = one_kill(folder, seed)
        disk = Disk(folder)
        before = verify(disk, KEY)
        assert all("no signature covers" in damage.found for damage in before.damages), before.damages
        log = Log(disk, KEY)
        assert log.size >= acknowledged
        Writer(disk, [SIGNER], Clock()).close()
        disk.unlock()
        report = verify(disk, KEY)
        assert report.damages == []
        assert len(report.gaps) == seed % A_LOG + 1, "a kill without a gap"
        place, gap = report.gaps[-1]
        assert (place, gap.name) == (log.size, "TORN" if log.tail.torn else "NOT_CLOSED")
    closes = [
        made
        for folder in tmp_path.iterdir()
        for _, entry in Log(Disk(folder), KEY).entries()
        if isinstance(made := decode(entry), EventLeaf) and made.events[0].name == "CLOSED"
    ]
    assert len(closes) == KILLS
