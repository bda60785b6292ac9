"""A real device records, with real processes; one time its recording is killed on the way."""

import os
import signal
from pathlib import Path
from typing import Any

from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.recording import schema
from inframe.recording.events import Packet
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from tests.test_device import go_on_until, open_device, write_device

RULE = {"model": "eye", "when": {"kind": "score", "above": 100}, "text": "BRIGHT"}


def recorded(running: Running) -> int:
    return running.board.row("recording").get(Count.FRAMES)


def again(folder: Path) -> tuple[Report, list[Any]]:
    first = sorted((folder / "recordings").glob("*.000.mcap"))[0]
    recording = open_recording(first)
    return replay(recording, recording.device, Report()), list(open_recording(first).read())


def start(folder: Path) -> Running:
    changes = {"recording": {"folder": "recordings", "codec": "lossless"}, "rules": {"bright": RULE}, "trail": None}
    return open_device(write_device(folder, **changes))


def test_what_a_device_recorded_is_replayed_bit_for_bit(tmp_path: Path) -> None:
    with start(tmp_path) as running:
        go_on_until(running, lambda: recorded(running) > 40)
    report, events = again(tmp_path)
    assert report.held, report.first
    assert not report.cut
    assert report.decisions > 40
    assert report.results > 20
    assert any(isinstance(e, schema.Session) and e.process == "display" for e in events)
    assert next(e.seq for e in events if isinstance(e, Packet)) == 1, "from the first frame on"


def test_a_killed_recording_goes_on_in_a_new_part_and_what_is_there_is_the_same(tmp_path: Path) -> None:
    with start(tmp_path) as running:
        go_on_until(running, lambda: recorded(running) > 40)
        shown = running.board.row("display").get(Count.MISSED)
        pid = running.supervisor.pid("recording")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        before = recorded(running)
        go_on_until(running, lambda: "RECORDER_LOST" in running.board.faults())
        go_on_until(running, lambda: recorded(running) > before + 40)
        assert running.board.row("display").get(Count.MISSED) == shown
    report, events = again(tmp_path)
    assert len(list((tmp_path / "recordings").glob("*.mcap"))) == 2
    assert not report.differences, report.first
    assert report.cut == [sorted((tmp_path / "recordings").iterdir())[0].name]
    assert report.missing["frames"] > 0
    assert sum(isinstance(e, schema.Decision) for e in events) > 80
