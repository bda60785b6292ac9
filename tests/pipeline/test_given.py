"""What a model is given beside its image: as the device file says, absent as it says, and refused where it can't be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.inputs import Input, problem
from inframe.core.samples import Absent, Aligned, Quality, Taken
from inframe.core.types import Masks, MissedReason, Scores
from inframe.pipeline import ring
from inframe.pipeline.given import around
from inframe.pipeline.model import Model, load_model
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.samplering import SampleReader, SampleWriter, create, slots_for
from inframe.pipeline.surroundings import Aside, Surroundings
from tests.drivers import onnx_models as om
from tests.pipeline import model_files

CHANNELS = {name: {"unit": ""} for name in "xyz"}
SENSOR = {"sensor": "simulator", "signal": "sine", "rate_hz": 100, "channels": CHANNELS}
HOLD = {"align": {"how": "hold", "max_age_ms": 50}}
WINDOW = {"how": "window", "samples": 3, "over": "last", "max_age_ms": 50}
INPUTS: dict[str, Any] = {
    "classes": {"model": "organs", "absent": "miss"},
    "pose": {"sensor": "arm", "channels": ["z"], "absent": "fill", "fill": 5.0, "with_age": True},
    "raw": {"sensor": "arm", "channels": ["y", "x"], "align": WINDOW, "absent": "miss"},
}
MASKS = Masks(np.full((5, 7), 2, np.uint8))


def device(folder: Path, **changes: Any) -> Device:
    """A model that sees organs, and one that is fed by everything."""
    om.save(folder, om.convolution())
    om.save(folder, model_files.fusing(), "fusing.onnx")
    organs = model_files.configure().model_dump(mode="json") | {"file": str(folder / "model.onnx")}
    both = organs | {"file": str(folder / "fusing.onnx"), "labels": ["n"], "inputs": INPUTS}
    both |= {"decode": {"kind": "classification", "activation": "none"}}
    both["preprocess"] = both["preprocess"] | {"input": "x"}
    camera = {"camera": "synthetic", "width": 64, "height": 48, "fps": 30}
    values = {
        "device": "test",
        "streams": {"camera": camera, "probe": camera},
        "display": "camera",
        "allow_unsigned": True,
        "sensors": {"arm": SENSOR | HOLD},
        "models": {"organs": organs, "both": both | changes},
    }
    return Device.model_validate(values)


def load(made: Device, name: str = "both") -> Model:
    config = made.models[name]
    return load_model(name, config, Path(config.file).parent, (64, 48), None, around(made))


def said_of(model: Model, **given: Any) -> Any:
    values: dict[str, Any] = {"classes": MASKS, "pose": Aligned((1.0, 2.0, 30.0), 4, 20 * NS_PER_MS, 0)}
    values |= {"raw": Aligned((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), 4, 0, 0)}
    output, _ = model.run(model_files.frame(0), model_files.TickClock(), values | given)
    return float(output.scores[0]) if isinstance(output, Scores) else output


def test_each_input_gets_what_the_device_file_says(tmp_path: Path) -> None:
    """The model's answer is the mean of the image and of the classes, and the sums of the others."""
    model = load(device(tmp_path))
    assert model.takes == tuple(INPUTS)
    raw = 2 + 1 + 5 + 4 + 8 + 7
    assert said_of(model) == pytest.approx(2 + (30 + 1 + 0.02) + raw)
    assert said_of(model, classes=Masks(np.ones((9, 3), np.uint8))) == pytest.approx(1 + 31.02 + raw), "of any size"
    assert said_of(model, pose=Absent(Quality.STALE)) == pytest.approx(2 + 5 + raw), "filled, and said to be not there"


@pytest.mark.parametrize("absent", [{"classes": None}, {"raw": Absent(Quality.GAP)}])
def test_without_an_input_that_it_needs_a_model_says_nothing(tmp_path: Path, absent: dict[str, Any]) -> None:
    model = load(device(tmp_path))
    assert said_of(model, **absent) is MissedReason.ABSENT
    (name,) = absent
    assert model.last_fault.startswith(f"{name}: no value")
    assert isinstance(said_of(model), float)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pose": {"sensor": "leg", "absent": "miss"}},
            r"inputs.pose.sensor: found 'leg', expected one of sensors: arm",
        ),
        ({"pose": INPUTS["pose"] | {"channels": ["w"]}}, r"inputs.pose.channels: found 'w', expected one of: x, y, z"),
        (
            {"classes": {"model": "both", "absent": "miss"}},
            r"inputs.classes.model: found 'both', expected a model before it",
        ),
        (
            {"view": {"stream": "camera", "preprocess": model_files.PREPROCESS, "max_age_ms": 9, "absent": "miss"}},
            r"inputs.view.stream: found 'camera', expected another stream than the model's own: probe",
        ),
    ],
)
def test_inputs_from_what_is_not_there_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    made = device(tmp_path, inputs=INPUTS | changes)
    found = problem(made, "both", made.models["both"])
    assert found is not None
    with pytest.raises(ConfigError, match=said):
        raise ConfigError("device.yaml", *found)


