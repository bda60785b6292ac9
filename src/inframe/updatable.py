"""A device that takes updates: its slots on its disk, who verifies what is in them, its floor, its trail and its clocks."""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inframe import verifying
from inframe.bundle import Policy
from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import Device
from inframe.core.errors import BundleError, ConfigError, DeviceFault, InframeError, UpdateError
from inframe.core.updates import UpdateConfig
from inframe.core.yamlfile import read_device
from inframe.drivers.tpm_counter import counter_of
from inframe.machine.kernel import clock_state
from inframe.orders import answers
from inframe.recorder.moment import moments
from inframe.resolve import policy_of, resolve
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import peek
from inframe.trail.read import Log
from inframe.trail.records import EventKind, EventRecord
from inframe.update import status as statuses
from inframe.update import trust, wallclock
from inframe.update.floor import CountedFloor, FileFloor, Floor
from inframe.update.slots import Slots, Verified
from inframe.update.states import Release, Status, Told

MOST_HOURS = 24 * 30
"""A trial is put off by so much at most, from now."""


@dataclass(frozen=True, slots=True)
class Updatable:
    """A device that takes updates."""

    path: Path
    """The device file."""
    device: Device
    """As it is written."""
    config: UpdateConfig
    policy: Policy | None
    """Whose signatures a bundle must have; None: anybody's."""

    @property
    def base(self) -> Path:
        """The device file's folder."""
        return self.path.parent.absolute()

    @property
    def folder(self) -> Path:
        """Where its slots are."""
        return self.base / self.config.folder

    @property
    def files(self) -> Disk:
        """The same, as a disk."""
        return Disk(self.folder)

    @property
    def floor(self) -> Floor:
        """The rollback floor."""
        counter = counter_of(self.config.counter)
        return FileFloor(self.files) if counter is None else CountedFloor(self.files, counter)

    def verify(self, path: str) -> Verified:
        """A bundle in that folder. Raises UpdateError."""
        return verifying.verified(self.folder / path, self.policy)

    # --- time, for `fetch.Times`

    def wall_s(self) -> int:
        """The wall clock."""
        return int(time.time())

    def trail_s(self) -> int:
        """The newest moment in the trail; 0 where there is none, or none that can be believed."""
        home = self.home()
        if home is None:
            return 0
        with suppress(OSError, ConfigError, TrailDamaged, IndexError):
            log = Log(Disk(home.logs()[-1]), home.public_keys()[0])
            if log.size:
                return peek(log.entry(log.size - 1))[2].moment.wall_ns // NS_PER_S
        return 0

    def home(self) -> Home | None:
        """Its trail."""
        kept = self.device.trail
        if kept is None:
            return None
        return Home(self.base / kept.folder, self.base / kept.key if kept.key is not None else None)

    def trusted_s(self) -> int:
        """The time to judge by."""
        known = trust.read(self.files)
        return wallclock.trusted_s(self.wall_s(), wallclock.Proven(known.signed_s, self.trail_s()))


def updatable(path: Path) -> Updatable:
    """The device of that file. Raises ConfigError."""
    device = read_device(path)
    if device.update is None:
        raise ConfigError(path, "update", "null", "a device that takes updates")
    return Updatable(path, device, device.update, policy_of(path, device, needed=True))


@contextmanager
def slots_of(target: Updatable) -> Iterator[Slots]:
    """Its slots, recovered and examined; what happened goes into the trail at the end, also after an error."""
    target.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    slots = Slots.open(target.files, target.verify, target.floor, time.time_ns)
    try:
        slots.examine()
        yield slots
    finally:
        try:
            tell(target, slots)
        finally:
            slots.close()


@contextmanager
def slots_beside(target: Updatable) -> Iterator[Slots]:
    """Its slots for a move that the running device makes: what is in them was verified when it was loaded, and the trail's own
    process takes over what is told. Raises DeviceFault while a command has them."""
    slots = Slots.open(target.files, target.verify, target.floor, time.time_ns)
    try:
        yield slots
    finally:
        try:
            tell(target, slots, take_over=False)
        finally:
            slots.close()


