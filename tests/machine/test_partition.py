import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.machine import kernel
from inframe.machine.partition import DMA_LATENCY, CoreLayout, Partition, apply, begin, cores_for, cpu_list
from tests.machine.conftest import Start

LAST = max(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scheduling": "rr"}, "found 'rr'"),
        ({"scheduling": "fifo"}, "found 0, expected 1 to 99"),
        ({"scheduling": "fifo", "priority": 100}, "found 100, expected 1 to 99"),
        ({"scheduling": "other", "priority": 5}, "found 5, expected 0 to 0"),
        ({"memory_limit_mb": 0}, "found 0, expected more than 0"),
        ({"network": "internet"}, "found 'internet'"),
        ({"network": "camera"}, "found 0, expected some"),
        ({"network": "none", "addresses": frozenset({("127.0.0.1", 1)})}, "found 1, expected some with network camera"),
    ],
)
def test_a_partition_that_contradicts_itself_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Partition(**fields)  # type: ignore[arg-type]


@given(st.frozensets(st.integers(0, 255)), st.integers(1, 99), st.none() | st.integers(1, 10**6), st.booleans())
def test_a_partition_survives_json(cores: frozenset[int], priority: int, limit: int | None, lock: bool) -> None:
    for network in ("none", "camera"):
        addresses = frozenset({("10.0.0.1", 554), ("fe80::1", 8554)}) if network == "camera" else frozenset()
        one = Partition("fifo", priority, cores, lock, limit, network, addresses)
        assert Partition.from_json(one.to_json()) == one


def _set(*cpus: int) -> frozenset[int]:
    return frozenset(cpus)


@pytest.mark.parametrize(
    ("allowed", "isolated", "siblings", "expected"),
    [
        ([0], [], {}, CoreLayout(_set(0), _set(0), shared=True)),
        ([3], [3], {}, CoreLayout(_set(3), _set(3), shared=True)),
        ([0, 1], [], {}, CoreLayout(_set(1), _set(0), shared=False, display=_set(0))),
        ([0, 1], [], {0: _set(0, 1), 1: _set(0, 1)}, CoreLayout(_set(1), _set(0), shared=False, display=_set(0))),
        ([0, 1], [1], {}, CoreLayout(_set(1), _set(0), shared=False)),
        ([0, 1, 2], [], {}, CoreLayout(_set(2), _set(0, 1), shared=False, display=_set(1))),
        ([0, 1, 2, 3], [], {}, CoreLayout(_set(2, 3), _set(0, 1), shared=False)),
        ([0, 1, 2, 3], [1], {}, CoreLayout(_set(1), _set(0, 2, 3), shared=False)),
        ([0, 1], [0, 1], {}, CoreLayout(_set(1), _set(0), shared=False, display=_set(0))),
        # hardware threads as Intel numbers them: 0 and 2 are one core
        (
            [0, 1, 2, 3],
            [],
            {c: _set(c % 2, c % 2 + 2) for c in range(4)},
            CoreLayout(_set(1, 3), _set(0, 2), shared=False),
        ),
    ],
)
def test_core_layout(
    allowed: list[int], isolated: list[int], siblings: dict[int, frozenset[int]], expected: CoreLayout
) -> None:
    assert cores_for(allowed, isolated, siblings) == expected


@given(st.sets(st.integers(0, 63), min_size=1), st.sets(st.integers(0, 63)), st.sampled_from([1, 2, 4]))
def test_core_layout_shares_nothing_and_leaves_nothing_over(allowed: set[int], isolated: set[int], width: int) -> None:
    siblings = {cpu: frozenset(range(cpu - cpu % width, cpu - cpu % width + width)) for cpu in allowed}
    layout = cores_for(allowed, isolated, siblings)
    assert layout.real_time
    assert layout.background
    assert layout.real_time | layout.background == allowed
    assert layout.shared == bool(layout.real_time & layout.background) == (len(allowed) == 1)


def test_core_layout_of_no_core_is_refused() -> None:
    with pytest.raises(ValueError, match="found no core"):
        cores_for([])


def test_core_layout_of_this_machine() -> None:
    layout = cores_for()
    assert layout.real_time | layout.background == os.sched_getaffinity(0)


