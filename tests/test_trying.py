"""What a running device does when a person decides meanwhile, and what it starts with when its slots are damaged."""

from pathlib import Path

import pytest

from inframe.core.errors import ConfigError
from inframe.core.health import Phase
from inframe.core.types import Verdict
from inframe.core.yamlfile import read_device
from inframe.pipeline.board import Count
from inframe.resolve import resolve
from inframe.updatable import at_start
from inframe.update.states import State
from inframe.validating import Examination
from tests import lives
from tests.lives import Life
from tests.test_update_life import no_frame_lost, on


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A device that asks a person before each trial; of the checkpoints only the first, which is not what is looked at here."""
    every = Examination.checkpoints
    monkeypatch.setattr(Examination, "checkpoints", lambda self: every(self)[:1])
    return lives.tiny(tmp_path / "life", trial={"consent": True, "during_procedure": True})


def active_file(life: Life) -> Path:
    """Of what the device runs when nothing is on trial."""
    return Path(
        resolve(read_device(Path(life.at("device.yaml"))), Path(life.at("device.yaml"))).bundles["anatomy"].path
    )


def test_a_person_decides_and_damage_falls_back(life: Life) -> None:
    path = Path(life.at("device.yaml"))
    with pytest.raises(
        ConfigError, match=r"bundles\.anatomy\.file: found an empty slot, expected a release of anatomy: "
    ):
        at_start(path)
    life.release("first")
    life.install()
    life.update("trial")
    with on(life) as device:  # the first one of all: there is nothing beside which it could run
        assert device.running.health().phase is Phase.NONE
        device.until(lambda: any(one.verdict is Verdict.SHOW for one in device.taken))
        life.update("commit", "--why", "first installation")
    life.release("second")
    life.install()
    with on(life) as device:
        device.until(lambda: bool(device.status().progress.compared))
        device.frames(20)
        assert device.status().state is State.SHADOW, "it waits for a person"
        life.update("trial")
        device.until(lambda: device.running.health().phase is Phase.TRIAL)
        device.frames(10)
        life.update("commit", "--why", "QA 2")
        device.until(lambda: device.running.health().phase is Phase.NONE)
        device.frames(20)
        assert device.running.candidate.last[0] == "kept"
        assert device.taken[-1].places == 1
        no_frame_lost(device)
    second = active_file(life)
    whole = second.read_bytes()
    second.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with on(life) as device:
        assert device.status().state is State.ROLLED_BACK
        device.until(lambda: "UPDATE_RESTORED" in device.running.board.faults())
        device.until(lambda: any(one.verdict is Verdict.SHOW for one in device.taken))
    first = active_file(life)
    assert first != second
    first.unlink()
    with on(life) as device:
        device.until(lambda: "UPDATE_DAMAGED" in device.running.board.faults())
        device.frames(20)
        assert {one.verdict for one in device.taken if one.seq} == {Verdict.WITHHOLD}
        assert device.running.board.row("display").get(Count.FRAMES) >= 20
        assert device.running.device.models == {}
        no_frame_lost(device)
    status = Path(life.at("slots")) / "status"
    status.write_bytes(status.read_bytes()[:-9])
    assert at_start(path).models == {}, "nobody knows what was active"


def test_a_bundle_without_a_file_must_come_from_the_slots(tmp_path: Path) -> None:
    text = (
        "device: d\nstreams: {endoscope: {camera: synthetic, width: 64, height: 48, fps: 30}}\ndisplay: endoscope\n"
        "bundles: {anatomy: {stream: endoscope}}\n"
    )
    path = tmp_path / "device.yaml"
    update = "update: {repository: 'file:///r', root: r.json, bundles: [%s]%s}\n"
    for more, match in (
        ("", r"bundles\.anatomy\.file: found null, expected a file, or one of update\.bundles"),
        (update % ("tools", ""), r"bundles\.anatomy\.file: found null"),
        (
            update % ("anatomy", "") + "candidate: null\n",
            r"update\.shadow: found true without candidate, expected false",
        ),
        (update % ("anatomy", ", trial: {window: '9-17'}"), "HH:MM-HH:MM"),
    ):
        path.write_text(text + more)
        with pytest.raises(ConfigError, match=match):
            read_device(path)
    path.write_text(text + update % ("anatomy", ""))
    assert read_device(path).candidate is not None
    with pytest.raises(ConfigError, match="policy: found null, expected whose signatures"):
        at_start(path)
