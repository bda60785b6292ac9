"""Topics of ROS 2 bags, in SQLite or MCAP files, read by `rosbags` (the `ros` extra): no ROS is needed. What the Collaborative
Robotics Toolkit names (CRTK: PSM1/measured_cp, measured_js, measured_cv, jaw/measured_js) are such topics.

A sample's time is its message's own stamp, where it has one, since the bag's beginning, so that topics of one bag stay together.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_S
from inframe.core.errors import ConfigError
from inframe.core.sensor import BagSensor

POSES = ("geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/TransformStamped")
JOINTS = "sensor_msgs/msg/JointState"
_POSE = {
    "geometry_msgs/msg/PoseStamped": ("pose.position", "pose.orientation"),
    "geometry_msgs/msg/TransformStamped": ("transform.translation", "transform.rotation"),
}
UNITS = {"position": "m", "translation": "m", "force": "N", "torque": "Nm", "orientation": "", "rotation": ""}
"""Of a field's parent, as REP 103 has them; joints may be in rad or m."""
MOST = 1 << 26
Get = Callable[[Any], float]


def read_bag(sensor: BagSensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The whole topic: times, (n,) int64, ns since the bag's beginning; values, (n, channels) float64. Raises ConfigError."""
    path = Path(sensor.path)
    try:
        from rosbags.highlevel import AnyReader
    except ImportError:
        raise ConfigError(path, "sensor", "bag, without the package rosbags", "pip install inframe[ros]") from None
    try:
        with AnyReader([path]) as reader:
            rows = list(_rows(path, reader, sensor))
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a parser of foreign files raises is the file's fault
        raise ConfigError(path, "bag", f"{type(error).__name__}: {error}", "a ROS 2 bag, whole") from None
    if not rows:
        raise ConfigError(path, f"topic {sensor.topic}", "no messages", "a topic with messages")
    return np.array([time for time, _ in rows], np.int64), np.array([values for _, values in rows], np.float64)


def _rows(path: Path, reader: Any, sensor: BagSensor) -> Iterator[tuple[int, list[float]]]:
    wanted = [one for one in reader.connections if one.topic.strip("/") == sensor.topic.strip("/")]
    if not wanted:
        raise ConfigError(path, "topic", sensor.topic, f"one of: {', '.join(sorted(reader.topics))}")
    began = reader.start_time
    getters: dict[str, list[Get]] = {}
    for number, (connection, logged, raw) in enumerate(reader.messages(wanted)):
        if number >= MOST:
            raise ConfigError(path, f"topic {sensor.topic}", f"more than {MOST} messages", "fewer")
        message = reader.deserialize(raw, connection.msgtype)
        if connection.msgtype not in getters:
            getters[connection.msgtype] = [_getter(path, name, sensor, connection.msgtype) for name in sensor.channels]
        yield _time(message, logged) - began, [get(message) for get in getters[connection.msgtype]]


def _time(message: Any, logged: int) -> int:
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    own = stamp.sec * NS_PER_S + stamp.nanosec if stamp is not None else 0
    return own or logged


def _getter(path: Path, name: str, sensor: BagSensor, kind: str) -> Get:
    """What takes the channel `name` out of a message."""
    channel = sensor.channels[name]
    source = channel.source or name
    if kind == JOINTS and "." not in source:
        return lambda message: _joint(message, source)
    if kind in _POSE and "." not in source:
        position, rotation = _POSE[kind]
        parent = rotation if source.startswith("q") else position
        source = f"{parent}.{source.removeprefix('q')}"
    parts = source.split(".")
    unit = UNITS.get(parts[-2]) if len(parts) > 1 else None
    if unit is not None and unit != channel.unit:
        raise ConfigError(path, f"channels.{name}.unit", channel.unit, f"{unit!r}, as {kind} has it")

    def get(message: Any) -> float:
        value = message
        for part in parts:
            value = value[int(part)] if part.isdigit() else getattr(value, part, None)
            if value is None:
                raise ConfigError(
                    path, f"channels.{name}", source, f"a field of {kind}, e.g. pose.position.x or position.0"
                )
        return float(value)

    return get


def _joint(message: Any, joint: str) -> float:
    """A joint's position; not a number in a message that does not have it."""
    names = list(message.name)
    at = names.index(joint) if joint in names else len(message.position)
    return float(message.position[at]) if at < len(message.position) else float("nan")
