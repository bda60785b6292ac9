"""What the package ships as its reference device, against the code that made it."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inframe.core.yamlfile import read_device
from inframe.reference_device import device_file
from reference.anomaly.channels import CHANNELS
from reference.anomaly.channels import SIZE as ANOMALY_SIZE
from reference.anomaly.choose import area
from reference.anomaly.judge import ALERTS
from reference.anomaly.watch import CELLS, EVERY
from reference.data import INPUT
from reference.render import DEMO, FPS, SEED, TRUTH_SIZE
from reference.scene import CLASSES, Procedure

FOLDER = Path(__file__).parents[2] / "src" / "inframe" / "reference_device"
MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("name", "limit"), [("anatomy.onnx", 4), ("anomaly.onnx", 4), ("procedure.mp4", 8), ("procedure.npz", 2)]
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


def test_the_anomaly_model_is_what_its_readme_says() -> None:
    model = onnx.load(FOLDER / "anomaly.onnx")
    (image,), outputs = model.graph.input, model.graph.output
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in (image, *outputs)}
    assert shapes == {
        "image": [1, 3, *ANOMALY_SIZE],
        "maps": [1, len(CHANNELS), *CELLS],
        "heat": [1, 1, *CELLS],
    }
    labels = read_device(device_file()).models["anomaly"].labels
    assert labels == ("sound", *CHANNELS)
    (shift,) = (numpy_helper.to_array(one) for one in model.graph.initializer if one.name == "shift")
    chosen = json.loads((FOLDER / "thresholds.json").read_text())
    for rule, label in ALERTS.items():
        assert shift.ravel()[label - 1] == pytest.approx(chosen[rule]["threshold"])


def test_the_device_file_has_the_rules_that_were_chosen() -> None:
    chosen = json.loads((FOLDER / "thresholds.json").read_text())
    for name in ALERTS:
        rule = read_device(device_file()).rules[name]
        assert rule.when.above == pytest.approx(area(chosen[name]["cells"]), rel=0.02)
        assert (rule.persist.k, rule.persist.n) == (chosen[name]["k"], chosen[name]["n"])


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