@pytest.mark.parametrize(("text", "cpus"), [("", set()), ("0", {0}), ("0,2-4\n", {0, 2, 3, 4}), ("7-7", {7})])
def test_cpu_list(text: str, cpus: set[int]) -> None:
    assert cpu_list(text) == cpus


def test_each_request_stands_or_is_reported(start: Start) -> None:
    found = start("partition", Partition("fifo", 42, frozenset({LAST}), True, 2000)).answer()
    gave_up = found["gave_up"]
    asleep = "cores that don't sleep"
    assert set(gave_up) <= {asleep, "killed last when memory runs out", "locked memory", "real-time priority"}
    assert (str(DMA_LATENCY) in found["held"]) == (asleep not in gave_up)
    assert (found["policies"], found["priorities"]) == (
        ([os.SCHED_OTHER] * 2, [0, 0]) if "real-time priority" in gave_up else ([os.SCHED_FIFO] * 2, [42, 42])
    )
    assert (found["status"]["VmLck"] == "0 kB") == ("locked memory" in gave_up)
    assert found["oom"] == (0 if "killed last when memory runs out" in gave_up else -500)
    assert found["cores"] == [[LAST], [LAST]]
    assert found["status"]["NoNewPrivs"] == "1"
    assert found["status"]["Seccomp"] == "2"
    assert found["slack_ns"] == (1 if "real-time priority" in gave_up else 0)  # a real-time task has none
    assert not found["gc"]
    assert found["frozen"] > 1000
    assert found["mapped_later"] == ""  # locking never makes a later mapping fail


def test_background_processes_are_idle_and_killed_first(start: Start) -> None:
    found = start("partition", Partition("idle")).answer()
    assert found["gave_up"] == {}
    assert set(found["policies"]) == {os.SCHED_IDLE}
    assert str(DMA_LATENCY) not in found["held"]
    assert found["oom"] == 500


def test_cores_that_are_not_ours_are_reported(start: Start) -> None:
    found = start("partition", Partition(cores=frozenset({1023}))).answer()
    assert "1023" in found["gave_up"]["own cores"]


def test_memory_beyond_the_limit_is_an_error_of_that_process_only(start: Start) -> None:
    found = start("memory", Partition(memory_limit_mb=300), {"bytes": 600 << 20}).answer()
    assert found == {"gave_up": {}, "allocate": "MemoryError", "map_shared": "", "allocate_little": ""}


def test_without_a_limit_the_same_allocation_succeeds(start: Start) -> None:
    assert start("memory", Partition(), {"bytes": 600 << 20}).answer()["allocate"] == ""


def test_a_memory_limit_below_what_is_in_use_is_reported(start: Start) -> None:
    found = start("memory", Partition(memory_limit_mb=1), {"bytes": 1 << 20}).answer()
    assert "in use already" in found["gave_up"]["memory limit"]


def test_a_socket_held_by_a_process_without_a_network_is_reported(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = start("lock_down_only", fds={"listening": listening.fileno()}).answer()
    assert "open AF_INET socket" in found["network closed"]


def test_the_console_may_listen_on_loopback_only(start: Start) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening:  # noqa: S104  # the mistake to be reported
        found = start("lock_down_only", Partition(network="loopback"), fds={"listening": listening.fileno()}).answer()
    assert "at ('0.0.0.0', " in found["network closed"]


@pytest.mark.skipif(int(kernel.status_of("self", "CapEff"), 16) == 0, reason="only root can become another user")
def test_another_user_gives_up_and_goes_on() -> None:
    """Forked, not started: the interpreter may lie where that user can't read it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        exit_code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            wanted = Partition("fifo", 10, frozenset({LAST}), True, 8000)
            os.write(writing, "\n".join(one.what for one in (*begin(wanted), *apply(wanted))).encode())
            exit_code = 0
        finally:
            os._exit(exit_code)
    os.close(writing)
    with os.fdopen(reading) as answers:
        gave_up = answers.read().splitlines()
    assert os.waitpid(pid, 0)[1] == 0
    assert "killed last when memory runs out" in gave_up
    # limits may be raised for everyone, and the test's own process may hold a socket
    assert set(gave_up) <= {
        "cores that don't sleep",
        "network closed",
        "killed last when memory runs out",
        "locked memory",
        "real-time priority",
    }
