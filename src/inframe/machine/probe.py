"""`inframe doctor`, the machine's part: what can be guaranteed here, row by row.

What can be tried is tried, by child processes started in the way that the device starts its own (trials.py).
"""

import json
import os
import select
import shutil
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from inframe.core.errors import DeviceFault
from inframe.machine import kernel, readings, trials
from inframe.machine.launch import launch
from inframe.machine.partition import CoreLayout, Partition, cores_for
from inframe.machine.readings import Row
from inframe.machine.supervise import ProcessSpec

WAKEUPS = 500
TRIAL_S = 15.0
FSYNCS, BLOCK_BYTES = 8, 64 << 10
FREE_BYTES = 2_000_000_000
NEEDS_PRIVILEGE = "run as a service with LimitRTPRIO=99, LimitMEMLOCK=infinity and OOMScoreAdjust=-500, or as root"


def rows(folder: Path, wakeups: int = WAKEUPS) -> list[Row]:
    """All rows. `folder` is where the device records; `wakeups` of 1 ms each are sampled. From the main thread only."""
    layout = cores_for()
    answers = _try(layout, wakeups)
    static = [reading(Path("/")) for reading in readings.READINGS]
    return [
        cores(layout),
        *tried_real_time(answers),
        readings.real_time_share(kernel.real_time_runtime_us()),
        *static,
        clock(),
        wall_clock(kernel.clock_state()),
        memory_files(),
        *disk(folder),
    ]


def cores(layout: CoreLayout) -> Row:
    found = f"frame path on {_listed(layout.real_time)}, everything else on {_listed(layout.background)}"
    if layout.shared:
        return Row(
            "cores", "WARN", "one: the frame path shares it with everything else", "use a machine with two or more"
        )
    return Row("cores", "OK", found)


