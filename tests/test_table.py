"""The rows that a device file makes: what each process runs, gets and asks of the operating system."""

from typing import Any

import pytest

from inframe.core.config import Device
from inframe.machine.partition import CoreLayout
from inframe.machine.supervise import ProcessSpec
from inframe.resolve import addresses
from inframe.table import PROCESSES, UNSEEN_HANG_MS, layout_of, names, partition_of, spec_of, specs, unseen
from tests.pipeline import script

SIZE = {"width": 64, "height": 48, "fps": 30}


class Anything(dict[str, int]):
    """Shared things, each made up when it is asked for; remembers for what it was asked."""

    def __missing__(self, key: str) -> int:
        self[key] = len(self) + 100
        return self[key]


def device(**changes: Any) -> Device:
    """Two streams, three models in two workers, three screens and a recorder."""
    values: dict[str, Any] = {
        "device": "test",
        "streams": {
            "endoscope": {"camera": "synthetic", **SIZE},
            "room": {"camera": "rtsp", "url": "rtsp://192.0.2.7:8554/live", **SIZE},
        },
        "display": "endoscope",
        "models": {
            "a": script.model(),
            "b": script.model(worker="slow", every=3, engine={"threads": 3}),
            "c": script.model(worker="slow", stream="room", required=False),
        },
        "screens": [{"kind": "none"}, {"kind": "web"}, {"kind": "file", "path": "/x.mkv"}],
        "trail": {"folder": "/trail"},
        "recording": {"folder": "/recordings"},
        "cores": {"real_time": [2, 3], "background": [0, 1]},
    }
    return Device.model_validate(values | changes)


def rows(one: Device) -> dict[str, ProcessSpec]:
    return {spec.name: spec for spec in specs(one, Anything())}


EXPECTED = (
    "display",
    "capture.endoscope",
    "capture.room",
    "worker.slow",
    "worker.worker",
    "recorder",
    "recording",
    "console.1",
    "screen.2",
)


def test_the_processes_of_a_device() -> None:
    assert names(device()) == EXPECTED
    assert tuple(rows(device())) == EXPECTED
    small = names(device(models={}, screens=[{"kind": "none"}], trail=None, recording=None))
    assert small == ("display", "capture.endoscope", "capture.room")


def test_each_row_runs_what_its_role_says() -> None:
    for name, spec in rows(device()).items():
        role = PROCESSES[name.partition(".")[0]]
        assert (spec.target, spec.restarts, spec.critical, spec.hang_ms) == (
            role.target,
            role.restarts,
            role.critical,
            role.hang_ms,
        )
        assert spec.args["rows"] == ["device", *EXPECTED]
        assert Device.model_validate(spec.args["device"]) == device()
    assert [name for name, spec in rows(device()).items() if spec.critical] == ["display"]


def asked(name: str) -> dict[str, str]:
    """Under which name a process gets which shared thing."""
    shared = Anything()
    spec = next(spec for spec in specs(device(), shared) if spec.name == name)
    by_fd = {fd: key for key, fd in shared.items()}
    return {key: by_fd[fd] for key, fd in spec.fds.items()}


COMMON = {"board": "board", "notes": "notes"}
WIRED: dict[str, dict[str, str]] = {
    "display": {
        "frames": "frames.endoscope.read",
        "screen": "screen",
        "records": "records",
        "wake": "wake.display",
        "results.a": "results.a.read",
        "results.b": "results.b.read",
        "wake.console.1": "wake.console.1",
        "wake.screen.2": "wake.screen.2",
        "status": "status",
    },
    "capture.room": {"ring": "frames.room", "wake.worker.slow": "wake.worker.slow"},
    "worker.slow": {
        "wake": "wake.worker.slow",
        "wake.display": "wake.display",
        "results.b": "results.b",
        "results.c": "results.c",
        "ring.endoscope": "frames.endoscope.read",
        "ring.room": "frames.room.read",
    },
    "worker.worker": {
        "wake": "wake.worker.worker",
        "wake.display": "wake.display",
        "results.a": "results.a",
        "ring.endoscope": "frames.endoscope.read",
    },
    "recorder": {
        "records": "records.read",
        "happened": "happened.read",
        "frames": "frames.endoscope.read",
        "results.a": "results.a.read",
        "results.b": "results.b.read",
    },
    "recording": {
        "records": "records.read",
        "status": "status.read",
        "frames": "frames.endoscope.read",
        "results.a": "results.a.read",
        "results.b": "results.b.read",
    },
    "console.1": {
        "frames": "screen.read",
        "raw": "frames.endoscope.read",
        "records": "records.read",
        "happened": "happened.read",
        "wake": "wake.console.1",
        "listener": "listener.console.1",
    },
    "screen.2": {"frames": "screen.read", "wake": "wake.screen.2"},
}


@pytest.mark.parametrize("name", WIRED)
def test_what_each_process_gets_of_the_shared_things(name: str) -> None:
    assert asked(name) == WIRED[name] | COMMON


