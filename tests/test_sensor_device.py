"""A device with sensors, with real processes: what it decided, recorded, wrote into its trail and replays, in one run."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from inframe.core.clock import NS_PER_MS
from inframe.core.samples import Absent, Aligned, Quality
from inframe.pipeline.board import Count
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from inframe.trail import trace
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import FrameLeaf
from tests.test_device import go_on_until, open_device, records_of, write_device

HOLD = {"how": "hold", "max_age_ms": 100}
SENSORS: dict[str, Any] = {
    "pose": {
        "sensor": "simulator",
        "signal": "kinematics",
        "rate_hz": 100,
        "drift_ppm": 150,
        "jitter_ms": 3,
        "channels": {name: {"unit": "m" if len(name) == 1 else ""} for name in ("x", "y", "z", "qx", "qy", "qz", "qw")},
        "rotation": ["qx", "qy", "qz", "qw"],
        "align": {"how": "interpolate", "max_age_ms": 100},
    },
    "pressure": {
        "sensor": "csv",
        "path": "pressure.csv",
        "rate_hz": 100,
        "frozen_ms": None,
        "channels": {"abp": {"unit": "mmHg"}},
        "align": HOLD,
        "show": ["abp"],
    },
}
RULES = {
    "high": {
        "sensor": "pressure",
        "when": {"kind": "sample", "channel": "abp", "above": 100},
        "absent": "end",
        "clear_s": 0.1,
        "text": "PRESSURE HIGH",
    },
    "lost": {"sensor": "pose", "when": {"kind": "quality", "among": ["stale"]}, "text": "POSE LOST", "clear_s": 0.1},
}


def pressure(n: int) -> float:
    """Of sample n, at 100 Hz: high in every second half second."""
    return 120.0 + n % 7 if n // 50 % 2 else 80.0 + n % 7


def write(folder: Path) -> Path:
    lines = "".join(f"{n / 100},{pressure(n)}\n" for n in range(6000))
    (folder / "pressure.csv").write_text("time,abp\n" + lines)
    recording = {"folder": "recordings", "codec": "lossless"}
    return write_device(folder, sensors=SENSORS, rules=RULES, recording=recording, trail={"folder": "trail"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A device that ran until its sensors were known and seen, whose pose's process then was killed and came back."""
    folder = tmp_path_factory.mktemp("sensors")
    records: list[Any] = []
    with open_device(write(folder)) as running:
        take = records_of(running)

        def until(what: Any) -> None:
            def look() -> bool:
                new = take()
                records.extend(new)
                return any(what(record) for record in new)

            go_on_until(running, look)

        until(lambda record: isinstance(record.samples["pose"], Aligned))
        until(lambda record: any(finding.rule == "high" for finding in record.findings))
        os.kill(running.supervisor.pid("sensor.pose") or 0, signal.SIGKILL)
        until(lambda record: isinstance(record.samples["pose"], Absent))
        until(lambda record: "SENSOR_LOST" in record.alerts)
        until(lambda record: isinstance(record.samples["pose"], Aligned))
        row = running.board.row("recording")
        enough = row.get(Count.FRAMES) + 40
        go_on_until(running, lambda: row.get(Count.FRAMES) >= enough)
        assert running.board.row("sensor.pose").get(Count.CLOCK_OFFSET_NS) != 0
        records.extend(take())
    return folder, records


def test_each_frame_knew_the_value_of_its_own_moment(made: tuple[Path, list[Any]]) -> None:
    """The recording of the pressure begins with the first frame, so that its value at each frame's capture is known."""
    _, records = made
    frames = [record for record in records if record.seq and isinstance(record.samples["pressure"], Aligned)]
    assert len(frames) > 50
    first = next(record.captured_ns for record in records if record.seq == 1)
    for record in frames:
        said = record.samples["pressure"]
        since = record.captured_ns - first
        n = round((since - said.age_ns) / (10 * NS_PER_MS))
        assert n * 10 * NS_PER_MS == since - said.age_ns
        assert said.values == (pressure(n),)
        assert 0 <= said.age_ns <= 100 * NS_PER_MS
    assert sorted(said.age_ns for r in frames for said in [r.samples["pressure"]])[len(frames) // 2] < 10 * NS_PER_MS


def test_a_sensor_process_that_dies_costs_its_values_and_no_picture(made: tuple[Path, list[Any]]) -> None:
    _, records = made
    poses = [record.samples["pose"] for record in records]
    names = sorted(SENSORS["pose"]["channels"])  # as YAML was written
    reasons = {said.why for said in poses if isinstance(said, Absent)}
    assert reasons <= {Quality.STALE, Quality.CALIBRATING}
    assert Quality.STALE in reasons, "it was dead for longer than max_age_ms"
    for said in poses:
        if isinstance(said, Aligned):
            assert sum(q * q for name, q in zip(names, said.values, strict=True) if name[0] == "q") == pytest.approx(
                1, abs=1e-6
            )
    numbers = [record.seq for record in records if record.seq]
    assert numbers == sorted(numbers)
    assert any(finding.rule == "lost" for record in records for finding in record.findings)


def test_the_trail_says_which_sample_of_which_age_went_into_a_finding(made: tuple[Path, list[Any]]) -> None:
    folder, records = made
    home = Home(folder / "trail")
    (path,), (key,) = home.logs(), home.public_keys()
    log = Log(Disk(path), key)
    by_seq = {record.seq: record for record in records if record.seq}
    seen = 0
    for index, entry in log.entries():
        leaf = decode(entry)
        if not isinstance(leaf, FrameLeaf):
            continue
        assert [(s.stream, s.rules) for s in leaf.sensors] == [("pose", ("lost",)), ("pressure", ("high",))]
        for number, frame in enumerate(leaf.frames):
            record = by_seq.get(frame.seq)
            if record is None:
                continue
            for use, said in zip(frame.samples, record.samples.values(), strict=True):
                why = said.why if isinstance(said, Absent) else Quality.OK
                assert use == (why, said.seq, said.age_ns)
            if any(finding.rule == "high" for finding in frame.findings) and not seen:
                seen = 1
                page = trace.page(trace.trace(log, index, number))
                assert f"pressure: sample {frame.samples[1].seq}, " in page
                assert "read by high" in page
    assert seen


def test_the_recording_replays_with_all_its_samples_bit_for_bit(made: tuple[Path, list[Any]]) -> None:
    folder, _ = made
    recording = open_recording(sorted((folder / "recordings").glob("*.000.mcap"))[0])
    report = replay(recording, recording.device, Report())
    assert report.held, (report.first, report.differences)
    assert report.decisions > 60
    assert not report.missing["samples"]
