"""A device with a model fed by video, a sensor and another model, with real processes: recorded, in its trail, replayed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from inframe.core.types import MissedReason, Run
from inframe.pipeline.board import Count
from inframe.pipeline.ring import RingReader
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from inframe.trail import trace
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import FrameLeaf
from tests.drivers import onnx_models as om
from tests.test_device import HEIGHT, WIDTH, go_on_until, open_device, records_of, write_device

POSE: dict[str, Any] = {
    "sensor": "simulator",
    "signal": "sine",
    "rate_hz": 100,
    "channels": {"x": {"unit": ""}},
    "align": {"how": "hold", "max_age_ms": 100},
    "faults": [{"what": "stop", "at_s": 6, "for_s": 600}],
}
INSET = [0.5, 0.5, 0.5, 0.5]
WINDOW = {"how": "window", "samples": 8, "over": "last", "max_age_ms": 60}
INPUTS = {"pose": {"sensor": "arm", "align": WINDOW, "absent": "miss"}, "light": {"model": "eye", "absent": "miss"}}


def fusing(shape: tuple[int, ...]) -> bytes:
    """One number: the means of the picture, of what the other model says of it, and of the poses."""
    names = ("image", "light", "pose")
    nodes = [om.node("ReduceMean", name, f"{name}_mean", keepdims=0) for name in names]
    nodes += [om.node("Sum", " ".join(f"{name}_mean" for name in names), "sum"), om.node("Reshape", "sum shape", "y")]
    inputs = [om.value("image", shape), om.value("light", (1, 1, None, None)), om.value("pose", (1, 8, 1))]
    return om.model(nodes, inputs, [om.value("y", (1, 1))], {"shape": np.array([1, 1], np.int64)})


def beside(shape: tuple[int, ...]) -> bytes:
    """One number: how far two pictures are apart."""
    nodes = [om.node("Sub", "image view", "apart"), om.node("ReduceMean", "apart", "mean", keepdims=0)]
    nodes.append(om.node("Reshape", "mean shape", "y"))
    inputs = [om.value("image", shape), om.value("view", shape)]
    return om.model(nodes, inputs, [om.value("y", (1, 1))], {"shape": np.array([1, 1], np.int64)})


def write(folder: Path) -> Path:
    recording = {"folder": "recordings", "codec": "lossless"}
    rule = {"model": "both", "when": {"kind": "score", "label": "n", "above": 1}, "text": "FUSED"}
    path = write_device(folder, sensors={"arm": POSE}, recording=recording, trail={"folder": "trail"})
    values = yaml.safe_load(path.read_text("utf-8"))
    eye = values["models"]["eye"]
    width, height = eye["preprocess"]["size"]
    om.save(folder, fusing((1, 1, height, width)), "fusing.onnx")
    both = eye | {"file": "fusing.onnx", "labels": ["n"], "required": False, "inputs": INPUTS}
    both |= {"decode": {"kind": "classification", "activation": "none"}}
    both["preprocess"] = eye["preprocess"] | {"input": "image"}
    om.save(folder, beside((1, 1, height, width)), "beside.onnx")
    view = {"stream": "probe", "preprocess": eye["preprocess"], "max_age_ms": 200, "absent": "miss"}
    third = both | {"file": "beside.onnx", "inputs": {"view": view}}
    values["models"] |= {"both": both, "third": third}
    values["rules"] = {"fused": rule}
    values["streams"]["probe"] = values["streams"]["endoscope"] | {"fps": 15}
    values["overlay"] = {"insets": {"probe": {"stream": "probe", "at": INSET, "max_age_ms": 500}}}
    path.write_text(json.dumps(values), "utf-8")  # YAML without aliases
    return path


def inset_of(screen: RingReader) -> NDArray[np.uint8] | None:
    """The part of the picture on the screen where the other stream goes, if it is framed in white."""
    header = screen.latest()
    if header is None or not header.tag:
        return None
    picture = screen.payload(header.seq)[: WIDTH * HEIGHT * 3].reshape(HEIGHT, WIDTH, 3).copy()
    part = picture[HEIGHT // 2 :, WIDTH // 2 :]
    framed = (part[0] == 255).all() and (part[: HEIGHT // 4, 0] == 255).all()  # alerts are below
    return part if screen.holds(header.seq) and framed else None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A device that ran until the model was fed, until the sensor fell silent, and a little longer."""
    folder = tmp_path_factory.mktemp("fused")
    records: list[Any] = []
    with open_device(write(folder)) as running:
        take = records_of(running)

        def until(what: Any) -> None:
            def look() -> bool:
                new = take()
                records.extend(new)
                return any(what(record) for record in new)

            go_on_until(running, look)

        until(lambda record: isinstance(record.runs.get("both"), Run) and isinstance(record.runs.get("third"), Run))
        screen = RingReader(running.shared["screen.read"])
        go_on_until(running, lambda: inset_of(screen) is not None)
        until(lambda record: any(finding.rule == "fused" for finding in record.findings))
        until(lambda record: "AI_INPUT_ABSENT" in record.alerts)
        row = running.board.row("recording")
        enough = row.get(Count.FRAMES) + 20
        go_on_until(running, lambda: row.get(Count.FRAMES) >= enough)
        records.extend(take())
    return folder, records


def test_each_result_says_which_samples_went_into_it(made: tuple[Path, list[Any]]) -> None:
    _, records = made
    runs = [(record, run) for record in records if isinstance(run := record.runs.get("both"), Run)]
    assert len(runs) >= 5
    for _, run in runs:
        (taken,) = run.taken
        assert taken.why is None
        assert 0 < taken.seq <= taken.upto
        assert 0 <= taken.age_ns <= 60_000_000
    absent = [record for record in records if record.runs.get("both") is MissedReason.ABSENT]
    assert absent
    assert all(isinstance(record.runs["eye"], Run | MissedReason) for record in absent)
    assert any(isinstance(record.runs["eye"], Run) for record in absent), "the picture and the other model go on"


def leaves(folder: Path) -> Iterator[tuple[Log, int, FrameLeaf]]:
    home = Home(folder / "trail")
    (path,), (key,) = home.logs(), home.public_keys()
    log = Log(Disk(path), key)
    for index, entry in log.entries():
        leaf = decode(entry)
        if isinstance(leaf, FrameLeaf):
            yield log, index, leaf


def test_the_trail_says_which_samples_the_model_was_given(made: tuple[Path, list[Any]]) -> None:
    folder, records = made
    by_seq = {record.seq: record for record in records if record.seq}
    seen = 0
    for log, index, leaf in leaves(folder):
        assert [(s.stream, s.rules) for s in leaf.sensors] == [("arm", ()), ("both.pose", ("fused",))]
        for number, frame in enumerate(leaf.frames):
            run = by_seq[frame.seq].runs.get("both") if frame.seq in by_seq else None
            if isinstance(run, Run):
                assert frame.samples[1][1:] == (run.taken[0].seq, run.taken[0].age_ns)
                seen += 1
                if seen == 1:
                    page = trace.page(trace.trace(log, index, number))
                    assert f"both.pose: sample {run.taken[0].seq}, " in page
                    assert "read by fused" in page
    assert seen


def test_the_recording_replays_the_fusion_bit_for_bit(made: tuple[Path, list[Any]]) -> None:
    folder, _ = made
    recording = open_recording(sorted((folder / "recordings").glob("*.000.mcap"))[0])
    report = replay(recording, recording.device, Report())
    assert report.held, (report.first, report.differences)
    assert report.decisions > 60
    assert not report.missing["samples"]
    assert report.not_recorded > 0, "what the model said that saw another stream is taken as recorded"
