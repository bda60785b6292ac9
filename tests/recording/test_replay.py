"""A recording run through the loop again gives the same; where something differs, the first frame that differs is named."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inframe.core.clock import ManualClock
from inframe.core.config import Device
from inframe.core.types import FrameFlag, MissedReason
from inframe.pipeline.model import load_model
from inframe.recording import compare, schema
from inframe.recording.events import Picture, Said
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from tests.recording.procedures import HEIGHT, WIDTH, Procedure, device

SEEDS = range(8)


def again(path: Path, other: Device | None = None, *, tolerant: bool = False) -> Report:
    recording = open_recording(path)
    return replay(recording, other or recording.device, Report(tolerant=tolerant))


def test_wild_procedures_replay_bit_for_bit(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = Procedure(device(folder), seed).run()
        report = again(made.write())
        assert report.held, (seed, report.first, report.differences)
        assert (report.after_gap, report.why) == (0, [])
        assert report.decisions == len(made.decisions)
        assert report.results == report.identical_results > 100
        seen.update(_kinds(made))
    wanted = "LATE NOT_DUE INVALID SHOW HOLD WITHHOLD NOMINAL DEGRADED VIDEO_ONLY FAULT frozen corrupt card late-result display"
    assert {kind for kind in wanted.split() if not seen[kind]} == set()


def _kinds(made: Procedure) -> Iterator[str]:
    for event in made.events:
        if isinstance(event, schema.Session):
            yield event.process
        if not isinstance(event, schema.Decision):
            continue
        yield from (event.verdict, event.mode, "" if event.seq else "card")
        yield from (flag for flag in ("frozen", "corrupt") if event.flags & FrameFlag[flag.upper()])
        for told in event.told.values():
            yield told if isinstance(told, str) else "late-result" if told.seq < event.seq else "own-result"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A procedure in which nothing goes wrong."""
    return Procedure(device(tmp_path_factory.mktemp("calm")), seed=3, frames=60, calm=True).run().write()


def test_twice_the_same(calm: Path) -> None:
    first, second = again(calm).as_json(), again(calm).as_json()
    for side in ("recorded", "replayed"):
        del first[side]["run_ms"], second[side]["run_ms"]  # this machine's, now
    assert first == second
    assert first["held"]
    assert first["identical_results"] == first["results"] > 60


def test_parts_are_replayed_as_one(tmp_path: Path) -> None:
    made = Procedure(device(tmp_path, rotate_minutes=1 / 60), seed=1).run()
    path = made.write()
    assert len(list(path.parent.glob("*.mcap"))) > 5
    report = again(path)
    assert report.held
    assert report.decisions == len(made.decisions)


def test_a_later_part_alone_says_that_it_begins_midway(tmp_path: Path) -> None:
    path = Procedure(device(tmp_path, rotate_minutes=1 / 60), seed=3, frames=200, calm=True).run().write()
    for part in (1, 2):
        assert again(path.with_name(f"procedure.{part:03}.mcap")).held
    report = again(path.with_name("procedure.002.mcap"))
    assert report.why == ["the recording begins midway: what the device remembered then is unknown"]
    assert report.held
    assert report.after_gap > 0
    assert 60 < report.decisions < 200
    assert report.identical_results == report.results > 60, "those of the model that remembers are not compared"
    assert not again(path).why


def _flipped(file: Path, into: Path, bit: int) -> None:
    """The model with one bit of one weight inverted."""
    model = onnx.load(str(file))
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights.reshape(-1).view(np.uint32)[5] ^= np.uint32(1 << bit)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
    onnx.save(model, str(into))


def _first_change(path: Path, before: Device, after: Device) -> int:
    """By running both models on the recorded frames, with nothing else of a replay."""
    from inframe.recording.video import Decoder

    decoder, clock = Decoder(WIDTH, HEIGHT), ManualClock()
    models = [load_model("m", one.models["m"], Path("/"), (WIDTH, HEIGHT)) for one in (before, after)]
    for event in open_recording(path).read():
        if not isinstance(event, Said | schema.Own):
            pixels = decoder.decode(event.data)
            assert pixels is not None
            outputs = [copy.deepcopy(model.run(pixels, clock)[0]) for model in models]
            if not compare.same(*outputs):
                return event.seq
    return 0


@pytest.mark.parametrize("bit", [31, 27, 22, 20])
def test_one_bit_of_a_weight_is_found_at_the_first_frame_that_it_touches(calm: Path, tmp_path: Path, bit: int) -> None:
    recorded = open_recording(calm).device
    file = tmp_path / "flipped.onnx"
    _flipped(Path(recorded.models["m"].file), file, bit)
    models = {**recorded.models, "m": recorded.models["m"].model_copy(update={"file": str(file)})}
    _must_be_found(calm, recorded.model_copy(update={"models": models}))


@pytest.mark.parametrize("change", [{"mean": (0.5,)}, {"interpolation": "area"}, {"colour": "bgr"}, {"fit": "crop"}])
def test_a_change_of_the_preprocessing_is_found_at_the_first_frame_that_it_touches(
    calm: Path, change: dict[str, object]
) -> None:
    recorded = open_recording(calm).device
    model = recorded.models["m"]
    changed = model.model_copy(update={"preprocess": model.preprocess.model_copy(update=change)})
    _must_be_found(calm, recorded.model_copy(update={"models": {**recorded.models, "m": changed}}))


