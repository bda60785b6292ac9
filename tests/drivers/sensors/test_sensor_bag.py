"""ROS 2 bags in CRTK names, written by `rosbags` as a robot's recorder would."""

from pathlib import Path
from typing import Any

import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from inframe.core.clock import ManualClock
from inframe.core.errors import ConfigError
from inframe.core.sensor import BagSensor
from inframe.drivers.sensors import open_sensor
from inframe.drivers.sensors.bag import read_bag
from inframe.drivers.sensors.play import Played
from tests.drivers.check_sensor import check_sensor

STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES: Any = STORE.types
BEGAN = 1_700_000_000 * 10**9
PERIOD = 10_000_000


def header(ns: int) -> Any:
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id="base")


def pose(n: int) -> Any:
    position = TYPES["geometry_msgs/msg/Point"](x=0.01 * n, y=0.2, z=0.3)
    rotation = TYPES["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
    made = TYPES["geometry_msgs/msg/Pose"](position=position, orientation=rotation)
    return TYPES["geometry_msgs/msg/PoseStamped"](header=header(BEGAN + n * PERIOD), pose=made)


def joints(n: int) -> Any:
    import numpy as np

    names = ["yaw", "pitch"] if n != 3 else ["pitch"]
    values = np.array([0.1 * n, -0.1 * n][-len(names) :])
    nothing = np.array([], np.float64)
    return TYPES["sensor_msgs/msg/JointState"](
        header=header(BEGAN + n * PERIOD), name=names, position=values, velocity=nothing, effort=nothing
    )


@pytest.fixture(scope="module", params=["MCAP", "SQLITE3"])
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "robot"
    kinds = {"/PSM1/measured_cp": ("geometry_msgs/msg/PoseStamped", pose)}
    kinds |= {"/PSM1/jaw/measured_js": ("sensor_msgs/msg/JointState", joints)}
    with Writer(path, version=9, storage_plugin=StoragePlugin[request.param]) as writer:
        made = {topic: writer.add_connection(topic, kind, typestore=STORE) for topic, (kind, _) in kinds.items()}
        for n in range(100):
            for topic, (kind, make) in kinds.items():
                writer.write(made[topic], BEGAN + n * PERIOD + 700_000, STORE.serialize_cdr(make(n), kind))
    return path


def config(path: Path, topic: str = "PSM1/measured_cp", **channels: str) -> BagSensor:
    parts = {name: {"unit": unit} for name, unit in (channels or {"x": "m", "qw": ""}).items()}
    values = {"sensor": "bag", "path": str(path), "topic": topic, "rate_hz": 100, "channels": parts}
    return BagSensor.model_validate(values | {"align": {"how": "hold", "max_age_ms": 50}})


def test_a_pose_has_its_own_stamps_and_fields(bag: Path) -> None:
    times, values = read_bag(config(bag))
    assert times.tolist()[:3] == [-700_000, 9_300_000, 19_300_000], "its stamps, since the bag's beginning"
    assert values[5].tolist() == [pytest.approx(0.05), 1.0]


def test_joints_are_found_by_name_and_one_that_is_missing_is_a_gap(bag: Path) -> None:
    _, values = read_bag(config(bag, "/PSM1/jaw/measured_js", yaw="rad", pitch="rad"))
    assert values[2].tolist() == [pytest.approx(0.2), pytest.approx(-0.2)]
    assert values[3][0] != values[3][0]
    assert values[3][1] == pytest.approx(-0.3)


def test_conforms(bag: Path) -> None:
    clock = ManualClock()
    times, values = read_bag(config(bag))
    check_sensor(lambda: Played(times, values, 100, clock, clock.now(), clock.advance), clock, 2)
    open_sensor(config(bag), clock, 0).close()


@pytest.mark.parametrize(
    ("topic", "channels", "said"),
    [
        (
            "PSM2/measured_cp",
            {},
            "topic: found PSM2/measured_cp, expected one of: /PSM1/jaw/measured_js, /PSM1/measured_cp",
        ),
        (
            "PSM1/measured_cp",
            {"x": "mm"},
            "channels.x.unit: found mm, expected 'm', as geometry_msgs/msg/PoseStamped has it",
        ),
        (
            "PSM1/measured_cp",
            {"roll": "m"},
            "channels.roll: found pose.position.roll, expected a field of geometry_msgs",
        ),
    ],
)
def test_what_does_not_fit(bag: Path, topic: str, channels: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_bag(config(bag, topic, **channels))
    assert said in str(caught.value)


def test_a_damaged_bag_is_one_clear_line(bag: Path, tmp_path: Path) -> None:
    data = bytearray(next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3")).read_bytes())
    (tmp_path / "empty.mcap").write_bytes(b"")
    (tmp_path / "noise.mcap").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "cut.mcap").write_bytes(data[: len(data) // 3])
    for name in ("empty", "noise", "cut"):
        with pytest.raises(ConfigError, match="bag: found") as caught:
            read_bag(config(tmp_path / f"{name}.mcap"))
        assert "\n" not in str(caught.value)
