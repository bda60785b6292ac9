"""The file camera. Time is a ManualClock that its waiting moves: no test sleeps."""

import os
import re
import socket
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.config import FileStream
from inframe.core.errors import ConfigError
from inframe.core.ports import EndOfStream
from inframe.core.types import FrameFlag
from inframe.drivers.cameras import open_camera
from inframe.drivers.cameras.file import FileCamera
from inframe.drivers.cameras.synthetic import read_number
from tests.drivers.cameras.stage import Stage, numbers
from tests.drivers.cameras.videos import FPS, numbered, packets, write_video
from tests.drivers.check_camera import check_camera, read_all

STEP = round(NS_PER_S / FPS)
CLIP = Path(__file__).parents[4] / "shared/data/cholecystectomy/clip.mp4"


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "ten.mp4", numbered(10))


@pytest.mark.parametrize("pace", ["realtime", "fast"])
def test_conforms(stage: Stage, ten: Path, pace: str) -> None:
    if pace == "realtime":
        check_camera(lambda: stage.camera(ten), stage.clock)
    else:
        check_camera(
            lambda: stage.camera(ten, pace="fast", loop=True),
            stage.clock,
            paced=False,
            ready=lambda: stage.clock.advance(1),
        )


def test_open_camera_opens_files(ten: Path) -> None:
    values = {"camera": "file", "path": str(ten), "width": 320, "height": 240, "fps": FPS}
    camera = open_camera(FileStream.model_validate(values), ManualClock())
    assert isinstance(camera, FileCamera)
    assert camera._decoder.stream.codec_context.thread_count == 1, "threads hold frames back, and fight with the worker"
    camera.close()


def test_realtime_frames_come_when_they_are_due(stage: Stage, ten: Path) -> None:
    shots = read_all(stage.camera(ten))
    assert [read_number(pixels) for _, pixels in shots] == list(range(1, 11))
    start = shots[0][0].captured_ns
    for i, (shot, _) in enumerate(shots):
        assert abs(shot.captured_ns - start - i * STEP) <= 10_000
        assert shot.source_ns == shot.captured_ns - start
        assert (shot.dropped, shot.flags) == (0, FrameFlag.NONE)


def test_the_next_frame_is_made_late_in_the_pause(stage: Stage, ten: Path) -> None:
    """The time right after a frame belongs to the worker; decoding begins about 2 ms (and what it takes) before it is
    due."""
    camera = stage.camera(ten)
    into = np.zeros((240, 320, 3), np.uint8)
    first = camera.read(into, 1.0)
    assert first is not None
    camera.read(into, 1.0)
    stage.waits.clear()
    third = camera.read(into, 1.0)
    assert third is not None
    begin, due = stage.waits
    assert due == third.captured_ns
    assert due - begin == pytest.approx(2 * NS_PER_MS, abs=2)


