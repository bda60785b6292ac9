"""`inframe replay` and `inframe record …`: what they say, and how they end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from inframe.cli import app
from inframe.core.errors import ConfigError, InframeError
from scripts.docs import known_commands
from tests import devices
from tests.drivers import onnx_models as om
from tests.recording.procedures import Procedure, device


class Ended:
    """What a command did."""

    def __init__(self, *words: object) -> None:
        done = CliRunner().invoke(app, [*map(str, words)])
        if done.exception is not None and not isinstance(done.exception, SystemExit | InframeError):
            raise done.exception
        refusal = done.exception if isinstance(done.exception, InframeError) else None
        self.code = refusal.exit_code if refusal is not None else done.exit_code
        self.text = f"{refusal}" if refusal is not None else done.output


def report(tmp_path: Path, *words: object) -> tuple[int, Any]:
    ended = Ended(*words, "--json", tmp_path / "out.json")
    return ended.code, json.loads((tmp_path / "out.json").read_text())


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Procedure(device(tmp_path_factory.mktemp("calm")), seed=3, frames=40, calm=True).run().write()


@pytest.mark.parametrize("name", [n for n in known_commands() if n.split()[0] in ("replay", "record")])
def test_every_command_has_help_and_an_exit_code_for_nonsense(name: str) -> None:
    assert Ended(*name.split(), "--help").code == 0
    assert Ended(*name.split(), "--nonsense").code == 2


def test_the_same_is_said_and_ends_with_0(calm: Path, tmp_path: Path) -> None:
    ended = Ended("replay", calm)
    assert (ended.code, ended.text.splitlines()[-1]) == (0, "the same, bit for bit")
    code, said = report(tmp_path, "replay", calm)
    assert (code, said["held"], said["compared"], said["decisions"]) == (0, True, "bit for bit", 40)
    assert said["first_difference"] is None


def test_another_model_is_shown_beside_the_recorded_one_and_ends_with_1(calm: Path, tmp_path: Path) -> None:
    other = om.save(tmp_path, om.convolution(labels=3, size=32, seed=9), "other.onnx")
    ended = Ended("replay", calm, "--model", f"m={other}")
    assert ended.code == 1
    assert "side by side" in ended.text
    assert "model m: its file is another than the recorded one" in ended.text
    assert "first difference: frame 1: result of m: recorded masks of 32x32, replayed " in ended.text
    code, said = report(tmp_path, "replay", calm, "--model", f"m={other}")
    assert code == 1
    assert said["recorded"] != said["replayed"]
    assert said["agreement"]["count"] == 1.0 > said["agreement"]["m"]


def test_another_engine_is_compared_within_tolerance_and_says_so(
    calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inframe.recording.about.processor", lambda: "another processor")
    code, said = report(tmp_path, "replay", calm)
    assert (code, said["compared"]) == (0, "within tolerance")
    assert said["why"][0].endswith("now another processor")
    assert "the same within tolerance (masks 3% of pixels" in " ".join(Ended("replay", calm).text.split())


def test_another_device_file(calm: Path, tmp_path: Path) -> None:
    changes = {"display": "other", "streams": {"other": {"camera": "synthetic", "width": 64, "height": 48, "fps": 30}}}
    path = devices.write(tmp_path, changes=changes, stream="other")
    assert "display: found other, expected endoscope, as recorded" in Ended("replay", calm, "--device", path).text
    path = devices.write(tmp_path, changes={"trail": None})
    values = yaml.safe_load(path.read_text())
    values["streams"]["endoscope"]["width"] = 96
    path.write_text(yaml.safe_dump(values))
    refused = Ended("replay", calm, "--device", path)
    assert (refused.code, "found 96x48, expected 64x48, as recorded" in refused.text) == (2, True)
    path = devices.write(tmp_path, changes={"trail": None}, preprocess={"mean": [127]})
    code, said = report(tmp_path, "replay", calm, "--device", path)
    assert code == 1, "without the second model and the rules"
    assert set(said["agreement"]) == {"m"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model", "nope=x.onnx"], "--model: found nope=x.onnx, expected NAME=FILE with NAME one of: m, count"),
        (["--model", "m"], "--model: found m, expected NAME=FILE"),
        (["--model", "m=/nowhere.onnx"], "models.m.file: found /nowhere.onnx, expected a file that exists"),
        (["--device", "/nowhere.yaml"], "/nowhere.yaml: "),
    ],
)
def test_wrong_input_is_one_line(calm: Path, words: list[str], line: str) -> None:
    refused = Ended("replay", calm, *words)
    assert refused.code == 2
    assert line in refused.text
    assert refused.text.count("\n") == 0


def test_files_that_are_not_there_or_no_recordings(tmp_path: Path) -> None:
    (tmp_path / "text.mcap").write_text("something")
    for name in ("nowhere.mcap", "text.mcap"):
        for command in (("replay",), ("record", "recover")):
            refused = Ended(*command, tmp_path / name)
            assert refused.code == 2
            assert f"{name}: recording: found " in refused.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.mcap"]


def test_recover_writes_beside_and_keeps_what_there_was(calm: Path, tmp_path: Path) -> None:
    path = tmp_path / calm.name
    path.write_bytes(calm.read_bytes()[:-300])
    code, said = report(tmp_path, "record", "recover", path)
    out = tmp_path / "procedure.000.recovered.mcap"
    assert (code, said["file"], said["was_cut"]) == (0, str(out), True)
    assert Ended("replay", out).code == 0
    again = Ended("record", "recover", path)
    assert (again.code, "expected a name that is free" in again.text) == (2, True)
    assert path.stat().st_size == calm.stat().st_size - 300


def test_key_seal_and_erase(tmp_path: Path) -> None:
    from inframe.recording import seal

    key = tmp_path / "device.key"
    assert Ended("record", "key", key).code == 0
    assert Ended("record", "key", key).code == 2
    file = device(tmp_path)
    assert file.recording is not None
    folder = Path(file.recording.folder)
    folder.mkdir()
    own = seal.procedure_key(folder / "procedure.key", seal.read_device_key(key))
    path = Procedure(file, seed=3, frames=20, calm=True, key=own).run().write()
    assert path.name == "procedure.000.mcap.sealed"
    assert Ended("replay", path).code == 2
    assert Ended("replay", path, "--key", key).code == 0
    shutil.copy(path, tmp_path / "copy.mcap.sealed")
    assert Ended("record", "erase", path).code == 0
    assert Ended("record", "erase", path).code == 2
    assert "erased" in Ended("replay", path, "--key", key).text


def test_a_device_that_records_refuses_what_it_can_not_use(tmp_path: Path) -> None:
    from inframe.core.yamlfile import read_device
    from inframe.resolve import resolve

    for changes, line in (
        ({"folder": "model.onnx"}, "recording.folder: found model.onnx, expected a folder, or a name that is free"),
        ({"folder": "r", "encrypt": "no.key"}, "recording.encrypt: found no.key, expected a file that exists"),
        ({"folder": "r", "codec": "vhs"}, "recording.codec: found "),
    ):
        path = devices.write(tmp_path, changes={"recording": changes})
        with pytest.raises(ConfigError) as refused:
            resolve(read_device(path), path)
        assert line in str(refused.value)