def _listed(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


def _try(layout: CoreLayout, wakeups: int) -> dict[str, Any]:
    """The answers of two children: one as a camera on IP, real-time and locked; one that has no network."""
    limit_mb = 1024
    real_time = Partition("fifo", 50, layout.real_time, True, limit_mb, "camera", frozenset({trials.ALLOWED}))
    return {"real_time": _ask(real_time, wakeups), "closed": _ask(Partition(), 0)}


def _ask(partition: Partition, wakeups: int) -> dict[str, Any]:
    """One child's answer (trials.main); {"failed": why} where it gave none."""
    reading, writing = os.pipe()
    spec = ProcessSpec(
        "doctor", "inframe.machine.trials:main", partition, args={"wakeups": wakeups}, fds={"answer": writing}
    )
    try:
        child = launch(spec)
    except DeviceFault as error:
        os.close(reading)
        return {"failed": str(error)}
    finally:
        os.close(writing)
    try:
        answer = _read_all(reading, time.monotonic() + TRIAL_S)
    finally:
        os.close(reading)
        child.send(9)
        child.wait(1.0)
        child.close()
    if not answer:
        return {"failed": "the trial process ended without an answer"}
    values: dict[str, Any] = json.loads(answer)
    return values


def _read_all(fd: int, until: float) -> bytes:
    """What the pipe holds until its other end is closed; nothing where that takes too long."""
    text = b""
    while select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(fd, 65536)
        if not part:
            return text
        text += part
    return b""


def tried_real_time(answers: dict[str, Any]) -> list[Row]:
    """The rows that the children's answers amount to."""
    real_time, closed = answers["real_time"], answers["closed"]
    if failed := real_time.get("failed") or closed.get("failed"):
        return [Row("starting a process", "FAIL", failed, "a device can't start its processes here")]
    gave_up = dict((*closed["gave_up"], *real_time["gave_up"]))
    asked = (
        ("real-time priority", "FIFO 50 granted"),
        ("own cores", "granted"),
        ("locked memory", "granted"),
        ("memory limit", "granted"),
        ("killed last when memory runs out", "granted"),
        ("cores that don't sleep", "granted"),
    )
    granted = [
        Row(what, "WARN", gave_up[what], NEEDS_PRIVILEGE) if what in gave_up else Row(what, "OK", good)
        for what, good in asked
    ]
    return [
        *granted,
        wake_up(real_time["late_ns"], "real-time priority" in gave_up),
        _closed(closed),
        _camera(real_time),
    ]


def _closed(answer: dict[str, Any]) -> Row:
    name = "closing the network"
    if answer["inet"]:
        return Row(name, "OK", f"socket() answers {answer['inet']}")
    return Row(name, "FAIL", "a process without a network opened a socket", "use a kernel with CONFIG_SECCOMP_FILTER")


def _camera(answer: dict[str, Any]) -> Row:
    name, other = "a camera's address only", answer["other"]
    if answer["allowed"] in ("", "ECONNREFUSED") and other == "EACCES":
        return Row(name, "OK", "its address is reached, another is refused")
    found = f"its address answers {answer['allowed'] or 'connected'}, another {other or 'connected'}"
    if other in ("", "ECONNREFUSED"):
        return Row(name, "FAIL", found, "use a kernel with CONFIG_SECCOMP_FILTER")
    return Row(
        name, "WARN", f"{found}: closed entirely", "cameras on IP need Linux 5.9 and user notification of seccomp"
    )


def wake_up(late_ns: Sequence[int], ordinary: bool) -> Row:
    """`late_ns`: sorted; `ordinary`: sampled without real-time priority."""
    name = "wake-up latency"
    if not late_ns:
        return Row(name, "SKIP", "not sampled")
    us = [late_ns[min(len(late_ns) - 1, len(late_ns) * permille // 1000)] / 1000 for permille in (500, 990, 1000)]
    found = f"p50 {us[0]:.0f}, p99 {us[1]:.0f}, max {us[2]:.0f} us of {len(late_ns)} sleeps of 1 ms"
    found += ", at ordinary priority" if ordinary else ""
    if us[2] <= 1000:
        return Row(name, "OK", found)
    return Row(name, "WARN", found, "a frame can be this late: see kernel preemption, isolated cores, virtual machine")


def clock() -> Row:
    """The smallest step seen in the monotonic clock."""
    name = "monotonic clock"
    ticks = [time.monotonic_ns() for _ in range(2000)]
    steps = [later - earlier for earlier, later in pairwise(ticks) if later > earlier]
    step = min(steps, default=0)
    if 0 < step < 100_000:
        return Row(name, "OK", f"steps of {step} ns or less")
    return Row(name, "FAIL", f"steps of {step} ns", "frames can't be timed: see clock source")


def wall_clock(state: int | None) -> Row:
    """`state` of adjtimex(2). Only records carry wall time; deadlines don't."""
    if state is None:
        return Row("wall clock", "SKIP", "unknown")
    if state == kernel.CLOCK_UNSYNCHRONIZED:
        return Row(
            "wall clock", "SKIP", "no time service tells the kernel that it is right; records may carry a wrong time"
        )
    return Row("wall clock", "OK", "synchronized")


def memory_files() -> Row:
    """The ring lives in a memory file, so /dev/shm, often 64 MB in containers, is not needed."""
    name = "memory files"
    try:
        os.close(os.memfd_create("inframe-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    except OSError as error:
        return Row(name, "FAIL", f"memfd_create: {error.strerror}", "frames can't be shared: allow memfd_create")
    return Row(name, "OK", "memfd_create with seals; /dev/shm is not needed")


def disk(folder: Path) -> list[Row]:
    """Room, and how long a synced write of 64 kB takes, where the device records."""
    try:
        free = shutil.disk_usage(folder).free
        slow = _fsync_ms(folder)
    except OSError as error:
        return [Row("disk", "FAIL", f"{folder}: {error.strerror}", "give a folder that can be written to")]
    found = f"{free / 1e9:.1f} GB free in {folder}"
    room = (
        Row("disk room", "OK", found)
        if free >= FREE_BYTES
        else Row("disk room", "WARN", found, "make room: 2 GB at least")
    )
    found = f"median {slow[len(slow) // 2]:.1f}, longest {slow[-1]:.1f} ms of {len(slow)}"
    if slow[-1] <= 200:
        return [room, Row("disk sync", "OK", found)]
    return [room, Row("disk sync", "WARN", found, "use a faster disk, or one not shared: records may be dropped")]


def _fsync_ms(folder: Path) -> list[float]:
    block, slow = os.urandom(BLOCK_BYTES), []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            start = time.monotonic()
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            slow.append((time.monotonic() - start) * 1e3)
    return sorted(slow)
