"""`inframe calibrate`: a camera's calibration from photos of a ChArUco board, as a part for the device file, with its error.

Garrido-Jurado et al., Pattern Recognition 47 (2014), for the markers; Zhang, PAMI 22 (2000), for the calibration; both OpenCV's.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from inframe.core.errors import ConfigError
from inframe.core.guidance import Camera

LEAST_PHOTOS, LEAST_CORNERS = 5, 8
LEAST_TILT_DEG = 10.0
"""Photos of a board that is always seen from straight ahead say nothing of the focal length."""
DOTS_MM = 10
"""The board is drawn with so many dots for a millimetre."""
MAX_SIDE = 8192


@dataclass(frozen=True, slots=True)
class BoardSize:
    """Squares across and down, and the sides of a square and of a marker in it, mm."""

    columns: int
    rows: int
    square_mm: float
    marker_mm: float

    def board(self) -> Any:
        """OpenCV's. Raises ConfigError for a board that can't be."""
        if not 0 < self.marker_mm < self.square_mm:
            raise ConfigError(
                "inframe calibrate", "--marker-mm", self.marker_mm, f"less than --square-mm {self.square_mm:g}"
            )
        markers = self.columns * self.rows // 2
        name = next((size for size in (50, 100, 250, 1000) if size >= markers), None)
        if name is None:
            raise ConfigError("inframe calibrate", "--columns", f"{markers} markers", "at most 1000")
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_4X4_{name}"))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_mm, self.marker_mm, dictionary)


@dataclass(frozen=True, slots=True)
class Photo:
    """What one photo had to say."""

    file: str
    corners: int
    error_px: float
    """RMS of its corners' reprojection."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A camera, and how well it fits."""

    camera: Camera
    size: tuple[int, int]
    photos: tuple[Photo, ...]
    left_out: tuple[str, ...]
    """Photos on which too little of the board was found."""
    tilt_deg: float
    """The largest angle between two views of the board."""


def write_board(size: BoardSize, file: Path) -> None:
    """The board as a picture to print at its true size. Raises ConfigError for a file that exists or a name without an ending."""
    if file.exists() or file.suffix.lower() not in (".png", ".tif", ".tiff"):
        raise ConfigError(file, "--board", "a file that exists, or another ending", "a free name that ends with .png")
    sides = (round(size.columns * size.square_mm * DOTS_MM), round(size.rows * size.square_mm * DOTS_MM))
    if max(sides) > MAX_SIDE:
        raise ConfigError(
            "inframe calibrate", "--square-mm", f"a board of {sides[0]}x{sides[1]} dots", f"at most {MAX_SIDE}"
        )
    if not cv2.imwrite(str(file), size.board().generateImage(sides)):
        raise ConfigError(file, "--board", "a file that can't be written", "a folder that is there")


def calibrate(photos: Sequence[Path], size: BoardSize) -> Calibration:
    """The camera that took the photos. Raises ConfigError where they do not suffice."""
    board = size.board()
    detector = cv2.aruco.CharucoDetector(board)
    points: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = []
    left_out, picture = [], (0, 0)
    for file in photos:
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) if file.is_file() else None
        if grey is None:
            raise ConfigError(file, "photo", "a file that can't be read", "a picture: PNG, JPEG or TIFF")
        if picture not in ((0, 0), grey.shape[::-1]):
            raise ConfigError(
                file, "photo", f"{grey.shape[1]}x{grey.shape[0]}", f"{picture[0]}x{picture[1]}, as the others"
            )
        picture = (grey.shape[1], grey.shape[0])
        corners, ids, _, _ = detector.detectBoard(grey)
        if ids is None or len(ids) < LEAST_CORNERS:
            left_out.append(file.name)
            continue
        there, seen = board.matchImagePoints(corners, ids)
        points.append((file.name, np.float32(there).reshape(-1, 3), np.float32(seen).reshape(-1, 2)))
    if len(points) < LEAST_PHOTOS:
        expected = f"{LEAST_PHOTOS} or more with at least {LEAST_CORNERS} corners of the board"
        raise ConfigError("inframe calibrate", "photos", f"{len(points)} of {len(photos)}", expected)
    return _fit(points, picture, tuple(left_out))


def _fit(
    points: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]],
    picture: tuple[int, int],
    left_out: tuple[str, ...],
) -> Calibration:
    there, seen = [one for _, one, _ in points], [one for _, _, one in points]
    rms, matrix, distortion, turns, shifts = cv2.calibrateCamera(there, seen, picture, None, None)[:5]
    tilt = _tilt(turns)
    if tilt < LEAST_TILT_DEG:
        expected = f"views that differ by {LEAST_TILT_DEG:g} degrees or more: tilt the board"
        raise ConfigError("inframe calibrate", "photos", f"views that differ by {tilt:.1f} degrees", expected)
    found = []
    for (name, objects, corners), turn, shift in zip(points, turns, shifts, strict=True):
        back, _ = cv2.projectPoints(objects, turn, shift, matrix, distortion)
        errors = np.asarray(back).reshape(-1, 2) - corners
        found.append(Photo(name, len(corners), float(np.sqrt(np.mean(np.sum(errors * errors, axis=1))))))
    camera = Camera(
        fx=round(float(matrix[0, 0]), 4),
        fy=round(float(matrix[1, 1]), 4),
        cx=round(float(matrix[0, 2]), 4),
        cy=round(float(matrix[1, 2]), 4),
        distortion=tuple(round(float(k), 6) for k in np.asarray(distortion).ravel()[:5]),  # type: ignore[arg-type]  # five
        error_px=round(float(rms), 4),
    )
    return Calibration(camera, picture, tuple(found), left_out, tilt)


def _tilt(turns: Sequence[NDArray[np.float64]]) -> float:
    """The largest angle between the board's normals, degrees."""
    normals = np.array([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    return math.degrees(math.acos(float(np.clip((normals @ normals.T).min(), -1, 1))))


def as_yaml(camera: Camera) -> str:
    """The camera as the device file has it, under `tools.NAME`."""
    lines = [
        f"  {key}: {list(value) if isinstance(value, tuple) else value}" for key, value in camera.model_dump().items()
    ]
    return "camera:\n" + "\n".join(lines) + "\n"


def calibrate_and_show(out: Console, photos: Sequence[Path], size: BoardSize, board: Path | None) -> dict[str, Any]:
    """Write the board if asked to, calibrate if there are photos, print what came of it; returns the report."""
    if board is not None:
        write_board(size, board)
        out.print(f"written: {board}; print it at {DOTS_MM * 25.4:g} dots an inch, and measure a square", markup=False)
        if not photos:
            return {"board": str(board)}
    found = calibrate(photos, size)
    table = Table(title=f"{len(found.photos)} photos of {found.size[0]}x{found.size[1]}: reprojection error")
    for column in ("photo", "corners", "px RMS"):
        table.add_column(column, justify="left" if column == "photo" else "right")
    for photo in found.photos:
        table.add_row(photo.file, str(photo.corners), f"{photo.error_px:.3f}")
    out.print(table)
    for name in found.left_out:
        out.print(f"left out: {name}: too little of the board was found", markup=False, style="yellow")
    out.print(as_yaml(found.camera), markup=False)
    return {**asdict(found), "camera": found.camera.model_dump()}
