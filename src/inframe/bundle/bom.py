"""A bundle's bill of materials: CycloneDX 1.6 (ECMA-424) with each model as a component that has a model card.

Written here and not with cyclonedx-python-lib, which knows no model card and drops one in silence; that library's strict
validator checks it in the tests.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from inframe.bundle.manifest import DataSet, Manifest
from inframe.core.config import ModelPart

_NAMESPACE = uuid.UUID("6f1d0f5e-9d3c-5a53-8f0e-1f5a3b7c2d11")
"""Of the serial numbers: the same bundle has the same."""


def bom(manifest: Manifest, digests: Mapping[str, str]) -> bytes:
    """The JSON. `digests`: SHA-256 of the members by name, hex."""
    data = _data_sets(manifest)
    models = [_model(manifest, name, model, digests[model.file], data) for name, model in manifest.models.items()]
    files = [
        {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": _hashes(digests[name])}
        for name in sorted(digests)
        if name not in {model.file for model in manifest.models.values()}
    ]
    top = f"bundle:{manifest.bundle}"
    refs = [one["bom-ref"] for one in (*models, *files)]
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps([manifest.bundle, manifest.version, dict(digests)]))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": top,
                "name": manifest.bundle,
                "version": manifest.version,
                "description": manifest.intended_use,
                "properties": _properties({"counter": manifest.counter, "pccp": manifest.pccp}),
            }
        },
        "components": [*models, *data.values(), *files],
        "dependencies": [
            {"ref": top, "dependsOn": refs},
            *({"ref": one["bom-ref"], "dependsOn": [d["bom-ref"] for d in data.values()]} for one in models),
        ],
    }
    return json.dumps(whole, indent=1, sort_keys=True).encode() + b"\n"


def _model(
    manifest: Manifest, name: str, model: ModelPart, digest: str, data: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    card = manifest.card
    parameters: dict[str, Any] = {
        "task": card.task,
        "datasets": [{"ref": one["bom-ref"]} for one in data.values()],
        "inputs": [{"format": "image"}],
        "outputs": [{"format": model.decode.kind}],
    }
    considerations: dict[str, Any] = {
        "users": list(card.users),
        "useCases": [manifest.intended_use],
        "technicalLimitations": list(card.limitations),
    }
    if card.tradeoffs:
        considerations["performanceTradeoffs"] = list(card.tradeoffs)
    described: dict[str, Any] = {"modelParameters": parameters, "considerations": considerations}
    if card.performance:
        described["quantitativeAnalysis"] = {
            "performanceMetrics": [_metric(one.model_dump()) for one in card.performance]
        }
    training = {"training_code": manifest.training.code, **manifest.training.hyperparameters}
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{name}",
        "name": name,
        "version": manifest.version,
        "hashes": _hashes(digest),
        "modelCard": {"bom-ref": f"card:{name}", **described},
        "properties": _properties(training),
    }


def _metric(one: Mapping[str, Any]) -> dict[str, Any]:
    metric: dict[str, Any] = {"type": one["metric"], "value": repr(one["value"])}
    if one["about"] is not None:
        metric["slice"] = one["about"]
    if one["low"] is not None and one["high"] is not None:
        metric["confidenceInterval"] = {"lowerBound": repr(one["low"]), "upperBound": repr(one["high"])}
    return metric


def _data_sets(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """By digest: a set that is used twice is one."""
    sets = [*manifest.training.data, *([manifest.acceptance.data] if manifest.acceptance is not None else [])]
    return {one.sha256: _data_set(one) for one in sets}


def _data_set(one: DataSet) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": f"data:{one.sha256}",
        "name": one.name,
        **({"description": one.about} if one.about is not None else {}),
        "hashes": _hashes(one.sha256),
        "data": [{"type": "dataset", "name": one.name}],
    }


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _properties(values: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"name": f"inframe:{key}", "value": str(value)} for key, value in values.items() if value is not None]
