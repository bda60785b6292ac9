"""The H.264 file: every picture at its moment, playable after a kill, and one clear line when the disk is full."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from inframe.core.config import FileScreen
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.types import Pixels
from inframe.drivers.cameras.synthetic import encode_number, read_number
from inframe.drivers.screens import open_screen
from inframe.drivers.screens.file import H264Screen
from tests.drivers.check_screen import check_screen, picture

WIDTH, HEIGHT = 320, 240
MS = 1_000_000


def numbered(number: int) -> Pixels:
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    encode_number(pixels, number)
    return pixels


def read_back(path: Path) -> list[tuple[Fraction, Pixels]]:
    with av.open(str(path)) as container:
        return [(f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (33, 17)])
def test_file_is_a_screen(tmp_path: Path, ending: str, width: int, height: int) -> None:
    config = FileScreen(kind="file", path=str(tmp_path / f"out{ending}"))
    check_screen(lambda: open_screen(config, width, height, 30.0), width, height)
    frames = read_back(tmp_path / f"out{ending}")
    assert len(frames) == 14
    assert frames[0][1].shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frames[3][1][:height, :width].astype(int) - picture(width, height, 3)).mean() < 8


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_pictures_come_back_in_order_at_the_moments_at_which_they_were_shown(tmp_path: Path, ending: str) -> None:
    moments = [0, 33, 67, 100, 400, 401, 433, 3000, 3033]  # ms: late ones, a pause, two close together
    screen = H264Screen(tmp_path / f"out{ending}", WIDTH, HEIGHT, 30.0)
    for number, moment in enumerate(moments):
        screen.show(numbered(number), number, 10**15 + moment * MS)
    screen.close()
    frames = read_back(screen.path)
    assert [read_number(pixels) for _, pixels in frames] == list(range(len(moments)))
    assert [round(float(at) * 1000) for at, _ in frames] == moments


def test_colours_survive(tmp_path: Path) -> None:
    screen = H264Screen(tmp_path / "out.mp4", 64, 64, 30.0)
    colours = [(222, 24, 40), (255, 214, 10), (0, 200, 232), (86, 214, 120)]
    for i, colour in enumerate(colours):
        screen.show(np.full((64, 64, 3), colour, np.uint8), i, i * 33 * MS)
    screen.close()
    with av.open(str(screen.path)) as container:
        stream = container.streams.video[0].codec_context
        assert (stream.color_primaries, stream.color_trc, stream.colorspace, int(stream.color_range)) == (1, 1, 1, 1)
        back = [f.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray() for f in container.decode(video=0)]
    for colour, pixels in zip(colours, back, strict=True):
        assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - colour).max() < 4


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"an earlier procedure")
    paths = []
    for _ in range(2):
        screen = H264Screen(tmp_path / "out.mp4", WIDTH, HEIGHT, 30.0)
        screen.show(numbered(1), 1, 0)
        screen.close()
        paths.append(screen.path.name)
    assert paths == ["out.2.mp4", "out.3.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"an earlier procedure"


def test_closing_without_a_picture_leaves_nothing_broken(tmp_path: Path) -> None:
    H264Screen(tmp_path / "out.mp4", WIDTH, HEIGHT, 30.0).close()


def test_another_ending_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"screens.path: found .avi, expected a file that ends in .mp4 or .mkv"):
        H264Screen(tmp_path / "out.avi", WIDTH, HEIGHT, 30.0)


def test_a_folder_that_is_not_there_is_a_fault_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceFault, match="No such file or directory") as caught:
        H264Screen(tmp_path / "no" / "out.mp4", WIDTH, HEIGHT, 30.0)
    assert "\n" not in str(caught.value)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_full_disk_is_a_fault_and_what_was_written_plays(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(5)
    screen = H264Screen(tmp_path / f"out{ending}", WIDTH, HEIGHT, 10.0)
    with file_size_limit(400_000):
        with pytest.raises(DeviceFault, match="can't write the video") as caught:  # noqa: PT012  # one of many shows
            for number in range(200):
                screen.show(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), number, number * 100 * MS)
        assert "\n" not in str(caught.value)
        with pytest.raises(RuntimeError, match="closed"):
            screen.show(numbered(1), 1, 10**12)
        screen.close()
    with av.open(str(screen.path)) as container:
        played = 0
        try:
            for _ in container.decode(video=0):
                played += 1
        except av.FFmpegError:
            pass  # the cut-off end
    assert played >= 1


KILLED = """
import sys, numpy as np
from pathlib import Path
from inframe.drivers.screens.file import H264Screen
from inframe.drivers.cameras.synthetic import encode_number
screen = H264Screen(Path(sys.argv[1]), 320, 240, 30.0)
for number in range(90):
    pixels = np.full((240, 320, 3), 90, np.uint8)
    encode_number(pixels, number)
    screen.show(pixels, number, number * 33_333_333)
print("shown", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_kill_costs_at_most_the_last_second(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "shown\n"
        child.kill()
    numbers = [read_number(pixels) for _, pixels in read_back(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 60
