"""The reference model as an unsigned bundle, to try a revalidation with: ``python -m reference.bundled --out FOLDER`` writes
FOLDER/anatomy.inframe. For demonstration and test only."""

import argparse
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml

from inframe.bundle import making
from inframe.core.yamlfile import read_device
from inframe.golden import write_golden
from inframe.reference_device import device_file


def recipe() -> dict[str, Any]:
    """Its bundle.yaml."""
    path = device_file()
    outside = {"stream", "engine", "worker", "file", "colours"}
    part = read_device(path).models["anatomy"].model_dump(mode="json", exclude=outside)
    part["labels"] = (path.parent / "labels.txt").read_text("utf-8").split("\n")[:8]
    return {
        "bundle": "anatomy",
        "version": "1",
        "counter": 1,
        "intended_use": "Demonstration and test.",
        "models": {"anatomy": part | {"file": "anatomy.onnx"}},
        "compatibility": {"inframe": "0.1", "engines": {"onnxruntime": "1.20"}},
        "card": {"task": "segmentation", "users": ["tests"], "limitations": ["all"]},
        "golden": [{"model": "anatomy", "frames": "frames.npy", "outputs": "answers.npz", "absolute": 0.01}],
        "training": {"data": [{"name": "simulator", "sha256": "0" * 64}], "code": "reference/train.py"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    folder = parser.parse_args().out
    folder.mkdir(parents=True)
    shutil.copy(device_file().parent / "anatomy.onnx", folder)
    with av.open(str(device_file().with_name("procedure.mp4"))) as video:
        frames = [picture.to_ndarray(format="rgb24") for picture in islice(video.decode(video=0), 2)]
    np.save(folder / "frames.npy", np.stack(frames))
    (folder / "bundle.yaml").write_text(yaml.safe_dump(recipe(), sort_keys=False), "utf-8")
    write_golden(folder / "bundle.yaml")
    file = folder / "anatomy.inframe"
    _, header, members = making.pack(folder / "bundle.yaml", None)
    making.put(file, [header, *members], replacing=False)
    print(file)


if __name__ == "__main__":
    main()
