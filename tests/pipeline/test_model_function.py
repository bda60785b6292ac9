"""Decoding by a Python function of the integrator's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframe.core.errors import ConfigError
from inframe.core.types import Boxes, Heat, Masks, MissedReason, Scores
from inframe.pipeline.model import Model
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import TickClock, frame, load, logarithm

HEAD = "import numpy as np\nfrom inframe.core.types import Boxes, Heat, Masks, Scores\n"


def with_function(folder: Path, code: str, returns: str, data: bytes | None = None, **changes: Any) -> Model:
    (folder / "mine.py").write_text(HEAD + code)
    decode = {"kind": "function", "function": "mine.py:read", "returns": returns} | changes.pop("decode", {})
    return load(folder, data or om.convolution(), decode=decode, **changes)


GOOD = {
    "segmentation": "def read(o, r): return Masks(o['y'][0].argmax(0).astype(np.uint8), r)",
    "detection": "def read(o, r): return Boxes(np.array([[0, 0, .5, .5], [-1, 0, 2, 1]], np.float32), "
    "np.array([.5, .9], np.float32), np.array([1, 3], np.int32))",
    "classification": "def read(o, r): return Scores(o['y'].mean((0, 2, 3)))",
    "heat": "def read(o, r): return Heat(o['y'][0, 1], float(o['y'].max()), r)",
}
CAPACITY = {"segmentation": 32 * 32, "detection": 100 * 24, "classification": 16, "heat": 4 * 32 * 32}


@pytest.mark.parametrize("returns", list(GOOD))
def test_each_kind(tmp_path: Path, returns: str) -> None:
    model = with_function(tmp_path, GOOD[returns], returns)
    assert model.capacity == CAPACITY[returns]
    output, _ = model.run(frame(), TickClock())
    kinds = {"segmentation": Masks, "detection": Boxes, "classification": Scores, "heat": Heat}
    assert isinstance(output, kinds[returns])


def test_boxes_are_sorted_clipped_and_limited(tmp_path: Path) -> None:
    model = with_function(tmp_path, GOOD["detection"], "detection")
    output, _ = model.run(frame(), TickClock())
    assert isinstance(output, Boxes)
    assert output.boxes.tolist() == [[0, 0, 1, 1], [0, 0, 0.5, 0.5]]
    assert output.classes.tolist() == [3, 1]
    output, _ = with_function(tmp_path, GOOD["detection"], "detection", decode={"limit": 1}).run(frame(), TickClock())
    assert isinstance(output, Boxes)
    assert output.classes.tolist() == [3]


def test_letterbox_bars_are_cut_off(tmp_path: Path) -> None:
    # 64x48 into 32x32: 24 rows of picture, 4 of bar on either side.
    model = with_function(tmp_path, GOOD["segmentation"], "segmentation", preprocess={"fit": "letterbox"})
    output, _ = model.run(frame(), TickClock())
    assert isinstance(output, Masks)
    assert output.classes.shape == (24, 32)
    assert output.region == pytest.approx((0, 0, 1, 1))


def test_a_function_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "hospital_decoders"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "organs.py").write_text(HEAD + GOOD["classification"])
    monkeypatch.syspath_prepend(str(tmp_path))
    decode = {"kind": "function", "function": "hospital_decoders.organs:read", "returns": "classification"}
    assert isinstance(load(tmp_path, om.convolution(), decode=decode).run(frame(), TickClock())[0], Scores)


@pytest.mark.parametrize(
    ("code", "returns", "message"),
    [
        (
            "def other(o, r): ...",
            "heat",
            r"decode.function: found nothing named 'read' in mine.py, expected a function",
        ),
        ("read = 3", "heat", r"decode.function: found int named 'read'"),
        ("def read(:", "heat", r"decode.function: found SyntaxError: .*, expected mine.py to be imported"),
        ("1 / 0", "heat", r"decode.function: found ZeroDivisionError: division by zero"),
        (
            "def read(o): ...",
            "heat",
            r"decode: found TypeError: read\(\) takes 1 positional .* expected a function that takes",
        ),
        ("def read(o, r): raise KeyError('z')", "heat", r"decode: found KeyError: 'z', expected a function"),
        ("def read(o, r): return None", "heat", r"decode: found NoneType from mine.py:read, expected Heat"),
        (GOOD["heat"], "segmentation", r"decode: found Heat from mine.py:read, expected Masks"),
        (
            "def read(o, r): return Masks(o['y'][0].argmax(0))",
            "segmentation",
            r"decode: found classes is 32x32 int64, expected 32x32 uint8",
        ),
        (
            "def read(o, r): return Masks([[1]])",
            "segmentation",
            r"decode: found classes is list, expected an array of \?x\? uint8",
        ),
        (
            "def read(o, r): return Masks(np.full((4, 4), 4, np.uint8))",
            "segmentation",
            r"decode: found label index 4, expected 0..3",
        ),
        (
            "def read(o, r): return Masks(np.zeros((4, 4), np.uint8), (1, 0, 0, 1))",
            "segmentation",
            r"decode: found region \(1, 0, 0, 1\), expected x0 < x1",
        ),
        (
            "def read(o, r): return Scores(np.zeros(3, np.float32))",
            "classification",
            r"decode: found scores is 3 float32, expected 4 ",
        ),
        (
            "def read(o, r): return Scores(np.full(4, np.nan, np.float32))",
            "classification",
            r"decode: found NaN or infinity in",
        ),
        (
            "def read(o, r): return Heat(np.zeros((2, 2), np.float32), float('nan'))",
            "heat",
            r"decode: found score nan, expected a finite",
        ),
        (
            "def read(o, r): return Boxes(np.zeros((2, 4), 'f'), np.zeros(3, 'f'), np.zeros(2, np.int32))",
            "detection",
            r"decode: found scores is 3 float32, expected 2 float32",
        ),
        (
            "def read(o, r): return Boxes(np.zeros((1, 4), 'f'), np.zeros(1, 'f'), np.full(1, 4, np.int32))",
            "detection",
            r"decode: found an impossible label in classes, expected 0..3",
        ),
    ],
)
def test_functions_that_are_wrong_at_load(tmp_path: Path, code: str, returns: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"model.onnx: models.organs." + message):
        with_function(tmp_path, code, returns)


def test_no_such_module_or_file(tmp_path: Path) -> None:
    for function in ("nowhere.py:read", "no_such_package.module:read"):
        with pytest.raises(ConfigError, match=r"decode.function: found \w+Error: .*"):
            load(tmp_path, om.convolution(), decode={"kind": "function", "function": function, "returns": "heat"})


def test_the_configured_size_is_held_to(tmp_path: Path) -> None:
    model = with_function(tmp_path, GOOD["heat"], "heat", decode={"size": [32, 32]})
    assert model.capacity == 4 * 32 * 32
    with pytest.raises(ConfigError, match=r"found heat is 32x32 float32, expected 8x16 float32"):
        with_function(tmp_path, GOOD["heat"], "heat", decode={"size": [16, 8]})


def test_wrong_at_run_time_is_invalid_and_raising_is_failed(tmp_path: Path) -> None:
    code = """
