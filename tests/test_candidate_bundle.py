"""Candidates and signatures: a signed one out of its bundle, one that nobody signed only where the device file allows it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from inframe import candidate_cli
from inframe.bundle import BundleError
from inframe.core.config import BundleConfig, ModelConfig
from inframe.core.errors import ConfigError
from inframe.core.health import Phase
from inframe.device import Running
from inframe.orders import Orders
from inframe.pipeline.board import Count
from inframe.pipeline.places import UNSIGNED
from inframe.trail.records import EventKind
from tests import devices
from tests.bundle import made
from tests.drivers import onnx_models as om
from tests.test_device import go_on_until, open_device
from tests.test_device_bundle import digest_of, resolved, trail_of, write
from tests.test_orders import Obedient, asked

HEALTH = {"shadow_frames": 10, "window": 10, "missed": 1.0}
FRAMES = 40


def device(folder: Path, **changes: Any) -> Path:
    """A device with a signed bundle and `candidate:`."""
    return write(folder, candidate={"control": "control", "health": HEALTH}, **changes)


def other(folder: Path, *signers: Any, **recipe: Any) -> dict[str, BundleConfig]:
    """Another bundle for the same model, signed by these or else by both whom the policy asks for."""
    by = signers or (made.signer("anna"), made.signer("otto"))
    file = made.write(folder / "other", *by, counter=8, **recipe)
    return {"m": BundleConfig(file=str(file), stream="endoscope")}


def bare(folder: Path) -> dict[str, ModelConfig]:
    """A bare model that would fit."""
    om.save(folder, made.MODEL)
    path = folder / "bare.yaml"
    changes: dict[str, Any] = {"budget_ms": 10}
    path.write_text(yaml.safe_dump(devices.values(**changes)))
    return dict(resolved(path).models)


def shown_for(running: Running, frames: int) -> Callable[[], bool]:
    """Whether so many more frames were shown."""
    until = running.board.row("display").get(Count.FRAMES) + frames
    return lambda: running.board.row("display").get(Count.FRAMES) >= until


def to_trial(running: Running, models: dict[str, ModelConfig], bundles: dict[str, BundleConfig]) -> None:
    places = ("worker.worker", "worker.worker.b")
    go_on_until(running, lambda: not all(running.supervisor.has(place) for place in places))
    go_on_until(running, lambda: not running.supervisor.has("shadow"))
    running.propose(models, bundles)
    assert running.health().phase is Phase.SHADOW
    go_on_until(running, lambda: running.health().ready and running.health().measured.compared >= 10)
    running.switch()
    go_on_until(running, shown_for(running, FRAMES))


def test_a_signed_candidate_is_verified_shown_kept_and_comes_back_without_its_file(tmp_path: Path) -> None:
    path, candidate = device(tmp_path), other(tmp_path)
    file = Path(candidate["m"].path)
    first, second = digest_of(tmp_path / "made" / "anatomy.inframe"), digest_of(file)
    with open_device(path) as running:
        go_on_until(running, shown_for(running, FRAMES))
        to_trial(running, {}, candidate)
        running.back()
        assert "bundle.m" in running.shared
        to_trial(running, {}, candidate)
        running.keep()
        file.unlink()
        go_on_until(running, lambda: not running.supervisor.has("worker.worker"))
        pid = running.supervisor.pid("worker.worker.b")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        go_on_until(running, lambda: running.supervisor.pid("worker.worker.b") not in (None, pid))
        row = running.board.row("worker.worker.b")
        go_on_until(running, lambda: row.get(Count.FRAMES) > 5)
        go_on_until(running, shown_for(running, 2 * FRAMES))
        assert not running.board.shown() & UNSIGNED
    events, models = trail_of(tmp_path / "trail")
    named = {(model.bundle.hex(), model.slot) for model in models if any(model.bundle)}
    assert named == {(first, "active"), (second, "trial"), (second, "active")}
    assert {event.data["signed_by"] for event in events if event.kind is EventKind.UPDATE} == {"anna, otto"}
    assert not [event for event in events if "unsigned" in event.data]


def test_the_command_sends_the_bundle_and_not_what_it_says(tmp_path: Path) -> None:
    path, candidate = device(tmp_path), other(tmp_path)
    values = yaml.safe_load(path.read_text())
    values["bundles"]["m"]["file"] = candidate["m"].file
    better = tmp_path / "better.yaml"
    better.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match="found the same as in"):
        candidate_cli.propose(path, path)
    obedient = Obedient()
    orders = Orders(tmp_path / "control", obedient)
    assert asked(orders, lambda: candidate_cli.propose(path, better) or True) is True
    orders.close()
    assert obedient.models == {}
    assert obedient.bundles == dict(resolved(better).bundles)
    assert obedient.bundles["m"].digest == digest_of(Path(candidate["m"].path))


def test_what_nobody_signed_is_not_even_started(tmp_path: Path) -> None:
    path = device(tmp_path)
    model, forged = bare(tmp_path), other(tmp_path, made.signer("anna"))
    with open_device(path) as running:
        before = set(Path("/proc/self/fd").iterdir())
        with pytest.raises(
            ConfigError, match=r"model\.onnx, which nobody signed, expected a signed bundle, or allow_un"
        ):
            running.propose(model)
        with pytest.raises(BundleError, match="found 0 of role quality"):
            running.propose({}, forged)
        with pytest.raises(ConfigError, match=r"models\.m\.every: found 2, expected 1, as it runs"):
            running.propose({}, other(tmp_path, models={"anatomy": made.recipe()["models"]["anatomy"] | {"every": 2}}))
        assert set(Path("/proc/self/fd").iterdir()) == before
        assert running.health().phase is Phase.NONE
        assert not running.supervisor.has("worker.worker.b")
    with pytest.raises(ConfigError, match="which nobody signed"):
        candidate_cli.propose(path, tmp_path / "bare.yaml")


def test_where_it_is_allowed_the_trail_and_the_screen_say_so(tmp_path: Path) -> None:
    path = device(tmp_path, allow_unsigned=True)
    with open_device(path) as running:
        assert running.device.unsigned == ()
        go_on_until(running, shown_for(running, FRAMES))
        model = bare(tmp_path)
        for end, marked in ((running.back, False), (running.keep, True)):
            assert not running.board.shown() & UNSIGNED
            to_trial(running, model, {})
            assert running.board.shown() & UNSIGNED
            end()
            assert bool(running.board.shown() & UNSIGNED) is marked
        go_on_until(running, shown_for(running, FRAMES))
        assert "bundle.m" not in running.shared
        to_trial(running, {}, other(tmp_path))  # and back to a signed one
        assert running.board.shown() & UNSIGNED
        running.keep()
        assert not running.board.shown() & UNSIGNED
        go_on_until(running, shown_for(running, FRAMES))
    events, models = trail_of(tmp_path / "trail")
    assert {model.slot for model in models if any(model.bundle)} == {"active", "unsigned", "trial"}
    assert [event.data.get("unsigned") for event in events if event.name == "CANDIDATE_PROPOSED"] == ["m", "m", None]
