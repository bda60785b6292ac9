"""`inframe check` and `inframe inspect`: everything that a device file names is tried, in a child; what is wrong is one line."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from inframe.checking import Refused, ask_child, check_device, device_schema, inspect_model, main
from inframe.core.config import Device
from inframe.core.errors import ConfigError, InframeError
from inframe.core.ports import EndOfStream
from inframe.reference_device import device_file, guidance_file
from tests import devices
from tests.drivers import onnx_models as om
from tests.drivers.cameras.videos import numbered, write_video


def said_by_child(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What the child says, in this process."""
    try:
        code = main(["", str(path)])
    except InframeError:
        pytest.fail("the child raises where it should say")
    taken = capsys.readouterr()
    return code, taken.err or taken.out


def test_the_reference_device_is_sound() -> None:
    report = check_device(device_file())
    assert report["device"] == "inframe reference"
    kinds = [line.split()[0] for line in report["checked"]]
    assert kinds == ["stream", "model", "rule", "rule", "rule"]
    assert "procedure.mp4" in report["checked"][0]
    assert "8 labels" in report["checked"][1]


def test_the_device_of_guidance_is_sound() -> None:
    report = check_device(guidance_file())
    kinds = [line.split()[0] for line in report["checked"]]
    assert kinds == ["stream", "sensor", "model", "model", "rule", "rule", "rule"]
    assert "beside the image: classes, pose" in report["checked"][3]


def test_a_model_whose_inputs_do_not_fit_another_models_answer_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer of the first is 32x32, which is known only when it has run."""
    size = om.node("Cast", "classes", "as_float", to=1), om.node("ReduceMean", "as_float", "mean", keepdims=0)
    add = om.node("Add", "x mean", "y")
    inputs = [om.value("x", (1, 3, 32, 32)), om.value("classes", (1, 8, 8), np.uint8)]
    om.save(tmp_path, om.model([*size, add], inputs, [om.value("y", (1, 3, 32, 32))]), "second.onnx")
    path = devices.write(tmp_path)
    values = yaml.safe_load(path.read_text("utf-8"))
    first = values["models"]["m"]
    second = first | {"file": "second.onnx", "inputs": {"classes": {"model": "m", "absent": "miss"}}}
    values["models"]["second"] = second | {"preprocess": first["preprocess"] | {"input": "x"}}
    path.write_text(json.dumps(values), "utf-8")
    code, said = said_by_child(path, capsys)
    assert code == 2
    assert said.endswith("models.second.inputs: found input 'classes' of 1x32x32, expected 1x8x8\n")


def test_what_is_checked_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"model": "m", "when": {"kind": "area", "labels": ["b"], "above": 0.5}, "text": "MUCH B"}
    code, said = said_by_child(devices.write(tmp_path, changes={"rules": {"much": rule}}), capsys)
    assert code == 0
    (stream, model, found) = json.loads(said)["checked"]
    assert stream == "stream endoscope: synthetic, 64x48 at 30 fps (not opened)"
    assert model.startswith("model m: model.onnx on onnxruntime")
    assert model.endswith(", 3 labels UNSIGNED")
    assert found == "rule much: MUCH B (medium)"


@pytest.mark.parametrize("case", devices.BAD_MODELS)
def test_a_model_that_does_not_fit_is_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model, expected = devices.BAD_MODELS[case]
    code, said = said_by_child(devices.write(tmp_path, data, **model), capsys)
    assert code == 2
    assert said.count("\n") == 1
    assert said[:-1].isprintable()
    where, _, rest = said.partition(": models.")
    assert where.startswith(f"inframe: {tmp_path}/")
    assert f"models.{rest}".startswith(expected)
    assert ", expected " in rest


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "area", "labels": ["nope"], "above": 0.5}, "when.labels: found nope, expected one of a, b, c"),
        ({"kind": "score", "above": 0.5}, "when.kind: found score, expected "),
    ],
)
def test_a_rule_that_its_model_can_not_answer(
    rule: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = {"r": {"model": "m", "when": rule, "text": "R"}}
    code, said = said_by_child(devices.write(tmp_path, changes={"rules": rules}), capsys)
    assert code == 2
    assert f": rules.r.{expected}" in said


def recording(tmp_path: Path, data: bytes | None) -> dict[str, Any]:
    path = tmp_path / "video.mp4"
    if data is None:
        write_video(path, numbered(3))
    else:
        path.write_bytes(data)
    stream = {"camera": "file", "path": "video.mp4", "width": 320, "height": 240, "fps": 30}
    return {"streams": {"endoscope": stream}}


def test_a_recording_is_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = said_by_child(devices.write(tmp_path, changes=recording(tmp_path, None)), capsys)
    assert (code, json.loads(said)["checked"][0]) == (0, "stream endoscope: file, 320x240 at 30 fps, video.mp4")


@pytest.mark.parametrize("data", [b"", b"not a video", devices.NOISE])
def test_a_recording_that_is_none(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = said_by_child(devices.write(tmp_path, changes=recording(tmp_path, data)), capsys)
    assert code in (2, 3)
    assert said.count("\n") == 1
    assert "video.mp4" in said


class NoPicture:
    """A recording without a frame, or one that never gives any."""

    def __init__(self, error: type[Exception] | None) -> None:
        self.error, self.closed = error, False

    def read(self, *_: object) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("ends", [True, False])
def test_a_recording_without_a_picture(
    ends: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = NoPicture(EndOfStream if ends else None)
    monkeypatch.setattr("inframe.drivers.cameras.open_camera", lambda *_: camera)
    code, said = said_by_child(devices.write(tmp_path, changes=recording(tmp_path, b"x")), capsys)
    assert code == 2
    assert said.startswith(
        f"inframe: {tmp_path}/device.yaml: streams.endoscope.path: found no picture in {tmp_path}/video.mp4"
    )
    assert camera.closed


def test_the_parent_looks_first_at_what_needs_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframe.checking.subprocess.run", None)
    with pytest.raises(ConfigError, match=r"models\.m\.file: found model\.onnx, expected a file that exists"):
        check_device(devices.write(tmp_path, None))
    with pytest.raises(ConfigError, match="display: found 'x'"):
        check_device(devices.write(tmp_path, changes={"display": "x"}))


# --- the child -------------------------------------------------------------------------------------------------------


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A child that does what a shell script says instead."""
    fake = tmp_path / "python"
    monkeypatch.setattr("inframe.checking.sys.executable", str(fake))

    def does(script: str) -> None:
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)

    return does


