"""A change within the plan holds; one step beyond any bound, or one demand less, does not, and the line says which."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from inframe.bundle import Bundle, Policy, open_bundle
from inframe.bundle.keys import write_keys
from inframe.bundle.manifest import DataSet
from inframe.cli import app
from inframe.core.errors import BundleError, ConfigError
from inframe.pccp import Evidence, Plan, check, read_evidence, read_plan, refusal
from inframe.pccp.items import Status
from inframe.revalidation.attesting import LOCK, TEST_RESULT, sealed
from inframe.revalidation.locking import Lock, TrailMark
from inframe.revalidation.protocol import Protocol
from tests.bundle import made
from tests.drivers import onnx_models as om

CASES = "c" * 64
NEW_DATA = {"name": "new site", "sha256": "d" * 64}
ENDPOINT = {"metric": "dice", "model": "anatomy", "at_least": 0.9, "margin": 0.02}


def plan(**changes: Any) -> dict[str, Any]:
    """One modification: new weights from more data."""
    modification = {
        "about": "Retraining on cases of new sites. The architecture and the intended use stay.",
        "changes": [
            {"field": "member model.onnx", "change": "weights"},
            {"field": "member golden/*", "change": "any"},
            {"field": "training.*", "change": "any"},
            {"field": "card.performance.*", "change": "any"},
            {"field": "models.anatomy.budget_ms", "at_least": 5, "at_most": 15},
            {"field": "models.anatomy.max_age_ms", "by": 50},
            {"field": "models.anatomy.decode.activation", "one_of": ["argmax"]},
        ],
        "data": {"about": "…", "keeps": True, "least_training_sets": 2, "least_cases": 20},
        "retraining": {"about": "…", "hyperparameters": {"learning_rate": {"at_least": 1e-5, "at_most": 0.01}}},
        "evaluation": {"about": "…", "criteria": [{"metric": "dice", "model": "anatomy", "at_least": 0.85}]},
        "update": {"about": "…", "signatures": {"research": 1, "quality": 1}},
        "impact": [{"risk": "A structure is missed.", "mitigation": "Locked revalidation.", "controls": ["RC-07"]}],
        "traces": ["SRS-12"],
    }
    values: dict[str, Any] = {"plan": "Anatomy PCCP 3", "product": "theatre", "bundle": "anatomy"}
    return values | {"modifications": {"MOD-3": modification | changes}}


def parsed(**changes: Any) -> Plan:
    return Plan.model_validate_json(json.dumps(plan(**changes)))


ACCEPTANCE = made.recipe()["acceptance"] | {"data": {"name": "locked", "sha256": "a" * 64}}
OLD_TRAINING = made.recipe()["training"]
NEW_TRAINING = OLD_TRAINING | {"data": [*OLD_TRAINING["data"], NEW_DATA]}
RETRAINED: dict[str, Any] = {
    "version": "1.3.0",
    "counter": 8,
    "acceptance": ACCEPTANCE,
    "training": NEW_TRAINING,
    "model": om.convolution(3, 32, 5),
}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(made.signed(tmp_path_factory.mktemp("old"), acceptance=ACCEPTANCE), made.policy())


Maker = Callable[..., Bundle]


@pytest.fixture
def new(tmp_path: Path) -> Maker:
    """A retrained bundle, with changes."""

    def make(**changes: Any) -> Bundle:
        return open_bundle(
            made.signed(tmp_path / f"new-{len(list(tmp_path.iterdir()))}", **(RETRAINED | changes)), made.policy()
        )

    return make


def evidence_of(folder: Path, new: str, old: str | None, **changes: Any) -> tuple[Path, Path]:
    """A signed test result and its lock."""
    told = {
        "endpoints": [ENDPOINT],
        "alpha": 0.05,
        "result": "PASSED",
        "passed": ["dice of anatomy"],
        "cases": 24,
    } | changes
    values = {"protocol": "p", "seed": 1, "alpha": told["alpha"], "endpoints": told["endpoints"]}
    lock = Lock(
        protocol=Protocol.model_validate_json(json.dumps(values)),
        cases=DataSet(name="locked", sha256=CASES),
        code="inframe",
        trail=TrailMark(log="x", size=1, root="0" * 64),
    )
    keys = [made.signer("anna"), made.signer("otto")]
    data = sealed(LOCK, {"locked": CASES}, json.loads(lock.model_dump_json()), keys)
    (folder / "lock.json").write_bytes(data)
    from inframe.revalidation.locking import open_lock

    _, digest = open_lock(folder / "lock.json", made.policy())
    named = {"lock": told.get("lock", digest), "cases": CASES} | ({"against": old} if old is not None else {})
    predicate = {
        "result": told["result"],
        "configuration": [{"name": name, "digest": {"sha256": sha}} for name, sha in named.items()],
        "passedTests": told["passed"],
        "cases": told["cases"],
    }
    (folder / "result.json").write_bytes(sealed(TEST_RESULT, {"anatomy": new}, predicate, keys))
    return folder / "result.json", folder / "lock.json"


def shown(folder: Path, new: str, old: str | None, **changes: Any) -> Evidence:
    return read_evidence(*evidence_of(folder, new, old, **changes), made.policy())


def failing(plan: Plan, old: Bundle, new: Bundle, evidence: Evidence | None) -> dict[str, Status]:
    found = check(plan, old, new, evidence, made.policy())
    return {one.what: one.status for one in found.items if one.status is not Status.HOLDS}


def test_within_the_plan_and_shown(tmp_path: Path, old: Bundle, new: Maker) -> None:
    with new() as bundle:
        found = shown(tmp_path, bundle.digest, old.digest)
        assert failing(parsed(), old, bundle, found) == {}
        assert refusal(parsed(), old, bundle, found, made.policy()) is None
        nothing = refusal(parsed(), old, bundle, None, made.policy())
        assert nothing is not None
        assert "evaluation: missing" in nothing
        unsigned = check(parsed(), old, bundle, found, Policy((), {}))
        assert {i.what for i in unsigned.items if i.status is Status.FAILED} == {
            f"update.signatures.{r}" for r in ("research", "quality")
        }


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"counter": 7}, "counter"),
        ({"intended_use": "Everything."}, "intended_use"),
        ({"pccp": "MOD-4"}, "pccp"),
        ({"pccp": None}, "pccp"),
        ({"bundle": "other"}, "bundle"),
        ({"model": om.convolution(3, 32)[:-1] + b"\0"}, "member model.onnx"),
        ({"model": om.identity((1, 3, 32, 32))}, "member model.onnx"),
        ({"training": NEW_TRAINING | {"data": [NEW_DATA]}}, "data.keeps"),
        (
            {"training": NEW_TRAINING | {"data": [*OLD_TRAINING["data"], {"name": "leak", "sha256": CASES}]}},
            "data.separate",
        ),
        (
            {"training": NEW_TRAINING | {"hyperparameters": {"learning_rate": 0.1}}},
            "retraining.hyperparameters.learning_rate",
        ),
        ({"training": NEW_TRAINING | {"hyperparameters": {}}}, "retraining.hyperparameters.learning_rate"),
        ({"latency": []}, "update.latency"),
    ],
)
def test_one_step_beyond(tmp_path: Path, old: Bundle, new: Maker, changes: dict[str, Any], what: str) -> None:
    with new(**changes) as bundle:
        found = shown(tmp_path, bundle.digest, old.digest)
        assert what in failing(parsed(), old, bundle, found)
        line = refusal(parsed(), old, bundle, found, made.policy())
        assert line is not None
        assert "\n" not in line


@pytest.mark.parametrize(
    ("key", "value", "holds"),
    [
        ("budget_ms", 15, True),
        ("budget_ms", 15.5, False),
        ("budget_ms", 4, False),
        ("max_age_ms", 50, True),
        ("max_age_ms", 51, False),
        ("decode", {"kind": "segmentation", "activation": "none"}, False),
        ("every", 2, False),
    ],
)
def test_bounds(tmp_path: Path, old: Bundle, new: Maker, key: str, value: object, holds: bool) -> None:
    model = made.recipe()["models"]["anatomy"] | {key: value}
    with new(models={"anatomy": model}) as bundle:
        found = failing(parsed(), old, bundle, shown(tmp_path, bundle.digest, old.digest))
        assert (not found) == holds
        assert all(one.startswith("models.anatomy.") for one in found)


@pytest.mark.parametrize(
    ("changes", "what", "status"),
    [
        ({"result": "FAILED"}, "evaluation.result", Status.FAILED),
        ({"passed": []}, "evaluation: dice of anatomy", Status.FAILED),
        ({"endpoints": [ENDPOINT | {"at_least": 0.8}]}, "evaluation: dice of anatomy", Status.FAILED),
        ({"endpoints": [ENDPOINT | {"label": "a"}]}, "evaluation: dice of anatomy", Status.MISSING),
        ({"endpoints": [ENDPOINT | {"margin": None}]}, "evaluation.margin", Status.FAILED),
        ({"alpha": 0.1}, "evaluation.alpha", Status.FAILED),
        ({"cases": 19}, "data.least_cases", Status.FAILED),
    ],
)
def test_evidence_that_shows_less(
    tmp_path: Path, old: Bundle, new: Maker, changes: dict[str, Any], what: str, status: Status
) -> None:
    with new() as bundle:
        assert failing(parsed(), old, bundle, shown(tmp_path, bundle.digest, old.digest, **changes)) == {what: status}
        of_another = failing(parsed(), old, bundle, shown(tmp_path, "e" * 64, None))
        assert of_another == {"evaluation.bundle": Status.FAILED, "evaluation.against": Status.FAILED}


def test_evidence_must_be_signed_and_of_one_lock(tmp_path: Path, old: Bundle) -> None:
    result, lock = evidence_of(tmp_path, "e" * 64, old.digest)
    strangers = made.policy(eve=("research", made.signer("eve")))
    with pytest.raises(BundleError, match=r"envelope\.signatures"):
        read_evidence(result, lock, strangers)
    with pytest.raises(BundleError, match=r"predicateType"):
        read_evidence(lock, lock, made.policy())
    result, lock = evidence_of(tmp_path, "e" * 64, old.digest, lock="f" * 64)
    with pytest.raises(BundleError, match=r"configuration\.lock"):
        read_evidence(result, lock, made.policy())


def test_the_command(tmp_path: Path) -> None:
    before, after = (
        made.signed(tmp_path / "before", acceptance=ACCEPTANCE),
        made.signed(tmp_path / "after", **RETRAINED),
    )
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan()), "utf-8")
    lines = []
    for name, role in (("anna", "research"), ("otto", "quality")):
        write_keys(made.signer(name), tmp_path / name)
        lines.append(f"  - {{name: {name}, role: {role}, file: {name}.pub}}\n")
    (tmp_path / "policy.yaml").write_text("keys:\n" + "".join(lines) + "thresholds: {research: 1, quality: 1}\n")
    with open_bundle(before, made.policy()) as a, open_bundle(after, made.policy()) as b:
        result, lock = evidence_of(tmp_path, b.digest, a.digest)
    command = [
        "pccp",
        "check",
        str(before),
        str(after),
        "--plan",
        str(tmp_path / "plan.yaml"),
        "--policy",
        str(tmp_path / "policy.yaml"),
    ]
    evidence = ["--result", str(result), "--lock", str(lock), "--json", str(tmp_path / "found.json")]

    def code(*arguments: str) -> int:
        return CliRunner().invoke(app, list(arguments)).exit_code

    assert code(*command, *evidence) == 0
    assert json.loads((tmp_path / "found.json").read_text())["status"] == "holds"
    assert code(*command) == 4
    command[2:4] = [str(after), str(before)]
    assert code(*command) == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.pop("impact"), "impact"),
        (lambda m: m.pop("traces"), "traces"),
        (lambda m: m["changes"].append({"field": "x"}), "kinds of bound"),
        (
            lambda m: m["evaluation"]["criteria"].append({"metric": "luck", "model": "a", "at_least": 1}),
            "expected one of dice",
        ),
        (lambda m: m.update(changes=[]), "changes"),
    ],
)
def test_a_plan_that_is_none(tmp_path: Path, spoil: Callable[[dict[str, Any]], object], words: str) -> None:
    values = plan()
    spoil(values["modifications"]["MOD-3"])
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(values), "utf-8")
    with pytest.raises(ConfigError, match=words):
        read_plan(tmp_path / "plan.yaml")


def test_the_schema_is_published() -> None:
    printed = CliRunner().invoke(app, ["pccp", "schema"]).output
    kept = Path(__file__).parents[2] / "docs" / "pccp.schema.json"
    assert json.loads(kept.read_text("utf-8")) == json.loads(printed)
