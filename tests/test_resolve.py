"""From a device file as written to one that any process can use."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from inframe.core.config import Device, FileScreen, FileStream, RtspStream, Trail
from inframe.core.errors import ConfigError
from inframe.resolve import addresses, resolve
from tests.pipeline import script

SIZE = {"width": 64, "height": 48, "fps": 30}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("video.mp4", "model.onnx"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "labels.txt").write_text("background\ntissue\n")
    return tmp_path


def device(model: dict[str, Any] | None = None, **changes: Any) -> Device:
    streams = {"endoscope": {"camera": "file", "path": "video.mp4", **SIZE}}
    models = {"m": script.model(file="model.onnx", labels="labels.txt") | (model or {})}
    values = {"device": "test", "streams": streams, "display": "endoscope", "allow_unsigned": True, "models": models}
    return Device.model_validate(values | changes)


def refusal(folder: Path, one: Device) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(one, folder / "device.yaml")
    assert str(caught.value).isprintable()
    return str(caught.value).removeprefix(f"{folder}/device.yaml: ")


def test_every_path_is_absolute_against_the_device_files_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    changes: dict[str, Any] = {"screens": [{"kind": "file", "path": "out.mkv"}, {"kind": "none"}]}
    changes["trail"] = {"folder": "kept", "key": "keys/own"}
    function = {"kind": "function", "function": "own/code.py:decode", "returns": "segmentation"}
    found = resolve(device({"decode": function}, **changes), Path(folder.name) / "device.yaml")
    stream, screen = found.streams["endoscope"], found.screens[0]
    assert isinstance(stream, FileStream)
    assert isinstance(screen, FileScreen)
    assert stream.path == str(folder / "video.mp4")
    assert found.models["m"].file == str(folder / "model.onnx")
    assert found.models["m"].decode.function == f"{folder}/own/code.py:decode"  # type: ignore[union-attr]
    assert screen.path == str(folder / "out.mkv")
    assert found.trail == Trail(folder=str(folder / "kept"), key=str(folder / "keys" / "own"))
    assert resolve(found, Path("/elsewhere/device.yaml")) == found


def test_what_is_absolute_or_a_modules_name_stays(folder: Path) -> None:
    function = {"kind": "function", "function": "package.module:decode", "returns": "segmentation"}
    one = device({"decode": function, "file": str(folder / "model.onnx")})
    found = resolve(one, folder / "device.yaml")
    assert found.models["m"].file == str(folder / "model.onnx")
    assert found.models["m"].decode.function == "package.module:decode"  # type: ignore[union-attr]
    assert found.trail == Trail(folder=str(folder / "out" / "trail"))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"a\nb\n", ("a", "b")),
        (b"a\r\nb c \r\n\r\n\r\n", ("a", "b c")),
        (b"\xef\xbb\xbfa\nb", ("a", "b")),
        ("ä\nδ".encode(), ("ä", "δ")),
    ],
)
def test_labels_are_read_from_their_file(folder: Path, text: bytes, labels: tuple[str, ...]) -> None:
    (folder / "labels.txt").write_bytes(text)
    assert resolve(device(), folder / "device.yaml").models["m"].labels == labels


def test_labels_in_the_device_file_stay(folder: Path) -> None:
    assert resolve(device({"labels": ["x", "y"]}), folder / "device.yaml").models["m"].labels == ("x", "y")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "labels.txt, line 1: ''"),
        (b"\n \n", "labels.txt, line 1: ''"),
        (b"a\n\nb\n", "labels.txt, line 2: ''"),
        (b"a\nb\x07\n", r"labels.txt, line 2: 'b\x07'"),
        (b"a\n\xff\n", "labels.txt (byte 2 is not UTF-8)"),
    ],
)
def test_labels_that_are_none(folder: Path, text: bytes, said: str) -> None:
    (folder / "labels.txt").write_bytes(text)
    assert refusal(folder, device()).startswith(f"models.m.labels: found {said}, expected ")


@pytest.mark.parametrize("name", ["absent", "", "video.mp4/x", "n" * 300, "../" * 2000, "queue"])
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("models.m.file", lambda name: device({"file": name})),
        ("models.m.labels", lambda name: device({"labels": name})),
        (
            "streams.endoscope.path",
            lambda name: device(streams={"endoscope": {"camera": "file", "path": name, **SIZE}}),
        ),
    ],
)
def test_files_that_are_not_there(folder: Path, field: str, make: Any, name: str) -> None:
    os.mkfifo(folder / "queue")  # to open it would wait for ever
    said = refusal(folder, make(name))
    assert said.startswith(f"{field}: found ")
    assert said.endswith("expected a file that exists")


def test_labels_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(folder, device()).startswith("models.m.labels: found labels.txt (Permission denied), expected ")


def test_a_trail_is_kept_in_a_folder_under_a_key_in_a_file(folder: Path) -> None:
    (folder / "there").mkdir()
    found = resolve(device(trail={"folder": "there"}), folder / "device.yaml")
    assert found.trail == Trail(folder=str(folder / "there"))
    assert resolve(device(trail=None), folder / "device.yaml").trail is None
    said = refusal(folder, device(trail={"folder": "video.mp4"}))
    assert said == "trail.folder: found video.mp4, expected a folder, or a name that is free"
    said = refusal(folder, device(trail={"key": "there"}))
    assert said == "trail.key: found there, expected a key file, or a name that is free"


def test_rules_fit_their_models(folder: Path) -> None:
    rule = {"model": "m", "when": {"kind": "area", "labels": ["tissue"], "above": 0.5}, "text": "R"}
    resolve(device(rules={"r": rule}), folder / "device.yaml")
    rule["when"] = {"kind": "area", "labels": ["liver"], "above": 0.5}
    said = refusal(folder, device(rules={"r": rule}))
    assert said == "rules.r.when.labels: found liver, expected one of background, tissue"


PRESSURE = {"sensor": "simulator", "signal": "pressure", "rate_hz": 100, "channels": {"abp": {"unit": "mmHg"}}}
PRESSURE |= {"align": {"how": "hold", "max_age_ms": 50}}
INPUT = {"sensor": "s0", "align": {"how": "window", "samples": 2, "over": "last", "max_age_ms": 50}, "absent": "miss"}
LOW = {"sensor": "s0", "when": {"kind": "sample", "channel": "abp", "below": 60}, "absent": "end", "text": "x" * 60}
NAMED = "a_rule_with_a_name_of_thirty_"


def many(sensors: int, inputs: int = 0, models: int = 1, rules: int = 0, **changes: Any) -> Device:
    """A device of so many; the inputs are one model's."""
    given = [{f"i{n}": INPUT for n in range(inputs)}] + [{}] * (models - 1)
    made = [script.model(file="model.onnx", labels="labels.txt", inputs=one) for one in given]
    changes |= {"sensors": {f"s{n}": PRESSURE for n in range(sensors)}}
    changes |= {"models": {f"m{n}": one for n, one in enumerate(made)}}
    return device(**changes, rules={f"{NAMED}{n:03}": LOW for n in range(rules)})


