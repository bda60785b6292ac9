"""Device files as people write them: each mistake is one line that says where, what and what instead."""

import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.config import Device
from inframe.core.errors import (
    AlreadyTold,
    BundleError,
    ConfigError,
    DeviceFault,
    InframeError,
    UpdateError,
    one_line,
)
from inframe.core.part import PATTERNS
from inframe.core.yamlfile import MAX_BYTES, parse_device, read_device
from inframe.reference_device import device_file

FILE = Path("device.yaml")
REFERENCE = device_file().read_text("utf-8")
ABSENT = object()


def changed(path: str, value: Any) -> bytes:
    """The reference device with another value at `path`; ABSENT takes the key away."""
    values = yaml.safe_load(REFERENCE)
    *way, last = path.split(".")
    at = values
    for key in way:
        at = at.setdefault(key, {})
    if value is ABSENT:
        del at[last]
    else:
        at[last] = value
    return yaml.safe_dump(values, sort_keys=False).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_device(data, FILE)
    line = str(caught.value)
    assert line.startswith("device.yaml: ")
    assert line.isprintable()
    assert caught.value.exit_code == 2
    return line.removeprefix("device.yaml: ")


STREAM_KEYS = "width, height, fps, rotate, stall_ms, frozen_ms, camera, path, pace, loop"

MISTAKES = [
    ("streams.endoscope.camera", "foo", "found 'foo', expected one of file, rtsp, v4l2, igtl, synthetic"),
    ("streams.endoscope.camera", ABSENT, "found nothing, expected one of file, rtsp, v4l2, igtl, synthetic"),
    ("streams.endoscope.camera", 3, "found 3, expected one of file, rtsp, v4l2, igtl, synthetic"),
    ("streams.endoscope.camera", ["file"], "found a list, expected one of file, rtsp, v4l2, igtl, synthetic"),
    ("streams.endoscope.fps", 0, "found 0, expected at least 0.1"),
    ("streams.endoscope.fps", 1e-300, "found 1e-300, expected at least 0.1"),
    ("streams.endoscope.fps", 241, "found 241, expected at most 240"),
    ("streams.endoscope.fps", "30", "found '30', expected a number"),
    ("streams.endoscope.fps", True, "found true, expected a number"),
    ("streams.endoscope.fps", None, "found null, expected a number"),
    ("streams.endoscope.fps", float("nan"), "found nan, expected a finite number"),
    ("streams.endoscope.fps", float("-inf"), "found -inf, expected a finite number"),
    ("streams.endoscope.fps", ABSENT, "found nothing, expected a value"),
    ("streams.endoscope.width", 10.5, "found 10.5, expected a whole number"),
    ("streams.endoscope.width", "wide", "found 'wide', expected a whole number"),
    ("streams.endoscope.widht", 3, f"found an unknown key, expected width (known here: {STREAM_KEYS})"),
    ("streams.endoscope.url", "rtsp://x", f"found an unknown key, expected one of {STREAM_KEYS}"),
    ("streams.endoscope", 3, "found 3, expected a mapping"),
    ("streams", [1], "found a list, expected a mapping"),
    ("streams", {}, "found 0 items, expected at least 1"),
    ("device", "x" * 65, f"found 'xxxxxxxxxx{'x' * 40}'… (65 characters), expected at most 64 characters"),
    ("device", "", "found '', expected at least 1 characters"),
    ("deadline_ms", 0, "found 0, expected more than 0"),
    ("display", "other", "found 'other', expected one of streams: endoscope"),
    ("models.anatomy.stream", "other", "found 'other', expected one of: endoscope"),
    (
        "models.anatomy.decode.kind",
        "x",
        "found 'x', expected one of segmentation, detection, classification, heat, function",
    ),
    ("models.anatomy.decode", "x", "found 'x', expected a mapping"),
    ("models.anatomy.preprocess.fit", "foo", "found 'foo', expected 'stretch', 'letterbox' or 'crop'"),
    ("models.anatomy.preprocess.mean", [1, 2], "found 2 values, expected 1 or 3 for colour rgb"),
    ("models.anatomy.preprocess.std", [1, 0, 2], "found 0, expected values other than 0"),
    ("models.anatomy.preprocess.size", [1, 2, 3], "found 3 items, expected at most 2"),
    ("models.anatomy.preprocess.size", 5, "found 5, expected a list"),
    ("models.anatomy.labels", 5, "found 5, expected a list"),
    ("models.anatomy.labels", [], "found 0 items, expected at least 1"),
    ("models.anatomy.colours.liver", "red", "found 'red', expected \"#rrggbb\""),
    ("models.anatomy.engine.name", "tensorrt", "found 'tensorrt', expected 'onnxruntime' or 'openvino'"),
    ("models.anatomy.engine.providers", [], "found 0 items, expected at least 1"),
    ("rules.out_of_body.model", "x", "found 'x', expected one of models: anatomy"),
    ("rules.out_of_body.when.above", 1.0, "found both or neither of above and below, expected exactly one"),
    ("rules.out_of_body.when.release", 0.01, "found 0.01, expected at least below = 0.05"),
    ("rules.out_of_body.persist", {"k": 2}, "found a mixture, expected either k and n, or seconds"),
    ("rules.out_of_body.persist.k", 2, "found a mixture, expected either k and n, or seconds"),
    ("rules.out_of_body.text", "x" * 61, f"found '{'x' * 50}'… (61 characters), expected at most 60 characters"),
    ("screens", "web", "found 'web', expected a list"),
    ("cores", {"real_time": [0], "background": []}, "found 0 items, expected at least 1"),
    ("real_time", "maybe", "found 'maybe', expected true or false"),
    ("real_time", 1, "found 1, expected true or false"),
    ("worker_memory_mb", 10**17, "found 100000000000000000, expected at most 1048576"),
]


