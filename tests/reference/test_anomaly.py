"""What the anomaly model learns from, and how it is judged."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from inframe.core.yamlfile import read_device
from inframe.pipeline.preprocess import Preprocessor
from reference import anomaly
from reference.anomaly import closeup, corrupt, ends, pairs, parts
from reference.anomaly.channels import CHANNELS, MEAN, SIZE, STD, STRIDE
from reference.anomaly.choose import ALLOWED, KINDS, Choice, area, only, rates, search
from reference.anomaly.corrupt import Worn, corrupt_tissue, corrupt_tool
from reference.anomaly.judge import ALERTS, REGION, Outcome, classes_of, findings, judge
from reference.anomaly.pairs import FAINT, NONE, ON_TISSUE, ON_TOOL, Scene
from reference.anomaly.scripts import CHOOSING, FAULTS, HELD_OUT, LEARNING, UNSEEN, sound, visits, with_fault
from reference.anomaly.watch import CELLS, EVERY, Watched, cases, watch
from reference.scene.defects import DEFECTS
from reference.scene.litter import FOREIGN
from reference.scene.script import Script, Use


def _worn() -> Worn:
    """A steel rod that ends in a jaw, across 192x192 pixels."""
    body, part = np.zeros((192, 192, 4), np.float32), np.zeros((192, 192, 4), np.float32)
    body[84:108, :80], part[84:96, 80:120] = (0.6, 0.62, 0.65, 1), (0.5, 0.5, 0.5, 1)
    return Worn(body, part, np.array([120.0, 96.0]), np.array([1.0, 0.0]), 12.0, 40 / 12)


def test_nothing_that_is_learned_from_shows_a_defect() -> None:
    for seed in range(LEARNING, LEARNING + 60):
        script = sound(seed)
        assert script.objects == ()
        assert all(use.defect is None for use in (*script.uses, *visits(np.random.default_rng(seed), 3.0)))


def test_the_corruption_shares_no_code_with_the_defects() -> None:
    sources = [getattr(value, "__module__", "") for part in (corrupt, pairs) for value in vars(part).values()]
    assert not any(name in (source or "") for source in sources for name in ("scene.defects", "scene.litter"))


def test_the_held_out_kinds_have_no_part_in_choosing() -> None:
    assert set(HELD_OUT) == {"loose screw", "residue"}
    assert set(KINDS) == set(FAULTS) - set(HELD_OUT)
    assert set(FAULTS) == {*DEFECTS, *FOREIGN}
    seeds = [{seed for seed, _ in cases(first, FAULTS, 20, 40)} for first in (CHOOSING, UNSEEN)]
    assert not seeds[0] & seeds[1]


def test_a_corrupted_instrument_is_another_one() -> None:
    scene = np.full((192, 192, 3), 0.3, np.float32)
    changed = 0
    for seed in range(30):
        worn = _worn()
        before = worn.whole
        after = corrupt_tool(np.random.default_rng(seed), worn, scene).whole
        assert np.array_equal(worn.whole, before), "what is sound stays so"
        assert after[..., 3].min() > -1e-5
        assert after[..., 3].max() < 1 + 1e-5
        far = np.abs(after - before).max(axis=2) > 0.1
        changed += far.sum() > 20
        assert not far[:40].any(), "far from the instrument nothing changes"
    assert changed > 22


@pytest.mark.parametrize("seed", range(8))
def test_what_is_put_on_the_tissue_is_where_it_says(seed: int) -> None:
    albedo, height = np.full((192, 192, 4), 90, np.uint8), np.zeros((192, 192), np.float32)
    colours, relief, where = corrupt_tissue(np.random.default_rng(seed), albedo, height, np.ones_like(height, np.bool_))
    assert (albedo == 90).all()
    assert where.max() > 0.9
    brighter = (colours[..., :3].astype(int) > 95).any(axis=2)
    assert where[brighter].min(initial=1) > 0
    assert np.isfinite(relief).all()


def _scene() -> Scene:
    script = Script((Use("grasper", -9, 99, 0.4, (0.0, 0.0), 0.0, 0.08),), sway=0.0, breath=0.0)
    return Scene(2, script, (180, 320))


def test_one_of_a_pair_is_the_frame_as_it_is() -> None:
    scene = _scene()
    picture, label, _ = scene.frame(3)
    for seed in range(5):
        pair = scene.pair(3, np.random.default_rng(seed))
        assert np.abs(pair.sound.astype(int) - picture).mean() < 1
        assert np.mean(pair.label == label) > 0.99


def test_what_is_wrong_is_where_the_pictures_differ() -> None:
    scene, seen = _scene(), set()
    for seed in range(12):
        pair = scene.pair(3, np.random.default_rng(seed))
        differs = np.abs(pair.sound.astype(int) - pair.odd).max(axis=2) > 255 * FAINT
        near = cv2.dilate(differs.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
        assert (pair.wrong[differs] != NONE).all()
        assert near[pair.wrong != NONE].all()
        seen |= set(np.unique(pair.wrong).tolist())
    assert {NONE, ON_TOOL, ON_TISSUE} <= seen


def test_what_it_learns_from_is_a_function_of_the_seed_and_the_number() -> None:
    frames = parts.render(LEARNING)
    assert {name: array.shape for name, array in frames.items()} == {
        n: (c, *s) for n, (c, s, _) in parts.PLANES.items()
    }
    batches = parts.Batches(frames, 4, 3, easy=2, small=2)
    assert batches.one(1)[0].shape == (10, parts.SMALL, parts.SMALL, 3), "smaller ones first, and as many more"
    pictures, planes, places = batches.one(4)
    assert pictures.shape == (4, parts.CROP, parts.CROP, 3)
    truth = parts.truths(planes)
    assert truth.shape == (4, 2, parts.CROP // STRIDE, parts.CROP // STRIDE)
    assert set(np.unique(truth)) <= {-1.0, 0.0, 1.0}
    assert (truth[::2, 0] != 1).all(), "the first of each pair is sound"
    assert any((parts.truths(batches.one(n)[1])[1::2, 0] == 1).any() for n in range(4, 9))
    again = batches.one(4)
    assert np.array_equal(pictures, again[0])
    assert np.array_equal(planes, again[1])
    assert np.array_equal(places, again[2], equal_nan=True)
    assert not np.array_equal(pictures, batches.one(6)[0])


def test_close_ups_are_pairs_and_only_the_second_is_odd() -> None:
    frames = ends.render(LEARNING)
    batches = ends.Batches(frames, 32, 3, easy=2)
    pictures, wrong = batches.one(3)
    assert pictures.shape == (32, *closeup.SHAPE, 3)
    cells, odd = ends.truths(wrong)
    assert (odd[::2] == 0).all()
    assert (odd[1::2] == 1).mean() > 0.5
    assert (cells[1::2] == 1).any(axis=(1, 2))[odd[1::2] == 1].mean() > 0.9
    assert np.array_equal(pictures, batches.one(3)[0])


def test_at_first_what_is_wrong_is_plain_to_see() -> None:
    frames = ends.render(LEARNING + 1)
    shares = []
    for number in (0, 1000):
        _, wrong = ends.Batches(frames, 64, 3, easy=1000).one(number)
        shares.append((ends.truths(wrong)[1][1::2] == 1).mean())
    assert shares[0] < shares[1]


def test_a_close_up_shows_the_hinge_at_its_place_and_the_tip_to_the_left() -> None:
    picture = np.zeros((200, 300), np.uint8)
    x, y, angle, half = 150.0, 90.0, 2.1, 9.0
    along = np.array([np.cos(angle), np.sin(angle)])
    for far, value in ((0.0, 120), (4.0, 250)):  # the hinge, and four halves towards the tip
        spot = np.array([x, y]) + far * half * along
        cv2.circle(picture, (round(spot[0]), round(spot[1])), 4, value, -1)
    seen = closeup.cut(picture, np.array([x, y, *along, half], np.float32))
    row, column = (int(at) for at in closeup.HINGE)
    assert seen.shape == closeup.SHAPE
    assert seen[row, column] == 120
    assert seen[row, int(column - 4 * closeup.SCALE)] == 250


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirror", [1, -1])
def test_hinges_turn_with_their_picture(turns: int, mirror: int) -> None:
    picture = np.zeros((100, 100), np.uint8)
    cv2.circle(picture, (30, 60), 2, 255, -1)
    cv2.circle(picture, (50, 60), 2, 128, -1)  # where the way points
    places = np.array([[30.5, 60.5, 1, 0, 7], [np.nan] * 5], np.float32)
    x, y, a, b, half = parts.turned(places, 100, turns, mirror)[0]
    seen = np.rot90(picture, turns)[:, ::mirror]
    assert seen[int(y), int(x)] == 255
    assert seen[int(y + 20 * b), int(x + 20 * a)] == 128
    assert half == 7
    assert np.isnan(parts.turned(places, 100, turns, mirror)[1]).all()


@pytest.mark.parametrize("kind", [None, "residue", "gauze"])
def test_a_procedure_shows_what_it_is_asked_for(kind: str | None) -> None:
    script = with_fault(UNSEEN + 1, kind)
    defects = [use.defect for use in script.uses if use.defect] + [name for name, *_ in script.objects]
    assert defects == ([kind] if kind else [])


def test_watching_gives_what_the_model_sees_and_what_is_true() -> None:
    one = watch(CHOOSING + 4, "clip", 0.2)
    assert (one.pictures.shape, one.wrong.shape, one.masks.shape) == ((3, 360, 640, 3), (3, *CELLS), (3, 96, 160))
    assert (one.wrong > 0).any() or not one.visible.any()


def test_the_model_beside_it_takes_and_answers_what_it_should() -> None:
    model = onnx.load(Path(anomaly.__file__).parent / "models" / "anomaly.onnx")
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": [1, 3, *SIZE], "maps": [1, len(CHANNELS), *CELLS], "heat": [1, 1, *CELLS]}


def test_the_device_file_reads_the_model_as_it_was_trained() -> None:
    device = read_device(Path(anomaly.__file__).parent / "device.yaml")
    model = device.models["anomaly"]
    assert model.preprocess.size == SIZE[::-1]
    assert (model.preprocess.mean, model.preprocess.std) == (MEAN, STD)
    assert model.labels == ("sound", *CHANNELS)
    assert model.every == EVERY
    assert Preprocessor(model.preprocess, 1280, 720).region == pytest.approx(REGION)
    assert {name: getattr(rule.when, "labels", ("",))[0] for name, rule in device.rules.items() if name in ALERTS} == {
        name: model.labels[label] for name, label in ALERTS.items()
    }


# --- judging ---------------------------------------------------------------------------------------------------------


def _watched(count: int = 60, from_: int = 20, kind: str | None = "clip") -> Watched:
    wrong = np.zeros((count, *CELLS), np.uint8)
    if kind:
        wrong[from_:, 20:22, 30:32] = 7
    empty = np.zeros((count, 1, 1, 3), np.uint8)
    return Watched(1, kind, empty, empty[..., 0], wrong, np.arange(count) >= from_ if kind else np.zeros(count, bool))


def _maps(one: Watched, channel: int, at: tuple[int, int], frames: slice) -> np.ndarray:
    maps = np.full((len(one.wrong), len(CHANNELS), *CELLS), -5, np.float32)
    maps[frames, channel, at[0] : at[0] + 2, at[1] : at[1] + 2] = 5
    return maps


def _judged(one: Watched, maps: np.ndarray) -> Outcome:
    plans = tuple(Choice(0, 1, 4, 6, 0, 0, 0).plan(rule) for rule in ALERTS)
    classes = classes_of(maps)
    standing = findings(classes, plans, "anomaly", (0, 0, 1, 1))
    return judge((one.seed, one.kind), classes, standing, one.wrong, one.visible, one.kind in FOREIGN)


def test_a_defect_marked_in_time_is_found() -> None:
    one = _watched()
    outcome = _judged(one, _maps(one, 1, (21, 31), slice(22, None)))
    assert (outcome.found, outcome.named, outcome.false) == (True, True, ())
    assert outcome.visible_at == pytest.approx(20 / 15)
    assert outcome.after == pytest.approx(5 / 15)  # four results of the last six
    assert _judged(one, _maps(one, 0, (21, 31), slice(22, None))).named is False


def test_too_late_elsewhere_or_too_short_is_missed() -> None:
    one = _watched()
    late = _judged(one, _maps(one, 1, (21, 31), slice(36, None)))
    assert (late.found, late.false) == (False, ())
    elsewhere = _judged(one, _maps(one, 1, (3, 60), slice(22, None)))
    assert elsewhere.found is False
    assert [rule for rule, _ in elsewhere.false] == ["foreign_object_left"]
    assert _judged(one, _maps(one, 1, (21, 31), slice(22, 25))).found is False


def test_an_alert_without_a_defect_is_false_and_counts_once() -> None:
    one = _watched(kind=None)
    outcome = _judged(one, _maps(one, 0, (3, 60), slice(10, 40)))
    assert outcome.visible_at is None
    assert [rule for rule, _ in outcome.false] == ["instrument_anomaly"]


def test_a_defect_seen_for_less_than_a_second_is_not_asked_for() -> None:
    one = _watched()
    brief = replace(one, visible=(np.arange(60) >= 20) & (np.arange(60) < 30))
    assert _judged(brief, _maps(one, 1, (21, 31), slice(0, 0))).visible_at is None


def test_a_dirty_lens_outvotes_an_anomaly_as_in_the_decoder() -> None:
    maps = np.full((1, 3, *CELLS), -1, np.float32)
    maps[0, 0, 0, 0], maps[0, 2, 0, 0], maps[0, 1, 0, 1] = 1, 2, 0.5
    assert classes_of(maps)[0, 0, :3].tolist() == [3, 2, 0]


def test_the_search_finds_the_threshold_between_sound_and_wrong() -> None:
    seen = [replace(_watched(), seed=k, kind="clip") for k in range(3)] + [_watched(kind=None)]
    maps = [_maps(one, 1, (21, 31), slice(22, None)) for one in seen]
    maps[3] = np.where(maps[3] > 0, 1.0, maps[3]).astype(np.float32)  # something sound that looks odd
    choice = search(
        "foreign_object_left", ("clip",), seen, lambda at: only(maps, 1, at), (-9.0, 0.5, 3.0, 7.0), ALLOWED
    )
    assert (choice.threshold, choice.found, choice.false_a_minute) == (3.0, 1.0, 0.0)


def test_rates_count_only_what_was_visible() -> None:
    base = Outcome(1, "clip", 30.0, 1.0, True, True, 0.2, ())
    results = [base, replace(base, found=False), replace(base, visible_at=None, false=(("a", 1.0),))]
    found, alerts = rates(results)
    assert found == {"clip": (1, 2)}
    assert alerts == pytest.approx(60 / 90)


def test_an_area_of_cells_is_passed_by_one_cell_more() -> None:
    cells = CELLS[0] * CELLS[1]
    assert 3 / cells < area(3) < 4 / cells