def test_the_displays_camera_wakes_its_models_and_perhaps_the_display() -> None:
    found = asked("capture.endoscope")
    assert found["ring"] == "frames.endoscope"
    wakes = {key for key in found if key.startswith("wake.")}
    assert (
        {"wake.worker.slow", "wake.worker.worker"}
        <= wakes
        <= {"wake.worker.slow", "wake.worker.worker", "wake.display"}
    )
    assert all(found[key] == key for key in wakes)


def test_each_ring_has_one_writer() -> None:
    """What is written by two would be damaged; what is read gets a descriptor that can't write."""
    writers: dict[str, list[str]] = {}
    for name in EXPECTED:
        for thing in asked(name).values():
            if thing.startswith(("frames.", "results.", "screen", "records")) and not thing.endswith(".read"):
                writers.setdefault(thing, []).append(name)
    assert writers == {
        "frames.endoscope": ["capture.endoscope"],
        "frames.room": ["capture.room"],
        "results.a": ["worker.worker"],
        "results.b": ["worker.slow"],
        "results.c": ["worker.slow"],
        "screen": ["display"],
        "records": ["display"],
    }


def placed(bit: int) -> dict[str, int]:
    return {"place": 0, "bit": bit}


def test_the_arguments_of_each() -> None:
    args = {
        name: {k: v for k, v in spec.args.items() if k not in ("device", "rows")}
        for name, spec in rows(device()).items()
    }
    salted = args.pop("recorder")
    assert {key: len(str(salted[key])) for key in ("procedure", "salt")} == {"procedure": 32, "salt": 64}
    assert set(salted) == {"procedure", "salt", "clock_state"}
    assert rows(device())["recorder"].args["salt"] != salted["salt"], "each start is a procedure with a salt of its own"
    recording = args.pop("recording")
    assert set(recording) == {"procedure", "started"}
    one = rows(device())
    assert one["recording"].args["procedure"] == one["recorder"].args["procedure"], "one procedure has one id"
    assert args["display"]["models"] == ["a", "b"]
    alone: dict[str, object] = {"sensors": [], "asides": []}
    slow = {"models": ["b", "c"], "streams": ["endoscope", "room"], "threads": 3, **alone}
    assert args["worker.slow"] == {**slow, **placed(0)}
    assert args["worker.worker"] == {"models": ["a"], "streams": ["endoscope"], "threads": 1, **alone, **placed(1)}
    assert args["capture.room"] == {"stream": "room", "readers": ["display", "worker.slow"]}
    assert args["capture.endoscope"]["recording"] == "recording"
    assert (args["console.1"], args["screen.2"]) == ({"screen": 1}, {"screen": 2})


def test_only_the_camera_on_the_network_and_the_page_have_one() -> None:
    networks = {name: spec.partition.network for name, spec in rows(device()).items()}
    assert networks == dict.fromkeys(EXPECTED, "none") | {"capture.room": "camera", "console.1": "loopback"}
    reach = {name: spec.partition.addresses for name, spec in rows(device()).items()}
    assert reach.pop("capture.room") == {("192.0.2.7", 8554)} == addresses(device().streams["room"])
    assert set(reach.values()) == {frozenset()}


PATH = ("display", "capture.endoscope", "capture.room", "worker.slow", "worker.worker")


def test_the_frame_path_is_real_time_and_the_rest_beside_it() -> None:
    found = {name: spec.partition for name, spec in rows(device()).items()}
    for name, partition in found.items():
        assert partition.scheduling == ("fifo" if name in PATH else "other")
        assert partition.lock_memory == (name in PATH)
        assert partition.cores <= (frozenset({2, 3}) if name in PATH else frozenset({0, 1}))
        assert partition.memory_limit_mb == (2048 if name.startswith("worker") else None)
    assert found["display"].cores == found["capture.room"].cores == {3}
    assert found["worker.slow"].cores == found["worker.worker"].cores == {2}
    assert found["display"].priority > found["capture.endoscope"].priority > found["worker.worker"].priority > 0
    assert found["recorder"].priority == 0


def test_a_slow_models_worker_may_be_silent_for_longer() -> None:
    models = {"a": script.model(budget_ms=400), "b": script.model(budget_ms=50), "c": script.model(worker="quick")}
    found = {name: spec.hang_ms for name, spec in rows(device(models=models)).items()}
    assert found["worker.worker"] == 900
    assert found["worker.quick"] == found["display"] == PROCESSES["worker"].hang_ms


def test_a_worker_that_no_picture_depends_on_gives_way() -> None:
    models = {"a": script.model(), "b": script.model(worker="beside", required=False)}
    found = {name: spec.partition.priority for name, spec in rows(device(models=models)).items()}
    assert found["worker.beside"] < found["worker.worker"]
    assert rows(device())["worker.slow"].partition.priority == found["worker.worker"], "one of its models is required"


