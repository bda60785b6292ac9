"""`inframe update` and `inframe release`, from an empty folder to a device that was updated, rolled back and downgraded."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframe import updatable, verifying
from inframe.bundle import Policy
from inframe.cli import app
from inframe.core.errors import ConfigError, InframeError, UpdateError
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.note import Key
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf
from inframe.update.slots import Verified
from inframe.validating import Examination
from tests.update.made import PASS, opened, pack

DEVICE = """
device: theatre-4
streams: {endoscope: {camera: synthetic, width: 640, height: 360, fps: 30}}
display: endoscope
allow_unsigned: true
trail: {folder: trail}
update:
  folder: slots
  repository: file://%s/repo
  root: repo/metadata/1.root.json
  bundles: [anatomy]
  shadow: false
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def verified(path: Path, policy: Policy | None = None) -> Verified:
        return opened(path.read_bytes(), str(path))

    monkeypatch.setattr(verifying, "verified", verified)
    monkeypatch.setattr(
        Examination, "checkpoints", lambda _: [PASS]
    )  # the real ones: test_update_life, test_validation
    for counter in (1, 2, 3):
        (tmp_path / f"{counter}.bundle").write_bytes(pack("anatomy", counter))
    (tmp_path / "device.yaml").write_text(DEVICE % tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, InframeError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def events(root: Path) -> list[str]:
    """The names of the update events in the trail."""
    home = Home(root / "trail")
    found = []
    for path in home.logs():
        key: Key = home.public_keys()[0]
        for _, entry in Log(Disk(path), key).entries():
            leaf = decode(entry)
            if isinstance(leaf, EventLeaf):
                found += [event.name for event in leaf.events if event.name.startswith("UPDATE")]
    return found


def test_the_life_of_a_device(root: Path) -> None:
    Home(root / "trail").signers("theatre-4")
    assert "empty repository" in run("release", "init", "repo", "--keys", "keys")
    run("release", "add", "repo", "spring", "1.bundle", "--keys", "keys", "--percent", "100")
    assert "theatre-4: none" in run("update", "status", "device.yaml")
    assert "fetched spring: anatomy 1" in run("update", "fetch", "device.yaml")
    assert "installed and checked: spring" in run("update", "install", "device.yaml")
    run("update", "trial", "device.yaml")
    assert "active: spring" in run("update", "commit", "device.yaml", "--why", "first installation, QA 12")
    run(
        "release",
        "add",
        "repo",
        "summer",
        "2.bundle",
        "--keys",
        "keys",
        "--device",
        "theatre-4",
        "--after",
        "anatomy=1",
    )
    run("update", "fetch", "device.yaml")
    run("update", "install", "device.yaml")
    said = run("update", "rollback", "device.yaml", "--why", "changed our mind")
    assert "rolled back: changed our mind\nactive: spring" in said
    assert "not summer: it was rolled back here: changed our mind" in run("update", "fetch", "device.yaml")
    run("update", "fetch", "device.yaml", "--again")
    run("release", "stop", "repo", "summer", "--keys", "keys", "--why", "recall 3")
    assert "not summer: stopped: recall 3" in run("update", "fetch", "device.yaml")
    run("release", "resume", "repo", "summer", "--keys", "keys")
    for step in ("fetch", "install", "trial"):
        run("update", step, "device.yaml")
    run("update", "commit", "device.yaml", "--why", "QA 13")
    with pytest.raises(UpdateError, match="authorisation: found none, and nothing on its way, expected one"):
        run("update", "rollback", "device.yaml", "--why", "x")
    paper = [
        "--device",
        "theatre-4",
        "--floor",
        "anatomy=2",
        "--number",
        "D-1",
        "--why",
        "complaint 4",
        "--keys",
        "keys",
    ]
    run("release", "authorise", "back.json", "1.bundle", *paper)
    run("update", "rollback", "device.yaml", "--why", "complaint 4", "--authorisation", "back.json")
    run("update", "status", "device.yaml", "--json", "status.json")
    told = json.loads(Path("status.json").read_text())
    assert (told["slots"]["active"]["name"], told["state"], told["floor"]) == ("spring", "rolled back", {"anatomy": 2})
    assert "authorisation D-1: complaint 4" in run("update", "history", "device.yaml")
    there = events(root)
    assert there[:5] == [f"UPDATE_{n}" for n in ("FETCHED", "VERIFIED", "INSTALLED", "CHECKED", "TRIAL")]
    assert there[-1] == "UPDATE_RESTORED"
    assert told["waiting_for_the_trail"] == 0


def test_an_older_release_by_authorisation_only(root: Path) -> None:
    run("release", "init", "repo", "--keys", "keys")
    run("release", "add", "repo", "old", "1.bundle", "--keys", "keys", "--percent", "100")
    run("update", "install", "device.yaml", "3.bundle")
    run("update", "trial", "device.yaml")
    run("update", "commit", "device.yaml", "--why", "x")
    assert "not old: it is older than what is active: anatomy\nnothing newer" in run("update", "fetch", "device.yaml")
    paper = ["--device", "theatre-4", "--floor", "anatomy=3", "--number", "D-2", "--why", "w", "--keys", "keys"]
    run("release", "authorise", "back.json", "1.bundle", *paper)
    assert "fetched old" in run("update", "fetch", "device.yaml", "--authorisation", "back.json")
    with pytest.raises(UpdateError, match="found 1, expected 3 or more, or an authorisation"):
        run("update", "install", "device.yaml")
    run("update", "fetch", "device.yaml", "--again", "--authorisation", "back.json")
    assert "installed and checked: old" in run("update", "install", "device.yaml", "--authorisation", "back.json")


def test_a_set_by_hand_is_named_by_what_it_says_itself(root: Path) -> None:
    (root / "other.bundle").write_bytes(pack("tools", 1))
    with pytest.raises(
        UpdateError, match=r"other\.bundle: name: found tools, expected one of update\.bundles: anatomy"
    ):
        run("update", "install", "device.yaml", "other.bundle")
    with pytest.raises(ConfigError, match="BUNDLE: found two of one name"):
        run("update", "install", "device.yaml", "1.bundle", "2.bundle")
    with pytest.raises(ConfigError, match=r"none\.bundle: BUNDLE: found No such file"):
        run("update", "install", "device.yaml", "none.bundle")


def test_not_while_the_device_runs(root: Path) -> None:
    run("update", "install", "device.yaml", "1.bundle")
    home = Home(root / "trail")
    home.signers("theatre-4")
    place = updatable.updatable(root / "device.yaml")
    from inframe.core.clock import MonotonicClock
    from inframe.recorder.moment import moments

    writer = home.go_on(home.signers(""), moments(MonotonicClock(), None))
    assert updatable.is_running(place)
    with pytest.raises(UpdateError, match="a procedure is running"):
        run("update", "trial", "device.yaml")
    run("update", "rollback", "device.yaml", "--why", "the other one")
    with pytest.raises(UpdateError, match="update: check: found a running device, expected a stopped one"):
        run("update", "install", "device.yaml", "2.bundle")
    writer.close()
    writer.let_go()
    assert "installed and checked: by hand: anatomy 2" in run("update", "install", "device.yaml")
    run("update", "trial", "device.yaml")


def test_a_trial_can_be_put_off(root: Path) -> None:
    run("update", "install", "device.yaml", "1.bundle")
    assert "put off until 20" in run("update", "defer", "device.yaml", "--hours", "12", "--why", "a long list today")
    assert "put off   until 20" in run("update", "status", "device.yaml")
    assert "put off no more" in run("update", "defer", "device.yaml", "--hours", "0", "--why", "done early")
    with pytest.raises(ConfigError, match="--hours: found -1, expected 0 to 720"):
        run("update", "defer", "device.yaml", "--hours", "-1", "--why", "x")


def test_checkpoints_and_trials_keep_to_their_hours(root: Path) -> None:
    now = time.localtime()
    later = f"{(now.tm_hour + 2) % 24:02}:00-{(now.tm_hour + 3) % 24:02}:00"
    path = root / "device.yaml"
    path.write_text(path.read_text() + f'  trial: {{window: "{later}"}}\n')
    with pytest.raises(UpdateError, match=f"update: check: found .*, expected the hours {later}"):
        run("update", "install", "device.yaml", "1.bundle")
    path.write_text(path.read_text().replace(later, "00:00-00:00"))
    run("update", "install", "device.yaml")
    run("update", "trial", "device.yaml")


def test_what_a_trail_can_not_take_waits_for_it(root: Path) -> None:
    run("update", "install", "device.yaml", "1.bundle")
    inbox = sorted((root / "trail" / "inbox").iterdir())
    assert len(inbox) == 4, "a device that never ran has no trail yet: its recorder will take them over"


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("update", "status", "none.yaml"), r"none\.yaml: file: found No such file"),
        (("update", "fetch", "device.yaml"), r"1\.root\.json: update\.root: found No such file"),
        (("update", "install", "device.yaml"), "update: install: found an update in state 'none'"),
        (("release", "renew", "repo", "--keys", "keys"), "keys: keys: found none"),
    ],
)
def test_what_is_wrong_is_one_line(root: Path, words: tuple[str, ...], match: str) -> None:
    with pytest.raises(InframeError, match=match) as caught:
        run(*words)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_a_release_is_one_line(root: Path) -> None:
    run("release", "init", "repo", "--keys", "keys")
    run("release", "add", "repo", "a", "1.bundle", "--keys", "keys")
    for words, match in (
        (("add", "repo", "a", "1.bundle"), "NAME: found a, expected a name that no release had"),
        (("add", "repo", "b c", "1.bundle"), "name: found b c"),
        (("add", "repo", "b", "1.bundle", "--after", "anatomy"), "--after: found anatomy, expected NAME=COUNTER"),
        (("add", "repo", "b", "1.bundle", "--app-from", "new"), "app_from: found new"),
        (("rollout", "repo", "z", "10"), "NAME: found z, expected one of: a"),
        (("rotate", "repo", "king"), "role: found king, expected one of"),
    ):
        with pytest.raises(ConfigError, match=match):
            run("release", *words, "--keys", "keys")
    run("release", "rollout", "repo", "a", "10", "--keys", "keys")
    run("release", "rotate", "repo", "targets", "--keys", "keys")
    run("release", "renew", "repo", "--keys", "keys")
    run("release", "stop", "repo", "--keys", "keys", "--why", "recall 9")
    assert "every release: stopped: recall 9\na: anatomy 1: 10 %" in run("release", "list", "repo", "--keys", "keys")


def test_without_an_update_section(root: Path) -> None:
    Path("plain.yaml").write_text((DEVICE % root).partition("update:")[0])
    with pytest.raises(ConfigError, match=r"plain\.yaml: update: found null, expected a device that takes updates"):
        run("update", "status", "plain.yaml")


def test_a_device_that_only_runs_loads_nothing_of_it() -> None:
    """What reads a network is loaded by the command that asks it: not by `run`, and so by no process that it starts."""
    code = (
        "import sys, inframe.cli, inframe.device, inframe.demo\n"
        "print(sorted(m for m in sys.modules if m.partition('.')[0] in ('tuf', 'securesystemslib', 'urllib3')))\n"
        "print(sorted(m for m in sys.modules if m.startswith('inframe.update')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n['inframe.update_cli']\n"
