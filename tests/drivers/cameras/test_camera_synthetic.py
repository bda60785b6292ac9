"""The synthetic camera: its number is readable whatever is done to the picture, and its frames come exactly in time."""

from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.config import SyntheticStream
from inframe.core.errors import ConfigError
from inframe.core.ports import EndOfStream
from inframe.core.types import Pixels
from inframe.drivers.cameras import open_camera
from inframe.drivers.cameras.synthetic import SyntheticCamera, encode_number, read_number
from tests.drivers.check_camera import check_camera, read_all


def synthetic(clock: ManualClock, **values: object) -> SyntheticCamera:
    stream = SyntheticStream.model_validate({"camera": "synthetic", "width": 320, "height": 240, "fps": 30, **values})
    return SyntheticCamera(stream, clock, lambda moment: clock.set(max(moment, clock.now())))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_conforms(clock: ManualClock) -> None:
    check_camera(lambda: synthetic(clock), clock)


def test_open_camera_opens_it(clock: ManualClock) -> None:
    stream = SyntheticStream.model_validate({"camera": "synthetic", "width": 64, "height": 48, "fps": 30})
    assert isinstance(open_camera(stream, clock), SyntheticCamera)
    with pytest.raises(ConfigError, match="rotate: found 90, expected 0"):
        open_camera(stream.model_copy(update={"rotate": 90}), clock)


@given(number=st.integers(0, (1 << 32) - 1), width=st.integers(16, 300), height=st.integers(16, 200))
def test_any_number_can_be_read_back_from_any_size(number: int, width: int, height: int) -> None:
    pixels = np.full((height, width, 3), 77, np.uint8)
    encode_number(pixels, number)
    assert read_number(pixels) == number


def test_no_number_is_read_where_there_is_none(clock: ManualClock) -> None:
    rng = np.random.default_rng(5)
    assert read_number(np.zeros((240, 320, 3), np.uint8)) is None
    assert sum(read_number(rng.integers(0, 256, (240, 320, 3), np.uint8)) is not None for _ in range(200)) == 0
    for _, pixels in read_all(synthetic(clock, frames=3)):
        pixels[100:140] = 90
        assert read_number(pixels) is None


def test_numbers_outlast_h264_and_an_overlay() -> None:
    """As on a screen that encodes: bands with text at the top and bottom, a translucent fill over all, H.264."""
    clock = ManualClock()
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 30), {"preset": "ultrafast", "crf": "30", "threads": "1"}
    decoder = av.CodecContext.create("h264", "r")
    coded = []
    for i, (_, pixels) in enumerate(read_all(synthetic(clock, width=1280, height=720, frames=6))):
        _draw_over(pixels)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = i
        coded += encoder.encode(frame)
    coded += encoder.encode(None)
    shown = [frame for packet in [*coded, None] for frame in decoder.decode(packet)]
    found = [read_number(frame.to_ndarray(format="rgb24")) for frame in shown]
    assert found == [1, 2, 3, 4, 5, 6]


def _draw_over(pixels: Pixels) -> None:
    fill = np.empty_like(pixels)
    fill[:, :640], fill[:, 640:] = (0, 255, 90), (255, 40, 40)
    pixels[:] = cv2.addWeighted(pixels, 0.6, fill, 0.4, 0)
    pixels[:150] = 20
    pixels[-150:] = 200
    cv2.rectangle(pixels, (60, 200), (1000, 600), (255, 255, 0), -1)  # hides the left copy in part, not the right one


def test_frames_are_due_at_exact_multiples_without_drift(clock: ManualClock) -> None:
    shots = read_all(synthetic(clock, fps=29.97, frames=300))
    start = shots[0][0].captured_ns
    assert [shot.captured_ns - start for shot, _ in shots] == [round(i * NS_PER_S / 29.97) for i in range(300)]
    assert [read_number(pixels) for _, pixels in shots] == list(range(1, 301))


def test_pictures_differ_from_frame_to_frame(clock: ManualClock) -> None:
    pictures = [pixels for _, pixels in read_all(synthetic(clock, frames=10))]
    upper = [pixels[:60] for pixels in pictures]  # above the number
    assert all((a != b).mean() > 0.2 for a, b in pairwise(upper))


def test_a_late_reader_gets_the_newest_frame_and_the_count(clock: ManualClock) -> None:
    camera = synthetic(clock, fps=50)
    into = np.zeros((240, 320, 3), np.uint8)
    camera.read(into, 1.0)
    start = clock.now()
    clock.advance(110 * NS_PER_MS)
    shot = camera.read(into, 1.0)
    assert shot is not None
    assert (read_number(into), shot.dropped, shot.captured_ns - start) == (6, 4, 100 * NS_PER_MS)
    shot = camera.read(into, 1.0)
    assert shot is not None
    assert (read_number(into), shot.dropped, shot.captured_ns - start) == (7, 0, 120 * NS_PER_MS)


def test_a_read_ends_at_its_time_limit(clock: ManualClock) -> None:
    camera = synthetic(clock, fps=1)
    into = np.zeros((240, 320, 3), np.uint8)
    camera.read(into, 0.1)
    began = clock.now()
    assert camera.read(into, 0.1) is None
    assert clock.now() - began == 100 * NS_PER_MS


def test_it_ends_after_its_frames_even_when_read_late(clock: ManualClock) -> None:
    camera = synthetic(clock, frames=5)
    into = np.zeros((240, 320, 3), np.uint8)
    camera.read(into, 1.0)
    clock.advance(NS_PER_S)
    shot = camera.read(into, 1.0)
    assert shot is not None
    assert (read_number(into), shot.dropped) == (5, 3)
    with pytest.raises(EndOfStream):
        camera.read(into, 1.0)
