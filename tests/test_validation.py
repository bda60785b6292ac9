"""The checkpoints one by one: what each takes and what each refuses, with the reason that it gives."""

import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from inframe import validating, validation
from inframe.acceptance import METRICS, Tally, WrongKind, digest_of, read_cases
from inframe.core.errors import ConfigError
from inframe.core.types import Heat, Masks, Scores
from inframe.machine.child import ChildContext, Stop
from inframe.updatable import updatable
from inframe.update.checkpoints import Outcome
from inframe.update.slots import STORE
from inframe.update.states import Installed, Release
from inframe.validating import Examination
from tests import lives
from tests.lives import Life
from tests.revalidation import made as revalidation_made


class Table:
    """Checkpoints on one bundle at a time, in this process where they can be."""

    def __init__(self, life: Life) -> None:
        self.life, self.open = life, list[Examination]()

    def examine(self, name: str, **changes: Any) -> Examination:
        """The release of that name, which fits."""
        file = self.life.release(name, **changes)
        target = updatable(Path(self.life.at("device.yaml")))
        examination = Examination(target, first=True)
        examination.proposed = examination._first({"anatomy": str(file)})
        self.open.append(examination)
        return examination

    def run(self, checkpoint: str, name: str, **changes: Any) -> validation.Said:
        return self.step(checkpoint, self.examine(name, **changes))

    def step(self, checkpoint: str, examination: Examination) -> validation.Said:
        proposed = examination._subject()
        args = {"cases": self.life.at("cases"), "memory_mb": 512}
        context = ChildContext("checkpoint", args, proposed.sealed, Stop(), lambda **_: ())
        return validation.STEPS[checkpoint](validation.Subject(proposed.device, list(proposed.models), context))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    made = Table(lives.tiny(tmp_path_factory.mktemp("table")))
    yield made
    for one in made.open:
        one.close()


# --- golden ----------------------------------------------------------------------------------------------------------


def answers(table: Table, name: str, change: Any) -> validation.Said:
    """What golden says where the bundle has other answers."""
    table.life.release(f"{name}_before")
    with np.load(table.life.folder / f"{name}_before" / "answers.npz") as before:
        found = {key: before[key] for key in before.files}

    def write(recipe: Path) -> list[str]:
        np.savez(recipe.parent / "answers.npz", **change(found))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inframe.golden.write_golden", write)
        examination = table.examine(name)
    return table.step("golden", examination)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("nearly", lambda found: {"y": found["y"] + 0.009}, None),
        (
            "off",
            lambda found: {"y": np.where(np.arange(32) == 3, found["y"] + 0.02, found["y"])},
            "(96 of 3072 numbers)",
        ),
        ("nan", lambda found: {"y": found["y"] * np.nan}, "expected nan within"),
        (
            "shape",
            lambda found: {"y": found["y"][:, :, :, :2]},
            "y: found shape (1, 3, 32, 32), expected (1, 3, 2, 32)",
        ),
        ("few", lambda found: {"y": found["y"][:2]}, "frame 2: y: found shape (1, 3, 32, 32), expected none"),
        ("other", lambda found: {"z": found["y"]}, "found outputs y, expected z"),
    ],
)
def test_golden(table: Table, name: str, change: Any, said: str | None) -> None:
    passed, reason = answers(table, name, change)
    assert passed is (said is None), reason
    assert said is None or said in reason


# --- acceptance ------------------------------------------------------------------------------------------------------