def read(o, r):
    mean = float(o['y'][0])
    if mean > -0.3:
        raise RuntimeError("too bright")
    if mean > -0.5:
        return Scores(np.full(4, np.nan, np.float32))
    if mean > -1.0:
        return Scores(np.zeros(5, np.float32))
    return Scores(np.zeros(4, np.float32))
"""
    model = with_function(tmp_path, code, "classification", logarithm())
    # log(value/255 - 0.2) of 128, 170, 220, 250: -1.2, -0.76, -0.41, -0.25
    found = [model.run(frame(value), TickClock())[0] for value in (128, 170, 220, 250, 0, 128)]
    assert isinstance(found[0], Scores)
    invalid, failed = MissedReason.INVALID, MissedReason.FAILED
    assert found[1:5] == [invalid, invalid, failed, invalid], "the last by the raw output, before the function saw it"
    assert isinstance(found[5], Scores)


def test_an_argmax_can_not_hide_nan(tmp_path: Path) -> None:
    code = "def read(o, r): return Scores(np.eye(4, dtype=np.float32)[np.nan_to_num(o['y']).astype(int).argmax()])"
    model = with_function(tmp_path, code, "classification", logarithm())
    assert model.run(frame(0), TickClock())[0] is MissedReason.INVALID
    assert np.isfinite(model.run(frame(255), TickClock())[0].scores).all()  # type: ignore[union-attr]  # Scores, or it fails
