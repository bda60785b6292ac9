"""A manufacturer and a device, for tests of a model's whole life: releases made with the real commands, good ones and bad ones.

The bad ones are signed as the good one is, by everybody whose signature is needed. What is wrong with them lies in the graph:

    wrong     answers other numbers than those that were written down when it was released
    slow      answers the same, after a long calculation
    dark      answers the same in the light of the laboratory, and nonsense where it is darker
    crashing  answers the same, and divides by what it must not in each Nth run: the process ends with SIGFPE
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from inframe.acceptance import digest_of, read_cases
from inframe.cli import app
from inframe.core.errors import InframeError
from inframe.core.types import Pixels

SIDE = 1024
"""Of the matrices that the slow one multiplies."""
KEYS = ("anna", "otto")


def run(*words: str, code: int = 0) -> str:
    """One command, which must end with `code`. Raises what it raises."""
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, InframeError):
        raise result.exception
    assert result.exit_code == code, f"{words}: {result.output}{result.exception or ''}"
    return result.output


# --- models that go wrong --------------------------------------------------------------------------------------------


def wrong(data: bytes) -> bytes:
    """Every number one larger."""
    return _spoilt(data, [_node("Add", "GOOD one", "OUT")], one=np.array(1, np.float32))


def slow(data: bytes, products: int) -> bytes:
    """The same numbers after so many products of large matrices, which depend on the picture: nobody can leave them out."""
    nodes = [_node("ReduceMean", "IN", "mean", keepdims=0), _node("Mul", "mean matrix", "p0")]
    nodes += [_node("MatMul", f"p{i} matrix", f"p{i + 1}") for i in range(products)]
    nodes += [_node("ReduceMean", f"p{products}", "far", keepdims=0), _node("Mul", "far zero", "none")]
    nodes += [_node("Add", "GOOD none", "OUT")]
    matrix = np.full((SIDE, SIDE), 1 / SIDE, np.float32)
    return _spoilt(data, nodes, matrix=matrix, zero=np.array(0, np.float32))


def dark(data: bytes, threshold: float) -> bytes:
    """The opposite where the mean of what it sees is below the threshold."""
    nodes = [
        _node("ReduceMean", "IN", "mean", keepdims=0),
        _node("Less", "mean threshold", "is_dark"),
        _node("Neg", "GOOD", "opposite"),
        _node("Where", "is_dark opposite GOOD", "OUT"),
    ]
    return _spoilt(data, nodes, threshold=np.array(threshold, np.float32))


def crashing(data: bytes, every: int) -> bytes:
    """Counts its runs in a state; in each `every`th the smallest integer is divided by -1, which no processor of this kind can."""
    nodes = [
        _node("Add", "runs step", "runs_out"),
        _node("Mod", "runs_out every", "rest"),
        _node("Equal", "rest nought", "now"),
        _node("Where", "now minus step", "by"),
        _node("Div", "least by", "quotient"),
        _node("Cast", "quotient", "far", to=TensorProto.FLOAT),
        _node("Mul", "far zero", "none"),
        _node("Add", "GOOD none", "OUT"),
    ]
    whole = {"step": 1, "every": every, "nought": 0, "minus": -1, "least": np.iinfo(np.int64).min}
    numbers: dict[str, Any] = {name: np.array([value], np.int64) for name, value in whole.items()}
    spoilt = onnx.load_from_string(_spoilt(data, nodes, **numbers, zero=np.array(0, np.float32)))
    spoilt.graph.input.append(helper.make_tensor_value_info("runs", TensorProto.INT64, [1]))
    spoilt.graph.output.append(helper.make_tensor_value_info("runs_out", TensorProto.INT64, [1]))
    return bytes(spoilt.SerializeToString())


def _node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def _spoilt(data: bytes, nodes: list[onnx.NodeProto], **constants: NDArray[Any]) -> bytes:
    """The model with more nodes behind it: IN is its input, GOOD what it said before, OUT what it says now."""
    made = onnx.load_from_string(data)
    source, said = made.graph.input[0].name, made.graph.output[0].name
    for one in made.graph.node:
        one.output[:] = ["GOOD" if name == said else name for name in one.output]
        one.input[:] = ["GOOD" if name == said else name for name in one.input]
    for one in nodes:
        one.input[:] = [source if name == "IN" else name for name in one.input]
        one.output[:] = [said if name == "OUT" else name for name in one.output]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return bytes(made.SerializeToString())


# --- the manufacturer and the device ---------------------------------------------------------------------------------


@dataclass
class Life:
    """One device in `folder/device.yaml`, and everything that its releases are made of."""

    folder: Path
    model: bytes
    """The good one."""
    part: dict[str, Any]
    """The model's section of the recipe."""
    frames: NDArray[np.uint8]
    """Of the laboratory: (n, h, w, 3) RGB, of the size of the device's stream."""
    truth: NDArray[np.uint8]
    criteria: list[dict[str, Any]]
    p99_ms: float
    memory_mb: int = 512
    counter: int = 0
    said: list[str] = field(default_factory=list)
    """Every command that was run on the device's or the manufacturer's side, with what it printed, as a terminal would show it."""
    files: dict[str, Any] = field(default_factory=dict)

    def provide(self, device: dict[str, Any]) -> None:
        """Write the locked cases, the keys, the policy, an empty repository and the device file."""
        (self.folder / "cases").mkdir(parents=True)
        np.savez(self.folder / "cases" / "one.npz", frames=self.frames, anatomy=self.truth)
        for name, role in zip(KEYS, ("research", "quality"), strict=True):
            run("bundle", "key", self.at(name))
            self.files[name] = {"name": name, "role": role, "file": f"{name}.pub"}
        policy = {"keys": list(self.files.values()), "thresholds": {"research": 1, "quality": 1}}
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(policy))
        run("release", "init", self.at("repository"), "--keys", self.at("keys"))
        update = {
            "folder": "slots",
            "repository": (self.folder / "repository").as_uri(),
            "root": "repository/metadata/1.root.json",
            "bundles": ["anatomy"],
            "cases": "cases",
        } | device.pop("update", {})
        values = {"policy": "policy.yaml", "trail": {"folder": "trail"}, "update": update} | device
        (self.folder / "device.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    def run(self, *words: str, code: int = 0) -> str:
        """One command, written down."""
        printed = run(*words, code=code)
        shown = " ".join(f'"{word}"' if " " in word else word for word in ("inframe", *words))
        self.said.append(f"$ {shown}\n{printed}".replace(f"{self.folder}/", ""))
        return printed

    def at(self, name: str) -> str:
        """A file of the folder, for a command."""
        return str(self.folder / name)

    def recipe(self, **changes: Any) -> dict[str, Any]:
        """A bundle.yaml."""
        lines = [line for line, _ in read_cases(self.folder / "cases")]
        return {
            "bundle": "anatomy",
            "version": f"1.{self.counter}",
            "counter": self.counter,
            "intended_use": "Tests.",
            "models": {"anatomy": self.part | {"file": "anatomy.onnx"} | changes.pop("part", {})},
            "compatibility": {"inframe": "0.1", "engines": {"onnxruntime": "1.20"}, "memory_mb": self.memory_mb},
            "card": {"task": "segmentation", "users": ["tests"], "limitations": ["all"]},
            "golden": [{"model": "anatomy", "frames": "frames.npy", "outputs": "answers.npz", "absolute": 0.01}],
            "acceptance": {"data": {"name": "locked", "sha256": digest_of(lines)}, "criteria": self.criteria},
            "latency": [{"model": "anatomy", "p99_ms": self.p99_ms}],
            "training": {"data": [{"name": "none", "sha256": "0" * 64}], "code": "none"},
        } | changes

    def release(self, name: str, spoil: Callable[[bytes], bytes] | None = None, **changes: Any) -> Path:
        """Make a bundle, sign it twice, and publish it for every device. The golden answers are the model's own, but for a model
        that is wrong: there they are the good one's."""
        self.counter += 1
        folder = self.folder / name
        folder.mkdir()
        np.save(folder / "frames.npy", self.frames[:4])
        lying = spoil is wrong
        (folder / "anatomy.onnx").write_bytes(self.model if spoil is None or lying else spoil(self.model))
        (folder / "bundle.yaml").write_text(yaml.safe_dump(self.recipe(**changes), sort_keys=False))
        run("bundle", "golden", str(folder / "bundle.yaml"))
        if lying:
            (folder / "anatomy.onnx").write_bytes(wrong(self.model))
        file = folder / "anatomy.inframe"
        run("bundle", "pack", str(folder / "bundle.yaml"), "--out", str(file))
        for key in KEYS:
            run("bundle", "sign", str(file), "--key", self.at(key))
        self.run(
            "release", "add", self.at("repository"), name, str(file), "--keys", self.at("keys"), "--percent", "100"
        )
        return file

    def update(self, step: str, *words: str, code: int = 0) -> str:
        """`inframe update STEP`."""
        return self.run("update", step, self.at("device.yaml"), *words, code=code)

    def install(self, code: int = 0) -> str:
        """Fetch and install the newest release."""
        self.update("fetch")
        return self.update("install", code=code)


def tiny(folder: Path, **update: Any) -> Life:
    """A small camera, a model of a few weights: everything is fast, and nothing looks like anything."""
    from tests.drivers import onnx_models as om

    rng = np.random.default_rng(1)
    frames = rng.integers(200, 256, (6, 48, 64, 3)).astype(np.uint8)
    part = {
        "budget_ms": 20,
        "max_age_ms": 1000,
        "preprocess": {
            "size": [32, 32],
            "fit": "stretch",
            "colour": "rgb",
            "layout": "nchw",
            "dtype": "float32",
            "scale": 1,
        },
        "decode": {"kind": "segmentation"},
        "labels": ["a", "b", "c"],
    }
    model = om.convolution(labels=3, size=32)
    truth = _truth(model, part, frames)
    criteria = [{"metric": "mean pooled dice", "model": "anatomy", "at_least": 0.9}]
    life = Life(folder, model, part, frames, truth, criteria, p99_ms=60)
    health = {"shadow_frames": 20, "window": 10, "missed": 1.0, "findings": 1.0}
    device = {
        "device": "theatre 4",
        "streams": {"endoscope": {"camera": "synthetic", "width": 64, "height": 48, "fps": 30}},
        "display": "endoscope",
        "bundles": {"anatomy": {"stream": "endoscope"}},
        "candidate": {"control": "control", "health": health},
        "update": update,
    }
    life.provide(device)
    return life


def _truth(model: bytes, part: dict[str, Any], frames: Pixels) -> NDArray[np.uint8]:
    """What the model itself says."""
    from inframe.core.clock import ManualClock
    from inframe.core.config import ModelConfig
    from inframe.core.types import Masks
    from inframe.pipeline.model import load_model

    config = ModelConfig.model_validate({**part, "file": "x", "stream": "s"})
    loaded = load_model("m", config, Path(), (frames.shape[2], frames.shape[1]), model)
    found = []
    for frame in frames:
        output, _ = loaded.run(frame, ManualClock())
        assert isinstance(output, Masks)
        found.append(output.classes.copy())
    loaded.close()
    return np.stack(found)


def reference(folder: Path, **update: Any) -> Life:
    """The reference model at its own size, on the reference procedure; its laboratory is brighter than its theatre."""
    import av

    from inframe.core.yamlfile import read_device
    from inframe.reference_device import device_file, truth_file

    path = device_file()
    device = read_device(path)
    with av.open(str(path.parent / "procedure.mp4")) as video:
        frames = [f.to_ndarray(format="rgb24") for i, f in enumerate(video.decode(video=0)) if i < 300 and i % 30 == 0]
    bright = np.clip(np.stack(frames).astype(np.int16) + 40, 0, 255).astype(np.uint8)
    truth = np.load(truth_file())["anatomy"][: 30 * len(frames) : 30]
    part = device.models["anatomy"].model_dump(mode="json", exclude={"stream", "engine", "worker", "file", "colours"})
    part["labels"] = (path.parent / "labels.txt").read_text().split("\n")[:8]
    model = (path.parent / "anatomy.onnx").read_bytes()
    criteria = [{"metric": "pooled dice", "model": "anatomy", "label": "gallbladder", "at_least": 0.7}]
    life = Life(folder, model, part, bright, truth, criteria, p99_ms=60)
    video_file = {"camera": "file", "path": str(path.parent / "procedure.mp4"), "loop": True}
    values = {
        "device": "theatre 4",
        "streams": {"endoscope": {**video_file, "width": 1280, "height": 720, "fps": 30}},
        "display": "endoscope",
        "bundles": {"anatomy": {"stream": "endoscope"}},
        "rules": {name: rule.model_dump(mode="json") for name, rule in device.rules.items()},
        "candidate": {"control": "control"},
        "update": update,
    }
    life.provide(values)
    return life
