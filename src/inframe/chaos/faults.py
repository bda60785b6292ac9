"""FAULTS: what is broken on purpose, in one table. Each row breaks one thing, says what must be announced, and mends it."""

import ctypes
import errno
import mmap
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inframe.bench.load import Load
from inframe.chaos.model import Misdeed
from inframe.chaos.stage import TRAIL, Stage
from inframe.core.clock import NS_PER_S
from inframe.core.samples import Quality
from inframe.pipeline import ring

Mend = Callable[[], None]
CLOCK_STEP_S = 3600
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    name: str
    strike: Callable[[Stage], Mend]
    """Breaks it, returns what mends it."""
    lasts_s: float
    """From the strike to the mending."""
    alerts: tuple[str, ...]
    """The events of which one must be announced; none: nothing has to be."""
    camera: bool = False
    """The camera's: frames may be lost, but the alert must come within half a second."""
    path: bool = False
    """The picture's own process: frames are lost until it is back, and are reported."""
    ai: bool = False
    """The model's: the overlay must go, and never be wrong."""
    recording: bool = False
    """The recording's: on a device that records."""
    candidate: bool = False
    """A change of the model: at most one frame may be without an overlay."""
    sensor: tuple[Quality, ...] = ()
    """A sensor's: one of these must be shown within its `max_age_ms`."""


class CanNot(Exception):  # says what this machine does not permit
    """The fault can't be made here; the report says SKIPPED and why."""


def _nothing() -> None:
    """What was broken mends itself."""


def _signal(kind: str, number: signal.Signals) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        pid = stage.pid(kind)
        os.kill(pid, number)
        return lambda: _continue(pid) if number is signal.SIGSTOP else None

    return strike


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return  # the parent has replaced it meanwhile, which is the point


def _misdeed(what: Misdeed) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        stage.misdeed(what)
        return lambda: stage.misdeed(Misdeed.NONE)

    return strike


def _disk_full(stage: Stage) -> Mend:
    """A small file system of the trail's own, filled up; unprivileged, the recorder's file size limit instead."""
    trail = stage.folder / TRAIL
    if os.path.ismount(trail):
        return _fill(trail)
    pid = stage.pid("recorder")
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = max((file.stat().st_size for file in trail.rglob("*") if file.is_file()), default=0)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))

    def back() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return back


def _fill(folder: Path) -> Mend:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (64 << 10, 4 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler.unlink


def small_disk(folder: Path, size: int = 4 * MIB) -> bool:
    """Put a file system of `size` bytes at `folder`, visible to this process and its children only; False if not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, recursive_private = 0x00020000, 0x4000 | 0x40000
    if libc.unshare(new_namespace) or libc.mount(None, b"/", None, recursive_private, None):
        return False
    return not libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode())


def release(folder: Path) -> None:
    """Take the file system of `small_disk` away again."""
    if os.path.ismount(folder):
        ctypes.CDLL(None).umount2(os.fsencode(folder), 2)  # 2: even while the last recorder still lets go of it


def _step_clock(stage: Stage) -> Mend:
    wall, steady = time.time_ns(), time.monotonic_ns()
    try:
        time.clock_settime_ns(time.CLOCK_REALTIME, wall + CLOCK_STEP_S * NS_PER_S)
    except PermissionError:
        raise CanNot("setting the wall clock needs CAP_SYS_TIME") from None

    def back() -> None:
        time.clock_settime_ns(time.CLOCK_REALTIME, wall + time.monotonic_ns() - steady)

    return back


def _hogs(*kinds: str) -> Callable[[Stage], Mend]:
    def strike(stage: Stage) -> Mend:
        load = Load(kinds, stage.folder)
        return lambda: load.__exit__(None, None, None)

    return strike


def _damage_ring(stage: Stage) -> Mend:
    """Overwrite the first header of the newest frames' slots, and the notes of which is the newest, for half a second."""
    fd = stage.running.shared[f"frames.{stage.running.device.display}"]
    memory = mmap.mmap(fd, os.fstat(fd).st_size)
    reader = ring.RingReader(fd)
    rng = random.Random(1)  # damage, not a secret
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        at = reader._ring.layout.front(reader.newest()) + rng.randrange(64)
        memory[at : at + 8] = rng.randbytes(8)
        note = 64 + rng.randrange(72)
        memory[note : note + 4] = rng.randbytes(4)
        stage.watch(0.01)
    return memory.close


def _tear_config(stage: Stage) -> Mend:
    whole = stage.path.read_bytes()
    stage.path.write_bytes(whole[: len(whole) // 2])

    def back() -> None:
        stage.path.write_bytes(whole)

    return back


FAULTS: tuple[Fault, ...] = (
    Fault("worker_killed", _signal("worker", signal.SIGKILL), 0.0, ("WORKER_LOST",), ai=True),
    Fault("worker_stopped", _signal("worker", signal.SIGSTOP), 1.0, ("WORKER_LOST",), ai=True),
    Fault("worker_slow", _misdeed(Misdeed.SLOW), 1.5, ("AI_LATE",), ai=True),
    Fault("worker_nan", _misdeed(Misdeed.NAN), 1.0, ("AI_INVALID",), ai=True),
    Fault("worker_raising", _misdeed(Misdeed.RAISE), 0.7, ("AI_FAILED",), ai=True),
    Fault("worker_out_of_memory", _misdeed(Misdeed.MEMORY), 1.5, ("AI_FAILED", "WORKER_LOST", "AI_LATE"), ai=True),
    Fault("capture_killed", _signal("capture", signal.SIGKILL), 0.0, (), path=True),
    Fault("display_killed", _signal("display", signal.SIGKILL), 0.0, ("DISPLAY_LOST",), path=True),
    Fault("recorder_killed", _signal("recorder", signal.SIGKILL), 0.0, ("RECORDER_LOST",)),
    Fault("recorder_stopped", _signal("recorder", signal.SIGSTOP), 4.0, ("RECORDER_LOST",)),
    Fault("console_killed", _signal("console", signal.SIGKILL), 0.0, ("CONSOLE_LOST",)),
    Fault("console_stopped", _signal("console", signal.SIGSTOP), 4.0, ("CONSOLE_LOST",)),
    Fault("disk_full", _disk_full, 2.0, ("DISK_FULL",)),
    Fault("wall_clock_stepped", _step_clock, 1.5, ("CLOCK_STEPPED",)),
    Fault("cpu_hogs", _hogs("cpu", "cpu", "cpu", "bandwidth"), 3.0, ()),
    Fault("memory_hogs", _hogs("memory"), 3.0, ()),
    Fault("ring_slot_corrupted", _damage_ring, 0.0, ("RING_CORRUPT",)),
    Fault("config_torn", _tear_config, 1.5, ("CONFIG_CHANGED",)),
    Fault("recording_killed", _signal("recording", signal.SIGKILL), 0.0, ("RECORDER_LOST",), recording=True),
    Fault("recording_stopped", _signal("recording", signal.SIGSTOP), 4.0, ("RECORDER_LOST",), recording=True),
)
"""The faults of everything but the camera; the camera's are in `camera.py`, they need a camera that obeys."""
