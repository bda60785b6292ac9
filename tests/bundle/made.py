"""Small bundles, keys and policies for the tests."""

import hashlib
import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from inframe.bundle import Policy
from inframe.bundle.keys import FileSigner, Scheme, new_signer
from inframe.bundle.making import pack, put, sign
from inframe.bundle.opening import open_bundle
from inframe.bundle.policy import UNSIGNED, Trusted
from tests.drivers import onnx_models as om

MODEL = om.convolution(labels=3, size=32)
DATA = hashlib.sha256(b"the data").hexdigest()
PREPROCESS = {"size": [32, 32], "fit": "stretch", "colour": "rgb", "layout": "nchw", "dtype": "float32", "scale": 1}


@cache
def signer(name: str, scheme: Scheme = "ed25519") -> FileSigner:
    """One key for each name and scheme, the same in all tests of a run."""
    return new_signer(scheme)


def policy(thresholds: dict[str, int] | None = None, **keys: tuple[str, FileSigner]) -> Policy:
    """name -> (role, key); by default one key of research, one of quality, both needed."""
    known = keys or {"anna": ("research", signer("anna")), "otto": ("quality", signer("otto"))}
    trusted = tuple(Trusted(name, role, one.key) for name, (role, one) in known.items())
    return Policy(trusted, thresholds or {role: 1 for role, _ in known.values()})


def recipe(**changes: Any) -> dict[str, Any]:
    """A bundle.yaml."""
    values = {
        "bundle": "anatomy",
        "version": "1.2.0",
        "counter": 7,
        "intended_use": "Outlines of organs in laparoscopic pictures, for demonstration.",
        "models": {
            "anatomy": {
                "file": "model.onnx",
                "budget_ms": 10,
                "preprocess": PREPROCESS,
                "decode": {"kind": "segmentation"},
                "labels": ["a", "b", "c"],
            }
        },
        "compatibility": {"inframe": "0.1", "engines": {"onnxruntime": "1.20", "openvino": "2025.0"}},
        "card": {
            "task": "semantic segmentation",
            "users": ["engineers"],
            "limitations": ["saw nothing but renderings"],
            "performance": [{"metric": "dice", "value": 0.9, "low": 0.88, "high": 0.92, "about": "all labels"}],
        },
        "golden": [
            {"model": "anatomy", "frames": "golden/frames.npy", "outputs": "golden/outputs.npz", "absolute": 0.001}
        ],
        "acceptance": {
            "data": {"name": "locked cases 3", "sha256": DATA},
            "criteria": [{"metric": "dice", "model": "anatomy", "label": "a", "at_least": 0.85}],
        },
        "latency": [{"model": "anatomy", "p99_ms": 20}],
        "training": {
            "data": [{"name": "renderings 12", "sha256": DATA}],
            "code": "0123abcd",
            "hyperparameters": {"learning_rate": 0.001, "epochs": 12},
        },
        "pccp": "MOD-3",
    }
    return values | changes


def folder(path: Path, model: bytes = MODEL, **changes: Any) -> Path:
    """A recipe with its files; returns the recipe's path."""
    (path / "golden").mkdir(parents=True, exist_ok=True)
    (path / "model.onnx").write_bytes(model)
    for name in ("frames.npy", "outputs.npz"):
        out = io.BytesIO()
        np.save(out, np.zeros((1, 2, 2, 3), np.uint8)) if name.endswith("npy") else np.savez(out, y=np.zeros(2))
        (path / "golden" / name).write_bytes(out.getvalue())
    (path / "bundle.yaml").write_text(yaml.safe_dump(recipe(**changes), sort_keys=False), "utf-8")
    return path / "bundle.yaml"


def write(path: Path, *signers: FileSigner, model: bytes = MODEL, **changes: Any) -> Path:
    """A bundle in the folder `path`, signed by each; its path."""
    _, header, members = pack(folder(path, model, **changes))
    out = path / "anatomy.inframe"
    put(out, [header, *members], replacing=True)
    for one in signers:
        with open_bundle(out, UNSIGNED) as bundle:
            signed = sign(bundle, one)
            put(out, [signed, *(bundle.member(name) for name, _ in bundle.header.members)], replacing=True)
    return out


def signed(path: Path, **changes: Any) -> Path:
    """A bundle that the default policy takes."""
    return write(path, signer("anna"), signer("otto"), **changes)
