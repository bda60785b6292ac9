"""The table of processes and the small loop that makes the world match it.

`decide` is pure: from a row of the table, what is known of its process and the time, to one step.
`Supervisor.reconcile` is idempotent: it looks, decides, acts, and returns; call it every few milliseconds.
Time and launching are passed in, so the rules are tested without a process and without a second.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal, Protocol

from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.errors import DeviceFault
from inframe.machine.partition import Partition

REFUSED_INPUT = 2
"""Exit code of a process whose input is wrong (InframeError.exit_code): to start it again would change nothing. Only
before it has proved itself: an input that has worked once is not what is wrong now (no memory for a model, say)."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """At most `limit` restarts within `within_s`. The first is immediate; then backoff_ms, doubled each time."""

    limit: int = 5
    within_s: float = 60.0
    backoff_ms: int = 100


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One row of the table."""

    name: str
    target: str
    """ "package.module:function", called with a ChildContext."""
    partition: Partition = field(default_factory=Partition)
    restarts: Restarts = field(default_factory=Restarts)
    critical: bool = False
    """The device can't go on without it, once its restarts are used up. Reported; the caller acts."""
    hang_ms: int | None = None
    """Killed when its last heartbeat is older. None: it has none."""
    setup_ms: int = 60_000
    """With `hang_ms`: killed when its first heartbeat takes longer than this."""
    after: str | None = None
    """First started when this other row has had a heartbeat: its set-up has the processor to itself."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """What JSON can carry."""
    fds: Mapping[str, int] = field(default_factory=dict)
    """The parent's descriptors that the child inherits under the same numbers; shared memory, events."""


class Process(Protocol):
    """A started process."""

    pid: int

    def poll(self) -> int | None:
        """None while it runs; else its exit code, or minus the signal that ended it."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False where it did not come in time."""
        ...

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens where it has ended."""
        ...

    def refused(self) -> Sequence[str]:
        """The connections refused to it since the last call, "family address"."""
        ...

    def close(self) -> None:
        """Let go of what the parent held for it, after its end."""
        ...


Launch = Callable[[ProcessSpec], Process]
"""Starts a row's process. Raises DeviceFault where the machine can't."""

END_NS = NS_PER_S
"""A dropped row's process that is still there after so long is killed."""

