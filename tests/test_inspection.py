"""`inframe inspect`: what it says of a model, that its starter runs, and that no file can hurt the command."""

import json
import os
import signal
import subprocess
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from rich.console import Console

from inframe.core.errors import ConfigError
from inframe.core.types import MissedReason
from inframe.core.yamlfile import parse_device
from inframe.inspection import Report, inspect, inspect_apart, main, save_starter, show
from inframe.pipeline.model import load_model
from tests.drivers import onnx_models as om
from tests.drivers.engines.fuzz import damaged
from tests.pipeline.model_files import TickClock, counter, noise

SHARED = Path("../shared/data")
SHARED_MODELS = [
    "identity-models/identity_model.onnx",
    "identity-models/identity_model_5r.onnx",
    "identity-models/identity_model_9r.onnx",
    "identity-models/identity_model_dynamic.onnx",
    "identity-models/identity_dynamic_multi.onnx",
    "known-answer/mobilenet_v2_quant.onnx",
]


def run_starter(report: Report, folder: Path) -> object:
    """Read the starter back and run its model on one frame."""
    assert report.starter, report.no_starter
    device = parse_device(report.starter.encode(), folder / "device.yaml")
    stream = device.streams[device.display]
    model = load_model("model", device.models["model"], folder, (stream.width, stream.height))
    output, _ = model.run(noise(0, (stream.width, stream.height)), TickClock())
    assert not isinstance(output, MissedReason), model.last_fault
    return output


@pytest.mark.parametrize("name", SHARED_MODELS)
def test_starters_of_the_shared_models_run(name: str) -> None:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    report = inspect(path)
    assert report.size_bytes == path.stat().st_size
    run_starter(report, path.parent)


