"""What one process asks of the operating system. Each request either stands or is reported as given up; none crashes.

    begin(partition)   at the process's start, before a line of the target runs: no new privileges, the system-call
    filter apply(partition)   once set-up and warm-up are done: everything else

The filter comes first so that nothing a library does while it is imported reaches the network. Scheduling comes last so
that a second of imports never runs at real-time priority: it would use up the 95 % that the kernel grants real-time
tasks per second, and the kernel would then stop *all* of them on that core, the display included.
"""

import gc
import os
import resource
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from inframe.machine import kernel, seccomp

Scheduling = Literal["fifo", "other", "idle"]
MIB = 1 << 20
SET_UP_THREADS = 32
GLIBC_STACK_BYTES = 8 * MIB  # what a thread's stack is when RLIMIT_STACK says unlimited, rounded up

DMA_LATENCY = Path("/dev/cpu_dma_latency")

_POLICIES: dict[str, int] = {"fifo": os.SCHED_FIFO, "other": os.SCHED_OTHER, "idle": os.SCHED_IDLE}
# When memory runs out the kernel ends the background first and real-time processes last.
_OOM_SCORE: dict[str, int] = {"fifo": -500, "other": 0, "idle": 500}


@dataclass(frozen=True, slots=True)
class GaveUp:
    """One request that does not stand."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Partition:
    """How one process is kept apart from the others. Raises ValueError where the fields contradict each other."""

    scheduling: Scheduling = "other"
    priority: int = 0
    """1 (least) to 99 with scheduling "fifo", else 0."""
    cores: frozenset[int] = frozenset()
    """Empty: whatever the parent may use."""
    lock_memory: bool = False
    memory_limit_mb: int | None = None
    """Private writable memory, MiB: heap and anonymous mappings, not the shared ring, library text or thread stacks."""
    network: seccomp.Network = "none"
    addresses: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    """With network "camera": the only (IP address, TCP port) pairs it may connect to."""

    def __post_init__(self) -> None:
        if self.scheduling not in _POLICIES:
            raise ValueError(f"scheduling: found {self.scheduling!r}, expected one of {', '.join(_POLICIES)}")
        if self.network not in seccomp.NETWORKS:
            raise ValueError(f"network: found {self.network!r}, expected one of {', '.join(seccomp.NETWORKS)}")
        low, high = (1, 99) if self.scheduling == "fifo" else (0, 0)
        if not low <= self.priority <= high:
            raise ValueError(f"priority: found {self.priority}, expected {low} to {high} with {self.scheduling!r}")
        if self.memory_limit_mb is not None and self.memory_limit_mb <= 0:
            raise ValueError(f"memory_limit_mb: found {self.memory_limit_mb}, expected more than 0")
        if bool(self.addresses) != (self.network == "camera"):
            raise ValueError(f"addresses: found {len(self.addresses)}, expected some with network camera, else none")

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads back."""
        return {
            "scheduling": self.scheduling,
            "priority": self.priority,
            "cores": sorted(self.cores),
            "lock_memory": self.lock_memory,
            "memory_limit_mb": self.memory_limit_mb,
            "network": self.network,
            "addresses": sorted(list(pair) for pair in self.addresses),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Partition":
        """The partition that `to_json` wrote."""
        addresses = frozenset((str(ip), int(port)) for ip, port in values["addresses"])
        return cls(**{**values, "cores": frozenset(values["cores"]), "addresses": addresses})


def begin(partition: Partition, broker: int | None = None) -> tuple[GaveUp, ...]:
    """Close the network and the dangerous calls for this process, its threads and its children, for good.

    `broker` is this end of the connect broker's channel; without one, network "camera" is "none".
    """
    gave_up = []
    try:
        # Before the filter: without CAP_SYS_ADMIN the kernel takes a filter only from a process that gave up new
        # privileges.
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        unmet = seccomp.install(partition.network, broker)
        if unmet is not None:
            gave_up.append(GaveUp("network", unmet))
    except OSError as error:
        gave_up.append(GaveUp("network closed", f"system-call filter refused: {error.strerror}"))
    _limit_set_up(partition)
    return tuple(gave_up)


def _limit_set_up(partition: Partition) -> None:
    """The memory limit holds from the first moment: a model that takes all the memory may do so while it is loaded (found by
    `inframe chaos`). Soft, and with room for the stacks of threads that nobody has counted yet; `apply` sets the exact one."""
    if partition.memory_limit_mb is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = partition.memory_limit_mb * MIB + SET_UP_THREADS * GLIBC_STACK_BYTES
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def apply(partition: Partition, *, gc_off: bool = False) -> tuple[GaveUp, ...]:
    """Make the rest of the partition so. Called when set-up and warm-up are done, from the thread that will do the
    work.

    The order: rubbish is collected before memory is locked, so that less is locked; memory is limited and locked while
    still at ordinary priority, as both take time; cores come before FIFO, so that this process is never real-time on a
    core that is not its own; the second filter is last, so that the steps before it need no exception in it.
    `gc_off` leaves the cycle collector off: right for a loop that makes no cycles, where a collection costs a frame.
    """
    gc.collect()
    gc.freeze()  # what lives now lives to the end: never walked again
    if gc_off:
        gc.disable()
    gave_up = list(_foreign_sockets(partition))
    steps: tuple[tuple[str, Callable[[Partition], None]], ...] = (
        ("wake-up precision", _timer_slack),
        ("cores that don't sleep", _stay_awake),
        ("killed last when memory runs out", _oom_score),
        ("memory limit", _limit_memory),
        ("locked memory", _lock_memory),
        ("own cores", _bind),
        ("real-time priority" if partition.scheduling == "fifo" else "scheduling class", _schedule),
        ("no connections", lambda p: seccomp.close_connections(p.network)),
    )
    for what, step in steps:
        try:
            step(partition)
        except OSError as error:
            gave_up.append(GaveUp(what, error.strerror or str(error)))
    return tuple(gave_up)


def _timer_slack(partition: Partition) -> None:
    # The default lets every wake-up of a SCHED_OTHER thread be 50 µs late. FIFO has no slack; it matters where FIFO is
    # refused.
    if partition.scheduling != "idle":
        kernel.prctl(kernel.PR_SET_TIMERSLACK, 1)


def stay_awake() -> int:
    """Ask that no core sleeps deeper than a loop (the kernel's PM quality of service, latency 0); the request lasts until the
    returned descriptor is closed.

    Waking an idle core costs 20 µs on hardware and hundreds on a virtual machine, and the first millisecond after is slow.
    For the whole machine, as the request for one core alone would outlive a process that is killed. Raises OSError.
    """
    request = os.open(DMA_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
    os.write(request, bytes(4))  # microseconds, a 32-bit number
    return request


def _stay_awake(partition: Partition) -> None:
    if partition.scheduling == "fifo":
        try:
            stay_awake()  # never closed: the process's end does that
        except OSError as error:
            raise OSError(error.errno, f"{DMA_LATENCY}: {error.strerror}") from error


def _oom_score(partition: Partition) -> None:
    score = _OOM_SCORE[partition.scheduling]
    try:
        Path("/proc/self/oom_score_adj").write_text(f"{score}\n", encoding="ascii")
    except OSError as error:
        raise OSError(error.errno, f"oom_score_adj {score} refused; it needs CAP_SYS_RESOURCE") from error


def _limit_memory(partition: Partition) -> None:
    """RLIMIT_DATA: private writable memory, so that malloc fails in this process before the machine runs out.

    Not RLIMIT_AS: that counts the shared ring, every library's text and the address space that allocators and GPU
    runtimes only reserve, so any value that fits one engine breaks the next. RLIMIT_DATA still counts the stacks of
    threads, 8 MB each of which some 50 kB are ever touched, so those that exist are added on top. Memory files (memfd)
    are not counted.
    """
    if partition.memory_limit_mb is None:
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    stack = GLIBC_STACK_BYTES if soft == resource.RLIM_INFINITY else soft
    limit = partition.memory_limit_mb * MIB + (len(kernel.threads()) - 1) * stack
    used = int(kernel.status_of("self", "VmData").split()[0]) * 1024
    if used > limit:
        # Set all the same, it would make the very next allocation fail, at a place where nobody expects it.
        raise OSError(12, f"{used // MIB} MB are in use already, more than the {limit // MIB} MB allowed; not set")
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    except ValueError as error:  # Python's word for a hard limit below ours
        raise OSError(1, f"{error}: {limit // MIB} MB") from error


def _lock_memory(partition: Partition) -> None:
    """No page that was once touched is ever taken away again.

    MCL_ONFAULT: without it the kernel touches everything mapped. Measured with numpy and OpenCV: 441 MB resident and
    405 ms instead of 46 MB and 2 ms, for library text that never runs and stacks that are never that deep. The price:
    a page first touched after warm-up still faults once. So set-up must walk the same path that runs later.

    MCL_FUTURE only where locking is unlimited (CAP_IPC_LOCK or RLIMIT_MEMLOCK): under a limit, 8 MB by default, the
    call itself succeeds and some later mmap fails, at a moment that nobody chose.
    """
    if not partition.lock_memory:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    future = kernel.MCL_FUTURE if hard == resource.RLIM_INFINITY or kernel.can_lock_beyond(hard) else 0
    try:
        kernel.mlockall(kernel.MCL_CURRENT | future | kernel.MCL_ONFAULT)
    except OSError as error:
        raise OSError(error.errno, f"RLIMIT_MEMLOCK allows {_size(hard)}; allow unlimited or CAP_IPC_LOCK") from error
    if not future:
        raise OSError(12, f"what is mapped later is not locked: RLIMIT_MEMLOCK allows {_size(hard)}")


def _size(limit: int) -> str:
    return "no limit" if limit == resource.RLIM_INFINITY else f"{limit // 1024} kB"


def _each_thread(act: Callable[[int], None]) -> None:
    """Do it to every thread, those that libraries started included, and to those that start meanwhile."""
    done: set[int] = set()
    while new := kernel.threads() - done:
        for thread in new:
            try:
                act(thread)
            except ProcessLookupError:  # that thread just ended
                continue
            finally:
                done.add(thread)


def _bind(partition: Partition) -> None:
    """All threads on the partition's cores. A library that pins threads itself undoes it for the thread that calls it:
    OpenVINO does at its next run, unless compiled with ENABLE_CPU_PINNING false."""
    if not partition.cores:
        return
    wanted = sorted(partition.cores)
    try:
        _each_thread(lambda thread: os.sched_setaffinity(thread, partition.cores))
    except OSError as error:
        raise OSError(error.errno, f"cores {wanted} are not ours to use: {error.strerror}") from error
    got = sorted(os.sched_getaffinity(0))
    if got != wanted:  # the kernel silently drops those outside our cpuset
        raise OSError(22, f"asked for cores {wanted}, may use {got}")


def _schedule(partition: Partition) -> None:
    """The scheduling class of all threads.

    Without SCHED_RESET_ON_FORK: it would also apply to threads started later, and an ordinary thread of a library that
    holds a lock, or the interpreter's, would then make the real-time loop wait behind every other program on the core.
    """
    policy, parameter = _POLICIES[partition.scheduling], os.sched_param(partition.priority)
    try:
        _each_thread(lambda thread: os.sched_setscheduler(thread, policy, parameter))
    except OSError as error:
        raise OSError(error.errno, _why_no_schedule(partition, error)) from error


def reschedule(pid: int, partition: Partition) -> str | None:
    """Give the scheduling class of `partition` to a process that runs already, all its threads; why it was refused, or None."""
    policy, parameter = _POLICIES[partition.scheduling], os.sched_param(partition.priority)
    try:
        for thread in kernel.threads(pid):
            os.sched_setscheduler(thread, policy, parameter)
    except ProcessLookupError:
        return None  # it has just ended, and its next start is by its row
    except OSError as error:
        return _why_no_schedule(partition, error)
    return None


def _why_no_schedule(partition: Partition, error: OSError) -> str:
    asked = f"{partition.scheduling} {partition.priority} refused"
    if partition.scheduling == "fifo" and kernel.real_time_runtime_us() == 0:
        return f"{asked}: this cgroup has no real-time share (cpu.rt_runtime_us is 0)"
    if partition.scheduling == "fifo" and isinstance(error, PermissionError):
        _, hard = resource.getrlimit(resource.RLIMIT_RTPRIO)
        return f"{asked}: RLIMIT_RTPRIO is {hard}; allow {partition.priority} or more, or CAP_SYS_NICE"
    return f"{asked}: {error.strerror}"


def _foreign_sockets(partition: Partition) -> list[GaveUp]:
    """Sockets that this process holds although its network is closed: inherited, or opened where the filter was
    refused."""
    if partition.network not in ("none", "loopback", "box"):
        return []
    import socket  # 3 ms, only once and not at the process's start

    held = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            one = socket.socket(fileno=int(entry.name))
        except OSError:  # not a socket, or the folder's own descriptor
            continue
        try:
            family, name = one.family, one.getsockname()
        finally:
            one.detach()  # only looked at: not ours to close. A duplicate would outlive the look where it is no socket
        local = (
            partition.network == "loopback" and family in (socket.AF_INET, socket.AF_INET6) and _is_loopback(name[0])
        )
        if family != socket.AF_UNIX and not local:
            held.append(GaveUp("network closed", f"descriptor {entry.name} is an open {family.name} socket at {name}"))
    return held


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


@dataclass(frozen=True, slots=True)
class CoreLayout:
    """Which cores the frame path owns, and which everything else shares. `shared`: there was only one core for both."""

    real_time: frozenset[int]
    background: frozenset[int]
    shared: bool
    display: frozenset[int] = frozenset()
    """The display's, where no real-time core is left for it; empty: the last real-time one."""


def cores_for(
    allowed: Iterable[int] | None = None,
    isolated: Iterable[int] | None = None,
    siblings: Mapping[int, frozenset[int]] | None = None,
) -> CoreLayout:
    """Half of the cores, the last ones, for the frame path; with one core both share it.

    By default `allowed` is this process's affinity, `isolated` the kernel's isolcpus (taken first, all of them) and
    `siblings` the hardware threads of each core. Threads of one core stay together: a busy sibling halves a core's
    speed. The last ones, because the kernel's own work and most interrupts prefer the first, and because the big cores
    of big.LITTLE processors come last.

    A single real-time core that nobody has isolated is no cleaner than any other: the display then has the highest priority
    among the background cores, instead of taking turns with the models on theirs.
    """
    usable = frozenset(os.sched_getaffinity(0) if allowed is None else allowed)
    if not usable:
        raise ValueError("allowed: found no core, expected at least one")
    apart = frozenset(_isolated_cores() if isolated is None else isolated) & usable
    if apart and apart != usable:
        return CoreLayout(apart, usable - apart, shared=False)
    together = _siblings(usable) if siblings is None else siblings
    cores = sorted({tuple(sorted((together.get(cpu, frozenset()) | {cpu}) & usable)) for cpu in usable})
    if len(cores) == 1 and len(usable) > 1:
        cores = [(cpu,) for cpu in sorted(usable)]  # one core of two threads: half a core each beats none
    if len(cores) == 1:
        return CoreLayout(usable, usable, shared=True)
    real_time = frozenset(cpu for core in cores[len(cores) - len(cores) // 2 :] for cpu in core)
    background = usable - real_time
    display = frozenset({max(background)}) if len(real_time) == 1 else frozenset()
    return CoreLayout(real_time, background, shared=False, display=display)


def cpu_list(text: str) -> frozenset[int]:
    """The kernel's list format, "0,2-4", as numbers."""
    cpus: set[int] = set()
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        if low:
            cpus.update(range(int(low), int(high or low) + 1))
    return frozenset(cpus)


def _isolated_cores() -> frozenset[int]:
    return cpu_list(kernel.read_text("/sys/devices/system/cpu/isolated") or "")


def _siblings(cpus: Iterable[int]) -> dict[int, frozenset[int]]:
    path = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {cpu: cpu_list(kernel.read_text(path.format(cpu)) or "") for cpu in cpus}