@pytest.mark.parametrize(("path", "value", "said"), MISTAKES)
def test_a_mistake_is_one_line(path: str, value: object, said: str) -> None:
    line = refusal(changed(path, value))
    field, _, rest = line.partition(": ")
    assert rest == said
    assert field == {"cores": "cores.background", "rules.out_of_body.when.above": "rules.out_of_body.when"}.get(
        path, "rules.out_of_body.persist" if "persist" in path else path
    )


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("screens", [{"kind": "web", "port": 99999}], "screens.0.port: found 99999, expected at most 65535"),
        ("screens", [{"kind": "fil"}], "screens.0.kind: found 'fil', expected one of none, file, window, web"),
        (
            "screens",
            [{"kind": "web", "prot": 1}],
            "screens.0.prot: found an unknown key, expected port (known here: kind, port, users, address, names, tls)",
        ),
        ("cores", {"real_time": [0, -1], "background": [0]}, "cores.real_time.1: found -1, expected at least 0"),
        ("models.anatomy.preprocess.size", [1], "models.anatomy.preprocess.size.1: found nothing, expected a value"),
        (
            "models.anatomy.preprocess.size",
            [1, "x"],
            "models.anatomy.preprocess.size.1: found 'x', expected a whole number",
        ),
        ("models.anatomy.shapes", {"x": ["a"]}, "models.anatomy.shapes.x.0: found 'a', expected a whole number"),
        ("models.anatomy.labels", [1, "b"], "models.anatomy.labels.0: found 1, expected text (and 1 more)"),
        (
            "models.anatomy.decode",
            {"kind": "function", "function": "x", "returns": "heat"},
            "models.anatomy.decode.function: found 'x', expected file.py:name or package.module:name",
        ),
        (
            "models.anatomy.decode",
            {"kind": "function", "function": "a:b"},
            "models.anatomy.decode.returns: found nothing, expected a value",
        ),
        (
            "streams",
            {"Endo Scope": {"camera": "synthetic", "width": 64, "height": 64, "fps": 30}},
            "streams.Endo Scope: found 'Endo Scope', expected a name: a-z, 0-9 and _, at most 32, a letter first",
        ),
        (
            "models",
            {"Model-1": {}},
            "models.Model-1: found 'Model-1', expected a name: a-z, 0-9 and _, at most 32, a letter first (and 6 more)",
        ),
        (
            "streams.file",  # a stream that is called like a kind of camera
            {"camera": "file", "path": "x", "width": 64, "height": 64, "fps": "x"},
            "streams.file.fps: found 'x', expected a number",
        ),
        ("rules.out_of_body.persist", {"k": 3, "n": 2}, "rules.out_of_body.persist.k: found 3, expected at most n = 2"),
    ],
)
def test_the_field_is_the_path_that_one_sees_in_the_file(path: str, value: object, said: str) -> None:
    assert refusal(changed(path, value)) == said


