"""Small cases and bundles: a red and a green disc on grey that a model of nine weights tells apart, in a moment."""

import json
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from inframe.revalidation.cases import CaseSet, write_manifest
from inframe.revalidation.measuring import Job, Settings
from inframe.revalidation.protocol import Protocol
from tests.bundle.made import signer, write
from tests.drivers import onnx_models as om

SIZE, FPS, FRAMES, EVERY = (48, 64), 10, 40, 2
LABELS = ["background", "red", "green"]
PREPROCESS = {
    "size": [32, 24],
    "fit": "stretch",
    "colour": "rgb",
    "layout": "nchw",
    "dtype": "float32",
    "scale": 1 / 255,
}
RULES: dict[str, Any] = {
    "green_seen": {
        "model": "anatomy",
        "when": {"kind": "area", "labels": ["green"], "above": 0.01},
        "persist": {"k": 2, "n": 3},
        "text": "GREEN",
        "clear_s": 0.5,
    }
}
ENDPOINTS: list[dict[str, Any]] = [
    {"metric": "dice", "model": "anatomy", "at_least": 0.8, "margin": 0.05, "worst": 0.8},
    {"metric": "nsd", "model": "anatomy", "label": "red", "at_least": 0.8, "margin": 0.05},
    {"metric": "hd95", "model": "anatomy", "at_most": 6},
    {"metric": "sensitivity", "model": "anatomy", "label": "green_seen", "at_least": 0.5},
    {"metric": "false_alerts", "model": "anatomy", "at_most": 60},
    {"metric": "ece", "model": "anatomy", "at_most": 0.3, "margin": 0.05},
]


def network(green: float = 12.0, noise: float = 0.0) -> bytes:
    """1x3x24x32 -> 1x3x24x32 logits: background 0, red and green where that channel is bright."""
    weights = np.array([[0, 0, 0], [12, -6, 0], [-6, green, 0]], np.float32)
    weights += noise * np.random.default_rng(1).standard_normal((3, 3)).astype(np.float32)
    return om.model(
        [om.node("Conv", "x w b", "y")],
        [om.value("x", (1, 3, 24, 32))],
        [om.value("y", (1, 3, 24, 32))],
        {"w": weights.reshape(3, 3, 1, 1), "b": np.array([0, -3, -3], np.float32)},
    )


def bundle(path: Path, counter: int = 7, green: float = 12.0, **changes: Any) -> Path:
    """A signed bundle in the folder `path`."""
    model = {
        "file": "model.onnx",
        "budget_ms": 10,
        "preprocess": PREPROCESS | changes.pop("preprocess", {}),
        "decode": {"kind": "segmentation"},
        "labels": LABELS,
    }
    engines = {"inframe": "0.1", "engines": {"onnxruntime": "1.20"}}
    fixed: dict[str, Any] = {
        "models": {"anatomy": model},
        "counter": counter,
        "compatibility": engines,
        "acceptance": None,
    }
    return write(path, signer("anna"), signer("otto"), **{"model": network(green), **fixed, **changes})


def procedure(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[int, int]]:
    """Pictures (FRAMES, h, w, 3), true masks (FRAMES, h, w), and from which to which frame the green disc is there."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(40, 70, (FRAMES, *SIZE, 3), dtype=np.uint8)
    masks = np.zeros((FRAMES, *SIZE), np.uint8)
    first = int(rng.integers(12, 18))
    last = first + int(rng.integers(12, 20))
    red, green = rng.uniform([14, 14], [34, 24], 2), rng.uniform([44, 30], [54, 38], 2)
    for i in range(FRAMES):
        for label, at, seen in ((1, red + i * 0.2, True), (2, green, first <= i + 1 <= last)):
            if seen:
                disc = np.zeros(SIZE, np.uint8)
                cv2.circle(disc, tuple(int(v) for v in at), 7, 1, -1)
                masks[i][disc > 0] = label
                pictures[i][disc > 0] = ((230, 40, 40), (40, 230, 40))[label - 1]
    return pictures, masks, (first, last)


def video(path: Path, pictures: NDArray[np.uint8]) -> None:
    """Lossless."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264rgb", rate=FPS, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "rgb24"
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())


def case(path: Path, seed: int) -> Path:
    """A case's folder."""
    path.mkdir(parents=True)
    pictures, masks, (first, last) = procedure(seed)
    video(path / "pictures.mkv", pictures)
    np.savez_compressed(path / "masks.npz", masks=masks[::EVERY])
    values = {
        "format": 1,
        "pictures": "pictures.mkv",
        "stream": {"width": SIZE[1], "height": SIZE[0], "fps": FPS},
        "frames": FRAMES,
        "masks": {"anatomy": {"file": "masks.npz", "labels": LABELS, "every": EVERY}},
        "findings": [{"rule": "green_seen", "first": first, "last": last}],
        "judged": ["green_seen"],
        "attributes": {"site": "north" if seed % 2 else "south"},
    }
    (path / "case.json").write_text(json.dumps(values))
    return path


def cases(path: Path, count: int = 8, purpose: Literal["locked", "development"] = "locked", first: int = 0) -> CaseSet:
    """A set of them."""
    for seed in range(first, first + count):
        case(path / f"case-{seed:02}", seed)
    return write_manifest(path, "discs", purpose)


def protocol(**changes: Any) -> Protocol:
    """What is to be shown of them."""
    settings = {"rules": RULES, "tolerance_px": 3, "sample": 2, "worst": 1}
    values = {
        "protocol": "discs 1",
        "seed": 5,
        "draws": 999,
        "subgroups": ["site"],
        "least_cases": 3,
        "settings": settings,
        "endpoints": ENDPOINTS,
    }
    return Protocol.model_validate_json(json.dumps(values | changes))


def settings() -> Settings:
    """How they are measured."""
    return protocol().settings


def jobs(bundle: Path, digest: str, found: CaseSet) -> list[Job]:
    """One for each case."""
    return [
        Job(
            bundle=str(bundle), sha256=digest, case=c.name, folder=str(c.folder), digests=c.digests, settings=settings()
        )
        for c in found.cases
    ]


def write_protocol(path: Path, **changes: Any) -> Path:
    """As a file."""
    path.write_text(yaml.safe_dump(json.loads(protocol(**changes).model_dump_json(exclude_defaults=True))), "utf-8")
    return path
