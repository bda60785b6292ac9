"""Devices that run signed bundles: what is asked of them, what they load, and what the screen and the trail say."""

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from inframe.bundle import BundleError, opening
from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.drivers import engines
from inframe.pipeline import model as model_module
from inframe.pipeline.board import Count
from inframe.pipeline.bundled import open_bundle_of
from inframe.pipeline.display import overlay_of
from inframe.pipeline.model import load_of
from inframe.recorder.batch import settings_of
from inframe.resolve import resolve
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf, EventRecord, FrameLeaf, Model
from inframe.trail.verify import verify
from tests import devices
from tests.bundle import made
from tests.drivers import onnx_models as om
from tests.test_device import go_on_until, open_device

STREAMS = {"endoscope": {"camera": "synthetic", "width": 64, "height": 48, "fps": 30}}


def write(folder: Path, bundle: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A device file with one bundle, signed by both whom its policy asks for."""
    file = made.signed(folder / "made").relative_to(folder)
    values = {
        "device": "test",
        "streams": STREAMS,
        "display": "endoscope",
        "trail": {"folder": "trail"},
        "policy": made.policy().config().model_dump(exclude_none=True),
        "bundles": {"m": {"file": str(file), "stream": "endoscope"} | (bundle or {})},
    }
    path = folder / "device.yaml"
    kept = {key: value for key, value in (values | changes).items() if value is not ...}
    path.write_text(yaml.safe_dump(kept), "utf-8")
    return path


def resolved(path: Path) -> Device:
    return resolve(read_device(path), path)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_a_bundle_becomes_a_model_with_all_that_was_signed(tmp_path: Path) -> None:
    device = resolved(write(tmp_path, {"colours": {"a": "#ffffff"}, "worker": "own"}))
    model, bundle = device.models["m"], device.bundles["m"]
    assert (model.labels, model.budget_ms, model.worker, model.colours) == (
        ("a", "b", "c"),
        10,
        "own",
        {"a": "#ffffff"},
    )
    assert (bundle.model, bundle.digest) == ("anatomy", digest_of(tmp_path / "made" / "anatomy.inframe"))
    assert device.unsigned == ()
    assert Device.model_validate(device.model_dump(mode="json")) == device  # as every process gets it
    assert len(settings_of(device)) < 20_000


OTHER = made.policy(anna=("research", made.signer("anna")), eve=("quality", made.signer("eve")))
BARE = {"m": devices.values()["models"]["m"]}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no policy": ({}, {"policy": ...}, "device.yaml: policy: found null, expected whose signatures bundles must have, or"),
    "another policy": (
        {}, {"policy": OTHER.config().model_dump(exclude_none=True)},
        "anatomy.inframe: envelope.signatures: found 0 of role quality, expected 1 of: eve",
    ),
    "another policy, and unsigned allowed": (
        {}, {"policy": OTHER.config().model_dump(exclude_none=True), "allow_unsigned": True}, "found 0 of role quality",
    ),
    "a policy that is not there": ({}, {"policy": "nope.yaml"}, "nope.yaml: file: found No such file or directory"),
    "a bare model": ({}, {"bundles": {}, "models": BARE}, "models.m.file: found model.onnx, which nobody signed, expected"),
    "a name twice": ({}, {"models": BARE, "allow_unsigned": True}, "bundles.m: found a name that models has too"),
    "another digest": ({"digest": "0" * 64}, {}, "anatomy.inframe: digest: found "),
    "no such model": ({"model": "other"}, {}, "anatomy.inframe: model: found other, expected one of its models: anatomy"),
    "no such file": ({"file": "nope.inframe"}, {}, "bundles.m.file: found nope.inframe, expected a file that exists"),
    "no such stream": ({"stream": "room"}, {}, "bundles.m.stream: found 'room', expected one of: endoscope"),
    "a setting that is signed": ({"budget_ms": 5}, {}, "bundles.m.budget_ms: found an unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_line(tmp_path: Path, case: str) -> None:
    bundle, changes, said = REFUSED[case]
    om.save(tmp_path, made.MODEL)
    with pytest.raises((ConfigError, BundleError)) as caught:
        resolved(write(tmp_path, bundle, **changes))
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"inframe": "99", "engines": {"onnxruntime": "1"}}, "compatibility.inframe: found inframe "),
        ({"inframe": "0", "engines": {"onnxruntime": "99.1"}}, "compatibility.engines: found onnxruntime "),
        (
            {"inframe": "0", "engines": {"openvino": "1"}},
            "compatibility.engines: found onnxruntime, expected one of openvino",
        ),
        (
            {"inframe": "0", "engines": {"onnxruntime": "1"}, "architectures": ["pdp11"]},
            "compatibility.architectures: found ",
        ),
    ],
)
def test_a_bundle_for_another_device_is_refused(tmp_path: Path, needs: dict[str, Any], said: str) -> None:
    path = write(tmp_path)
    made.signed(tmp_path / "made", compatibility=needs)
    with pytest.raises(BundleError, match=said):
        resolved(path)


# --- what is loaded --------------------------------------------------------------------------------------------------


def test_the_engine_gets_the_verified_bytes_at_every_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, given, verified = resolved(write(tmp_path)), [], []
    load, verify_it = engines.load_engine, opening.verify

    def load_engine(data: bytes, where: str, config: Any) -> Any:
        given.append(data)
        return load(data, where, config)

    def verified_by(*args: Any) -> Any:
        verified.append(len(given))  # verified before the engine gets anything
        return verify_it(*args)

    monkeypatch.setattr(model_module, "load_engine", load_engine)
    monkeypatch.setattr(opening, "verify", verified_by)
    with open_bundle_of(device, "m") as bundle:
        verified.clear()
        for _ in range(2):
            model = load_of(device, "m", bundle.fd)
            model.close()
        assert verified == [0, 1]
        assert [hashlib.sha256(data).hexdigest() for data in given] == [bundle.digests["model.onnx"]] * 2
        assert (model.sha256, model.slot) == (bundle.digest, "active")


def test_a_file_that_was_exchanged_after_the_start_is_not_loaded(tmp_path: Path) -> None:
    """Also where the other one is signed as well: it was not what this device was resolved with."""
    device = resolved(write(tmp_path))
    made.signed(tmp_path / "made", counter=8)
    with pytest.raises(BundleError, match=r"anatomy\.inframe: digest: found "):
        load_of(device, "m")
    with pytest.raises(BundleError, match=r"anatomy\.inframe: digest: found "):
        Running(device, tmp_path / "device.yaml")


# --- the whole device ------------------------------------------------------------------------------------------------


def trail_of(folder: Path) -> tuple[list[EventRecord], list[Model]]:
    home = Home(folder)
    (log,), (key,) = home.logs(), home.public_keys()
    verify(Disk(log), key).raise_if_damaged()
    leaves = [decode(entry) for _, entry in Log(Disk(log), key).entries()]
    events = [event for leaf in leaves if isinstance(leaf, EventLeaf) for event in leaf.events]
    return events, [model for leaf in leaves if isinstance(leaf, FrameLeaf) for model in leaf.models]


def test_a_worker_that_is_killed_comes_back_although_the_bundle_is_gone_from_the_disk(tmp_path: Path) -> None:
    path = write(tmp_path)
    file = tmp_path / "made" / "anatomy.inframe"
    digest = digest_of(file)
    with open_device(path) as running:
        row = running.board.row("worker.worker")
        go_on_until(running, lambda: row.get(Count.FRAMES) > 5)
        file.unlink()
        pid = running.supervisor.pid("worker.worker")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        go_on_until(running, lambda: running.supervisor.pid("worker.worker") not in (None, pid))
        seen = row.get(Count.FRAMES)
        go_on_until(running, lambda: row.get(Count.FRAMES) > seen + 5)
        go_on_until(running, lambda: running.board.row("recorder").get(Count.FRAMES) > 40)
    events, models = trail_of(tmp_path / "trail")
    (told,) = (event for event in events if event.name == "BUNDLE_VERIFIED")
    assert dict(told.data) == {"model": "m", "bundle": "anatomy 1.2.0 (7)", "sha256": digest, "signed_by": "anna, otto"}
    assert [event.data["slot"] for event in events if event.name == "MODEL_LOADED"] == ["active", "active"]
    assert {(model.bundle.hex(), model.slot) for model in models if any(model.bundle)} == {(digest, "active")}
    assert not [event for event in events if "UNSIGNED" in (event.name, event.text)]


@pytest.mark.parametrize("bare", [True, False])
def test_what_nobody_signed_says_so_all_the_time(tmp_path: Path, bare: bool) -> None:
    path = write(tmp_path, policy=..., allow_unsigned=True)
    if bare:
        path = devices.write(tmp_path, changes={"trail": {"folder": "trail"}})
    with open_device(path) as running:
        assert running.device.unsigned == ("m",)
        go_on_until(running, lambda: running.board.row("worker.worker").get(Count.FRAMES) > 5)
        shown = running.board.row("recorder")
        go_on_until(running, lambda: shown.get(Count.FRAMES) > 40)
    events, models = trail_of(tmp_path / "trail")
    assert [event.data["models"] for event in events if event.name == "UNSIGNED"] == ["m"]
    assert {model.slot for model in models if model.slot} == {"unsigned"}


def test_the_screen_says_unsigned_on_every_picture_beside_the_mode(tmp_path: Path) -> None:
    from inframe.core.types import Controls, Decision, Mode, Verdict

    large = {"endoscope": STREAMS["endoscope"] | {"width": 1280, "height": 720}}
    signed = resolved(write(tmp_path, streams=large))
    unsigned = resolved(write(tmp_path, streams=large, policy=..., allow_unsigned=True))
    source, pictures = np.zeros((720, 1280, 3), np.uint8), []
    for device in (signed, unsigned):
        for mode in Mode:
            into = np.empty_like(source)
            overlay = overlay_of(device, {"m": ("a", "b", "c")})
            decision = Decision(Verdict.WITHHOLD, mode, (), (), ())
            overlay.draw(into, source, decision, Controls(overlay_on=False), 0)
            pictures.append(into)
    changed = [np.argwhere((a != b).any(axis=2)) for a, b in zip(pictures[:4], pictures[4:], strict=True)]
    for points in changed:  # in the line at the top, left, where the mode is
        assert len(points) > 1000
        assert points[:, 0].max() < 60
        assert points[:, 1].max() < 640