def say(outputs: dict[str, tuple[tuple[int, ...], type]], **image: Any) -> bytes:
    """A model that gives noise in 0..1 of these shapes."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {name: rng.random(shape).astype(dtype) for name, (shape, dtype) in outputs.items()}
    return om.constant(arrays, om.image(**image))


MODELS = {
    "segmentation: 4 maps": om.convolution(),
    "segmentation: 5 maps": say({"y": ((1, 32, 32, 5), np.float32)}, shape=(1, 32, 32, 3)),
    "segmentation (one foreground)": om.model(
        [om.node("Conv", "x w", "y")],
        om.image(),
        [om.value("y", (1, 1, 32, 32))],
        {"w": -np.ones((1, 3, 1, 1), np.float32)},
    ),
    "segmentation (label indices)": say({"y": ((1, 32, 32), np.int64)}),
    "detection (yolov8)": say({"y": ((1, 7, 84), np.float32)}, shape=(1, 3, 64, 64)),
    "detection (yolov5)": say({"y": ((1, 252, 8), np.float32)}, shape=(1, 3, 64, 64)),
    "detection (yolox)": say({"y": ((1, 84, 8), np.float32)}, shape=(1, 3, 64, 64)),
    "detection (end2end)": say({"y": ((1, 20, 6), np.float32)}, shape=(1, 3, 64, 64)),
    "detection (boxes and scores)": say({"b": ((1, 9, 4), np.float32), "s": ((1, 9, 3), np.float32)}),
    "classification": say({"y": ((1, 10), np.float32)}, dtype=np.uint8),
    "heat": say({"y": ((1, 1, 16, 16), np.float32)}, shape=(1, 1, 32, 32)),
    "heat (score map): one number": counter(),
}


@pytest.mark.parametrize("kind", list(MODELS))
def test_starters_of_other_models_run(kind: str, tmp_path: Path) -> None:
    path = om.save(tmp_path, MODELS[kind])
    report = inspect(path)
    assert report.guess.startswith(kind)
    assert "CHECK THIS" in report.starter
    run_starter(report, tmp_path)


def test_what_a_starter_says(tmp_path: Path) -> None:
    path = om.save(tmp_path, om.identity(("n", 3, "h", "w"), np.uint8), 'odd "name": #1.onnx')
    starter = inspect(path).starter
    device = parse_device(starter.encode(), path)
    model = device.models["model"]
    assert model.file == path.name
    assert model.preprocess.size == (256, 256)
    assert (model.preprocess.scale, model.preprocess.dtype) == (1.0, "uint8")
    lines = {line.split(":")[0].strip(): line for line in starter.splitlines() if ":" in line}
    for key in ("size", "fit", "interpolation", "colour", "scale", "mean", "std", "decode", "labels", "budget_ms"):
        assert "CHECK THIS" in lines[key], key
    for key in ("layout", "dtype", "input", "file"):
        assert "CHECK THIS" not in lines[key], f"{key} is in the model's file"


def test_facts(tmp_path: Path) -> None:
    branch = helper.make_graph([om.node("Relu", "c", "out")], "b", [], [om.value("out", (1, 4, 32, 32))])
    data = om.model(
        [
            om.node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            om.node("If", "yes", "r", then_branch=branch, else_branch=branch),
            om.node("Relu", "r", "s"),
            om.node("Mine", "s", "y", domain="my.own"),
        ],
        om.image((1, 3, "h", None)),
        [om.value("y", (1, 4, 32, 32))],
        {"w": np.zeros((4, 3, 3, 3), np.float32), "yes": np.array(True)},
        domains=["my.own"],
    )
    report = inspect(om.save(tmp_path, data))
    facts = report.facts
    assert facts.operators == {"Relu": 3, "Conv": 1, "If": 1, "my.own:Mine": 1}
    assert facts.unknown_operators == ["my.own:Mine"]
    assert facts.parameters == 4 * 3 * 3 * 3 + 1
    assert facts.opsets == {"ai.onnx": 17, "my.own": 1}
    assert (facts.inputs[0].name, facts.inputs[0].shape, facts.inputs[0].dtype) == ("x", [1, 3, "h", "?"], "float")
    assert len(facts.inputs) == 1, "weights are no inputs"
    problems = {verdict.engine: verdict.problem for verdict in report.engines}
    assert problems["onnxruntime"] == "has no operator my.own:Mine"
    assert "my.own.Mine" in problems.get("openvino", "my.own.Mine")
    assert (report.starter, report.no_starter) == ("", "no engine here runs the model")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (om.identity((1, 1000)), "no input looks like a picture"),
        (
            om.model(
                [om.node("Add", "x z", "y")],
                [*om.image(), *om.image((1, 1, 32, 32), name="z")],
                [om.value("y", (1, 3, 32, 32))],
            ),
            "nothing is there that could feed input 'z'",
        ),
        (say({"y": ((7, 5), np.float32)}), "needs a decoder of your own"),
        (om.identity((1, 3, 32, 32), np.int64), "no input looks like a picture"),
    ],
)
def test_no_starter_rather_than_a_wrong_one(data: bytes, reason: str, tmp_path: Path) -> None:
    report = inspect(om.save(tmp_path, data))
    assert report.starter == ""
    assert reason in report.no_starter


def test_what_people_see(tmp_path: Path) -> None:
    path = om.save(tmp_path, om.convolution())
    out = StringIO()
    show(inspect(path), Console(file=out, width=100))
    text = out.getvalue()
    for expected in ("sha256", "x: 1x3x32x32 float", "Conv 1", "parameters", "108", "a guess", "segmentation: 4 maps"):
        assert expected in text
    starter = text[text.index("# Written by") :]
    assert parse_device(starter.encode(), path).device == "starter", "can be copied as it stands"


def test_a_starter_may_be_saved_elsewhere_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "a model's").mkdir()
    report = inspect(om.save(tmp_path / "a model's", om.convolution()))
    save_starter(report, tmp_path / "device.yaml")
    text = (tmp_path / "device.yaml").read_text()
    assert parse_device(text.encode(), tmp_path).models["model"].file == "a model's/model.onnx"
    run_starter(replace(report, starter=text), tmp_path)
    with pytest.raises(ConfigError, match=r"device.yaml: starter: found File exists, expected a new file"):
        save_starter(report, tmp_path / "device.yaml")
    with pytest.raises(ConfigError, match=r"starter: found none, expected a model that .* \(because\)"):
        save_starter(replace(report, starter="", no_starter="because"), tmp_path / "other.yaml")


def test_the_documentation_shows_what_is_printed() -> None:
    pytest.importorskip("openvino")
    path = Path("src/inframe/reference_device/anatomy.onnx")
    out = StringIO()
    show(replace(inspect(path), file=path.name), Console(file=out, width=110))
    printed = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    assert printed.strip() in Path("docs/models.md").read_text(), "paste the output of inframe inspect again"


# --- in a child ------------------------------------------------------------------------------------------------------


def test_a_child_says_the_same(tmp_path: Path) -> None:
    path = om.save(tmp_path, om.convolution(), "-m.onnx")
    assert inspect_apart(path) == inspect(path)


def test_a_child_hands_its_error_on(tmp_path: Path) -> None:
    path = om.save(tmp_path, b"nothing")
    with pytest.raises(
        ConfigError, match="not an ONNX file: it begins with 6e 6f 74 68, expected an ONNX model"
    ) as caught:
        inspect_apart(path)
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match="No such file"):
        inspect_apart(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("child", "found"),
    [
        (
            lambda command: subprocess.CompletedProcess(command, -signal.SIGSEGV, b"", b""),
            r"crashes what reads it \(SIGSEGV\)",
        ),
        (
            lambda command: subprocess.CompletedProcess(command, 1, b"", b"Traceback\nMemoryError: no\n"),
            "gave up on: MemoryError: no",
        ),
    ],
)
def test_a_crash_is_one_line(child: Any, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframe.inspection.subprocess.run", lambda command, **_: child(command))
    with pytest.raises(ConfigError, match=found):
        inspect_apart(tmp_path / "m.onnx")


def test_a_real_crash_and_a_real_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "python"
    monkeypatch.setattr("inframe.inspection.sys.executable", str(fake))
    for body, found in (("kill -ABRT $$", "SIGABRT"), ("exec sleep 600", "not read and run within 0.2 s")):
        fake.write_text(f"#!/bin/sh\n{body}\n")
        fake.chmod(0o755)
        with pytest.raises(ConfigError, match=found):
            inspect_apart(tmp_path / "m.onnx", timeout_s=0.2 if "sleep" in body else 30)


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = om.save(tmp_path, om.convolution())
    assert main([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["guess"].startswith("segmentation")
    assert main([str(path)]) == 0
    assert "a guess" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().out


# --- damaged files ---------------------------------------------------------------------------------------------------

GOOD = om.convolution(labels=2, size=4)


@pytest.mark.parametrize("number", [1, 2, 4, 5])
def test_changed_bytes(number: int, tmp_path: Path) -> None:
    """In a process of its own, as the command does it: an engine's reader may crash on such a file."""
    try:
        inspect_apart(om.save(tmp_path, damaged(number)))
    except ConfigError as error:
        found = str(error)
    else:
        found = ""
    assert "\n" not in found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_random_bytes(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        inspect(om.save(tmp_path, data))
    assert os.linesep not in str(caught.value)