def _must_be_found(path: Path, changed: Device) -> None:
    expected = _first_change(path, open_recording(path).device, changed)
    report = again(path, changed)
    assert expected > 0
    assert report.first is not None
    assert (report.first.frame, report.first.what) == (expected, "result of m")
    assert not report.held


def test_a_change_of_a_rule_is_found(calm: Path) -> None:
    recorded = open_recording(calm).device
    rule = recorded.rules["much"]
    when = rule.when.model_copy(update={"above": 0.99})
    report = again(calm, recorded.model_copy(update={"rules": {"much": rule.model_copy(update={"when": when})}}))
    assert report.first is not None
    assert report.first.what.endswith("much")
    assert report.identical_results == report.results


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("verdict", "HOLD", "verdict"),
        ("mode", "FAULT", "mode"),
        ("age_ns", 7, "age_ns"),
        ("findings", [], "finding much"),
    ],
)
def test_a_record_that_is_not_what_was_decided_is_found(tmp_path: Path, field: str, value: object, what: str) -> None:
    made = Procedure(device(tmp_path), seed=3, frames=60, calm=True).run()
    at = [i for i, event in enumerate(made.events) if isinstance(event, schema.Decision) and event.findings][5]
    honest = made.events[at]
    assert isinstance(honest, schema.Decision)
    made.events[at] = honest.model_copy(update={field: value})
    report = again(made.write())
    assert report.first is not None
    assert (report.first.frame, report.first.what) == (honest.seq, what)
    assert sum(report.differences.values()) == 1


def test_what_was_late_stays_late_however_fast_this_machine_is(tmp_path: Path) -> None:
    made = Procedure(device(tmp_path), seed=6).run()
    late = sum(told == "LATE" for e in made.events if isinstance(e, schema.Decision) for told in e.told.values())
    path = made.write()
    report = again(path)
    assert late > 20
    assert report.held
    assert report.recorded.verdicts == report.replayed.verdicts


def test_frames_that_were_not_recorded_are_told_and_what_models_said_of_them_is_taken_as_recorded(
    tmp_path: Path,
) -> None:
    made = Procedure(device(tmp_path), seed=4, frames=100, calm=True, backlog=40).run()  # buffers never come back
    assert [e for e in made.events if isinstance(e, schema.Gap)]
    report = again(made.write())
    assert report.held
    assert report.missing["frames"] == 60
    assert report.not_recorded > 60
    assert report.decisions == 100


def test_what_follows_from_a_gap_in_the_results_is_counted_apart(tmp_path: Path) -> None:
    made = Procedure(device(tmp_path), seed=4, frames=120, calm=True, deaf=(40, 60)).run()
    report = again(made.write())
    assert report.held
    assert report.missing["results"] > 10
    assert report.after_gap > 0


def test_a_lossy_recording_is_the_same_within_tolerance(tmp_path: Path) -> None:
    file = device(tmp_path, codec="h264")
    made = Procedure(file, seed=3, frames=60, calm=True)
    made.run()
    flat = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.uint8(90)  # noise is what no lossy codec keeps
    made.events = [replace(e, pixels=flat) if isinstance(e, Picture) else e for e in made.events]
    path = made.write()
    strict, tolerant = again(path), again(path, tolerant=True)
    assert not strict.held
    assert strict.tolerant is False
    assert tolerant.first is None or tolerant.first.what.startswith("result of")


def test_tolerance_is_no_licence() -> None:
    from inframe.core.types import Boxes, Masks, Scores

    classes = np.zeros((10, 10), np.uint8)
    other = classes.copy()
    other[0, :4] = 1
    assert not compare.near(Masks(classes), Masks(other))
    other[0, 2:4] = 0
    assert compare.near(Masks(classes), Masks(other))
    assert not compare.same(Masks(classes), Masks(other))
    assert not compare.near(Masks(classes), MissedReason.INVALID)
    assert not compare.near(Scores(np.array([0.9], np.float32)), Scores(np.array([0.7], np.float32)))
    box, far = np.array([[0, 0, 0.5, 0.5]], np.float32), np.array([[0.3, 0.3, 0.8, 0.8]], np.float32)
    one, kind = np.ones(1, np.float32), np.zeros(1, np.int32)
    assert compare.near(Boxes(box, one, kind), Boxes(box, one, kind))
    assert not compare.near(Boxes(box, one, kind), Boxes(far, one, kind))
    assert not compare.near(Boxes(box, one, kind), Boxes(box, one, kind + 1))


def test_findings_may_begin_a_little_later_within_tolerance_and_no_more() -> None:
    from inframe.core.types import Decision, Finding, Mode, Priority, Verdict

    report = Report(tolerant=True)
    finding = Finding("much", "B", Priority.LOW, 1, 0.5)
    for seq in range(1, 31):
        recorded = schema.Decision(
            seq=seq, captured_ns=seq, deadline_ns=seq, shown_ns=seq, age_ns=0, flags=0, verdict="SHOW", mode="NOMINAL",
            told={}, findings=[], alerts={},
        )  # fmt: skip
        found = (finding,) if seq > 5 else ()
        report.decision(recorded, Decision(Verdict.SHOW, Mode.NOMINAL, found, (), (), 0))
        assert report.held == (seq <= 5 + compare.TOLERANCE.frames), seq