Kind = Literal["started", "died", "hung", "finished", "gave_up", "refused"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened to one process."""

    name: str
    kind: Kind
    detail: str
    pid: int | None
    at_ns: int


class Action(Enum):
    """What to do about one row now."""

    NOTHING = "nothing"
    START = "start"
    KILL = "kill"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What is known of one row's process."""

    running: bool = False
    killed: bool = False
    """Killed by us; its end is awaited."""
    over: bool = False
    """Finished or given up: never started again."""
    proven: bool = False
    """Some process of this row has done what it is for."""
    refused: bool = False
    """Given up because its input is wrong."""
    started_ns: int = 0
    deaths_ns: tuple[int, ...] = ()
    """The deaths that still count, oldest first."""
    dropped_ns: int | None = None
    """When it was told to end for good: its row goes with it."""


def decide(spec: ProcessSpec, state: ProcessState, beat_ns: int, now: int) -> Action:
    """The step due for one row. `beat_ns`: its last heartbeat, ns of the same clock, 0 for none. Pure."""
    if state.over:
        return Action.NOTHING
    if state.dropped_ns is not None:
        return Action.KILL if not state.killed and now - state.dropped_ns > END_NS else Action.NOTHING
    if state.running:
        return Action.KILL if not state.killed and _hangs(spec, state, beat_ns, now) else Action.NOTHING
    if not state.deaths_ns:
        return Action.START
    counted = _recent(spec.restarts, state.deaths_ns, now)
    if len(counted) > spec.restarts.limit:
        return Action.GIVE_UP
    waited = now - state.deaths_ns[-1]
    return Action.START if waited >= _backoff_ns(spec.restarts, len(counted)) else Action.NOTHING


def _hangs(spec: ProcessSpec, state: ProcessState, beat_ns: int, now: int) -> bool:
    if spec.hang_ms is None:
        return False
    if beat_ns <= state.started_ns:  # none yet: what is there was left by the process before it
        return now - state.started_ns > spec.setup_ms * NS_PER_MS
    return now - beat_ns > spec.hang_ms * NS_PER_MS


def _recent(restarts: Restarts, deaths_ns: tuple[int, ...], now: int) -> tuple[int, ...]:
    return tuple(death for death in deaths_ns if now - death < restarts.within_s * NS_PER_S)


def _backoff_ns(restarts: Restarts, deaths: int) -> int:
    """How long the restart after the `deaths`-th recent death waits."""
    return 0 if deaths <= 1 else restarts.backoff_ms * NS_PER_MS << min(deaths - 2, 20)


def died(spec: ProcessSpec, state: ProcessState, exit_code: int, now: int) -> ProcessState:
    """The state after its process ended. Pure."""
    deaths = (*_recent(spec.restarts, state.deaths_ns, now), now)
    refused = exit_code == REFUSED_INPUT and not state.proven
    return replace(
        state, running=False, killed=False, over=exit_code == 0 or refused, refused=refused, deaths_ns=deaths
    )


def exit_reason(exit_code: int) -> str:
    """An exit code as `Process.poll` gives it, in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"ended by signal {-exit_code}"


class Supervisor:
    """Keeps the processes of `specs` running, within their restart bounds.

    All calls from one thread, which must outlive the processes: the kernel ends them when the thread that started them
    ends. `heartbeat(name)` is a process's last heartbeat, ns of `clock`, 0 for none; `on_notice` is told what happens;
    `proven(name)` says whether a process of this row has ever done what it is for.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        clock: Clock,
        launch: Launch,
        on_notice: Callable[[Notice], None],
        heartbeat: Callable[[str], int] = lambda _name: 0,
        proven: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        if len({spec.name for spec in specs}) != len(specs):
            raise RuntimeError("two processes of one name")
        self._specs = tuple(specs)
        self._clock, self._launch, self._on_notice = clock, launch, on_notice
        self._heartbeat, self._proven = heartbeat, proven
        self._states = {spec.name: ProcessState() for spec in specs}
        self._processes: dict[str, Process] = {}
        self._stopped = False

    def reconcile(self) -> None:
        """One look at every row, in the table's order: reap what ended, kill what hangs, start what is missing.

        A second call at the same moment finds nothing to do unless the world has changed in between.
        """
        if self._stopped:
            raise RuntimeError("reconcile after stop")
        for spec in self._specs:
            if spec.name not in self._states:
                continue
            if not self._states[spec.name].proven and self._proven(spec.name):
                self._update(spec, proven=True)
            self._reap(spec)
            # ends: each step uses up a restart, or is the last
            while spec.name in self._states and (action := self._due(spec)) is not Action.NOTHING:
                self._do(spec, action)

    def _due(self, spec: ProcessSpec) -> Action:
        if spec.after is not None and not self._states[spec.name].started_ns and not self._heartbeat(spec.after):
            return Action.NOTHING
        return decide(spec, self._states[spec.name], self._heartbeat(spec.name), self._clock.now())

    def _do(self, spec: ProcessSpec, action: Action) -> None:
        if action is Action.START:
            self._start(spec)
        elif action is Action.KILL:
            self._kill(spec)
        elif action is Action.GIVE_UP:
            self._update(spec, over=True)
            restarts = spec.restarts
            self._tell(spec, "gave_up", f"more than {restarts.limit} restarts within {restarts.within_s:g} s")

    def put(self, spec: ProcessSpec) -> None:
        """A row from now on: a new one, or in place of the one of its name, whose process runs on and whose next start is by the
        new row. Raises RuntimeError while that name's last process is still ending."""
        state = self._states.setdefault(spec.name, ProcessState())
        if state.dropped_ns is not None:
            raise RuntimeError(f"{spec.name} is still ending")
        known = {one.name: one for one in self._specs} | {spec.name: spec}
        self._specs = tuple(known.values())

    def drop(self, name: str) -> None:
        """End a row's process for good and forget the row once it has ended. Returns at once."""
        process = self._processes.get(name)
        if process is None:
            self._forget(name)
            return
        self._states[name] = replace(self._states[name], dropped_ns=self._clock.now())
        process.send(signal.SIGTERM)

    def has(self, name: str) -> bool:
        """Whether there is a row of this name, one that is still ending included."""
        return name in self._states

    def _forget(self, name: str) -> None:
        self._specs = tuple(spec for spec in self._specs if spec.name != name)
        self._states.pop(name, None)

    def pid(self, name: str) -> int | None:
        """The process id of a row, None while it does not run."""
        process = self._processes.get(name)
        return None if process is None else process.pid

    def over(self) -> tuple[ProcessSpec, ...]:
        """The rows that are not started again: finished or given up."""
        return tuple(spec for spec in self._specs if self._states[spec.name].over)

    def refused(self) -> tuple[str, ...]:
        """The rows given up because their input is wrong; each has said on stderr what is."""
        return tuple(spec.name for spec in self._specs if self._states[spec.name].refused)

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """SIGTERM to all, last row first; SIGKILL to those still there after `timeout_s` together. Returns their
        names."""
        self._stopped = True
        rows = [
            (spec, self._processes.pop(spec.name)) for spec in reversed(self._specs) if spec.name in self._processes
        ]
        for _, process in rows:
            process.send(signal.SIGTERM)
        deadline = self._clock.now() + int(timeout_s * NS_PER_S)
        killed = []
        for spec, process in rows:
            if not process.wait(max(0.0, (deadline - self._clock.now()) / NS_PER_S)):
                process.send(signal.SIGKILL)
                process.wait(1.0)  # bounded: a process stuck in a driver does not end even so
                killed.append(spec.name)
            process.close()
            self._update(spec, running=False)
        return tuple(killed)

    def _reap(self, spec: ProcessSpec) -> None:
        process = self._processes.get(spec.name)
        if process is None:
            return
        for connection in process.refused():
            self._tell(spec, "refused", connection)
        exit_code = process.poll()
        if exit_code is None:
            return
        if self._states[spec.name].dropped_ns is not None:
            self._tell(spec, "finished", "ended as it was told")
            del self._processes[spec.name]
            process.close()
            self._forget(spec.name)
            return
        self._states[spec.name] = died(spec, self._states[spec.name], exit_code, self._clock.now())
        if exit_code == 0:
            self._tell(spec, "finished", exit_reason(exit_code))
        else:
            self._tell(spec, "died", exit_reason(exit_code))
        if self._states[spec.name].refused:
            self._tell(spec, "gave_up", "its input is refused; a restart would change nothing")
        del self._processes[spec.name]
        process.close()

    def _start(self, spec: ProcessSpec) -> None:
        now = self._clock.now()
        try:
            process = self._launch(spec)
        except DeviceFault as error:  # out of memory or of process numbers: counts as a death, so it is bounded too
            self._states[spec.name] = died(spec, self._states[spec.name], 1, now)
            self._tell(spec, "died", f"could not start: {error}")
            return
        self._processes[spec.name] = process
        self._update(spec, running=True, killed=False, started_ns=now)
        self._tell(spec, "started", f"restart {len(self._states[spec.name].deaths_ns)}")

    def _kill(self, spec: ProcessSpec) -> None:
        if self._states[spec.name].dropped_ns is not None:
            self._processes[spec.name].send(signal.SIGKILL)
            self._update(spec, killed=True)
            return
        beat = self._heartbeat(spec.name)
        since = max(beat, self._states[spec.name].started_ns)
        self._tell(spec, "hung", f"no heartbeat for {(self._clock.now() - since) // NS_PER_MS} ms: killed")
        self._processes[spec.name].send(signal.SIGKILL)  # SIGTERM would wait for a process that does not run
        self._update(spec, killed=True)

    def _update(self, spec: ProcessSpec, **changes: Any) -> None:
        self._states[spec.name] = replace(self._states[spec.name], **changes)

    def _tell(self, spec: ProcessSpec, kind: Kind, detail: str) -> None:
        self._on_notice(Notice(spec.name, kind, detail, self.pid(spec.name), self._clock.now()))
