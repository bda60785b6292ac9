"""Sprites: stamped anywhere, made once, never more than a bounded number of them."""

import numpy as np

from inframe.pipeline.text import _KEPT, Lettering, Style, row_width, stamp, stamp_row


def test_a_sprite_is_cut_at_every_edge() -> None:
    plate = Lettering(16).plate("gallbladder", Style(opacity=1.0))
    for x, y in ((-5, -5), (90, 40), (-500, 0), (0, 500), (30, 20)):
        into = np.full((50, 100, 3), 200, np.uint8)
        stamp(into, plate, x, y)
        seen = x < 100 and y < 50 and x + plate.width > 0 and y + plate.height > 0
        assert (into != 200).any() == seen


def test_a_plate_of_opacity_zero_changes_only_the_letters() -> None:
    into = np.full((40, 200, 3), 100, np.uint8)
    stamp(into, Lettering(16).plate("AI", Style(opacity=0.0)), 0, 0)
    assert 0 < (into != 100).any(axis=2).mean() < 0.1


def test_numbers_are_put_together_of_kept_pieces() -> None:
    letters = Lettering(16)
    letters.number("HELD", 1_234_567_890, "ms", Style())
    made = set(letters._made)
    row = letters.number("HELD", 67, "ms", Style())
    assert set(letters._made) == made
    into = np.zeros((40, 300, 3), np.uint8)
    stamp_row(into, row, 0, 0)
    assert into[:, row_width(row) :].max() == 0
    assert len({sprite.height for sprite in row}) == 1


def test_the_number_of_kept_sprites_is_bounded() -> None:
    letters = Lettering(10)
    for i in range(_KEPT + 20):
        letters.plate(str(i), Style())
    assert len(letters._made) == _KEPT


def test_control_characters_are_not_drawn_as_such() -> None:
    letters = Lettering(12)
    broken, plain = letters.plate("a\nb\x00", Style()), letters.plate("a?b?", Style())
    assert np.array_equal(broken.ink, plain.ink)
