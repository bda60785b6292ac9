"""`inframe register`: where a robot's or a tracker's axes are in the camera's, from places of a tip that were seen in the picture.

For each, the sensor's position of the tip and its pixel; where an arm moves the camera, that arm's pose too, and the axes are from
that arm's: so hand and eye are calibrated by the points themselves. Perspective-n-point (Terzakis and Lourakis, ECCV 2020),
refined, both OpenCV's. The error that is stated is of points that were left out of the fit, one after the other: those in it look
too good.
"""

import csv
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from inframe.core.errors import ConfigError
from inframe.core.guidance import Camera
from inframe.core.yamlfile import read_device
from inframe.pipeline.project import within

COLUMNS = ("x_mm", "y_mm", "z_mm", "u_px", "v_px")
CARRIER = ("carrier_x_mm", "carrier_y_mm", "carrier_z_mm", "qx", "qy", "qz", "qw")
"""The pose of the arm that moved the camera, behind COLUMNS."""
UNIT = 1e-2
"""So far from 1 a quaternion's length may be."""
LEAST = 8
"""Points; six unknowns, and enough left to see an error."""
FLAT = 0.05
"""The points' smallest extent must be so much of the largest: else a turn of the arm and a shift look alike."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Registration:
    """From the sensor's axes to the camera's, and how well it holds."""

    rotation: tuple[float, float, float, float]
    translation_mm: tuple[float, float, float]
    error_px: float
    """RMS of the points that were left out."""
    error_mm: float
    """The same across the line of sight, at the points' mean depth."""
    points: int
    worst: int
    """The line of the file whose point is farthest off."""


def read_points(file: Path, *, carried: bool = False) -> Numbers:
    """(n, 5): see COLUMNS. `carried`: with CARRIER, in whose axes the positions then are. Raises ConfigError."""
    columns = COLUMNS + CARRIER * carried
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.reader(opened))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file, "file", getattr(error, "strerror", None) or error, "a readable text file") from None
    if not rows or tuple(rows[0]) != columns:
        raise ConfigError(file, "line 1", ",".join(rows[0]) if rows else "nothing", ",".join(columns))
    points = [_numbers(file, number, row, len(columns)) for number, row in enumerate(rows[1:], 2)]
    if len(points) < LEAST:
        raise ConfigError(file, "points", len(points), f"{LEAST} or more")
    if carried:
        points = [_carried(file, number, values) for number, values in enumerate(points, 2)]
    return np.array(points, np.float64)


def _numbers(file: Path, number: int, row: list[str], count: int) -> list[float]:
    try:
        values = [float(value) for value in row]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ConfigError(file, f"line {number}", ",".join(row), f"{count} numbers")
    return values


def _carried(file: Path, number: int, values: list[float]) -> list[float]:
    """Position and pixel, the position in the axes of the arm that moved the camera."""
    x, y, z, u, v, *origin = values[:8]
    turn = values[8:]
    length = math.hypot(*turn)
    if abs(length - 1) > UNIT:
        raise ConfigError(file, f"line {number}", f"a quaternion of length {length:.4g}", "1")
    a, b, c, d = (value / length for value in turn)
    return [*within((origin[0], origin[1], origin[2]), (a, b, c, d), (x, y, z)), u, v]


def register(camera: Camera, points: Numbers, where: Path) -> Registration:
    """The axes that fit best. Raises ConfigError where the points do not tell."""
    there, seen = np.ascontiguousarray(points[:, :3]), np.ascontiguousarray(points[:, 3:])
    extents = np.linalg.svd(there - there.mean(axis=0), compute_uv=False)
    if extents[1] < FLAT * extents[0]:
        raise ConfigError(
            where, "points", "points on one line", "points that are spread in depth and across the picture"
        )
    turn, shift = _fit(camera, there, seen, where)
    off = []
    for k in range(len(points)):
        rest = np.arange(len(points)) != k
        without = _fit(camera, there[rest], seen[rest], where)
        off.append(float(np.hypot(*(_project(camera, there[k : k + 1], *without)[0] - seen[k]))))
    depth = float((there @ cv2.Rodrigues(turn)[0].T + shift.ravel())[:, 2].mean())
    rms = float(np.sqrt(np.mean(np.square(off))))
    x, y, z = (float(value) for value in shift.ravel())
    return Registration(
        _quaternion(turn), (x, y, z), rms, rms * depth / camera.fx, len(points), int(np.argmax(off)) + 2
    )


def _matrix(camera: Camera) -> Numbers:
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])


def _fit(camera: Camera, there: Numbers, seen: Numbers, where: Path) -> tuple[Numbers, Numbers]:
    matrix, distortion = _matrix(camera), np.array(camera.distortion)
    found, turn, shift = cv2.solvePnP(there, seen, matrix, distortion, flags=cv2.SOLVEPNP_SQPNP)
    if found:
        turn, shift = cv2.solvePnPRefineLM(there, seen, matrix, distortion, turn, shift)
    if not found or not (there @ cv2.Rodrigues(turn)[0].T + shift.ravel())[:, 2].min() > 0:
        raise ConfigError(
            where, "points", "no axes with all of them before the camera", "positions and pixels that belong together"
        )
    return np.asarray(turn, np.float64), np.asarray(shift, np.float64)


def _project(camera: Camera, there: Numbers, turn: Numbers, shift: Numbers) -> Numbers:
    seen, _ = cv2.projectPoints(there, turn, shift, _matrix(camera), np.array(camera.distortion))
    return np.asarray(seen, np.float64).reshape(-1, 2)


def _quaternion(turn: Numbers) -> tuple[float, float, float, float]:
    """x y z w of a rotation vector."""
    angle = float(np.linalg.norm(turn))
    axis = turn.ravel() * (math.sin(angle / 2) / angle if angle else 0.0)
    return float(axis[0]), float(axis[1]), float(axis[2]), math.cos(angle / 2)


def as_yaml(found: Registration) -> str:
    """As the device file has it, under `tools.NAME`."""
    rotation = [round(value, 6) for value in found.rotation]
    return (
        f"rotation: {rotation}\ntranslation_mm: {[round(value, 3) for value in found.translation_mm]}\n"
        f"error_mm: {found.error_mm:.3f}\n"
    )


def register_and_show(out: Console, points: Path, device: Path, tool: str) -> dict[str, Any]:
    """Fit, and print what came of it; returns the report. Raises ConfigError."""
    tools = read_device(device).tools
    if tool not in tools:
        raise ConfigError(device, "--tool", tool, f"one of tools: {', '.join(tools) or 'there is none'}")
    found = register(tools[tool].camera, read_points(points, carried=tools[tool].carrier is not None), points)
    out.print(
        f"{found.points} points; one left out is {found.error_px:.2f} px off (RMS), the most off that of line {found.worst}",
        markup=False,
    )
    out.print(as_yaml(found), markup=False)
    return asdict(found)
