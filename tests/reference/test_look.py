"""The sheet of frames for judging by eye."""

import numpy as np

from reference.look import COLOURS, TILE, tile
from reference.scene import CLASSES
from reference.scene.classes import LIVER


def test_a_tile_shows_the_frame_and_its_classes() -> None:
    grey = np.full((720, 1280, 3), 90, np.uint8)
    classes = np.zeros((96, 160), np.uint8)
    classes[:, 80:] = LIVER
    shown = tile(7, grey, classes)
    assert shown.shape == (TILE[1], 2 * TILE[0], 3)
    assert len(COLOURS) == len(CLASSES)
    assert np.array_equal(shown[100, 300], (90, 90, 90))
    assert np.array_equal(shown[100, TILE[0] + 100], (90, 90, 90))  # background stays as it is
    assert shown[100, TILE[0] + 400, 0] > shown[100, TILE[0] + 400, 2]