@pytest.mark.parametrize(
    ("real_time", "picture", "models"),
    [({5}, {5}, {5}), ({2, 3}, {3}, {2}), ({1, 2, 3, 7}, {7}, {1, 2, 3})],
)
def test_the_models_never_share_the_pictures_core_where_there_are_more(
    real_time: set[int], picture: set[int], models: set[int]
) -> None:
    one = device(cores={"real_time": sorted(real_time), "background": [0]})
    layout = layout_of(one)
    assert layout == CoreLayout(frozenset(real_time), frozenset({0}), shared=False)
    assert partition_of(one, "display", "", layout).cores == picture
    assert partition_of(one, "capture", "endoscope", layout).cores == picture
    assert partition_of(one, "worker", "worker", layout).cores == models


def test_on_two_cores_the_display_does_not_take_turns_with_the_models() -> None:
    layout = CoreLayout(frozenset({1}), frozenset({0}), shared=False, display=frozenset({0}))
    found = {kind: partition_of(device(), kind, "worker", layout) for kind in ("display", "worker", "recorder")}
    assert found["display"].cores == found["recorder"].cores == {0}
    assert found["worker"].cores == {1}
    assert found["display"].priority > found["worker"].priority > found["recorder"].priority


def test_cores_in_both_halves_are_shared() -> None:
    assert layout_of(device(cores={"real_time": [0, 1], "background": [1]})).shared


def test_without_real_time_nothing_is_asked_but_limits_and_the_closed_network() -> None:
    for name, spec in rows(device(real_time=False)).items():
        partition = spec.partition
        assert (partition.scheduling, partition.priority, partition.cores, partition.lock_memory) == (
            "other",
            0,
            frozenset(),
            False,
        )
        assert partition.network == {"capture.room": "camera", "console.1": "loopback"}.get(name, "none")
        assert partition.memory_limit_mb == (2048 if name.startswith("worker") else None)
    assert rows(device(real_time=False))["capture.room"].partition.addresses


def test_with_update_each_worker_has_two_places_of_which_one_is_started() -> None:
    one, shared = device(candidate={}), Anything()
    added = {"worker.slow.b", "worker.worker.b", "shadow"}
    assert set(names(one)) == {*EXPECTED, *added}
    started = {spec.name: spec for spec in specs(one, shared)}
    assert set(started) == set(EXPECTED)
    by_fd = {fd: key for key, fd in shared.items()}
    wired = {name: {key: by_fd[fd] for key, fd in spec.fds.items()} for name, spec in started.items()}
    for name in ("display", "recorder", "recording"):
        assert wired[name]["results.a.b"] == "results.a.b.read"
    assert wired["capture.endoscope"]["wake.worker.worker.b"] == "wake.worker.worker.b"
    assert started["capture.endoscope"].args["readers"] == ["display", "worker.slow", "worker.worker"]
    assert "results.b.b" not in wired["worker.slow"]


def test_a_place_is_wired_to_its_own_rings() -> None:
    one, shared = device(candidate={}), Anything()
    spec = spec_of(one, "worker.slow.b", shared)
    by_fd = {fd: key for key, fd in shared.items()}
    assert {by_fd[fd] for fd in spec.fds.values()} >= {
        "results.b.b",
        "results.c.b",
        "wake.worker.slow.b",
        "wake.display",
    }
    assert not {"results.b", "results.c"} & {by_fd[fd] for fd in spec.fds.values()}
    assert {key: spec.args[key] for key in ("models", "place", "bit")} == {"models": ["b", "c"], "place": 1, "bit": 0}
    assert spec.partition == spec_of(one, "worker.slow", shared).partition
    behind = unseen(spec)
    assert (behind.partition.scheduling, behind.partition.priority) == ("other", 0)
    assert (behind.partition.cores, behind.partition.lock_memory) == (spec.partition.cores, spec.partition.lock_memory)
    assert behind.hang_ms == UNSEEN_HANG_MS


SENSOR = {
    "sensor": "simulator",
    "signal": "force",
    "rate_hz": 1000,
    "channels": {"f": {"unit": "N"}},
    "align": {"how": "hold", "max_age_ms": 50},
}


def test_a_sensor_has_a_process_of_its_own_beside_the_frame_path() -> None:
    one = device(sensors={"force": SENSOR, "torque": SENSOR})
    assert [name for name in names(one) if name.startswith("sensor.")] == ["sensor.force", "sensor.torque"]
    found = rows(one)
    partition = found["sensor.force"].partition
    assert partition.cores == frozenset({0, 1})
    assert (partition.scheduling, partition.network) == ("fifo", "none")
    assert partition.priority < found["worker.worker"].partition.priority < found["display"].partition.priority
    assert found["sensor.force"].args["stream"] == "force"
    assert {"ring", "board", "notes"} == set(found["sensor.force"].fds)
    for reader in ("display", "recording"):
        assert {"samples.force", "samples.torque"} <= set(found[reader].fds)
    assert not found["sensor.force"].critical