def test_an_unknown_key_is_named_before_what_follows_from_it() -> None:
    data = changed("streams.endoscope", {"camera": "file", "width": 64, "hieght": 64, "fps": 0})
    assert refusal(data) == (
        f"streams.endoscope.hieght: found an unknown key, expected height (known here: {STREAM_KEYS}) (and 3 more)"
    )


BROKEN = [
    (b"", "file: found an empty file, expected a mapping (device: …)"),
    (b"- a", "file: found list, expected a mapping (device: …)"),
    (b"hello", "file: found str, expected a mapping (device: …)"),
    (b"a: &x 1\nb: *x", "line 2, column 4: found an alias, expected plain values"),
    (b"a: 1\na: 2", "line 2, column 1: found the key 'a' twice, expected each key once"),
    (b"1: 2", "line 1, column 1: found the key 1, expected text"),
    (b"? [a]\n: b", "line 1, column 3: found the key a list, expected text"),
    (b"[1,2", "line 1, column 5: found '<stream end>', expected ',' or ']'"),
    (
        b"a: !!python/object/apply:os.system [x]",
        "line 1, column 4: found the tag tag:yaml.org,2002:python/object/apply:os.system",
    ),
    (b"a: !!timestamp x", "line 1, column 4: found the tag tag:yaml.org,2002:timestamp, expected plain values"),
    (b"a: !!int ''", "line 1, column 4: found the tag tag:yaml.org,2002:int, expected plain values"),
    (b"a: !x 1", "line 1, column 4: found the tag !x, expected plain values"),
    (b"--- a\n--- b", "line 2, column 1: found another document, expected valid YAML"),
    (b"\xff\xfe", "byte 0: found 0xff, expected UTF-8 text"),
    (b"a: \x07", "character 4: found U+0007, expected printable text"),
    (b'device: "a\\nb"', r"line 1, column 9: found the character '\n' in a text, expected text on one line"),
    (b'device: "\\ud800"', r"line 1, column 9: found the character '\ud800' in a text, expected text on one line"),
    (b'"a\\0": 1', r"line 1, column 1: found the character '\x00' in a text, expected text on one line"),
    (
        b"a: " + b"9" * 5000,
        f"line 1, column 4: found '{'9' * 50}'… (5000 characters), expected a number of at most 18 digits",
    ),
    (b"[" * 100_000, "file: found a structure nested too deeply, expected a device file"),
    (b"a: " + b"[" * 250 + b"]" * 250, "file: found a structure nested too deeply, expected a device file"),
]


@pytest.mark.parametrize(("data", "said"), BROKEN, ids=lambda value: value[:20] if isinstance(value, bytes) else "")
def test_what_is_no_device_file_says_where(data: bytes, said: str) -> None:
    assert refusal(data).startswith(said)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("1", 1.0), (".5", 0.5), ("010", 10.0), ("+2", 2.0), ("1.", 1.0), ("-3.5E+2", -350.0)],
)
def test_numbers_are_those_of_yaml_1_2(text: str, value: float) -> None:
    data = REFERENCE.replace("scale: 0.00392156862745098", f"scale: {text}")
    assert parse_device(data.encode(), FILE).models["anatomy"].preprocess.scale == value


@pytest.mark.parametrize("text", ["yes", "no", "on", "12:30", "0x10", "1_000", "2024-01-01", "<<", "=", "~x"])
def test_what_only_yaml_1_1_takes_for_something_else_is_text(text: str) -> None:
    assert parse_device(REFERENCE.replace("device: inframe reference", f"device: {text}").encode(), FILE).device == text


