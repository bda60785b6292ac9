"""The checkpoint `acceptance` on the cases of a revalidation: by the very code of a revalidation."""

from pathlib import Path
from typing import Any

import pytest

from inframe import promised
from inframe.bundle import UNSIGNED
from inframe.revalidating import subject_of
from inframe.revalidation.cases import CaseSet
from tests.revalidation import made


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> CaseSet:
    return made.cases(tmp_path_factory.mktemp("locked") / "cases", count=2)


def stored(folder: Path, cases: CaseSet, at_least: float, sha256: str = "", **changes: Any) -> dict[str, Any]:
    """What the process is given, of a bundle that promises so much of itself."""
    criteria = [{"metric": "dice", "model": "anatomy", "at_least": at_least}]
    data = {"name": "discs", "sha256": sha256 or cases.digest}
    file = made.bundle(folder / "made", acceptance={"data": data, "criteria": criteria}, **changes)
    digest = subject_of(file, UNSIGNED).digest
    (folder / digest).write_bytes(file.read_bytes())
    return {"bundles": {"anatomy": digest}, "store": folder, "cases": cases.folder}


def test_a_bundle_keeps_its_promise_or_is_refused(tmp_path: Path, cases: CaseSet) -> None:
    rows: tuple[tuple[float, dict[str, Any], str | None], ...] = (
        (0.8, {}, None),
        (0.8, {"green": -12.0}, "dice of anatomy: found 0."),
        (0.8, {"sha256": "0" * 64}, "acceptance.data: found cases "),
        (0.999, {}, "expected at least 0.999"),
    )
    for number, (at_least, changes, expected) in enumerate(rows):
        (tmp_path / str(number)).mkdir()
        passed, reason = promised._asked(**stored(tmp_path / str(number), cases, at_least, **changes))
        assert passed is (expected is None), reason
        assert expected is None or expected in reason
    passed, reason = promised._asked({"anatomy": "0" * 64}, tmp_path, cases.folder)
    assert not passed
    assert "\n" not in reason
