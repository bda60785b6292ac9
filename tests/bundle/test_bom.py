"""The bill of materials: valid by the strict validator, with the model card in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from inframe.bundle import UNSIGNED, open_bundle
from tests.bundle import made


def bom_of(path: Path) -> str:
    with open_bundle(path, UNSIGNED) as bundle:
        return bytes(bundle.member("bom.json")).decode()


def problem(text: str) -> Any:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_is_valid_cyclonedx_with_a_model_card(tmp_path: Path) -> None:
    text = bom_of(made.write(tmp_path))
    assert problem(text) is None
    bom = json.loads(text)
    (model,) = (one for one in bom["components"] if one["type"] == "machine-learning-model")
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "semantic segmentation"
    assert card["considerations"]["technicalLimitations"] == ["saw nothing but renderings"]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0]["confidenceInterval"] == {
        "lowerBound": "0.88",
        "upperBound": "0.92",
    }
    (data,) = (one for one in bom["components"] if one["type"] == "data")
    assert data["hashes"] == [{"alg": "SHA-256", "content": made.DATA}]
    assert {"name": "inframe:training_code", "value": "0123abcd"} in model["properties"]
    with open_bundle(tmp_path / "anatomy.inframe", UNSIGNED) as bundle:
        assert model["hashes"][0]["content"] == bundle.digests["model.onnx"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_validator_would_notice(tmp_path: Path) -> None:
    bom = json.loads(bom_of(made.write(tmp_path)))
    bom["components"][0]["modelCard"]["considerations"]["unknown"] = 1
    assert problem(json.dumps(bom)) is not None


def test_the_same_bundle_has_the_same_bill(tmp_path: Path) -> None:
    assert bom_of(made.write(tmp_path / "a")) == bom_of(made.write(tmp_path / "b"))
