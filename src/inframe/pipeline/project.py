"""Where a tool's tip is in the picture: from the pose that a sensor knows, through the camera's calibration. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from inframe.core.guidance import UNITS_MM, Camera, Tool
from inframe.core.samples import Aligned, Samples
from inframe.core.sensor import SensorBase

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
NEAREST_MM = 1.0
"""Nearer to the camera, or behind it, nothing is projected."""


@dataclass(frozen=True, slots=True)
class Tip:
    """A tip in the picture."""

    x: float
    y: float
    """Pixels; outside of the picture too."""
    depth_mm: float
    """Along the camera's axis."""
    mm_px: float
    """Millimetres across the line of sight for one pixel, at the tip."""
    error_px: float
    """How far off it may be: the calibration's error and the tool's."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Which of a stream's values are a position and a rotation."""

    stream: str
    position: tuple[int, int, int]
    rotation: tuple[int, ...]
    """x y z w; empty: the stream has none."""
    scale_mm: float

    def of(self, said: Aligned) -> tuple[Vector, Quaternion]:
        """The position in mm, and the rotation."""
        x, y, z = (said.values[i] * self.scale_mm for i in self.position)
        a, b, c, d = (said.values[i] for i in self.rotation) if self.rotation else (0.0, 0.0, 0.0, 1.0)
        return (x, y, z), (a, b, c, d)


@dataclass(frozen=True, slots=True)
class Guide:
    """One tool, worked out."""

    pose: Pose
    carrier: Pose | None
    """Of the arm that moves the camera; None: the camera stands still."""
    tool: Tool

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of samples without which its tip is not known."""
        return (self.pose.stream,) if self.carrier is None else (self.pose.stream, self.carrier.stream)


def guides_of(tools: Mapping[str, Tool], sensors: Mapping[str, SensorBase]) -> dict[str, Guide]:
    """The tools of a device file, by name."""

    def pose_of(stream: str, tool: Tool) -> Pose:
        sensor = sensors[stream]
        order = list(sensor.channels)
        x, y, z = (order.index(channel) for channel in tool.position)
        rotation = tuple(order.index(channel) for channel in sensor.rotation or ())
        return Pose(stream, (x, y, z), rotation, UNITS_MM[sensor.channels[tool.position[0]].unit])

    return {
        name: Guide(pose_of(tool.sensor, tool), pose_of(tool.carrier, tool) if tool.carrier else None, tool)
        for name, tool in tools.items()
    }


def tip_of(guide: Guide, samples: Samples) -> Tip | None:
    """The tip at the moment of the samples; None where a sensor of its has no value, or it is not before the camera."""
    said, tool = samples.get(guide.pose.stream), guide.tool
    if not isinstance(said, Aligned):
        return None
    at, turn = guide.pose.of(said)
    if any(tool.tip_mm):
        at = _sum(at, rotate(turn, tool.tip_mm))
    if guide.carrier is not None:
        held = samples.get(guide.carrier.stream)
        if not isinstance(held, Aligned):
            return None
        at = within(*guide.carrier.of(held), at)
    return project(tool.camera, _sum(rotate(tool.rotation, at), tool.translation_mm), tool.error_mm)


def within(origin: Vector, turn: Quaternion, at: Vector) -> Vector:
    """A point in the axes of something that is at `origin`, turned by `turn`."""
    x, y, z, w = turn
    return rotate((-x, -y, -z, w), (at[0] - origin[0], at[1] - origin[1], at[2] - origin[2]))


def project(camera: Camera, at_mm: Vector, error_mm: float = 0.0) -> Tip | None:
    """A point in the camera's axes (x to the right, y down, z ahead), as OpenCV's projectPoints has it."""
    x, y, z = at_mm
    if z < NEAREST_MM:
        return None
    u, v = x / z, y / z
    k1, k2, p1, p2, k3 = camera.distortion
    r2 = u * u + v * v
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    du = u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)
    dv = v * radial + p1 * (r2 + 2 * v * v) + 2 * p2 * u * v
    mm_px = z / camera.fx
    return Tip(
        camera.fx * du + camera.cx, camera.fy * dv + camera.cy, z, mm_px, math.hypot(camera.error_px, error_mm / mm_px)
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    """`v` turned by the unit quaternion x y z w."""
    x, y, z, w = q
    a, b, c = v
    tx, ty, tz = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return (a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx)


def _sum(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
