"""One case through the pipeline: what is counted is what is so."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError
from inframe.core.ports import Shot
from inframe.core.types import Masks, Pixels
from inframe.drivers.cameras.file import FileCamera
from inframe.drivers.engines import load_engine
from inframe.revalidating import Subject
from inframe.revalidation.answering import answer, tally_of
from inframe.revalidation.cases import Case, CaseSet, CaseStream, open_set, write_manifest
from inframe.revalidation.confidence import Tap
from inframe.revalidation.pictures import pictures
from inframe.revalidation.scoring import NOT_SEEN, Scores, laid
from inframe.revalidation.tally import Tallies, bin_of, edge_of, in_order, quantile
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import configure
from tests.revalidation import made

GOLDEN = Path(__file__).parent.parent / "recording" / "golden.mcap"


def test_masks_findings_and_calibration(tallies: Tallies, discs: CaseSet) -> None:
    for tally in in_order(tallies):
        _, masks, (_first, _last) = made.procedure(int(tally.case[-2:]))
        labelled = len(masks[:: made.EVERY])
        green = int((masks[:: made.EVERY] == 2).any(axis=(1, 2)).sum())
        assert (tally.frames, tally.labelled) == (made.FRAMES, labelled)
        assert tally.means["dice/anatomy/red"].count == labelled
        assert tally.means["dice/anatomy/green"].count == green
        assert tally.empty["anatomy/green"].both == labelled - green
        for label in ("red", "green"):
            dice = tally.means[f"dice/anatomy/{label}"].value
            assert dice is not None
            assert 0.85 < dice <= 1
        found = tally.findings["green_seen"]
        assert (found.true, found.found, found.false) == (1, 1, 0)
        assert 0 <= found.after_ns[0] <= 5e8
        assert sum(row[0] for row in tally.bins["anatomy"]) == 32 * 24 * (labelled / 2)
        assert sum(tally.latency["anatomy"].values()) == made.FRAMES
        assert tally.counts["SHOW"] + tally.counts["WITHHOLD"] == made.FRAMES
        assert len(tally.worst) == 1


def test_an_answer_is_laid_where_the_model_looks() -> None:
    classes = np.array([[1, 2], [0, 1]], np.uint8)
    assert laid(Masks(classes), (4, 4)).tolist() == np.kron(classes, np.ones((2, 2), np.uint8)).tolist()
    middle = laid(Masks(classes, (0.25, 0.0, 0.75, 1.0)), (2, 4))
    assert middle.tolist() == [[NOT_SEEN, 1, 2, NOT_SEEN], [NOT_SEEN, 0, 1, NOT_SEEN]]


def test_distances_are_in_pixels_of_the_picture() -> None:
    """Masks of half the picture's size: an answer one cell off is two pixels off."""
    case = Case.model_validate({"pictures": "x", "stream": {"width": 64, "height": 48, "fps": 10}, "frames": 1})
    engine = load_engine(om.identity((1, 3)), "none", EngineConfig())
    true = np.zeros((1, 24, 32), np.uint8)
    true[0, 8:16, 8:16] = 1
    model = configure(
        labels=made.LABELS, decode={"kind": "segmentation", "activation": "none"}
    )  # says nothing of its confidence
    for tolerance, expected in ((2.0, 1.0), (1.9, 0.5)):
        scores = Scores("anatomy", model, (0, 0, 1, 1), case, true, 1, tolerance, 1)
        scores.add(1, Masks(np.roll(true[0], 1, 1)), Tap(engine))
        assert scores.means["hd95/anatomy/red"].value == pytest.approx(2.0)
        nsd = scores.means["nsd/anatomy/red"].value
        assert nsd is not None
        assert nsd == pytest.approx(expected, abs=0.1)


def test_durations_within_three_percent() -> None:
    for us in [*range(300), 12345, 999_999, 10**9]:
        edge = edge_of(bin_of(us))
        assert us <= edge <= us * (1 + 1 / 32)
        assert bin_of(edge) == bin_of(us) != bin_of(edge + 1)
    assert quantile({bin_of(10): 998, bin_of(50): 1, bin_of(60): 1}, 0.999) == 0.05
    assert quantile({}, 0.999) is None


def test_a_busy_machine_loses_no_frame(discs: CaseSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that timed out is no end: found when a loaded machine took a second for a frame."""
    read, calls = FileCamera.read, itertools.count()

    def slow(camera: FileCamera, into: Pixels, timeout_s: float) -> Shot | None:
        return None if next(calls) % 3 == 0 else read(camera, into, timeout_s)

    monkeypatch.setattr(FileCamera, "read", slow)
    case = discs.cases[0]
    seen = list(pictures(case.folder / "pictures.mkv", case.read().stream))
    assert [one.seq for one in seen] == list(range(1, made.FRAMES + 1))


def test_a_recording_is_a_case_too() -> None:
    seen = list(pictures(GOLDEN, CaseStream(width=160, height=90, fps=30)))
    assert len(seen) > 5
    assert seen[0].seq >= 1
    assert all(b.captured_ns > a.captured_ns for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        ({"frames": 41}, "frames", "40 pictures"),
        ({"stream": {"width": 64, "height": 64, "fps": 10}}, "masks", "(20, 48, 64) uint8"),
        ({"masks": {"anatomy": {"file": "masks.npz", "labels": ["background", "red"]}}}, "masks", "the label 2"),
        ({"pictures": "other.mkv"}, "pictures", "other.mkv"),
    ],
)
def test_a_case_that_is_not_what_it_says(
    tmp_path: Path, good: Subject, change: dict[str, object], field: str, found: str
) -> None:
    path = made.case(tmp_path / "cases" / "one", 3)
    values = json.loads((path / "case.json").read_text()) | change
    (path / "case.json").write_text(json.dumps(values))
    if field == "pictures":
        with pytest.raises(ConfigError, match=r"other\.mkv"):
            write_manifest(path.parent, "broken", "development")
        return
    write_manifest(path.parent, "broken", "development")
    (job,) = made.jobs(good.path, good.digest, open_set(path.parent))
    with pytest.raises(ConfigError, match=field) as error:
        tally_of(answer(job.model_dump_json()))
    assert found in str(error.value.found)


def test_only_the_bundle_that_was_asked_for(good: Subject, discs: CaseSet) -> None:
    job = made.jobs(good.path, "0" * 64, discs)[0]
    with pytest.raises(ConfigError, match="sha256"):
        tally_of(answer(job.model_dump_json()))
