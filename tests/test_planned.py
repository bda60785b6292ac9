"""The checkpoint `plan`: a release whose claimed modification does not hold goes no further."""

import shutil
from pathlib import Path

import pytest
import yaml

from inframe import planned
from inframe.bundle import open_bundle
from tests.bundle import made
from tests.pccp.test_pccp import ACCEPTANCE, RETRAINED, evidence_of, plan


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return made.signed(tmp_path / "old", acceptance=ACCEPTANCE)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return made.signed(tmp_path / "new", **RETRAINED)


def written(folder: Path, **changes: object) -> Path:
    file = folder / "pccp.yaml"
    file.write_text(yaml.safe_dump(plan(**changes)))
    return file


def shown(folder: Path, new: Path, old: Path) -> Path:
    """The evidence, as it lies on a device."""
    with open_bundle(new, made.policy()) as now, open_bundle(old, made.policy()) as before:
        result, lock = evidence_of(folder, now.digest, before.digest)
        into = folder / "evidence"
        into.mkdir()
        shutil.copy(result, into / f"{now.digest}{planned.RESULT}")
        shutil.copy(lock, into / f"{now.digest}{planned.LOCK}")
    return into


def test_what_is_planned_and_shown_goes_on(tmp_path: Path, old: Path, new: Path) -> None:
    plans = planned.plans_of([written(tmp_path)])
    evidence = shown(tmp_path, new, old)
    assert planned.why_not(plans, {"anatomy": old}, {"anatomy": new}, evidence, made.policy()) is None
    assert planned.said(["anatomy"], plans) == "anatomy: within Anatomy PCCP 3"


def test_what_is_not_is_refused_in_one_line(tmp_path: Path, old: Path, new: Path) -> None:
    plans, evidence = planned.plans_of([written(tmp_path)]), shown(tmp_path, new, old)

    def refused(before: dict[str, Path], now: Path, folder: Path | None = evidence) -> str:
        why = planned.why_not(plans, before, {"anatomy": now}, folder, made.policy())
        assert why is not None
        assert "\n" not in why
        return why

    assert "evaluation: missing" in refused({"anatomy": old}, new, None), "nothing was shown"
    assert "evaluation: missing" in refused({"anatomy": old}, new, tmp_path), "not of this very bundle"
    other = made.signed(tmp_path / "other", **(RETRAINED | {"intended_use": "Another one."}))
    assert "intended_use" in refused({"anatomy": old}, other), "outside the plan"
    assert refused({}, new).startswith("anatomy: found no bundle before it")
    assert planned.why_not({}, {"anatomy": old}, {"anatomy": new}, evidence, made.policy()) == (
        "anatomy: found no plan of it, expected one in update.plans: "
    )


def test_what_does_not_change_needs_no_plan(old: Path) -> None:
    assert planned.why_not({}, {"anatomy": old}, {"anatomy": old}, None, made.policy()) is None