def test_a_model_of_another_pace_comes_too_late_for_it(tmp_path: Path) -> None:
    made = device(tmp_path)
    slow = made.models["organs"].model_copy(update={"every": 2})
    other = made.model_copy(update={"models": {**made.models, "organs": slow}})
    found = problem(other, "both", other.models["both"])
    assert found is not None
    assert found[1] == "'organs'"
    assert problem(made, "both", made.models["both"]) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"raw": INPUTS["raw"] | {"channels": ["x"]}},
            r"inputs.raw.sensor: found 3 numbers of arm, expected 6 ",
        ),
        (
            {"nobody": INPUTS["pose"]},
            r"inputs: found 'nobody', expected one of the model's inputs: x, classes, pose, raw",
        ),
    ],
)
def test_a_model_that_takes_other_things_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"models.both." + said):
        load(device(tmp_path, inputs=INPUTS | changes))


def test_a_model_that_nobody_feeds_is_refused(tmp_path: Path) -> None:
    some = {key: INPUTS[key] for key in ("classes", "pose")}
    with pytest.raises(ConfigError, match=r"found nothing that feeds input 'raw' .*inputs: \{raw: …\}"):
        load(device(tmp_path, inputs=some))
    made = device(tmp_path)
    with pytest.raises(ConfigError, match=r"this one runs on a device only"):
        load_model("both", made.models["both"], tmp_path, (64, 48))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "found none of sensor, stream and model"),
        ({"sensor": "a", "model": "b"}, "found sensor and model"),
        ({"model": "a", "channels": ["x"]}, "channels: found it with model"),
        ({"stream": "a"}, "preprocess: found nothing, expected it with stream"),
        ({"sensor": "a", "with_age": True}, "with_age: found true"),
    ],
)
def test_an_input_has_one_source(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Input.model_validate({"absent": "miss", **values})


def test_what_is_taken_of_sensors_is_that_of_the_frames_moment_and_again_the_same(tmp_path: Path) -> None:
    made = device(tmp_path)
    memory = create("arm", slots_for(made.sensors["arm"]), 3)
    writer, reader = SampleWriter(memory), SampleReader(memory)
    for n in range(1, 9):
        writer.write(n * 10 * NS_PER_MS, 0, 0, Quality.OK, (n, n + 0.1, n + 0.2))
    around_it = Surroundings(made, {"arm": reader})
    given, taken = around_it.of("both", 65 * NS_PER_MS, lambda _: MASKS)
    assert given["classes"] is MASKS
    assert given["pose"] == Aligned((6, 6.1, 6.2), 6, 5 * NS_PER_MS, 0, 8)
    assert taken == (Taken(8, 6, 5 * NS_PER_MS), Taken(8, 6, 5 * NS_PER_MS))
    for n in range(9, 12):
        writer.write(n * 10 * NS_PER_MS, 0, 0, Quality.OK, (n, n, n))
    late = 95 * NS_PER_MS
    then = around_it.of("both", late, lambda _: MissedReason.LATE, (Taken(8, 0, 0), Taken(8, 0, 0)))
    assert then[1][0].seq == 8, "what came later had not been there"
    assert then[0]["classes"] is None
    assert around_it.of("both", late, lambda _: None)[1][0].seq == 9
    assert around_it.of("both", NS_PER_S, lambda _: None)[1][0].why is Quality.STALE


def test_another_streams_picture_is_the_newest_before_the_frame() -> None:
    memory, clock = ring.create("probe", 4, 12), ManualClock()
    writer, reader = RingWriter(memory, ()), RingReader(memory)
    aside = Aside(reader, [p[:12].reshape(2, 2, 3) for p in reader.payloads])
    assert aside.newest(NS_PER_S, NS_PER_S) is None
    for n in range(1, 4):
        writer.begin().fill(n)
        writer.commit(Header(0, captured_ns=n * 100, published_ns=clock.now()))
    for at, expected in ((99, None), (100, 1), (250, 2), (300, 3), (900, None)):
        picture = aside.newest(at, 500)
        assert (None if picture is None else int(picture[0, 0, 0])) == expected
    aside.newest(250, 500)
    assert aside.still()
    for n in range(4, 8):
        writer.begin().fill(n)
        writer.commit(Header(0, captured_ns=n * 100))
    assert not aside.still(), "it was overwritten while the model looked"
