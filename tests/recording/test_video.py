"""Frames as H.264 and back."""

import numpy as np
import pytest

from inframe.core.types import Pixels
from inframe.recording.video import Decoder, Encoder


def frames(width: int, height: int, count: int = 35) -> list[Pixels]:
    dice = np.random.default_rng(3)
    return [dice.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (320, 180)])
def test_lossless_is_bit_for_bit(size: tuple[int, int]) -> None:
    encoder, decoder = Encoder("lossless", *size, 30), Decoder(*size)
    for frame in frames(*size):
        back = decoder.decode(encoder.encode(frame))
        assert back is not None
        assert np.array_equal(back, frame)


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_h264_is_what_a_viewer_would_take_for_the_same(size: tuple[int, int]) -> None:
    encoder, decoder = Encoder("h264", *size, 30), Decoder(*size)
    width, height = size
    ramp = np.linspace(20, 235, width)[None, :, None] + np.linspace(-15, 15, height)[:, None, None]
    for shift in range(30):
        frame = np.roll(np.broadcast_to(ramp, (height, width, 3)), shift, 0).astype(np.uint8)
        back = decoder.decode(encoder.encode(frame))
        assert back is not None
        assert back.shape == frame.shape
        assert np.abs(back.astype(int) - frame).mean() < 3


def test_colours_survive_both() -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]], np.uint8)
    frame = np.repeat(np.repeat(colours.reshape(2, 2, 3), 16, 0), 16, 1)
    for codec, most in (("lossless", 0), ("h264", 6)):
        back = Decoder(32, 32).decode(Encoder(codec, 32, 32, 30).encode(frame))
        assert back is not None
        assert np.abs(back[8::16, 8::16].astype(int) - frame[8::16, 8::16]).max() <= most


def test_damage_is_no_frame_and_no_crash() -> None:
    encoder, decoder = Encoder("lossless", 64, 48, 30), Decoder(64, 48)
    data = [encoder.encode(frame) for frame in frames(64, 48, 3)]
    assert decoder.decode(b"") is None
    assert decoder.decode(b"no video") is None
    assert decoder.decode(data[0]) is not None
