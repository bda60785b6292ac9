"""Criteria come before results: what was changed, peeked at, or signed by nobody is refused; and what fails, fails."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframe.bundle import UNSIGNED, Policy
from inframe.bundle.keys import write_keys
from inframe.cli import app
from inframe.core.errors import ConfigError, InframeError
from inframe.revalidating import read_protocol, subject_of
from inframe.revalidation.accepting import accept
from inframe.revalidation.attesting import TEST_RESULT, opened
from inframe.revalidation.cases import CaseSet, open_set
from inframe.revalidation.criteria import unmet
from inframe.revalidation.judging import judge
from inframe.revalidation.looks import Looks
from inframe.revalidation.tally import Tallies
from tests.bundle.made import signer
from tests.revalidation import made
from tests.revalidation.conftest import measured


class Bench:
    """A folder with keys, a policy, locked cases, two bundles and a lock on them."""

    def __init__(self, folder: Path, discs: CaseSet, kept: Path) -> None:
        self.folder = folder
        self.cases, self.trail, self.lock = folder / "cases", folder / "trail", folder / "lock.json"
        shutil.copytree(discs.folder, self.cases)
        for name, _role in (("anna", "research"), ("otto", "quality")):
            write_keys(signer(name), folder / name)
        lines = [f"  - {{name: {n}, role: {r}, file: {n}.pub}}" for n, r in (("anna", "research"), ("otto", "quality"))]
        (folder / "policy.yaml").write_text("keys:\n" + "\n".join(lines) + "\nthresholds: {research: 1, quality: 1}\n")
        (folder / "one.yaml").write_text(f"keys:\n{lines[0]}\nthresholds: {{research: 1}}\n")
        (folder / "out").mkdir()
        (folder / "out" / "tallies").symlink_to(kept)  # the same bundles on the same cases in each test: measured once
        self.protocol = made.write_protocol(folder / "protocol.yaml")
        self.old = made.bundle(folder / "old", counter=6)
        self.good = made.bundle(folder / "good", counter=7)

    def cli(self, *arguments: object) -> Any:
        return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=True)

    def locked(self, out: Path | None = None, against: bool = True) -> Any:
        arguments = ["cases", "lock", self.protocol, "--cases", self.cases, "--trail", self.trail]
        arguments += ["--key", self.folder / "anna", "--out", out or self.lock]
        return self.cli(*arguments, *(["--against", self.old] if against else []))

    def look(self, bundle: Path, *more: object) -> Any:
        arguments = [
            "revalidate",
            bundle,
            "--cases",
            self.cases,
            "--lock",
            self.lock,
            "--policy",
            self.folder / "one.yaml",
        ]
        arguments += [
            "--trail",
            self.trail,
            "--against",
            self.old,
            "--out",
            self.folder / "out",
            "--key",
            self.folder / "anna",
        ]
        return self.cli(*arguments, *more)

    def looks(self) -> list[dict[str, str]]:
        path = self.folder / "looks.json"
        self.cli("cases", "looks", self.trail, "--json", path)
        found: list[dict[str, str]] = json.loads(path.read_text())
        return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def bench(tmp_path: Path, discs: CaseSet, kept: Path) -> Bench:
    return Bench(tmp_path, discs, kept)


def refused(result: Any, *words: str) -> None:
    assert isinstance(result.exception, InframeError), result.output
    assert result.exception.exit_code == 2
    for word in words:
        assert word in str(result.exception)


def test_a_bundle_passes_under_a_lock_and_the_trail_tells_of_it(bench: Bench) -> None:
    assert bench.locked().exit_code == 0
    assert bench.locked(bench.folder / "twin.json").exit_code == 0  # nobody has looked yet
    done = bench.look(bench.good)
    assert done.exit_code == 0, done.output
    said = [one["name"].removeprefix("REVALIDATION_") for one in bench.looks()]
    assert said == ["LOCKED", "LOCKED", "LOOKED", "DONE"]
    report = json.loads((bench.folder / "out" / "report.json").read_text())
    subject, predicate, _ = opened(
        bench.folder / "out" / "result.json", TEST_RESULT, Policy.load(bench.folder / "one.yaml")
    )
    assert (predicate["result"], list(subject.values())) == ("PASSED", [report["bundle"]["sha256"]])
    assert predicate["passedTests"] == [one["endpoint"] for one in report["endpoints"]]
    configured = {one["name"]: one["digest"]["sha256"] for one in predicate["configuration"]}
    assert configured["cases"] == report["cases"]["sha256"]
    assert configured["lock"] == report["lock"]
    refused(bench.locked(bench.folder / "second.json"), "looked at 1 times before")
    again = bench.look(bench.good)  # the same bundle: nothing new is seen
    assert again.exit_code == 0
    refused(bench.look(made.bundle(bench.folder / "another", counter=8)), "looks", "1 bundles looked at already")
    refused(bench.look(bench.good, "--lock", bench.folder / "twin.json"), "looks", "under another lock")


def test_changed_cases_are_refused_before_anything_is_run(bench: Bench) -> None:
    assert bench.locked().exit_code == 0
    case = bench.cases / "case-00"
    before = (case / "masks.npz").read_bytes()
    (case / "masks.npz").write_bytes(before + b"x")
    refused(bench.look(bench.good), "case-00", "sha256")
    (case / "masks.npz").write_bytes(before)
    (case / "more.txt").write_text("")
    refused(bench.look(bench.good), "more.txt")
    (case / "more.txt").unlink()
    manifest = json.loads((bench.cases / "cases.json").read_text())
    del manifest["cases"]["case-03"]
    (bench.cases / "cases.json").write_text(json.dumps(manifest))
    refused(bench.look(bench.good), "changed cases")
    assert [one["name"] for one in bench.looks()] == ["REVALIDATION_LOCKED"]  # no look was spent


def test_a_lock_that_nobody_signed_or_somebody_changed(bench: Bench) -> None:
    assert bench.locked().exit_code == 0
    refused(bench.look(bench.good, "--policy", bench.folder / "policy.yaml"), "envelope.signatures", "quality")
    whole = json.loads(bench.lock.read_text())
    bench.lock.write_text(json.dumps(whole | {"payload": whole["payload"][:-8] + "AAAAAAA="}))
    refused(bench.look(bench.good), "envelope.signatures")
    bench.lock.write_text("{}")
    refused(bench.look(bench.good), "DSSE")
    refused(bench.cli("revalidate", bench.good, "--cases", bench.cases), "--lock, --trail")


def test_a_look_that_the_trail_does_not_cover(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.locked().exit_code == 0
    shutil.copytree(bench.trail, bench.folder / "before")
    assert bench.look(bench.good).exit_code == 0
    refused(bench.look(bench.good, "--trail", bench.folder / "new"), "no trail")
    assert not (bench.folder / "new").exists()
    Looks(bench.folder / "new", may_begin=True)
    refused(bench.look(bench.good, "--trail", bench.folder / "new"), "another trail")
    log = next((bench.folder / "before").glob("log*"))
    (log / "tail").write_bytes((log / "tail").read_bytes()[:-1] + b"?")
    assert bench.look(bench.good, "--trail", bench.folder / "before").exit_code != 0
    monkeypatch.setattr("inframe.revalidation.locking.code_revision", lambda: "inframe 9 sources 0")
    refused(bench.look(bench.good), "code", "install that one")


def test_margins_need_the_bundle_in_use_and_that_one(bench: Bench) -> None:
    refused(bench.locked(against=False), "--against", "has a margin")
    assert bench.locked().exit_code == 0
    refused(bench.look(bench.good, "--against", bench.good), "--against")
    promise = {"data": {"name": "discs", "sha256": open_set(bench.cases).digest}}
    criteria = [{"metric": "dice", "model": "anatomy", "at_least": 0.95}]
    strict = made.bundle(bench.folder / "strict", counter=9, acceptance={**promise, "criteria": criteria})
    refused(bench.look(strict), "acceptance.criteria.0")


def test_equal_passes_degraded_and_wrong_preprocessing_fail(tmp_path: Path, discs: CaseSet, tallies: Tallies) -> None:
    protocol = made.protocol()
    assert judge(protocol, tallies, tallies).passed
    broken = {
        "degraded": made.bundle(tmp_path / "degraded", green=3.0),
        "swapped colours": made.bundle(tmp_path / "swapped", preprocess={"colour": "bgr"}),
        "not scaled": made.bundle(tmp_path / "scaled", preprocess={"scale": 1 / 1024}),
    }
    for path in broken.values():
        found = measured(subject_of(path, UNSIGNED), discs)
        verdict = judge(protocol, found, tallies)
        assert not verdict.passed
        failed = {one.endpoint.metric for one in verdict.judged if not one.passed}
        assert "dice" in failed
        assert unmet(protocol.endpoints, found, protocol.settings.rules)
    assert unmet(protocol.endpoints, tallies, protocol.settings.rules) == []


def test_an_update_asks_what_the_bundle_promises_of_itself(tmp_path: Path, discs: CaseSet) -> None:
    def asked(name: str, digest: str, at_least: float, **changes: Any) -> list[str]:
        criteria = [{"metric": "dice", "model": "anatomy", "label": "red", "at_least": at_least}]
        acceptance = {"data": {"name": "discs", "sha256": digest}, "criteria": criteria}
        path = made.bundle(tmp_path / name, acceptance=acceptance, **changes)
        return accept(path, subject_of(path, UNSIGNED).digest, discs.folder)

    assert asked("good", discs.digest, 0.8) == []
    assert "expected at least 0.8" in asked("swapped", discs.digest, 0.8, preprocess={"colour": "bgr"})[0]
    assert "found cases" in asked("others", "a" * 64, 0.8)[0]
    path = made.bundle(tmp_path / "silent")
    assert "expected criteria" in accept(path, subject_of(path, UNSIGNED).digest, discs.folder)[0]


def test_the_worst_subgroup_alone_fails_a_bundle(tallies: Tallies) -> None:
    """North is spoilt; the mean would pass."""
    spoilt = {
        key: one.model_copy(
            update={"means": {k: m.model_copy(update={"total": m.total * 7 // 10}) for k, m in one.means.items()}}
        )
        if one.attributes["site"] == "north" and one.case in ("case-01", "case-03", "case-05")
        else one
        for key, one in tallies.items()
    }
    endpoint = {"metric": "dice", "model": "anatomy", "at_least": 0.5, "worst": 0.8}
    verdict = judge(made.protocol(endpoints=[endpoint]), spoilt, None)
    (one,) = verdict.judged
    assert one.hypotheses[0].shown
    assert not one.is_worst_good
    assert not verdict.passed
    assert one.worst is not None
    assert (one.worst.attribute, one.worst.value) == ("site", "north")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "mean Dice"}, "expected one of dice, nsd"),
        ({"at_least": None, "at_most": 0.5}, "wrong side"),
        ({"metric": "sensitivity", "label": "nothing_such"}, "settings.rules"),
        ({"metric": "ece", "label": "red", "at_least": None, "at_most": 0.5}, "whole model"),
    ],
)
def test_a_protocol_that_can_not_be_judged(tmp_path: Path, change: dict[str, object], words: str) -> None:
    endpoint = {"metric": "dice", "model": "anatomy", "at_least": 0.5} | change
    path = tmp_path / "protocol.yaml"
    path.write_text(
        json.dumps({"protocol": "p", "seed": 1, "endpoints": [{k: v for k, v in endpoint.items() if v is not None}]})
    )
    with pytest.raises(ConfigError, match=words):
        read_protocol(path)


def test_due(bench: Bench) -> None:
    planned = made.bundle(bench.folder / "planned", counter=7, revalidation={"every_days": 30})
    assert bench.locked().exit_code == 0
    never = bench.cli("revalidate", planned, "--due", "--trail", bench.trail)
    assert never.exit_code == 1
    assert "never revalidated" in never.output
    assert bench.look(planned, "--due").exit_code == 0
    now = bench.cli("revalidate", planned, "--due", "--trail", bench.trail)
    assert now.exit_code == 0
    assert "not due before" in now.output
    refused(bench.cli("revalidate", bench.good, "--due", "--trail", bench.trail), "revalidation", "every_days")
