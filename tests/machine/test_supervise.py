"""The rules with a clock of their own and processes that are only pretended; then a few real ones."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.errors import DeviceFault
from inframe.machine import launch as real
from inframe.machine.partition import Partition
from inframe.machine.supervise import (
    END_NS,
    REFUSED_INPUT,
    Action,
    Notice,
    Process,
    ProcessSpec,
    ProcessState,
    Restarts,
    Supervisor,
    decide,
    died,
    exit_reason,
)

SPEC = ProcessSpec("worker", "a:b", restarts=Restarts(limit=3, within_s=10, backoff_ms=100), hang_ms=200, setup_ms=5000)


class Fake:
    """A process that ends when the test says so."""

    def __init__(self, pid: int, deaf: bool = False) -> None:
        self.pid, self.deaf = pid, deaf
        self.exit_code: int | None = None
        self.signals: list[int] = []
        self.closed = False
        self.wants: list[str] = []

    def poll(self) -> int | None:
        return self.exit_code

    def wait(self, timeout_s: float) -> bool:
        return self.exit_code is not None

    def send(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL or not self.deaf:
            self.exit_code = -number

    def refused(self) -> Sequence[str]:
        taken, self.wants = self.wants, []
        return taken

    def close(self) -> None:
        self.closed = True


class World:
    """A supervisor over fakes."""

    def __init__(self, *specs: ProcessSpec) -> None:
        self.clock = ManualClock()
        self.started: list[str] = []
        self.fakes: dict[str, Fake] = {}
        self.notices: list[Notice] = []
        self.beats: dict[str, int] = {}
        self.can_start = True
        self.deaf: set[str] = set()
        self.supervisor = Supervisor(
            specs, self.clock, self.launch, self.notices.append, lambda name: self.beats.get(name, 0)
        )

    def launch(self, spec: ProcessSpec) -> Process:
        if not self.can_start:
            raise DeviceFault("no memory")
        self.started.append(spec.name)
        self.fakes[spec.name] = Fake(100 + len(self.started), spec.name in self.deaf)
        return self.fakes[spec.name]

    def kinds(self, name: str = "worker") -> list[str]:
        return [notice.kind for notice in self.notices if notice.name == name]

    def step(self, ms: int = 0) -> None:
        self.clock.advance(ms * NS_PER_MS)
        self.supervisor.reconcile()


def test_starts_what_is_missing_in_the_tables_order_once() -> None:
    world = World(replace(SPEC, name="a", hang_ms=None), replace(SPEC, name="b", hang_ms=None))
    world.step()
    world.step()
    world.step(10_000)
    assert world.started == ["a", "b"]
    assert world.supervisor.pid("a") == 101


def test_the_first_restart_is_immediate_and_the_next_wait_longer_each_time() -> None:
    world = World(SPEC)
    world.step()
    starts = []
    for _ in range(4):
        world.fakes["worker"].exit_code = -9
        before, died_at = len(world.started), world.clock.now()
        while len(world.started) == before and world.kinds()[-1] != "gave_up":
            world.step(10)
        starts.append((world.clock.now() - died_at) // NS_PER_MS)
    assert starts == [10, 110, 210, 10]  # seen after 10 ms; then 0, 100 and 200 ms of waiting; then given up
    assert world.kinds() == ["started", *["died", "started"] * 3, "died", "gave_up"]
    assert world.supervisor.over() == (SPEC,)
    assert world.supervisor.pid("worker") is None


def test_deaths_long_ago_do_not_count() -> None:
    world = World(replace(SPEC, hang_ms=None))
    world.step()
    for _ in range(20):
        world.fakes["worker"].exit_code = 70
        world.step(10_001)
    assert len(world.started) == 21
    assert world.supervisor.over() == ()


def test_a_hanging_process_is_killed_and_started_again() -> None:
    world = World(SPEC)
    world.step()
    world.beats["worker"] = world.clock.now() + 1
    world.step(200)
    assert world.kinds() == ["started"]
    world.step(1)
    assert world.fakes["worker"].signals == [signal.SIGKILL]
    assert world.notices[-1].detail == "no heartbeat for 200 ms: killed"
    world.step()
    assert world.kinds() == ["started", "hung", "died", "started"]
    world.step(4999)  # the old heartbeat is not the new process's
    assert world.kinds()[-1] == "started"


def test_a_kill_that_takes_long_is_sent_once() -> None:
    world = World(SPEC)
    world.step()
    world.step(5001)
    world.fakes["worker"].exit_code = None  # stuck in a driver
    world.step(1000)
    assert world.fakes["worker"].signals == [signal.SIGKILL]


def test_a_setup_that_never_ends_is_killed() -> None:
    world = World(SPEC)
    world.step()
    world.step(5000)
    assert world.kinds() == ["started"]
    world.step(1)
    assert world.kinds() == ["started", "hung"]


def test_finished_is_not_started_again() -> None:
    world = World(SPEC)
    world.step()
    world.fakes["worker"].exit_code = 0
    world.step()
    world.step(60_000)
    assert world.kinds() == ["started", "finished"]
    assert world.fakes["worker"].closed


def test_refused_input_is_given_up_at_once() -> None:
    world = World(SPEC)
    world.step()
    world.fakes["worker"].exit_code = REFUSED_INPUT
    world.step()
    world.step(60_000)
    assert world.kinds() == ["started", "died", "gave_up"]


def test_a_machine_that_cannot_start_a_process_is_a_death_like_any_other() -> None:
    world = World(SPEC)
    world.can_start = False
    for _ in range(100):
        world.step(20)
    assert world.kinds() == ["died"] * 4 + ["gave_up"]
    assert "no memory" in world.notices[0].detail


def test_refused_connections_are_told() -> None:
    world = World(SPEC)
    world.step()
    world.fakes["worker"].wants = ["AF_INET 8.8.8.8 port 53"]
    world.step()
    world.step()
    assert [(n.kind, n.detail) for n in world.notices[1:]] == [("refused", "AF_INET 8.8.8.8 port 53")]


def test_stop_ends_all_in_reverse_order_and_kills_the_deaf() -> None:
    rows = [replace(SPEC, name=name) for name in "abc"]
    world = World(*rows)
    world.deaf = {"b"}
    world.step()
    assert world.supervisor.stop(0.0) == ("b",)
    assert [world.fakes[name].signals for name in "abc"] == [[15], [15, 9], [15]]
    assert all(fake.closed for fake in world.fakes.values())
    assert world.supervisor.stop(0.0) == ()
    with pytest.raises(RuntimeError, match="after stop"):
        world.supervisor.reconcile()


def test_two_rows_of_one_name_are_refused() -> None:
    with pytest.raises(RuntimeError, match="one name"):
        World(SPEC, SPEC)


STATES = st.builds(
    ProcessState,
    running=st.booleans(),
    killed=st.booleans(),
    over=st.booleans(),
    started_ns=st.integers(0, 100 * NS_PER_S),
    deaths_ns=st.lists(st.integers(0, 100 * NS_PER_S), max_size=8).map(lambda deaths: tuple(sorted(deaths))),
)


@given(STATES, st.integers(0, 100 * NS_PER_S), st.integers(100 * NS_PER_S, 200 * NS_PER_S))
def test_decide(state: ProcessState, beat_ns: int, now: int) -> None:
    action = decide(SPEC, state, beat_ns, now)
    recent = [death for death in state.deaths_ns if now - death < 10 * NS_PER_S]
    if state.over:
        assert action is Action.NOTHING
    elif state.running:
        silent = now - max(beat_ns, state.started_ns)
        assert action in (Action.NOTHING, Action.KILL)
        if action is Action.KILL:
            assert not state.killed
            assert silent > 200 * NS_PER_MS
        elif not state.killed and beat_ns > state.started_ns:
            assert silent <= 200 * NS_PER_MS
    else:
        assert (action is Action.GIVE_UP) == (len(recent) > 3)
        assert action is not Action.KILL
        if not recent:
            assert action is Action.START


@given(STATES, st.integers(100 * NS_PER_S, 200 * NS_PER_S))
def test_a_row_that_is_not_given_up_is_started_in_the_end(state: ProcessState, now: int) -> None:
    waiting = replace(state, running=False, over=False)
    if decide(SPEC, waiting, 0, now) is Action.NOTHING:
        assert decide(SPEC, waiting, 0, now + 10 * NS_PER_S) is Action.START


@given(STATES, st.integers(-64, 255), st.integers(100 * NS_PER_S, 200 * NS_PER_S))
def test_died(state: ProcessState, exit_code: int, now: int) -> None:
    after = died(SPEC, state, exit_code, now)
    assert not after.running
    assert after.over == (exit_code in (0, REFUSED_INPUT))
    assert after.deaths_ns[-1] == now
    assert len(after.deaths_ns) <= len(state.deaths_ns) + 1
    assert exit_reason(exit_code)


@given(
    st.lists(st.tuples(st.sampled_from(["pass", "crash", "beat", "cannot", "can"]), st.integers(0, 3000)), max_size=60)
)
def test_starts_are_bounded_whatever_happens(history: list[tuple[str, int]]) -> None:
    world = World(SPEC)
    starts: list[int] = []
    for what, ms in history:
        before = len(world.started)
        world.step(ms)
        starts += [world.clock.now()] * (len(world.started) - before)
        notices = len(world.notices)
        running = world.supervisor.pid("worker") is not None
        if what == "crash" and running:
            world.fakes["worker"].exit_code = -11
        elif what == "beat":
            world.beats["worker"] = world.clock.now()
        elif what in ("cannot", "can"):
            world.can_start = what == "can"
        if what == "pass" and (not running or world.fakes["worker"].exit_code is None):
            world.step()  # at the same moment, with nothing changed: nothing to do
            assert len(world.notices) == notices
    for first in starts:
        within = [start for start in starts if first <= start < first + 10 * NS_PER_S]
        assert len(within) <= SPEC.restarts.limit + 1


def test_real_processes_hang_die_and_end() -> None:
    """A stopped process is hung; it is killed, replaced, and at the end no process is left."""
    clock, notices = ManualClock(), list[Notice]()
    processes: list[Process] = []

    def launch(spec: ProcessSpec) -> Process:
        reading, writing = os.pipe()
        processes.append(real.launch(replace(spec, fds={"out": writing})))
        os.close(writing)
        with os.fdopen(reading, "rb") as answers:
            assert answers.readline() == b'"up"\n'
        return processes[-1]

    rows = [
        ProcessSpec("hangs", "tests.machine.targets:wait", Partition(), hang_ms=100, setup_ms=100),
        ProcessSpec("deaf", "tests.machine.targets:wait_deaf", Partition()),
    ]
    supervisor = Supervisor(rows, clock, launch, notices.append)
    supervisor.reconcile()
    processes[0].send(signal.SIGSTOP)
    clock.advance(101 * NS_PER_MS)
    supervisor.reconcile()
    assert processes[0].wait(60.0)
    supervisor.reconcile()
    kinds = [(notice.name, notice.kind) for notice in notices]
    assert kinds[2:] == [("hangs", "hung"), ("hangs", "died"), ("hangs", "started")]
    assert notices[3].detail == "ended by SIGKILL"
    assert supervisor.stop(0.0) in (("deaf", "hangs"), ("deaf",))
    assert all(process.poll() is not None for process in processes)


def test_a_row_that_is_put_is_started_and_one_that_is_dropped_ends_for_good() -> None:
    world = World(replace(SPEC, name="a", hang_ms=None))
    world.step()
    world.supervisor.put(replace(SPEC, name="b", hang_ms=None))
    world.step()
    assert world.started == ["a", "b"]
    world.supervisor.drop("b")
    assert world.fakes["b"].signals == [signal.SIGTERM]
    assert world.supervisor.has("b"), "until it has ended"
    with pytest.raises(RuntimeError, match="b is still ending"):
        world.supervisor.put(replace(SPEC, name="b"))
    world.step()
    world.step(10_000)
    assert world.kinds("b") == ["started", "finished"]
    assert not world.supervisor.has("b")
    assert world.supervisor.over() == ()
    world.supervisor.put(replace(SPEC, name="b", hang_ms=None))
    world.step()
    assert world.started == ["a", "b", "b"]


def test_a_dropped_process_that_does_not_listen_is_killed() -> None:
    world = World(replace(SPEC, hang_ms=None))
    world.deaf.add("worker")
    world.step()
    world.supervisor.drop("worker")
    world.step(END_NS // NS_PER_MS)
    assert world.fakes["worker"].signals == [signal.SIGTERM]
    world.step(1)
    world.step()
    assert world.fakes["worker"].signals == [signal.SIGTERM, signal.SIGKILL]
    assert world.kinds() == ["started", "finished"]
    assert not world.supervisor.has("worker")


def test_a_dropped_row_is_not_started_again_whatever_ends_it() -> None:
    world = World(SPEC)
    world.step()
    world.fakes["worker"].exit_code = 70
    world.supervisor.drop("worker")
    world.step(10_000)
    assert world.started == ["worker"]
    world.supervisor.drop("nobody")
    assert not world.supervisor.has("nobody")


def test_another_row_of_the_same_name_leaves_its_process_alone() -> None:
    world = World(replace(SPEC, hang_ms=None))
    world.step()
    world.supervisor.put(replace(SPEC, hang_ms=None, partition=Partition("fifo", 5)))
    world.step()
    assert world.started == ["worker"]
    world.fakes["worker"].exit_code = -9
    world.step()
    assert world.started == ["worker", "worker"]
