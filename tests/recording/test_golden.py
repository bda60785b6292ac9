"""What the whole pipeline made of some seconds of the demo, when it was last meant to change: see `golden.py`."""

import json

import pytest

from inframe.recording.about import digests, here
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from tests.recording.golden import GOLDEN, with_shipped_models

HINT = "if this is meant: python -m tests.recording.golden --refresh"


def test_the_pipeline_makes_of_it_what_it_made() -> None:
    recording = open_recording(GOLDEN)
    device = with_shipped_models(recording.device)
    assert json.loads(recording.metadata["models"]) == digests(device), f"the shipped model is another; {HINT}"
    as_then = all(recording.metadata[what] == now for what, now in here(device).items())
    report = replay(recording, device, Report(tolerant=not as_then))
    assert report.held, f"{report.first}; {HINT}"
    assert report.decisions >= 70
    assert report.results >= 60
    assert min(report.recorded.findings[rule] for rule in ("near", "much")) > 10
    assert report.recorded.verdicts["SHOW"] > 50
    assert not report.missing
    assert not report.why
    assert report.after_gap == 0


@pytest.mark.parametrize("change", [{"mean": (0.46, 0.30, 0.25)}, {"interpolation": "area"}, {"colour": "bgr"}])
def test_it_notices_a_change_of_the_preprocessing(change: dict[str, object]) -> None:
    recording = open_recording(GOLDEN)
    device = with_shipped_models(recording.device)
    model = device.models["anatomy"]
    other = model.model_copy(update={"preprocess": model.preprocess.model_copy(update=change)})
    report = replay(recording, device.model_copy(update={"models": {"anatomy": other}}), Report())
    assert report.first is not None
    assert (report.first.frame, report.first.what) == (1, "result of anatomy")


def test_it_is_small_and_names_no_place() -> None:
    data = GOLDEN.read_bytes()
    assert len(data) < 1 << 20
    for word in (b"/tmp", b"/home", b"/work", b"/root", b"/src/"):
        assert word not in data