def test_acceptance(table: Table) -> None:
    label = {"metric": "Pooled Dice", "model": "anatomy", "label": "b"}
    for name, criteria, said in (
        (
            "reached",
            [{**label, "at_least": 0.999}],
            "anatomy: Pooled Dice of b 1.0000 (at least 0.999) on 1 cases, 6 frames",
        ),
        ("missed", [{**label, "at_most": 0.5}], "anatomy: Pooled Dice of b: found 1.0000, expected at most 0.5"),
        (
            "unknown",
            [{"metric": "beauty", "model": "anatomy", "at_least": 1}],
            "found the metric beauty, expected one of pooled dice",
        ),
        (
            "no_label",
            [{**label, "label": "z", "at_least": 0}],
            "found no number (no label 'z' among a, b, c), expected one",
        ),
        (
            "no_kind",
            [{"metric": "auroc", "model": "anatomy", "at_least": 0}],
            "found no number (auroc is of a heat map's",
        ),
    ):
        data = table.life.recipe()["acceptance"]["data"]
        passed, reason = table.run("acceptance", name, acceptance={"data": data, "criteria": criteria})
        assert said in reason
        assert passed is (name == "reached")
    other = {"data": {"name": "others", "sha256": "1" * 64}, "criteria": table.life.criteria}
    passed, reason = table.run("acceptance", "other_cases", acceptance=other)
    assert (passed, f"expected {'1' * 64} (others)" in reason) == (False, True)
    assert table.run("acceptance", "none", acceptance=None)[1] == (
        "anatomy: found no criteria in the bundle, expected some, or `acceptance: signers`"
    )


def test_where_there_are_no_cases_it_is_refused_or_left_to_those_who_sign(table: Table) -> None:
    examination = table.examine("no_cases")
    target = examination.target
    for config, passed, said in (
        ({"cases": None}, False, "found no locked cases on this device (update.cases), expected those of the bundle"),
        ({"cases": None, "acceptance": "signers"}, True, "not checked here: `acceptance: signers`"),
    ):
        examination.target = replace(target, config=target.config.model_copy(update=config))
        outcome = examination._acceptance(Release("none", ()))
        assert (outcome.passed, outcome.reason[: len(said)]) == (passed, said)


def test_cases_of_a_revalidation_are_asked_as_a_revalidation_does(table: Table, tmp_path: Path) -> None:
    """In a process of its own; this bundle names other cases."""
    examination = table.examine("revalidated")
    file = table.life.folder / "revalidated" / "anatomy.inframe"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    found = revalidation_made.cases(tmp_path / "cases", count=1)
    examination.target = replace(
        examination.target, config=examination.target.config.model_copy(update={"cases": str(tmp_path / "cases")})
    )
    store = examination.target.folder / STORE
    store.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, store / digest)
    outcome = examination._acceptance(Release("r", (Installed("anatomy", digest, 1, file.stat().st_size),)))
    assert not outcome.passed
    assert outcome.reason.startswith(f"anatomy: acceptance.data: found cases {found.digest}, expected ")


def test_a_device_with_plans_asks_before_anything_is_run(table: Table, tmp_path: Path) -> None:
    examination = table.examine("unplanned")
    examination.first = False
    plan = tmp_path / "pccp.yaml"
    plan.write_text("plan: none")
    config = examination.target.config.model_copy(update={"plans": (str(plan),)})
    examination.target = replace(examination.target, config=config)
    names = [one.name for one in examination.checkpoints()]
    assert names[:3] == ["compatibility", "plan", "golden"]
    outcome = examination.checkpoints()[1].run(Release("r", ()))
    assert not outcome.passed
    assert outcome.reason.startswith(f"{plan}: ")


def test_the_digest_of_the_cases_is_what_coreutils_say(table: Table, tmp_path: Path) -> None:
    for name in ("b.npz", "B.npz", "a-1.npz"):
        np.savez(tmp_path / name, frames=np.zeros((1, 2, 2, 3), np.uint8), m=np.array([len(name)]))
    script = "LC_ALL=C; export LC_ALL; sha256sum *.npz | sha256sum"
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert digest_of([line for line, _ in read_cases(tmp_path)]) == said.split()[0]


def saved(**arrays: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]  # numpy's own
    return out.getvalue()


