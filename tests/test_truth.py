"""The demo's closing comparison: the device's rules on the truth, against what was found."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from inframe.core.errors import ConfigError
from inframe.core.yamlfile import read_device
from inframe.demo import truth_table
from inframe.truth import Event, as_json, compare, defect_spans, seconds, true_spans

DEVICE = """
device: test
streams: {camera: {camera: synthetic, width: 64, height: 32, fps: 10}}
display: camera
models:
  m:
    stream: camera
    file: none.onnx
    every: 2
    budget_ms: 10
    preprocess: {size: [64, 32], fit: stretch, colour: rgb, layout: nchw, dtype: float32, scale: 1.0}
    decode: {kind: segmentation}
    labels: [sound, wrong]
rules:
  odd: {model: m, when: {kind: area, labels: [wrong], above: 0.5}, persist: {k: 2, n: 2}, clear_s: 0.4, text: ODD}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "device.yaml").write_text(DEVICE)
    labels = np.zeros((20, 4, 8), np.uint8)
    labels[5:10] = 1  # frames 10 to 19 of 40
    np.savez(tmp_path / "truth.npz", m=labels)
    return tmp_path / "device.yaml", tmp_path / "truth.npz"


def test_the_truth_goes_through_the_rules(files: tuple[Path, Path]) -> None:
    spans = true_spans(read_device(files[0]), files[1], 40)
    ((began, ended),) = spans["odd"]
    assert began == pytest.approx(1.1)  # of the first frame that shows it, number 11
    assert 1.9 <= ended <= 2.4  # the rule lets go 0.4 s after the last
    assert true_spans(read_device(files[0]), files[1], 8) == {}


def test_a_truth_of_other_models_is_refused(files: tuple[Path, Path]) -> None:
    np.savez(files[1], other=np.zeros((2, 4, 8), np.uint8))
    with pytest.raises(ConfigError, match="no model of the device"):
        true_spans(read_device(files[0]), files[1], 8)
    files[1].write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ConfigError, match="truth"):
        true_spans(read_device(files[0]), files[1], 8)


def test_a_defect_counts_from_its_first_frame_to_its_last(tmp_path: Path) -> None:
    rows = np.array([(3, 1, 0, 0), (4, 1, 0, 0), (9, 1, 0, 0), (5, 0, 0, 0), (30, 0, 0, 0)], np.float32)
    np.savez(tmp_path / "truth.npz", defects=rows, kinds=np.array(["bent", "worn"]))
    assert defect_spans(tmp_path / "truth.npz", 10.0, 20) == {"worn": [(0.3, 1.0)], "bent": [(0.5, 0.6)]}


def test_each_true_event_is_found_or_missed_and_the_rest_is_false() -> None:
    true = {"a": [(1.0, 2.0), (10.0, 11.0)], "b": [(5.0, 6.0)]}
    found = {"a": [(1.4, 2.5), (2.8, 2.9), (7.0, 7.5)], "c": [(3.0, 3.1)]}
    events = compare(true, found)
    assert [(e.rule, e.outcome, e.found) for e in events] == [
        ("a", "found", (1.4, 2.5)),
        ("c", "false", (3.0, 3.1)),
        ("b", "missed", None),
        ("a", "false", (7.0, 7.5)),
        ("a", "missed", None),
    ]
    assert as_json(events)[0] == {"rule": "a", "outcome": "found", "true": (1.0, 2.0), "found": (1.4, 2.5)}


def test_a_finding_long_after_its_event_is_false() -> None:
    assert [e.outcome for e in compare({"a": [(1.0, 2.0)]}, {"a": [(3.1, 3.2)]})] == ["missed", "false"]
    assert [e.outcome for e in compare({"a": [(1.0, 2.0)]}, {"a": [(0.1, 0.9)]})] == ["false", "missed"]


def test_frame_numbers_become_seconds() -> None:
    assert seconds({"a": [(10, 20)]}, 10.0) == {"a": [(1.0, 2.0)]}


def test_the_table_says_what_was_found_and_when() -> None:
    events = [Event("a", (1.0, 2.0), (1.4, 2.5)), Event("b", (5.0, 6.0), None), Event("b", None, (7.0, 7.5))]
    console = Console(width=120, record=True, file=StringIO())
    console.print(truth_table(events, {"a": "TIP NEAR"}))
    text = console.export_text()
    assert "1 found, 1 missed, 1 false" in text
    assert [word in text for word in ("TIP NEAR", "0.4 s", "at 7.0 s", "missed")] == [True] * 4
