"""What reaches the buffer: size, rotation, colour, damage; through the file camera."""

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from inframe.core.errors import ConfigError
from inframe.core.types import FrameFlag
from inframe.drivers.cameras.avsource import Damage
from inframe.drivers.cameras.synthetic import read_number
from tests.drivers.cameras.stage import Stage, numbers
from tests.drivers.cameras.videos import numbered, packets, solid, write_video
from tests.drivers.check_camera import read_all


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "ten.mp4", numbered(10))


# --- size and rotation -----------------------------------------------------------------------------------------------


def test_a_size_other_than_declared_is_refused(stage: Stage, ten: Path) -> None:
    with pytest.raises(ConfigError, match=r"width, height: found 320x240, expected 1280x720 as declared, or change"):
        stage.camera(ten, (1280, 720))


def test_odd_sizes(stage: Stage, tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mkv", numbered(3, 641, 481), codec="ffv1", pix_fmt="yuv444p")
    assert numbers(stage.camera(path, (641, 481))) == [1, 2, 3]
    path = write_video(tmp_path / "odd420.mkv", numbered(3, 641, 481), codec="ffv1", pix_fmt="yuv420p")
    assert numbers(stage.camera(path, (641, 481))) == [1, 2, 3]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_rotation_is_clockwise_and_exact(stage: Stage, tmp_path: Path, rotate: int) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (31, 47, 3), np.uint8)
    path = write_video(tmp_path / "r.mkv", [picture], codec="ffv1", pix_fmt="bgr0")
    expected = np.rot90(picture, -rotate // 90)
    size = (expected.shape[1], expected.shape[0])
    [(_, pixels)] = read_all(stage.camera(path, size, rotate=rotate))
    assert (pixels == expected).all()


def rotated_mp4(path: Path, ten: Path, matrix: tuple[int, int, int, int]) -> Path:
    """The file with another display matrix: the linear part of the track header's (ISO 14496-12, 8.3.2), version 0."""
    data = bytearray(ten.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def test_a_rotation_noted_in_the_file_must_be_the_declared_one(stage: Stage, tmp_path: Path, ten: Path) -> None:
    path = rotated_mp4(tmp_path / "phone.mp4", ten, (0, 1, -1, 0))
    with pytest.raises(ConfigError, match=r"rotate: found 90 degrees noted in the source, expected rotate: 90"):
        stage.camera(path)
    shots = read_all(stage.camera(path, (240, 320), rotate=90))
    assert [read_number(np.ascontiguousarray(np.rot90(pixels))) for _, pixels in shots] == list(range(1, 11))
    assert {shot.flags for shot, _ in shots} == {FrameFlag.NONE}


def test_a_mirrored_display_matrix_is_refused(stage: Stage, tmp_path: Path, ten: Path) -> None:
    with pytest.raises(ConfigError, match="mirrored or skewed"):
        stage.camera(rotated_mp4(tmp_path / "mirror.mp4", ten, (-1, 0, 0, 1)))


def test_a_size_that_changes_midway_is_letterboxed_and_flagged(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "change.h264"
    white = (255, 255, 255)
    parts = (
        packets([solid(white, 320, 240)] * 3)
        + packets([solid(white, 320, 120)] * 3)
        + packets([solid(white, 160, 240)] * 3)
    )
    path.write_bytes(b"".join(parts + packets([solid(white, 320, 240)] * 3)))
    shots = read_all(stage.camera(path, pace="fast"))
    assert [bool(shot.flags & FrameFlag.RESIZED) for shot, _ in shots] == [False] * 3 + [True] * 6 + [False] * 3
    wide, tall = shots[4][1], shots[7][1]
    assert wide[:59].max() == 0
    assert wide[62:178].min() > 245
    assert wide[181:].max() == 0
    assert tall[:, :79].max() == 0
    assert tall[:, 82:238].min() > 245
    assert tall[:, 241:].max() == 0


# --- colour ----------------------------------------------------------------------------------------------------------

COLOURS = [(200, 30, 40), (30, 180, 60), (20, 40, 220), (250, 250, 250), (5, 5, 5), (128, 128, 128)]
BT709, BT601, LIMITED, FULL = 1, 5, 1, 2


@pytest.mark.parametrize("coding", list(product([BT709, BT601], [LIMITED, FULL])))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le"])
def test_known_colours(stage: Stage, tmp_path: Path, coding: tuple[int, int], pix_fmt: str) -> None:
    path = tmp_path / "colour.mkv"
    matrix, limits = coding
    for colour in COLOURS:
        write_video(path, [solid(colour)], codec="ffv1", pix_fmt=pix_fmt, colorspace=matrix, color_range=limits)
        [(_, pixels)] = read_all(stage.camera(path, (64, 64)))
        assert np.abs(pixels.astype(int) - colour).max() <= 4, colour


@pytest.mark.parametrize(("height", "matrix"), [(64, BT601), (720, BT709)])
def test_a_matrix_that_is_not_stated_follows_the_height(stage: Stage, tmp_path: Path, height: int, matrix: int) -> None:
    """The planes are computed here, from the definition of the matrix, so that no converter vouches for itself."""
    red, green, blue = 0.7, 0.2, 0.3
    kr, kb = (0.2126, 0.0722) if matrix == BT709 else (0.299, 0.114)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    values = (16 + 219 * luma, 128 + 224 * (blue - luma) / (2 - 2 * kb), 128 + 224 * (red - luma) / (2 - 2 * kr))
    planes = b"".join(
        bytes([round(v)]) * n for v, n in zip(values, (64 * height, 16 * height, 16 * height), strict=True)
    )
    path = tmp_path / "unstated.y4m"
    path.write_bytes(b"YUV4MPEG2 W64 H%d F30:1 C420jpeg\nFRAME\n" % height + planes)
    [(_, pixels)] = read_all(stage.camera(path, (64, height)))
    assert np.abs(pixels.astype(int) - np.round(255 * np.array([red, green, blue])).astype(int)).max() <= 3


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "gray"), ("ffv1", "gray10le"), ("mjpeg", "yuvj420p")])
def test_grey_and_jpeg(stage: Stage, tmp_path: Path, codec: str, pix_fmt: str) -> None:
    shots = read_all(
        stage.camera(write_video(tmp_path / "v.mkv", [solid((90, 90, 90))] * 2, codec=codec, pix_fmt=pix_fmt), (64, 64))
    )
    for shot, pixels in shots:
        assert np.abs(pixels.astype(int) - 90).max() <= 3
        assert shot.flags == FrameFlag.NONE


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_source_is_damaged_until_its_first_sound_key_frame() -> None:
    damage = Damage(intra_only=False)
    judged = [
        damage.judge(key=key, concealed=concealed) for key, concealed in ((False, False), (True, True), (True, False))
    ]
    assert judged == [FrameFlag.CORRUPT, FrameFlag.CORRUPT, FrameFlag.NONE]
    damage.error()
    assert damage.judge(key=False, concealed=False) == FrameFlag.CORRUPT
    damage = Damage(intra_only=True)
    damage.error()
    assert damage.judge(key=False, concealed=False) == FrameFlag.NONE


def test_damage_lasts_until_the_next_key_frame(stage: Stage, tmp_path: Path) -> None:
    parts = packets(numbered(24), gop=12)
    parts[5] = parts[5][: len(parts[5]) // 2]
    path = tmp_path / "damaged.h264"
    path.write_bytes(b"".join(parts))
    shots = read_all(stage.camera(path, pace="fast"))
    assert [i for i, (shot, _) in enumerate(shots) if shot.flags & FrameFlag.CORRUPT] == list(range(5, 12))
