"""`inframe register`: known axes are found again, with an error that is true; what does not tell is refused in one line."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from inframe.cli import app
from inframe.core.errors import ConfigError
from inframe.core.guidance import Camera
from inframe.pipeline.project import project, rotate
from inframe.registration import CARRIER, COLUMNS, Registration, read_points, register

CAMERA = Camera(fx=900, fy=910, cx=640, cy=350, distortion=(-0.1, 0.02, 0.001, -0.001, 0), error_px=0.4)
HALF = math.radians(35) / 2
TURN = (0.6 * math.sin(HALF), -0.8 * math.sin(HALF), 0.0, math.cos(HALF))
SHIFT = (12.0, -7.0, 110.0)


def points(count: int = 30, noise_px: float = 0.0, seed: int = 1) -> NDArray[np.float64]:
    """Places about the arm's origin, and their pixels."""
    rng, found = np.random.default_rng(seed), []
    for at in rng.uniform(-25, 25, (count, 3)):
        x, y, z = rotate(TURN, (float(at[0]), float(at[1]), float(at[2])))
        tip = project(CAMERA, (x + SHIFT[0], y + SHIFT[1], z + SHIFT[2]))
        assert tip is not None
        found.append([*at, tip.x + rng.normal(0, noise_px), tip.y + rng.normal(0, noise_px)])
    return np.array(found)


def carried(some: NDArray[np.float64], seed: int = 3) -> NDArray[np.float64]:
    """The same points in a base's axes, in which the arm that holds the camera has another pose for each."""
    rng, found = np.random.default_rng(seed), []
    for x, y, z, u, v in some:
        q, origin = rng.normal(size=4), rng.uniform(-300, 300, 3)
        a, b, c, d = (float(value) for value in q / np.linalg.norm(q))
        at = np.add(rotate((a, b, c, d), (x, y, z)), origin)
        found.append([*at, u, v, *origin, a, b, c, d])
    return np.array(found)


def written(file: Path, some: NDArray[np.float64], columns: tuple[str, ...] = COLUMNS) -> Path:
    file.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in some.tolist())]) + "\n")
    return file


def fit(some: NDArray[np.float64]) -> Registration:
    return register(CAMERA, some, Path("points.csv"))


def test_known_axes_are_found_again() -> None:
    found = fit(points())
    assert found.rotation == pytest.approx(TURN, abs=1e-4)
    assert found.translation_mm == pytest.approx(SHIFT, abs=0.01)
    assert found.error_px < 0.05


def test_hand_and_eye_are_found_while_an_arm_moves_the_camera(tmp_path: Path) -> None:
    file = written(tmp_path / "points.csv", carried(points()), COLUMNS + CARRIER)
    found = fit(read_points(file, carried=True))
    assert found.rotation == pytest.approx(TURN, abs=1e-4)
    assert found.translation_mm == pytest.approx(SHIFT, abs=0.01)
    with pytest.raises(ConfigError, match=r"line 1: found x_mm.*qw, expected x_mm,y_mm,z_mm,u_px,v_px"):
        read_points(file)
    some = carried(points())
    some[4, 8:] *= 1.1
    with pytest.raises(ConfigError, match=r"line 6: found a quaternion of length 1.1, expected 1"):
        read_points(written(file, some, COLUMNS + CARRIER), carried=True)


def test_the_error_that_is_stated_is_that_of_new_points() -> None:
    """Of points that were not in the fit: as large as stated, within what thirty of them can tell."""
    found = fit(points(noise_px=2.0))
    new = points(400, noise_px=2.0, seed=2)
    off = []
    for x, y, z, u, v in new:
        a, b, c = rotate(found.rotation, (x, y, z))
        tip = project(CAMERA, tuple(np.add((a, b, c), found.translation_mm)))
        assert tip is not None
        off.append(math.hypot(tip.x - u, tip.y - v))
    assert found.error_px == pytest.approx(float(np.sqrt(np.mean(np.square(off)))), rel=0.25)
    assert found.error_mm == pytest.approx(found.error_px * 110 / 900, rel=0.1)


def test_a_wrong_point_is_named() -> None:
    some = points(noise_px=0.5)
    some[6, 3] += 60
    assert fit(some).worst == 8, "its line: the first is the header"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: found nothing, expected x_mm,y_mm,z_mm,u_px,v_px"),
        ("x,y\n1,2\n", "line 1: found x,y, expected"),
        (",".join(COLUMNS) + "\n1,2,3,4,nan\n", "line 2: found 1,2,3,4,nan, expected 5 numbers"),
        (",".join(COLUMNS) + "\n1,2,3,4,5\n" * 3, "line 3: found x_mm|points: found 3|line"),
    ],
)
def test_a_file_that_is_none_is_one_clear_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_points(file)


def test_points_on_one_line_do_not_tell() -> None:
    some = points()
    some[:, :3] = np.outer(np.linspace(-20, 20, len(some)), (1, 0.5, 0.2))
    with pytest.raises(ConfigError, match="points on one line"):
        fit(some)


def test_the_command_prints_a_part_of_the_device_file(tmp_path: Path) -> None:
    file, device = written(tmp_path / "points.csv", points()), tmp_path / "device.yaml"
    camera = CAMERA.model_dump(mode="json")
    device.write_text(
        f"""
device: test
streams: {{endoscope: {{camera: synthetic, width: 1280, height: 720, fps: 30}}}}
display: endoscope
sensors:
  arm:
    {{sensor: simulator, signal: sine, rate_hz: 100, channels: {{x: {{unit: mm}}, y: {{unit: mm}}, z: {{unit: mm}}}},
      align: {{how: hold, max_age_ms: 50}}}}
tools: {{hook: {{sensor: arm, camera: {camera}}}}}
"""
    )
    done = CliRunner().invoke(app, ["register", str(file), "--device", str(device), "--tool", "hook"])
    assert done.exit_code == 0, done.output
    assert "translation_mm: [12.0, -7.0, 110.0]" in done.output
    wrong = CliRunner().invoke(app, ["register", str(file), "--device", str(device), "--tool", "saw"])
    assert wrong.exit_code != 0
