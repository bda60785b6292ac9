"""The scene simulator: numpy and OpenCV only."""

import hashlib

import numpy as np
import pytest

from reference.scene import CLASSES, Procedure
from reference.scene.classes import BACKGROUND, GALLBLADDER, SHAFT, TIP
from reference.scene.defects import DEFECTS, make
from reference.scene.instruments import Pose, draw, tip_point
from reference.scene.kinds import KINDS
from reference.scene.litter import FOREIGN
from reference.scene.script import HAZE, Script, Spell, Use

SMALL = (90, 160)
QUIET = Script(gallbladder=True, sway=0.0, breath=0.0)


def _digest(seed: int, moment: int) -> str:
    picture, mask, truth = Procedure(seed, SMALL).frame(moment)
    return hashlib.sha256(picture.tobytes() + mask.tobytes() + repr(truth).encode()).hexdigest()


def test_a_seed_is_a_procedure() -> None:
    assert _digest(3, 40) == _digest(3, 40)
    assert _digest(3, 40) != _digest(4, 40)
    assert _digest(3, 40) != _digest(3, 80)


def test_frames_do_not_depend_on_the_order_they_are_asked_in() -> None:
    procedure = Procedure(5, SMALL)
    late = procedure.frame(90)[0]
    procedure.frame(10)
    assert np.array_equal(late, procedure.frame(90)[0])


def test_every_class_appears_and_no_other() -> None:
    seen = set()
    for seed in range(24):
        picture, mask, _ = Procedure(seed, SMALL).frame(100)
        assert picture.shape == (*SMALL, 3)
        assert picture.dtype == mask.dtype == np.uint8
        assert mask.shape == SMALL
        seen |= set(np.unique(mask).tolist())
    assert seen == set(range(len(CLASSES)))


def test_no_tissue_is_rare() -> None:
    """A class that hardly occurs is not learned: bowel once was 0.01 of what it should have been."""
    masks = np.stack([Procedure(seed, SMALL).frame(60)[1] for seed in range(80)])
    counts = np.bincount(masks.ravel(), minlength=len(CLASSES))
    shares = counts[1:] / counts[1:].sum()
    assert shares[:5].min() > 0.06
    assert shares[5:].min() > 0.008


def test_size_changes_detail_not_content() -> None:
    for seed in range(4):
        small, large = (Procedure(seed, size).frame(30)[1] for size in (SMALL, (180, 320)))
        assert np.mean(small == large[::2, ::2]) > 0.93


def test_tips_lie_on_tip_pixels_and_are_found() -> None:
    count = 0
    for seed in range(20):
        procedure = Procedure(seed, SMALL)
        for moment in (60, 240):
            _, mask, truth = procedure.frame(moment)
            for tip in truth["tips"]:
                assert mask[int(tip["y"] * SMALL[0]), int(tip["x"] * SMALL[1])] == TIP
                count += 1
    assert count >= 15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("defect", [None, *DEFECTS])
def test_the_stated_tip_is_on_the_instrument(kind: str, defect: str | None) -> None:
    for seed in range(5):
        tool = make(kind, np.random.default_rng(seed), defect)
        rgb, label = np.zeros((3, 360, 640), np.float32), np.zeros((360, 640), np.uint8)
        pose = Pose((0.0, 0.0), 0.7 * seed, 0.05, 0.2 * seed, 0.3)
        draw(rgb, label, tool, pose)
        x, y = tip_point(tool, pose)
        near = label[int(y * 360 + 180) - 2 : int(y * 360 + 180) + 3, int(x * 360 + 320) - 2 : int(x * 360 + 320) + 3]
        assert (near == TIP).any()
        assert (label == SHAFT).any()


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_the_picture_and_is_listed(defect: str) -> None:
    sound, broken = (
        Procedure(
            2, SMALL, script=Script((Use("grasper", -9, 99, 0.4, (0.0, 0.0), 0.0, 0.08, wrong),), sway=0.0, breath=0.0)
        )
        for wrong in (None, defect)
    )
    assert sound.frame(0)[2]["defects"] == []
    assert [note["kind"] for note in broken.frame(0)[2]["defects"]] == [defect]
    assert np.mean(np.any(sound.frame(0)[0] != broken.frame(0)[0], axis=2)) > 0.001


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_object_is_listed_and_has_no_organ_class(kind: str) -> None:
    _, mask, truth = Procedure(2, (180, 320), script=Script(objects=((kind, 0.0, 0.0),), sway=0.0, breath=0.0)).frame(0)
    assert [note["kind"] for note in truth["defects"]] == [kind]
    assert (mask[80:100, 140:180] == BACKGROUND).any()


@pytest.mark.parametrize("kind", HAZE)
def test_a_spell_comes_and_goes(kind: str) -> None:
    spoilt, clear = (
        Procedure(2, SMALL, script=Script(spells=spells, sway=0.0, breath=0.0))
        for spells in ((Spell(kind, 1.0, 4.0, 0.9),), ())
    )
    assert spoilt.frame(0)[2][kind] == 0.0
    assert spoilt.frame(75)[2][kind] == 0.9
    assert spoilt.frame(150)[2][kind] == 0.0
    assert np.array_equal(spoilt.frame(0)[0], clear.frame(0)[0])
    change = np.abs(spoilt.frame(75)[0].astype(int) - clear.frame(75)[0].astype(int)).mean()
    assert change > 0.5


def test_a_gallbladder_is_there_when_asked_for() -> None:
    with_it = [GALLBLADDER in Procedure(seed, SMALL, script=QUIET).frame(0)[1] for seed in range(12)]
    assert sum(with_it) >= 10  # an organ may lie in front of it
    without = [Procedure(seed, SMALL, script=Script(gallbladder=False)).frame(0)[1] for seed in range(4)]
    assert not any(GALLBLADDER in mask for mask in without)