CHILDREN = [
    ("kill -SEGV $$", ConfigError, "found files that crash what reads them (SIGSEGV), expected files that can be read"),
    ("exit 9", ConfigError, "found files that crash what reads them (exit code 9), expected files that can be read"),
    ("echo Traceback >&2; echo 'ValueError: no' >&2; exit 1", Refused, "ValueError: no"),
    ("echo 'inframe: f: x: found a, expected b' >&2; exit 2", Refused, "f: x: found a, expected b"),
]


@pytest.mark.parametrize(("script", "error", "line"), CHILDREN)
def test_however_the_child_ends_it_is_one_line(script: str, error: type[InframeError], line: str, child: Any) -> None:
    child(script)
    with pytest.raises(error) as caught:
        ask_child("any", Path("device.yaml"))
    assert str(caught.value).endswith(line)
    assert caught.value.exit_code == 2


def test_a_child_that_hangs_is_ended(child: Any) -> None:
    child("exec sleep 600")
    with pytest.raises(
        ConfigError, match=r"device.yaml: file: found no answer within 0.2 s, expected files that can be read"
    ):
        ask_child("any", Path("device.yaml"), limit_s=0.2)


def test_what_a_child_prints_before_its_answer_does_not_matter(child: Any) -> None:
    child("""echo some library says hello; echo '{"checked": []}'""")
    assert ask_child("any", Path("device.yaml")) == {"checked": []}


def test_the_child_takes_no_module_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = devices.write(tmp_path)
    for name in ("json", "yaml", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    assert check_device(path)["device"] == "test"


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_schema_is_plain_json_and_every_reference_leads_somewhere() -> None:
    schema = json.loads(json.dumps(device_schema()))

    def references(at: object) -> set[str]:
        if isinstance(at, dict):
            own = {at["$ref"]} if isinstance(at.get("$ref"), str) else set()
            return own | {one for value in at.values() for one in references(value)}
        return {one for value in at for one in references(value)} if isinstance(at, list) else set()

    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]
    parts = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in parts if part["type"] == "object")
    assert set(schema["properties"]) == set(Device.model_fields)
    assert schema["required"] == ["device", "streams", "display"]
    for part in parts:
        assert set(part.get("required", ())) <= set(part["properties"])