def status_of(target: Updatable) -> Status:
    """Its status as it is written, while something else may be changing it. Raises UpdateError."""
    raw = target.files.read(statuses.PATH)
    return Status() if raw is None else statuses.decode(raw)


def report(target: Updatable, status: Status) -> dict[str, Any]:
    """The status, for programs."""

    def release(one: Release | None) -> dict[str, Any] | None:
        if one is None:
            return None
        bundles = {b.name: {"counter": b.counter, "sha256": b.digest, "size": b.size} for b in one.bundles}
        return {"name": one.name, "bundles": bundles}

    floor: dict[str, int] = {}
    with suppress(InframeError):  # a device that was never updated has none
        floor = target.floor.read()
    return {
        "device": target.device.device,
        "state": status.state.value,
        "reason": status.reason,
        "checkpoints": [{"checkpoint": name, "passed": ok, "reason": why} for name, ok, why in status.progress.checks],
        "compared": status.progress.compared,
        "trial": {
            "since": wallclock.text(status.progress.trial_ns // NS_PER_S) if status.progress.trial_ns else None,
            "procedures": status.progress.procedures,
            "deferred_until": wallclock.text(status.progress.deferred_ns // NS_PER_S)
            if status.progress.deferred_ns
            else None,
        },
        "slots": {slot.value: release(one) for slot, one in status.slots.items()},
        "floor": floor,
        "waiting_for_the_trail": len(status.outbox),
    }


# --- the trail -------------------------------------------------------------------------------------------------------


def tell(target: Updatable, slots: Slots, *, take_over: bool = True) -> None:
    """Hand what happened to the trail's inbox, and take it over where no running device will. Where the trail can't be
    written, it waits in the status."""
    home = target.home()
    if home is None or not slots.status.outbox:
        return
    with suppress(OSError):
        home.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        slots.deliver(lambda told: home.ask(_record(told)))
        if take_over:
            _take_over(home)


def _record(told: Told) -> EventRecord:
    data = {"at": wallclock.text(told.wall_ns // NS_PER_S), **told.data}
    return EventRecord(EventKind.UPDATE, 0, told.name, told.text, _who(), data)


def _take_over(home: Home) -> None:
    if not home.key_file.exists():
        return  # the device has never run: its recorder takes it over at the first start
    now = moments(MonotonicClock(), clock_state())
    with suppress(
        DeviceFault, ConfigError, TrailDamaged
    ):  # it runs, and takes it over itself; or says what is wrong with it
        writer = home.go_on(home.signers(""), now)
        try:
            home.take_over(writer, now().mono_ns)
            writer.close()
        finally:
            writer.let_go()


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return "unknown"


def is_running(target: Updatable) -> bool:
    """Whether the device runs: no checkpoint is run and no trial begins then. It holds its trail, and answers at its socket."""
    if target.device.candidate is not None and answers(target.base / target.device.candidate.control):
        return True
    home = target.home()
    for log in home.logs() if home is not None else ():
        disk = Disk(log)
        try:
            disk.lock()
        except DeviceFault:
            return True
        disk.unlock()
    return False


# --- at the start of the device --------------------------------------------------------------------------------------


def at_start(path: Path) -> Device:
    """The device of that file, resolved, as it starts. What its slots hold is verified by that; where something is not as it was
    installed, the slots are examined and fall back as their table says. Where nothing verifies, or the slots themselves are
    damaged, the device shows the picture without those models and their rules. Raises ConfigError, BundleError."""
    device = read_device(path)
    try:
        return resolve(device, path)
    except (BundleError, ConfigError, UpdateError):
        if device.update is None:
            raise
    try:
        with slots_of(updatable(path)) as slots:
            is_lost = slots.status.active is not None and slots.status.history[-1].name == "UPDATE_DAMAGED"
    except UpdateError:  # nobody knows what was active: that is for service
        is_lost = True
    return resolve(_without_slots(device) if is_lost else device, path)  # another release, or the same error once more


def _without_slots(device: Device) -> Device:
    lost = {name for name, one in device.bundles.items() if one.file is None}
    changes = {
        "bundles": {name: one for name, one in device.bundles.items() if name not in lost},
        "rules": {name: rule for name, rule in device.rules.items() if rule.model not in lost},
    }
    return device.model_copy(update=changes)
