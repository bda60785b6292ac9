"""The checkpoint `plan` in a model's life, with the real commands: what is within the plan and shown goes on, all else stops."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from inframe import planned
from inframe.bundle import open_bundle
from inframe.bundle.keys import write_keys
from inframe.updatable import status_of, updatable
from inframe.update.states import State
from inframe.validating import Examination
from tests import lives
from tests.bundle import made
from tests.drivers import onnx_models as om
from tests.lives import Life
from tests.pccp.test_pccp import NEW_DATA, evidence_of, plan

OLD_DATA = {"name": "none", "sha256": "0" * 64}
CHANGES = [
    {"field": "member anatomy.onnx", "change": "weights"},
    {"field": "member answers.npz", "change": "any"},
    {"field": "training.*", "change": "any"},
]
TRAINING = {"data": [OLD_DATA, NEW_DATA], "code": "none", "hyperparameters": {"learning_rate": 0.001}}
RETRAINED = {"pccp": "MOD-3", "training": TRAINING}


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A device with a plan and its first release; its supplier's keys are those that sign the evidence."""
    found = lives.tiny(tmp_path, plans=["pccp.yaml"], evidence="evidence", shadow=False)
    for name in lives.KEYS:
        for file in tmp_path.glob(f"{name}*"):
            file.unlink()
        write_keys(made.signer(name), tmp_path / name)
    (tmp_path / "pccp.yaml").write_text(yaml.safe_dump(plan(changes=CHANGES)))
    (tmp_path / "evidence").mkdir()
    every = Examination.checkpoints
    wanted = ("compatibility", "plan")  # the others: test_update_life
    monkeypatch.setattr(Examination, "checkpoints", lambda self: [one for one in every(self) if one.name in wanted])
    found.release("first")
    found.install()
    found.update("trial")
    found.update("commit", "--why", "first installation")
    return found


def retrained(life: Life, name: str, *, shown: bool = True, **changes: Any) -> str:
    """What the device says of a release with new weights, from more data."""
    life.model = om.convolution(3, 32, 5)
    file = life.release(name, **(RETRAINED | changes))
    with (
        open_bundle(file, made.policy()) as new,
        open_bundle(life.folder / "first/anatomy.inframe", made.policy()) as old,
    ):
        if shown:
            result, lock = evidence_of(life.folder, new.digest, old.digest)
            shutil.copy(result, life.folder / "evidence" / f"{new.digest}{planned.RESULT}")
            shutil.copy(lock, life.folder / "evidence" / f"{new.digest}{planned.LOCK}")
    return name


def test_a_release_within_the_plan_becomes_active(life: Life) -> None:
    retrained(life, "retrained")
    assert "passed plan: anatomy: within Anatomy PCCP 3" in life.install()
    life.update("trial")
    assert "active: retrained" in life.update("commit", "--why", "as planned")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("unshown", {"shown": False}, "evaluation: missing"),
        ("beyond", {"intended_use": "Another one."}, "intended_use"),
        ("unclaimed", {"pccp": None}, "pccp"),
    ],
)
def test_one_outside_the_plan_is_refused_and_the_first_stays(
    life: Life, name: str, changes: dict[str, Any], said: str
) -> None:
    retrained(life, name, **changes)
    told = life.install(code=1)
    assert "FAILED plan: Anatomy PCCP 3, " in told
    assert said in told
    status = status_of(updatable(Path(life.at("device.yaml"))))
    assert status.state is State.ROLLED_BACK
    assert status.active is not None
    assert status.active.name == "first"
    assert "active    first" in life.update("status")
