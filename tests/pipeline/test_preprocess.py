"""Preprocessing against a slow, plain reference, and its geometry against pictures whose content says where it is."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inframe.core.inputs import Preprocess
from inframe.core.types import Pixels
from inframe.pipeline.preprocess import Preprocessor


def config(**settings: object) -> Preprocess:
    base = {"size": (8, 6), "fit": "stretch", "colour": "rgb", "layout": "nchw", "dtype": "float32", "scale": 1.0}
    return Preprocess.model_validate(base | settings)


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reference(config: Preprocess, pixels: Pixels) -> NDArray[np.generic]:
    """As the documentation says it, step by step, with nothing reused and nothing fused."""
    (w, h), (height, width) = config.size, pixels.shape[:2]
    flag = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST, "cubic": cv2.INTER_CUBIC}
    how = flag[config.interpolation]
    if config.fit == "letterbox":
        k = min(w / width, h / height)
        tw, th = max(1, round(width * k)), max(1, round(height * k))
        image = np.full((h, w, 3), config.pad, np.uint8)
        x, y = (w - tw) // 2, (h - th) // 2
        image[y : y + th, x : x + tw] = cv2.resize(pixels, (tw, th), interpolation=how)
    elif config.fit == "crop":
        k = max(w / width, h / height)
        cw, ch = max(1, min(width, round(w / k))), max(1, min(height, round(h / k)))
        x, y = (width - cw) // 2, (height - ch) // 2
        image = cv2.resize(pixels[y : y + ch, x : x + cw].copy(), (w, h), interpolation=how)
    else:
        image = cv2.resize(pixels, (w, h), interpolation=how)
    if config.colour == "gray":
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
    elif config.colour == "bgr":
        image = image[:, :, ::-1]
    values = (image.astype(np.float64) * config.scale - np.array(config.mean)) / np.array(config.std)
    if config.dtype in ("uint8", "int8"):
        limits = np.iinfo(config.dtype)
        values = np.clip(np.round(values), limits.min, limits.max)
    out: NDArray[np.generic] = values.astype(config.dtype)[None]
    return out if config.layout == "nhwc" else out.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("fit", "colour", "layout", "dtype", "interpolation"),
    list(
        itertools.product(
            ["stretch", "letterbox", "crop"],
            ["rgb", "bgr", "gray"],
            ["nchw", "nhwc"],
            ["float32", "float16", "uint8", "int8"],
            ["linear", "area", "nearest", "cubic"],
        )
    ),
)
def test_every_combination(fit: str, colour: str, layout: str, dtype: str, interpolation: str) -> None:
    if dtype.startswith("float"):
        numbers = {"scale": 1 / 255, "mean": (0.4,) if colour == "gray" else (0.485, 0.456, 0.406), "std": (0.229,)}
    else:
        numbers = {"scale": 1.3, "mean": (40.0,), "std": (1.1,)}
    how = config(
        size=(12, 7), fit=fit, colour=colour, layout=layout, dtype=dtype, interpolation=interpolation, **numbers
    )
    preprocessor = Preprocessor(how, 31, 17)
    assert preprocessor.dtype == dtype
    for seed in (0, 1):  # twice: what one frame leaves behind must not show in the next
        pixels = noise(31, 17, seed)
        out = preprocessor.run(pixels)
        expected = reference(how, pixels)
        assert out.shape == preprocessor.shape == expected.shape
        assert out.dtype == expected.dtype
        assert np.array_equal(out, expected)


@settings(max_examples=120, deadline=None)
@given(
    frame=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    fit=st.sampled_from(["stretch", "letterbox", "crop"]),
    colour=st.sampled_from(["rgb", "bgr", "gray"]),
    layout=st.sampled_from(["nchw", "nhwc"]),
    dtype=st.sampled_from(["float32", "float16", "uint8", "int8"]),
    scale=st.floats(-3, 3),
    mean=st.floats(-200, 200),
    std=st.floats(0.01, 300),
    pad=st.integers(0, 255),
)
def test_any_size_and_numbers(frame: tuple[int, int], mean: float, std: float, **how: object) -> None:
    made = config(mean=(mean,), std=(std,), **how)
    pixels = noise(*frame)
    with np.errstate(over="ignore"):
        assert np.array_equal(Preprocessor(made, *frame).run(pixels), reference(made, pixels))


@given(
    scale=st.sampled_from([1.0, 1 / 255, 1 / 127.5]),
    mean=st.floats(0, 1),
    std=st.floats(0.1, 2),
)
@settings(max_examples=50, deadline=None)
def test_float32_is_within_an_ulp_of_the_formula_in_float32(scale: float, mean: float, std: float) -> None:
    pixels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    made = config(size=(256, 1), scale=scale, mean=(mean,), std=(std,))
    out = Preprocessor(made, 256, 1).run(pixels)[0, 0, 0].astype(np.float64)
    scaled = pixels[0, :, 0].astype(np.float32) * np.float32(scale)
    textbook = (scaled - np.float32(mean)) / np.float32(std)
    # One rounding here, five there (scale, mean, std and two results): relative to the largest number on the way.
    ulp = np.spacing(np.maximum(np.abs(scaled), np.float32(mean)) / np.float32(std))
    assert (np.abs(out - textbook) <= 4 * ulp).all()


def test_integers_saturate_and_round_half_to_even() -> None:
    pixels = np.array([[0, 1, 3, 5, 255]], np.uint8)[..., None].repeat(3, 2)
    half = config(size=(5, 1), scale=0.5, dtype="uint8")
    assert Preprocessor(half, 5, 1).run(pixels)[0, 0, 0].tolist() == [0, 0, 2, 2, 128]
    low = config(size=(5, 1), mean=(128.0,), dtype="int8")
    assert Preprocessor(low, 5, 1).run(pixels)[0, 0, 0].tolist() == [-128, -127, -125, -123, 127]
    wild = config(size=(5, 1), scale=2.0, mean=(100.0,), dtype="uint8")
    assert Preprocessor(wild, 5, 1).run(pixels)[0, 0, 0].tolist() == [0, 0, 0, 0, 255]


def test_mean_and_std_follow_the_models_channels() -> None:
    pixels = np.zeros((1, 1, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    made = config(size=(1, 1), colour="bgr", mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    assert Preprocessor(made, 1, 1).run(pixels).ravel().tolist() == [29.0, 9.0, 1.75]


@pytest.mark.parametrize("frame", [(160, 90), (90, 160), (101, 77)])
@pytest.mark.parametrize("size", [(64, 64), (96, 40), (200, 60)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_region_says_where_each_pixel_comes_from(fit: str, size: tuple[int, int], frame: tuple[int, int]) -> None:
    width, height = frame
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.round((np.arange(width) + 0.5) / width * 255)[None, :]
    ramp[..., 1] = np.round((np.arange(height) + 0.5) / height * 255)[:, None]
    preprocessor = Preprocessor(config(size=size, fit=fit), width, height)
    out = preprocessor.run(ramp)[0]
    x0, y0, x1, y1 = preprocessor.region
    x = x0 + (np.arange(size[0]) + 0.5) / size[0] * (x1 - x0)
    y = y0 + (np.arange(size[1]) + 0.5) / size[1] * (y1 - y0)
    # Pixels within half a frame pixel of the edge repeat it; those outside are bars.
    inside_x, inside_y = (x > 0.01) & (x < 0.99), (y > 0.01) & (y < 0.99)
    picture = out[:, inside_y][:, :, inside_x]
    assert np.abs(picture[0] - x[inside_x][None, :] * 255).max() < 1.6
    assert np.abs(picture[1] - y[inside_y][:, None] * 255).max() < 1.6
    bars = out[2][:, (x < -0.01) | (x > 1.01)]
    assert (bars == 114).all()
    if fit == "stretch":
        assert preprocessor.region == (0, 0, 1, 1)
    if fit == "letterbox":
        assert min(x0, y0) <= 0
        assert max(x1, y1) >= 1
    if fit == "crop":
        assert min(x0, y0) >= 0
        assert max(x1, y1) <= 1


def test_letterbox_of_a_camera_picture() -> None:
    made = Preprocessor(config(size=(256, 256), fit="letterbox"), 1280, 720)
    assert made.region == pytest.approx((0.0, -56 / 144, 1.0, 200 / 144))


def test_the_array_is_reused_and_the_frame_left_alone() -> None:
    preprocessor = Preprocessor(config(fit="letterbox", colour="bgr", layout="nhwc"), 20, 10)
    pixels = noise(20, 10)
    pixels.flags.writeable = False
    assert preprocessor.run(pixels) is preprocessor.run(pixels)


def test_another_frame_size_is_our_own_mistake() -> None:
    with pytest.raises(RuntimeError, match="expected"):
        Preprocessor(config(), 20, 10).run(noise(10, 20))