def accepts(schema: dict[str, Any], part: dict[str, Any], value: Any) -> bool:
    """As much of JSON Schema as ours uses, so that no package is needed for it."""
    if "$ref" in part:
        return accepts(schema, schema["$defs"][part["$ref"].rpartition("/")[2]], value)
    if one_of := part.get("oneOf", part.get("anyOf")):
        return any(accepts(schema, one, value) for one in one_of)
    if "const" in part or "enum" in part:
        return value in part.get("enum", [part.get("const")])
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
    kinds |= {"boolean": bool, "null": type(None)}
    if not isinstance(value, kinds[part["type"]]) or (isinstance(value, bool) and part["type"] != "boolean"):
        return False
    if part["type"] == "array":
        items = part.get("prefixItems") or [part["items"]] * len(value)
        return len(items) == len(value) and all(accepts(schema, i, v) for i, v in zip(items, value, strict=True))
    return part["type"] != "object" or accepts_mapping(schema, part, value)


def accepts_mapping(schema: dict[str, Any], part: dict[str, Any], value: dict[str, Any]) -> bool:
    known, others = part.get("properties", {}), part.get("additionalProperties", True)
    inner = next(iter(part.get("patternProperties", {}).values()), others)
    return set(part.get("required", ())) <= set(value) and all(
        accepts(schema, known[k], v) if k in known else isinstance(inner, dict) and accepts(schema, inner, v)
        for k, v in value.items()
    )


def test_the_schema_accepts_the_reference_device_and_no_unknown_key() -> None:
    import yaml

    schema, values = device_schema(), yaml.safe_load(device_file().read_text("utf-8"))
    assert accepts(schema, schema, values)
    values["models"]["anatomy"]["decode"]["thresh"] = 1
    assert not accepts(schema, schema, values)
    del values["models"]["anatomy"]["decode"]
    assert not accepts(schema, schema, values)


# --- inspect ---------------------------------------------------------------------------------------------------------


def test_a_model_is_shown_and_its_starter_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, starter, out = om.save(tmp_path, devices.GOOD), tmp_path / "new.yaml", StringIO()
    report = inspect_model(Console(file=out, width=100), model, starter)
    assert report["guess"].startswith("segmentation")
    assert json.loads(json.dumps(report))["facts"]["parameters"] == 81
    assert "sha256" in out.getvalue()
    assert f"written: {starter}" in out.getvalue().replace("\n", "")
    assert check_device(starter)["device"] == "starter"
    monkeypatch.setattr("inframe.inspection.inspect_apart", None)
    with pytest.raises(
        ConfigError, match=r"new.yaml: --starter: found a file that exists, expected a name that is free"
    ):
        inspect_model(Console(file=out), model, starter)


def test_without_a_starter_none_is_written(tmp_path: Path) -> None:
    before = om.save(tmp_path, devices.GOOD)
    inspect_model(Console(file=StringIO()), before, None)
    assert list(tmp_path.iterdir()) == [before]


SENSOR = {
    "sensor": "csv",
    "path": "s.csv",
    "rate_hz": 100,
    "channels": {"abp": {"unit": "mmHg"}},
    "align": {"how": "hold", "max_age_ms": 50},
}


def test_sensors_are_opened_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.csv").write_text("time,abp\n0,80\n")
    code, said = said_by_child(devices.write(tmp_path, changes={"sensors": {"pressure": SENSOR}}), capsys)
    assert (code, json.loads(said)["checked"][1]) == (0, "sensor pressure: csv, 100 Hz, abp mmHg")


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("", {}, "s.csv: file: found an empty file, expected a line of names"),
        (None, {}, "device.yaml: sensors.pressure.path: found s.csv, expected a file that exists"),
        ("time,abp\n0,80\n1,x\n", {}, "s.csv: line 3: found 'x', expected a number, or nothing"),
        (
            "time,abp\n0,80\n",
            {"low": {"sensor": "pressure", "when": {"kind": "sample", "channel": "abp", "below": 60}, "text": "LOW"}},
            "device.yaml: rules.low.absent: found nothing, expected end, keep or raise: what it does while the sensor has no value",
        ),
    ],
)
def test_a_sensor_that_does_not_fit_is_one_line(
    text: str | None, rule: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "s.csv").write_text(text)
    code, said = said_by_child(
        devices.write(tmp_path, changes={"sensors": {"pressure": SENSOR}, "rules": rule}), capsys
    )
    assert code == 2
    assert said.count("\n") == 1
    assert expected in said