def test_a_late_reader_gets_the_newest_frame_and_the_count(stage: Stage, ten: Path) -> None:
    camera = stage.camera(ten)
    into = np.zeros((240, 320, 3), np.uint8)
    camera.read(into, 1.0)
    stage.clock.advance(4 * STEP + STEP // 2)
    shot = camera.read(into, 1.0)
    assert shot is not None
    assert (read_number(into), shot.dropped) == (5, 3)
    shot = camera.read(into, 1.0)
    assert shot is not None
    assert (read_number(into), shot.dropped) == (6, 0)


def test_a_decoder_that_is_too_slow_still_shows_frames(
    stage: Stage, ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = stage.camera(ten, loop=True)
    decode = camera._decode

    def slowly() -> object:
        stage.clock.advance(5 * STEP)
        return decode()

    monkeypatch.setattr(camera, "_decode", slowly)
    into = np.zeros((240, 320, 3), np.uint8)
    camera.read(into, 1.0)
    stage.clock.advance(30 * STEP)
    for _ in range(10):
        began = stage.clock.now()
        shot = camera.read(into, 1.0)
        assert shot is not None
        assert shot.dropped <= 1
        assert stage.clock.now() - began <= 10 * STEP


def test_a_read_that_ends_before_the_frame_is_due_keeps_the_frame(stage: Stage, tmp_path: Path) -> None:
    camera = stage.camera(write_video(tmp_path / "gap.mp4", numbered(3), times=[0, 1, 91]))
    into = np.zeros((240, 320, 3), np.uint8)
    camera.read(into, 0.3)
    camera.read(into, 0.3)
    began, empty = stage.clock.now(), 0
    while (shot := camera.read(into, 0.3)) is None:
        empty += 1
    assert empty >= 8
    assert shot.captured_ns - began == pytest.approx(90 * STEP, abs=STEP // 100)
    assert (read_number(into), shot.dropped) == (3, 0)


def test_variable_frame_rate(stage: Stage, tmp_path: Path) -> None:
    times = [0, 1, 4, 5, 12, 13]
    shots = read_all(stage.camera(write_video(tmp_path / "vfr.mkv", numbered(6), times=times)))
    assert [read_number(pixels) for _, pixels in shots] == [1, 2, 3, 4, 5, 6]
    for (shot, _), time in zip(shots, times, strict=True):
        assert shot.captured_ns - shots[0][0].captured_ns == pytest.approx(time * STEP, abs=NS_PER_MS)


def test_a_stream_without_time_stamps_runs_at_the_declared_rate(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "raw.h264"
    path.write_bytes(b"".join(packets(numbered(6))))
    shots = read_all(stage.camera(path, fps=10))
    assert [read_number(pixels) for _, pixels in shots] == [1, 2, 3, 4, 5, 6]
    gaps = {after.captured_ns - before.captured_ns for (before, _), (after, _) in pairwise(shots)}
    assert len(gaps) == 1


def test_b_frames_come_in_the_order_of_the_picture(stage: Stage, tmp_path: Path) -> None:
    assert numbers(stage.camera(write_video(tmp_path / "b.mp4", numbered(12), b_frames=3))) == list(range(1, 13))


def test_loops_without_a_seam(stage: Stage, ten: Path) -> None:
    camera = stage.camera(ten, loop=True)
    into = np.zeros((240, 320, 3), np.uint8)
    found, times = [], []
    for _ in range(35):
        shot = camera.read(into, 1.0)
        assert shot is not None
        assert shot.flags == FrameFlag.NONE
        found.append(read_number(into))
        times.append(shot.captured_ns)
    assert found == [i % 10 + 1 for i in range(35)]
    for before, after in pairwise(times):
        assert after - before == pytest.approx(STEP, abs=NS_PER_MS)


def test_fast_gives_every_frame_without_waiting(stage: Stage, ten: Path) -> None:
    camera = stage.camera(ten, pace="fast")
    before = stage.clock.now()
    assert numbers(camera) == list(range(1, 11))
    assert stage.clock.now() == before
    with pytest.raises(EndOfStream):
        camera.read(np.zeros((240, 320, 3), np.uint8), 1.0)


# --- what is no video ------------------------------------------------------------------------------------------------


def expect_refusal(stage: Stage, path: Path, found: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=found) as caught:
        stage.camera(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_video_is_refused_in_one_line(
    stage: Stage, tmp_path: Path, ten: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expect_refusal(stage, tmp_path / "absent.mp4", "no such file", capfd)
    expect_refusal(stage, tmp_path, "a folder", capfd)
    cases: dict[str, tuple[bytes, str]] = {
        "empty.mp4": (b"", "an empty file"),
        "text.mp4": (b"device: nothing of a video\n" * 100, "expected a video file"),
        "noise.mp4": (np.random.default_rng(0).bytes(20_000), "expected a video file"),
        "head.mp4": (ten.read_bytes()[:200], "expected a video file"),
        "half.mp4": (ten.read_bytes()[: ten.stat().st_size // 2], "expected a video file"),
        "zeros.h264": (bytes(5000), "expected a video"),
    }
    for name, (data, found) in cases.items():
        (tmp_path / name).write_bytes(data)
        expect_refusal(stage, tmp_path / name, found, capfd)
    os.mkfifo(tmp_path / "pipe.mp4")
    expect_refusal(stage, tmp_path / "pipe.mp4", "something else than a file", capfd)


def test_sound_alone_is_refused(stage: Stage, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sound.avi"
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 8000, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", 8000
    )
    path.write_bytes(head + bytes(8000))
    expect_refusal(stage, path, "expected a video", capfd)
    import av

    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    expect_refusal(stage, tmp_path / "sound.mkv", "video: found tracks of kind audio", capfd)


def test_a_truncated_recording_ends_early(stage: Stage, tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mkv", numbered(10))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    found = numbers(stage.camera(path, pace="fast"))
    assert 3 <= len(found) < 10


def test_no_file_makes_the_camera_open_another_file_or_address(
    stage: Stage, tmp_path: Path, ten: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Playlists and descriptions name files and addresses; the server would notice."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
        crafted = {
            "remote.m3u8": hls.format(f"http://127.0.0.1:{port}/a.ts"),
            "local.m3u8": hls.format(ten),
            "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nc=IN IP4 127.0.0.1\n"
            "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
            "list.ffconcat": f"ffconcat version 1.0\nfile {ten}\n",
            "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'
            f"<BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>",
        }
        for name, text in crafted.items():
            path = tmp_path / name
            path.write_text(text)
            expect_refusal(stage, path, "expected a video file", capfd)
            disguised = tmp_path / re.sub(r"\..*", ".mp4", name)
            disguised.write_text(text)
            expect_refusal(stage, disguised, "expected a video file", capfd)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("name", ["concat:a.mp4|b.mp4", "http://127.0.0.1:1/a.mp4", "a: b.mp4"])
def test_a_path_is_a_path_whatever_it_looks_like(
    stage: Stage, tmp_path: Path, ten: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(ten.read_bytes())
    assert numbers(stage.camera(Path(name))) == list(range(1, 11))


@pytest.mark.skipif(not CLIP.exists(), reason="the shared cholecystectomy clip is not there")
def test_the_real_clip_plays_whole(stage: Stage) -> None:
    camera = stage.camera(CLIP, (1280, 720), fps=25)
    into = np.zeros((720, 1280, 3), np.uint8)
    for i in range(250):
        shot = camera.read(into, 1.0)
        assert shot is not None
        assert (shot.dropped, shot.flags, shot.source_ns) == (0, FrameFlag.NONE, i * 40 * NS_PER_MS)
    with pytest.raises(EndOfStream):
        camera.read(into, 1.0)