@pytest.mark.parametrize(
    ("fits", "too_many", "said"),
    [
        (
            (64,),
            (65,),
            "sensors: found 65 streams and 0 inputs of models that come from them, expected at most 64 together",
        ),
        (
            (62, 2),
            (63, 2),
            "sensors: found 63 streams and 2 inputs of models that come from them, expected at most 64 together",
        ),
        ((1, 0, 32), (1, 0, 33), "models: found 33 that look at endoscope, expected at most 32"),
        (
            (1, 0, 1, 300),
            (1, 0, 1, 400),
            "rules: found 400 whose findings may take 74,281 bytes at one frame, expected at most",
        ),
    ],
)
def test_the_trail_has_room_for_all_that_a_record_may_say(
    folder: Path, fits: tuple[int, ...], too_many: tuple[int, ...], said: str
) -> None:
    resolve(many(*fits), folder / "device.yaml")
    assert refusal(folder, many(*too_many)).startswith(said)
    resolve(many(*too_many, trail=None), folder / "device.yaml")


# --- cameras on the network ------------------------------------------------------------------------------------------


def rtsp(url: str) -> Device:
    return Device.model_validate(
        {"device": "test", "streams": {"room": {"camera": "rtsp", "url": url, **SIZE}}, "display": "room"}
    )


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network on which only these names can be looked up."""
    known = {"camera.local": (socket.AF_INET, "192.0.2.7"), "six.local": (socket.AF_INET6, "2001:db8::7")}

    def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        family, address = known[host]
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)), (family, 1, 6, "", ("192.0.2.99", port))]

    monkeypatch.setattr("inframe.resolve.socket.getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("url", "numeric", "address"),
    [
        ("rtsp://camera.local/live", "rtsp://192.0.2.7:554/live", ("192.0.2.7", 554)),
        ("rtsp://camera.local:8554/live?q=1", "rtsp://192.0.2.7:8554/live?q=1", ("192.0.2.7", 8554)),
        ("rtsp://me:p%40ss@camera.local/", "rtsp://me:p%40ss@192.0.2.7:554/", ("192.0.2.7", 554)),
        ("rtsp://six.local/live", "rtsp://[2001:db8::7]:554/live", ("2001:db8::7", 554)),
    ],
)
def test_a_cameras_host_is_looked_up_once_and_is_all_that_its_process_may_reach(
    url: str, numeric: str, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = resolve(rtsp(url), Path("device.yaml")).streams["room"]
    assert isinstance(stream, RtspStream)
    assert stream.url == numeric
    monkeypatch.setattr("inframe.resolve.socket.getaddrinfo", None)
    assert addresses(stream) == {address}


@pytest.mark.usefixtures("names")
def test_a_server_of_pictures_is_looked_up_once_and_is_all_that_its_process_may_reach() -> None:
    def room(host: str) -> Device:
        one = {"camera": "igtl", "host": host, "name": "Image", **SIZE}
        return Device.model_validate({"device": "test", "streams": {"room": one}, "display": "room"})

    stream = resolve(room("camera.local"), Path("device.yaml")).streams["room"]
    assert addresses(stream) == {("192.0.2.7", 18944)}
    with pytest.raises(ConfigError, match=r"streams.room.host: found other.local, expected a host that can be looked"):
        resolve(room("other.local"), Path("device.yaml"))


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp:///live", "found no host, expected rtsp://HOST"),
        ("rtsp://:554/live", "found no host, expected rtsp://HOST"),
        ("rtsp://[::1/live", "found rtsp://[::1/live, expected rtsp://HOST"),
        ("rtsp://camera.local:99999/", "found rtsp://camera.local:99999/, expected rtsp://HOST"),
        ("rtsp://camera.local:x/", "found rtsp://camera.local:x/, expected rtsp://HOST"),
        ("rtsp://me:secret@other.local/", "found rtsp://other.local/, expected rtsp://HOST"),
    ],
)
def test_a_camera_that_can_not_be_found(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(rtsp(url), Path("device.yaml"))
    assert str(caught.value).startswith(f"device.yaml: streams.room.url: {said}")
    assert "secret" not in str(caught.value)


def test_other_cameras_reach_nobody() -> None:
    assert addresses(device().streams["endoscope"]) == frozenset()
