"""A camera found again from photos of a board, rendered through a known one."""

import math
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from rich.console import Console

from inframe.calibration import BoardSize, as_yaml, calibrate, calibrate_and_show
from inframe.core.errors import ConfigError
from inframe.core.guidance import Camera

SIZE = BoardSize(8, 6, 10.0, 7.0)
WIDTH, HEIGHT, SCALE = 960, 540, 8
TRUE = Camera(fx=820.0, fy=830.0, cx=470.0, cy=280.0, distortion=(-0.18, 0.06, 0.001, -0.001, 0.0), error_px=0)


def photo(turn: tuple[float, float, float], shift: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The board as TRUE sees it: every pixel's ray met with the board's plane."""
    board = SIZE.board().generateImage((SIZE.columns * 10 * SCALE, SIZE.rows * 10 * SCALE))
    matrix = np.array([[TRUE.fx, 0, TRUE.cx], [0, TRUE.fy, TRUE.cy], [0, 0, 1]])
    pixels = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).reshape(-1, 1, 2).astype(np.float64)
    rays = cv2.undistortPoints(pixels, matrix, np.array(TRUE.distortion)).reshape(-1, 2)
    rotation, _ = cv2.Rodrigues(np.array(turn))
    plane = np.column_stack([rotation[:, 0], rotation[:, 1], np.array(shift)])
    at = np.column_stack([rays, np.ones(len(rays))]) @ np.linalg.inv(plane).T
    on_board = (at[:, :2] / at[:, 2:] * SCALE - 0.5).astype(np.float32).reshape(HEIGHT, WIDTH, 2)
    picture = cv2.remap(board, on_board, None, cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=200)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.6), np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, files = tmp_path_factory.mktemp("photos"), []
    rng = np.random.default_rng(1)
    for n in range(10):
        turn = tuple(np.radians(rng.uniform(-32, 32, 3)))
        shift = (-40 + rng.uniform(-18, 18), -30 + rng.uniform(-10, 10), rng.uniform(85, 125))
        files.append(folder / f"{n}.png")
        cv2.imwrite(str(files[-1]), photo(turn, shift))
    return files


def test_a_known_camera_is_found_again(photos: list[Path]) -> None:
    found = calibrate(photos, SIZE)
    camera = found.camera
    assert camera.error_px < 0.5
    assert (camera.fx, camera.fy) == pytest.approx((TRUE.fx, TRUE.fy), rel=0.01)
    assert (camera.cx, camera.cy) == pytest.approx((TRUE.cx, TRUE.cy), abs=6)
    assert len(found.photos) >= 8
    assert found.tilt_deg > 20
    assert camera.error_px == pytest.approx(
        math.sqrt(sum(p.corners * p.error_px**2 for p in found.photos) / sum(p.corners for p in found.photos)), rel=1e-3
    )


def test_what_is_printed_is_a_part_of_the_device_file(photos: list[Path]) -> None:
    text = StringIO()
    report = calibrate_and_show(Console(file=text, width=100), photos, SIZE, None)
    said = text.getvalue()
    part = yaml.safe_load(said[said.index("camera:") :])
    assert Camera.model_validate(part["camera"]).model_dump() == report["camera"]
    assert yaml.safe_load(as_yaml(TRUE))["camera"]["fx"] == TRUE.fx


def test_the_board_is_written_and_found(tmp_path: Path) -> None:
    file = tmp_path / "board.png"
    calibrate_and_show(Console(quiet=True), [], SIZE, file)
    _, ids, _, _ = cv2.aruco.CharucoDetector(SIZE.board()).detectBoard(cv2.imread(str(file), 0))
    assert len(ids) == (SIZE.columns - 1) * (SIZE.rows - 1)
    with pytest.raises(ConfigError, match="--board: found a file that exists"):
        calibrate_and_show(Console(quiet=True), [], SIZE, file)


def bad(photos: list[Path], folder: Path) -> dict[str, tuple[list[Path], BoardSize, str]]:
    flat = folder / "flat.png"
    cv2.imwrite(str(flat), photo((0.0, 0.0, 0.1), (-40, -30, 100)))
    (folder / "text.png").write_text("no picture")
    cv2.imwrite(str(folder / "small.png"), np.zeros((100, 100), np.uint8))
    return {
        "too few": (photos[:4], SIZE, "photos: found 4 of 4, expected 5 or more with at least 8 corners"),
        "another board": (photos, BoardSize(5, 7, 10, 7), "expected 5 or more with at least 8 corners"),
        "always the same view": ([flat] * 6, SIZE, "photos: found views that differ by 0.0 degrees, expected views"),
        "no picture": ([folder / "text.png"], SIZE, "text.png: photo: found a file that can't be read"),
        "not there": ([folder / "none.png"], SIZE, "none.png: photo: found a file that can't be read"),
        "another size": ([photos[0], folder / "small.png"], SIZE, "small.png: photo: found 100x100, expected 960x540"),
        "a marker too large": (
            photos,
            BoardSize(8, 6, 10, 10),
            "--marker-mm: found 10, expected less than --square-mm 10",
        ),
    }


CASES = [
    "too few",
    "another board",
    "always the same view",
    "no picture",
    "not there",
    "another size",
    "a marker too large",
]


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_suffice_is_one_clear_line(case: str, photos: list[Path], tmp_path: Path) -> None:
    files, size, said = bad(photos, tmp_path)[case]
    with pytest.raises(ConfigError) as caught:
        calibrate(files, size)
    assert said in str(caught.value)
