"""A recording opened anywhere, drawn as it was on the screen, and beside a replay of it."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframe.core.errors import ConfigError
from inframe.core.types import Masks
from inframe.recording import schema
from inframe.recording.events import Packet
from inframe.recording.kept import Kept, is_replay, replays_of
from inframe.recording.read import open_recording
from inframe.recording.redraw import Redraw
from inframe.recording.reel import Reel
from inframe.recording.replay import replay
from inframe.recording.report import Report
from inframe.recording.video import Decoder, is_key
from tests.drivers import onnx_models as om
from tests.recording.procedures import Procedure, device

FRAMES = 90


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Procedure(device(tmp_path_factory.mktemp("reel")), seed=5, frames=FRAMES, calm=True).run().write()


def test_any_moment_is_the_frame_that_a_reader_from_the_beginning_finds(path: Path) -> None:
    recording = open_recording(path)
    stream = recording.device.streams[recording.device.display]
    decoder, decisions = Decoder(stream.width, stream.height), {}
    frames: dict[int, tuple[int, Any]] = {}
    for event in recording.read():
        if isinstance(event, Packet):
            frames[event.seq] = event.captured_ns, decoder.decode(event.data)
        elif isinstance(event, schema.Decision):
            decisions[event.seq] = event
    with Reel(path) as reel:
        for seq in (min(frames), 29, 31, 60, 61, max(frames)):
            captured, pixels = frames[seq]
            at = (captured + recording.wall_minus_monotonic_ns - reel.start_ns) / 1e6
            found = reel.moment(at + 0.1)
            assert found is not None
            assert found.packet.seq == seq
            assert np.array_equal(found.pixels, pixels)
            assert found.decision == decisions[seq]
        told = reel.about()
        assert (told["frames"], told["fps"], told["codec"]) == (len(frames), stream.fps, "lossless")
        last = reel.moment(1e9)
        assert last is None  # long after the end there is nothing


def test_key_frames_are_told_from_others(path: Path) -> None:
    packets = [event for event in open_recording(path).read() if isinstance(event, Packet)]
    keys = [i for i, packet in enumerate(packets) if is_key(packet.data)]
    fps = round(open_recording(path).device.streams["endoscope"].fps)
    assert keys == list(range(0, len(packets), fps))
    assert not is_key(b"")
    assert not is_key(b"\0\0\1")


def test_what_is_drawn_is_what_was_on_the_screen(path: Path) -> None:
    with Reel(path) as reel:
        redraw = Redraw(reel.recording.device)
        shown = [found for at in range(0, 2500, 200) if (found := reel.moment(at)) and found.said]
        assert shown
        assert any(isinstance(one.output, Masks) for one in shown[0].said.values())
        assert not np.array_equal(redraw.picture(shown[0]), shown[0].pixels)
        assert redraw.picture(replace(shown[0], decision=None)) is shown[0].pixels


def test_a_replay_that_was_kept_stands_beside_its_recording(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "recordings"
    shutil.copytree(path.parent, copy)
    first = copy / path.name
    recording = open_recording(first)
    other = om.save(tmp_path, om.convolution(labels=3, size=32, seed=9), "other.onnx")
    models = {**recording.device.models, "m": recording.device.models["m"].model_copy(update={"file": str(other)})}
    for changed in (recording.device, recording.device.model_copy(update={"models": models})):
        kept = Kept(recording, changed)
        replay(recording, changed, Report(), kept)
        kept.close()
    same, different = replays_of(first)
    assert (is_replay(same), is_replay(first)) == (True, False)
    with Reel(first) as reel, Reel(same) as as_before, Reel(different) as changed_one:
        differ, redraw = 0, Redraw(reel.recording.device)
        for at in range(100, 2900, 100):
            found = reel.moment(at)
            if found is None or found.decision is None:
                continue
            before, now = as_before.beside(found), changed_one.beside(found)
            assert before.decision == found.decision
            assert np.array_equal(redraw.picture(before), redraw.picture(found))
            assert now.decision is not None
            assert (now.decision.seq, now.decision.verdict) == (found.decision.seq, found.decision.verdict)
            differ += not np.array_equal(redraw.picture(now), redraw.picture(found))
        assert differ > 5


def test_what_is_not_whole_is_one_line(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    cut = tmp_path / "cut.000.mcap"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigError, match=r"index: found none.*being written, or was cut off"):
        Reel(cut)
    with Reel(path) as reel:
        begin, end = min(one.chunk_start_offset for one in reel._summary.chunk_indexes) + 200, len(data) // 3
    damaged = tmp_path / "damaged.000.mcap"
    damaged.write_bytes(data[:begin] + bytes(b ^ 255 for b in data[begin:end]) + data[end:])
    with pytest.raises(ConfigError, match="whole"), Reel(damaged) as reel:
        reel.moment(100)
