"""What the package ships as its reference device, against the code that made it."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest

from reference.anomaly.watch import EVERY
from reference.data import INPUT
from reference.fusion.demo import lines
from reference.fusion.evaluate import MODELS
from reference.render import DEMO, FPS, SEED, TRUTH_SIZE
from reference.scene import CLASSES, Procedure

FOLDER = Path(__file__).parents[2] / "src" / "inframe" / "reference_device"
MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("name", "limit"),
    [("anatomy.onnx", 4), ("procedure.mp4", 8), ("procedure.npz", 2), ("contact.onnx", 1), ("pose.csv", 1)],
)
def test_files_are_small(name: str, limit: int) -> None:
    assert (FOLDER / name).stat().st_size <= limit * MEGABYTE


def test_the_model_is_what_its_readme_says() -> None:
    model = onnx.load(FOLDER / "anatomy.onnx")
    (image,), (classes,) = model.graph.input, model.graph.output
    shapes = [[d.dim_value for d in value.type.tensor_type.shape.dim] for value in (image, classes)]
    assert [image.name, classes.name] == ["image", "classes"]
    assert shapes == [[1, 3, *INPUT], [1, len(CLASSES), *TRUTH_SIZE]]
    assert [opset.version for opset in model.opset_import] == [17]
    assert (FOLDER / "labels.txt").read_text().splitlines() == list(CLASSES)


def test_video_and_truth_are_of_one_length() -> None:
    about = json.loads((FOLDER / "procedure.json").read_text())
    with av.open(str(FOLDER / "procedure.mp4")) as video, np.load(FOLDER / "procedure.npz") as truth:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, int(stream.average_rate or 0)) == (1280, 720, FPS)
        assert stream.frames == about["frames"] == len(truth["anatomy"]) == len(truth["haze"])
        assert len(truth["anomaly"]) == stream.frames // EVERY
        kinds = {about["kinds"][int(k)] for key in ("tips", "defects") for k in truth[key][:, 1]}
    assert kinds == set(about["kinds"])  # everything that the script names can be seen at some time


@pytest.mark.parametrize("moment", [20, 250, 330, 600])
def test_the_shipped_truth_is_what_the_simulator_says_today(moment: int) -> None:
    """Red means: the simulator changed, so run ``python -m reference.render`` again."""
    picture, mask, _ = Procedure(SEED, (180, 320), FPS, DEMO).frame(moment)
    small = cv2.resize(mask, TRUTH_SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    with np.load(FOLDER / "procedure.npz") as truth:
        assert np.mean(truth["anatomy"][moment] == small) > 0.95
    with av.open(str(FOLDER / "procedure.mp4")) as video:
        frame = next(f for i, f in enumerate(video.decode(video=0)) if i == moment)
    shown = cv2.resize(frame.to_ndarray(format="rgb24"), (320, 180), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(float) - picture).mean() < 8


def test_the_shipped_kinematics_are_those_of_the_procedure() -> None:
    """Red means: run ``python -m reference.fusion.demo`` again."""
    assert (FOLDER / "pose.csv").read_text().splitlines() == lines()


def test_the_shipped_model_of_contact_is_the_one_that_was_measured() -> None:
    assert (FOLDER / "contact.onnx").read_bytes() == (MODELS / "contact_fused.onnx").read_bytes()