FRAMES = np.zeros((2, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "found an empty folder, expected files *.npz"),
        ({"a.txt": b""}, "found a.txt, expected files *.npz"),
        ({"a.npz": b"nonsense"}, "a.npz: update.cases: found "),
        ({"a.npz": saved(m=np.zeros(2))}, "found no frames"),
        ({"a.npz": saved(frames=FRAMES.astype(np.float32))}, "found frames (2, 4, 4, 3) float32"),
        ({"a.npz": saved(frames=FRAMES, m=np.zeros(3))}, "found 3 of m, expected 2, one for each frame"),
        ({"a.npz": saved(frames=FRAMES, m=np.array([{}, {}], object))}, "a.npz: update.cases: found "),
    ],
)
def test_cases_that_are_none_are_one_line(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        list(read_cases(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_metrics() -> None:
    masks, heat, scores = Tally(("a", "b", "c")), Tally(("score",)), Tally(("a", "b"))
    masks.take(Masks(np.array([[0, 1], [1, 1]], np.uint8)), np.array([[0, 0], [1, 1]], np.uint8))
    masks.take(Masks(np.array([[1]], np.uint8)), np.array([[1, 1], [1, 0]], np.uint8))  # the truth is finer
    assert METRICS["pooled dice"](masks, "a") == pytest.approx(2 * 1 / (1 + 3))
    assert METRICS["pooled dice"](masks, "b") == pytest.approx(2 * 5 / (7 + 5))
    assert METRICS["mean pooled dice"](masks, None) == pytest.approx((2 / 4 + 10 / 12) / 2)
    for score, true in ((0.9, 1), (0.4, 1), (0.4, 0), (0.1, 0)):
        heat.take(Heat(np.zeros((1, 1), np.float32), score), np.array(true))
    assert METRICS["auroc"](heat, None) == pytest.approx(3.5 / 4)
    for best, true in ((0, 0), (1, 1), (1, 0)):
        scores.take(Scores(np.eye(2, dtype=np.float32)[best]), np.array(true))
    assert METRICS["accuracy"](scores, None) == pytest.approx(2 / 3)
    with pytest.raises(WrongKind, match="no cell of it in any case"):
        METRICS["pooled dice"](masks, "c")
    with pytest.raises(WrongKind, match="truth of 0 dimensions for masks"):
        masks.take(Masks(np.zeros((1, 1), np.uint8)), np.array(1))


# --- memory, and ends that say nothing -------------------------------------------------------------------------------


def test_memory_is_limited_by_the_kernel(table: Table) -> None:
    examination = table.examine(
        "large", compatibility={"inframe": "0", "engines": {"onnxruntime": "1"}, "memory_mb": 40}
    )
    outcome = examination._per_worker("memory")
    assert not outcome.passed
    assert "MB" in outcome.reason or "memory" in outcome.reason
    needs = {"inframe": "0", "engines": {"onnxruntime": "1"}, "memory_mb": 99_000}
    assert table.examine("huge", compatibility=needs)._per_worker("memory") == Outcome(
        False, "found bundles that need 99000 MB, expected at most 2048"
    )


def test_a_checkpoint_that_hangs_is_ended(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "LIMIT_S", 0.2)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    outcome = table.examine("hanging")._apart("golden")
    assert outcome == Outcome(False, "found no answer after 0.2 s, expected one")
    table.open.pop().close()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_does_not_fit_beside_the_active_release_is_not_compatible(table: Table) -> None:
    path = Path(table.life.at("device.yaml"))
    values = yaml.safe_load(path.read_text())
    values["bundles"]["anatomy"] = {"file": str(table.life.release("now")), "stream": "endoscope"}
    other = path.with_name("other.yaml")
    other.write_text(yaml.safe_dump(values))
    from inframe.core.yamlfile import read_device
    from inframe.fitting import beside_active
    from inframe.resolve import resolve

    device = resolve(read_device(other), other)
    bundle = device.bundles["anatomy"].model_copy(update={"bundle": "anatomy"})
    device = device.model_copy(update={"bundles": {"anatomy": bundle}})
    every_second = str(table.life.release("every_second", part={"every": 2}))
    with pytest.raises(ConfigError, match=r"models\.anatomy\.every: found 2, expected 1, as it runs"):
        beside_active(device, {"anatomy": every_second})
    proposed = beside_active(device, {"anatomy": str(table.life.release("same"))})
    assert (proposed.models, proposed.signed_by) == (("anatomy",), "anna, otto")
    proposed.close()
