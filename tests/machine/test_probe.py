from pathlib import Path
from typing import Any

import pytest

from inframe.core.errors import DeviceFault
from inframe.machine import kernel, probe
from inframe.machine.partition import CoreLayout


def test_all_rows_of_this_machine(tmp_path: Path) -> None:
    rows = probe.rows(tmp_path, wakeups=20)
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    by_name = {row.name: row for row in rows}
    assert by_name["closing the network"].status == "OK"
    assert by_name["memory files"].status == "OK"
    assert by_name["disk sync"].status in ("OK", "WARN")
    assert "20 sleeps" in by_name["wake-up latency"].found
    assert list(tmp_path.iterdir()) == []
    for row in rows:
        assert row.found
        assert row.advice or row.status not in ("WARN", "FAIL")


def _answers(**changed: Any) -> dict[str, Any]:
    real_time = {"gave_up": [], "late_ns": [1000], "inet": "EACCES", "allowed": "ECONNREFUSED", "other": "EACCES"}
    closed = {"gave_up": [], "late_ns": [], "inet": "EAFNOSUPPORT", "allowed": "EAFNOSUPPORT", "other": "EAFNOSUPPORT"}
    return {"real_time": {**real_time, **changed}, "closed": closed}


def _statuses(answers: dict[str, Any]) -> dict[str, str]:
    return {row.name: row.status for row in probe.tried_real_time(answers)}


def test_everything_granted() -> None:
    assert set(_statuses(_answers()).values()) == {"OK"}


def test_what_was_given_up_is_a_warning() -> None:
    statuses = _statuses(_answers(gave_up=[["real-time priority", "RLIMIT_RTPRIO is 0"]]))
    assert statuses["real-time priority"] == "WARN"
    assert statuses["locked memory"] == "OK"


def test_an_open_network_is_a_failure() -> None:
    answers = _answers()
    answers["closed"]["inet"] = ""
    assert _statuses(answers)["closing the network"] == "FAIL"


@pytest.mark.parametrize(
    ("allowed", "other", "status"),
    [
        ("", "EACCES", "OK"),
        ("EAFNOSUPPORT", "EAFNOSUPPORT", "WARN"),
        ("ECONNREFUSED", "ECONNREFUSED", "FAIL"),
        ("", "", "FAIL"),
    ],
)
def test_the_cameras_address(allowed: str, other: str, status: str) -> None:
    assert _statuses(_answers(allowed=allowed, other=other))["a camera's address only"] == status


def test_a_machine_that_starts_no_process_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_spec: object) -> None:
        raise DeviceFault("no memory")

    monkeypatch.setattr(probe, "launch", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    rows = probe.tried_real_time(probe._try(CoreLayout(frozenset({0}), frozenset({0}), shared=True), 1))
    assert [(row.status, row.found) for row in rows] == [("FAIL", "no memory")]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_wake_up_latency() -> None:
    assert probe.wake_up([], ordinary=False).status == "SKIP"
    assert probe.wake_up([20_000] * 1000, ordinary=False).found.startswith("p50 20, p99 20, max 20 us of 1000")
    late = probe.wake_up([20_000] * 999 + [1_500_000], ordinary=True)
    assert (late.status, "max 1500" in late.found, "ordinary" in late.found) == ("WARN", True, True)


def test_one_core_is_a_warning() -> None:
    assert probe.cores(CoreLayout(frozenset({0}), frozenset({0}), shared=True)).status == "WARN"


@pytest.mark.parametrize(("state", "status"), [(None, "SKIP"), (kernel.CLOCK_UNSYNCHRONIZED, "SKIP"), (0, "OK")])
def test_wall_clock(state: int | None, status: str) -> None:
    assert probe.wall_clock(state).status == status


def test_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    (row,) = probe.disk(tmp_path / "absent")
    assert row.status == "FAIL"
    assert "absent" in row.found
