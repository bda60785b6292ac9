"""Boxes of a detection model beside the true ones: matching as it is defined, counts, figures, and files that do not fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inframe.bundle import UNSIGNED
from inframe.bundle.manifest import Criterion
from inframe.core.errors import ConfigError
from inframe.revalidating import subject_of
from inframe.revalidation.answering import answer, tally_of
from inframe.revalidation.boxes import boxes_of, found
from inframe.revalidation.cases import CaseStream, LabelBoxes, write_manifest
from inframe.revalidation.criteria import figure, unmet, wrong_with
from inframe.revalidation.judging import judge
from inframe.revalidation.measuring import Settings
from inframe.revalidation.report import html
from inframe.revalidation.tally import Tallies, merge
from tests.drivers import onnx_models as om
from tests.revalidation import made

LABELS = ["polyp", "tool"]
SAID = [  # x0, y0, x1, y1 of the input, score, label
    [2, 2, 10, 10, 0.9, 0],
    [2, 2, 10, 10, 0.8, 0],
    [20, 12, 28, 20, 0.7, 1],
    [0, 0, 4, 4, 0.1, 1],  # below the model's own confidence
]
NEAR = {"label": "polyp", "box": [4, 4, 20, 21]}  # of the picture, twice as large
FAR = {"label": "polyp", "box": [40, 30, 60, 44]}
TOOL = {"label": "tool", "box": [40, 24, 56, 40]}
FRAMES = [[NEAR], [NEAR, FAR, TOOL], [], [TOOL]]
EVERY = 10


def naive(said: NDArray[np.float64], true: NDArray[np.float64], iou: float) -> int:
    """By the definition, one box after the other."""
    free, hits = set(range(len(true))), 0
    for a in said:
        best, at = 0.0, None
        for k in sorted(free):
            wide = min(a[2], true[k][2]) - max(a[0], true[k][0])
            high = min(a[3], true[k][3]) - max(a[1], true[k][1])
            both = max(wide, 0) * max(high, 0)
            areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, true[k])]
            share = both / (sum(areas) - both)
            if share > best:
                best, at = share, k
        if at is not None and best >= iou:
            free.remove(at)
            hits += 1
    return hits


def test_matching_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    counted = []
    for _ in range(500):
        boxes = []
        for n in rng.integers(0, 6, 2):
            low = rng.uniform(0, 0.5, (n, 2))
            boxes.append(np.hstack([low, low + rng.uniform(0.1, 0.5, (n, 2))]))
        iou = float(rng.uniform(0.1, 0.7))
        counted.append(found(boxes[0], boxes[1], iou))
        assert counted[-1] == naive(boxes[0], boxes[1], iou)
    assert len(set(counted)) >= 4


def bundle(path: Path) -> Path:
    decode = {"kind": "detection", "activation": "none", "format": "end2end", "confidence": 0.3, "units": "pixels"}
    model = {"file": "model.onnx", "budget_ms": 10, "preprocess": made.PREPROCESS, "decode": decode, "labels": LABELS}
    network = om.constant({"y": np.array([SAID], np.float32)}, [om.value("x", (1, 3, 24, 32))])
    return made.bundle(path, models={"anatomy": model}, model=network)


def case(path: Path, frames: Any = FRAMES, **changes: Any) -> Path:
    """A procedure whose every tenth frame has true boxes."""
    made.case(path, 1)
    (path / "masks.npz").unlink()
    (path / "boxes.json").write_text(json.dumps({"frames": frames}))
    values = json.loads((path / "case.json").read_text())
    boxes = {"anatomy": {"file": "boxes.json", "labels": LABELS, "every": EVERY}}
    changed = {**values, "masks": {}, "boxes": boxes, "findings": [], "judged": [], **changes}
    (path / "case.json").write_text(json.dumps(changed))
    return path


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Tallies:
    folder = tmp_path_factory.mktemp("boxed")
    subject = subject_of(bundle(folder / "bundle"), UNSIGNED)
    for k in range(4):
        case(folder / "cases" / f"case-{k}", attributes={"number": str(k)})
    tallies: Tallies = {}
    for job in made.jobs(subject.path, subject.digest, write_manifest(folder / "cases", "boxes", "locked")):
        ruleless = job.model_copy(update={"settings": Settings()})
        one = tally_of(answer(ruleless.model_dump_json()))
        tallies = merge(tallies, {one.digest: one})
    return tallies


def test_boxes_are_counted(counted: Tallies) -> None:
    for tally in counted.values():
        assert tally.labelled == 4
        assert tally.boxes["anatomy/polyp"].model_dump() == {"frames": 4, "true": 3, "found": 2, "said": 8}
        assert tally.boxes["anatomy/tool"].model_dump() == {"frames": 4, "true": 2, "found": 2, "said": 4}


@pytest.mark.parametrize(
    ("metric", "label", "value"),
    [
        ("box_sensitivity", None, 4 / 5),
        ("box_sensitivity", "polyp", 2 / 3),
        ("box_precision", "tool", 2 / 4),
        ("box_precision", None, 4 / 12),
        ("false_boxes", "polyp", 6 / 4),
        ("false_boxes", None, 8 / 4),
    ],
)
def test_figures(counted: Tallies, metric: str, label: str | None, value: float) -> None:
    side = "at_most" if metric == "false_boxes" else "at_least"
    one = Criterion.model_validate({"metric": metric, "model": "anatomy", "label": label, side: 0.5})
    assert wrong_with(one) is None
    assert figure(one, counted, {}) == pytest.approx(value)
    assert figure(one.model_copy(update={"model": "other"}), counted, {}) is None


def test_they_are_judged_and_told(counted: Tallies) -> None:
    asked = [
        {"metric": "box_sensitivity", "model": "anatomy", "label": "tool", "at_least": 0.3},
        {"metric": "false_boxes", "model": "anatomy", "at_most": 0.5},
    ]
    protocol = made.protocol(endpoints=asked, subgroups=[])
    verdict = judge(protocol, counted, None)
    assert [one.passed for one in verdict.judged] == [True, False]
    (line,) = unmet(protocol.endpoints, counted, {})
    assert line == "false_boxes of anatomy: found 2, expected at most 0.5"
    about = {
        "bundle": {"name": "b", "sha256": "0" * 64},
        "against": None,
        "cases": {"name": "c", "sha256": "1" * 64, "count": 4},
        "lock": None,
        "code": "inframe",
        "figures_sha256": "3" * 64,
        "machines": ["one"],
        "counts": {},
        "frames": 160,
    }
    text = html(about, protocol, counted, verdict, {"anatomy": LABELS})
    assert "<h2>Boxes</h2>" in text
    assert '<td>anatomy/polyp</td><td class="n">16</td><td class="n">12</td><td class="n">8</td>' in text


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([[]] * 5, r"boxes.json: frames: found 5, expected 4, or less"),
        (
            [[{"label": "gauze", "box": [0, 0, 1, 1]}]],
            r"frames.0.0.label: found gauze, expected one of the case's: polyp",
        ),
        (
            [[], [{"label": "tool", "box": [0, 0, 65, 9]}]],
            r"frames.1.0.box: found \[0.0, 0.0, 65.0, 9.0\], expected a box",
        ),
        (
            [[{"label": "tool", "box": [9, 0, 9, 9]}]],
            r"box: found \[9.0, 0.0, 9.0, 9.0\], expected x0 < x1 and y0 < y1",
        ),
        ([[{"label": "tool", "box": [0, 0, 9]}]], r"frames.0.0.box"),
        ("none", r"boxes.json: frames"),
    ],
)
def test_a_file_that_does_not_fit_is_one_clear_line(tmp_path: Path, frames: Any, said: str) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"frames": frames}))
    labels = LabelBoxes(file="boxes.json", labels=tuple(LABELS), every=EVERY)
    with pytest.raises(ConfigError, match=said):
        boxes_of(file, CaseStream(width=64, height=48, fps=10), made.FRAMES, labels)


def test_boxes_for_a_model_that_gives_none_are_refused(tmp_path: Path) -> None:
    subject = subject_of(made.bundle(tmp_path / "bundle"), UNSIGNED)
    boxes = {"anatomy": {"file": "boxes.json", "labels": LABELS, "every": EVERY}}
    case(tmp_path / "cases" / "case", boxes=boxes)
    (job,) = made.jobs(subject.path, subject.digest, write_manifest(tmp_path / "cases", "boxes", "locked"))
    with pytest.raises(ConfigError, match=r"boxes.anatomy: found segmentation, expected a model of detection"):
        tally_of(answer(job.model_dump_json()))