def test_the_overlay_can_be_switched_off() -> None:
    """YAML 1.1 reads the key `on` as true."""
    assert not parse_device(REFERENCE.replace("{opacity: 0.35,", "{on: false,").encode(), FILE).overlay.on


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert parse_device(b"\xef\xbb\xbf" + REFERENCE.encode(), FILE) == read_device(device_file())


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    for path, said in [
        (tmp_path / "none.yaml", "found No such file or directory, expected a readable device file"),
        (tmp_path, "found Is a directory, expected a readable device file"),
        (Path("a\0b"), "found embedded null byte, expected a readable device file"),
        (large, "found more than 256 KiB, expected a device file of at most 256 KiB"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(said)):
            read_device(path)
    large.write_bytes(REFERENCE.encode().ljust(MAX_BYTES))
    assert read_device(large).device == "inframe reference"


# --- the schema ------------------------------------------------------------------------------------------------------


def test_what_a_device_says_of_itself_makes_the_same_device() -> None:
    device = read_device(device_file())
    assert Device.model_validate(device.model_dump(mode="json")) == device


def test_the_deadline_is_one_frame_period_unless_said_otherwise() -> None:
    assert read_device(device_file()).deadline_ns == 33_333_333
    assert parse_device(changed("deadline_ms", 20.5), FILE).deadline_ns == 20_500_000


def test_each_pattern_is_explained() -> None:
    def patterns(part: object) -> set[str]:
        if isinstance(part, dict):
            return {v for k, v in part.items() if k == "pattern"} | {p for v in part.values() for p in patterns(v)}
        return {p for v in part for p in patterns(v)} if isinstance(part, list) else set()

    assert patterns(Device.model_json_schema()) <= set(PATTERNS)


# --- errors ----------------------------------------------------------------------------------------------------------


@given(st.text())
def test_any_text_fits_on_one_line(text: str) -> None:
    shown = one_line(text)
    assert shown.isprintable()
    assert len(shown) <= 160
    assert one_line(ConfigError(text, text, text, text), 10**6) == str(ConfigError(text, text, text, text))


def test_each_error_has_the_exit_code_of_who_must_act() -> None:
    codes: dict[type[InframeError], int] = {InframeError: 1, ConfigError: 2, AlreadyTold: 2, BundleError: 2}
    codes |= {UpdateError: 2, DeviceFault: 3}
    assert {error: error.exit_code for error in codes} == codes


# --- anything at all -------------------------------------------------------------------------------------------------


def one_error(data: bytes) -> None:
    """Read it: a device or one ConfigError of one printable line, nothing else."""
    try:
        parse_device(data, FILE)
    except ConfigError as error:
        line = str(error)
        assert line.isprintable()
        assert line.count(": found ") >= 1
        assert ", expected " in line
        assert "found found" not in line
        assert os.linesep not in line


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    one_error(data)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-?!&*[]{}#|>%@`'\" \n\t\\0x.eE+~<=,", max_size=40))
def test_any_yaml_syntax(text: str) -> None:
    one_error(text.encode())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(REFERENCE.encode()) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(wounds: list[tuple[int, int]]) -> None:
    data = bytearray(REFERENCE.encode())
    for at, value in wounds:
        data[at] = value
    one_error(bytes(data))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([[], {}, [[[]]], {"": {}}, "\0", "a\nb", "\ud800", 10**400, "x" * 500, [1] * 50, {"kind": {}}]),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_changed_structure(data: st.DataObject) -> None:
    """One to three places anywhere in the reference device are deleted, replaced, wrapped, renamed or joined by another."""
    values = yaml.safe_load(REFERENCE)
    for _ in range(data.draw(st.integers(1, 3))):
        way = places(values)
        if not way:
            break
        holder, key = data.draw(st.sampled_from(way))
        match data.draw(st.sampled_from(["delete", "replace", "wrap", "rename", "add"])):
            case "delete":
                del holder[key]
            case "replace":
                holder[key] = deepcopy(data.draw(ODD))
            case "wrap":
                holder[key] = [holder[key]] if data.draw(st.booleans()) else {"x": holder[key]}
            case "rename" if isinstance(holder, dict):
                holder[data.draw(st.text(max_size=6))] = holder.pop(key)
            case _:
                if isinstance(holder, dict):
                    holder[data.draw(st.text(max_size=6))] = deepcopy(data.draw(ODD))
                else:
                    holder.append(deepcopy(data.draw(ODD)))
    one_error(yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "surrogatepass"))


def places(at: Any) -> list[tuple[Any, Any]]:
    """Every place of a structure as (what holds it, key)."""
    keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
    return [(at, key) for key in keys] + [place for key in keys for place in places(at[key])]
