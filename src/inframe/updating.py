"""What `inframe update` does to a device: its slots, its repository, its trail, brought together. Prints nothing."""

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from inframe import __version__, bundled
from inframe.bundle import Policy
from inframe.core.clock import MonotonicClock
from inframe.core.config import Device, UpdateConfig
from inframe.core.errors import ConfigError, DeviceFault, InframeError
from inframe.core.yamlfile import read_device
from inframe.machine.kernel import clock_state
from inframe.recorder.moment import moments
from inframe.resolve import policy_of
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk, make_folders
from inframe.trail.home import Home
from inframe.trail.leaf import peek
from inframe.trail.read import Log
from inframe.trail.records import EventKind, EventRecord
from inframe.update import status as statuses
from inframe.update import trust, wallclock
from inframe.update.authorisation import excuse_from
from inframe.update.checkpoints import Passed
from inframe.update.client import Source
from inframe.update.fetch import Link, Visit, visit
from inframe.update.floor import FileFloor
from inframe.update.releases import Facts
from inframe.update.sealed import refused
from inframe.update.slots import DOWNLOAD, Slots, Verified
from inframe.update.states import BY_HAND, Excuse, Installed, Release, State, Status, Told
from inframe.update.transport import Speed, Transport

NS_PER_S = 1_000_000_000
LONGEST_PAUSE_S = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A device that takes updates."""

    base: Path
    """The device file's folder."""
    device: Device
    config: UpdateConfig
    policy: Policy | None
    """Whose signatures a bundle must have; None: anybody's."""

    @property
    def folder(self) -> Path:
        """Where its slots are."""
        return self.base / self.config.folder

    @property
    def files(self) -> Disk:
        """The same, as a disk."""
        return Disk(self.folder)

    def verify(self, path: str) -> Verified:
        """A bundle in that folder. Raises UpdateError."""
        return bundled.verified(self.folder / path, self.policy)

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


def place_of(device_file: Path) -> Place:
    """Raises ConfigError."""
    device = read_device(device_file)
    if device.update is None:
        raise ConfigError(device_file, "update", "null", "a device that takes updates")
    policy = policy_of(device_file, device, needed=True)
    return Place(device_file.parent.absolute(), device, device.update, policy)


@contextmanager
def slots_of(place: Place) -> Iterator[Slots]:
    """Its slots, recovered and examined; what happened goes into the trail at the end, also after an error."""
    place.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    files = place.files
    slots = Slots.open(files, place.verify, FileFloor(files), time.time_ns)
    try:
        slots.examine()
        yield slots
    finally:
        try:
            tell(place, slots)
        finally:
            slots.close()


def status_of(place: Place) -> Status:
    """Its status as it is written, while something else may be changing it. Raises UpdateError."""
    raw = place.files.read(statuses.PATH)
    return Status() if raw is None else statuses.decode(raw)


# --- the trail -------------------------------------------------------------------------------------------------------


def tell(place: Place, slots: Slots) -> None:
    """Hand what happened to the trail's inbox, and take it over where no running device will. Where the trail can't be
    written, it waits in the status."""
    home = place.home()
    if home is None or not slots.status.outbox:
        return
    with suppress(OSError):
        home.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        slots.deliver(lambda told: home.ask(_record(told)))
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


def is_running(place: Place) -> bool:
    """Whether the device runs: a trial does not begin then."""
    home = place.home()
    for log in home.logs() if home is not None else ():
        disk = Disk(log)
        try:
            disk.lock()
        except DeviceFault:
            return True
        disk.unlock()
    return False


# --- what the commands do --------------------------------------------------------------------------------------------


def fetch(place: Place, authorisation: Path | None = None, *, again: bool = False) -> Visit:
    """Ask the repository, and fetch the newest release for this device; `again`: also one that was rolled back here.

    Raises UpdateError, ConfigError.
    """
    with slots_of(place) as slots:
        active = slots.status.active or Release("", ())
        names, known = set(place.config.bundles), {} if again else dict(slots.status.rejected)
        digests = set(active.digests)
        facts = Facts(place.device.device, __version__, names, active.counters, digests, known)
        excuse = _excuse(place, authorisation)
        return visit(place.files, slots, _link(place), facts, excuse)


def _link(place: Place) -> Link:
    source = Source(place.config.repository, _read(place.base / place.config.root, "update.root"))
    transport = Transport(MonotonicClock(), Speed(place.config.least_bytes_s))

    def free() -> int:
        found = os.statvfs(place.folder)
        return found.f_bavail * found.f_frsize

    return Link(source, transport, place, lambda tried: time.sleep(min(2**tried, LONGEST_PAUSE_S)), free)


def install(place: Place, bundles: list[Path], authorisation: Path | None = None) -> tuple[Release, list[Passed]]:
    """Verify, install and check what was fetched, or those files. Raises UpdateError, ConfigError."""
    with slots_of(place) as slots:
        if bundles:
            _take_in(place, slots, bundles)
        release = slots.status.trial
        if slots.status.state is State.FETCHED:
            slots.verify(_excuse(place, authorisation))
        if slots.status.state is not State.INSTALLED:  # where a power cut came in between, only the checks are left
            slots.install()
        if release is None:
            raise RuntimeError("installed nothing")
        return release, slots.check([])


def _take_in(place: Place, slots: Slots, bundles: list[Path]) -> None:
    """As `fetch`, from files in the hand: they are copied, and named by what they say of themselves."""
    files, listed = place.files, []
    make_folders(files, DOWNLOAD)
    for path in bundles:
        data = _read(path, "BUNDLE")
        digest = sha256(data).hexdigest()
        where = f"{DOWNLOAD}/{digest}"
        files.write(where, data)
        files.sync(where)
        found = bundled.verified(place.folder / where, place.policy)
        if found.name not in place.config.bundles:
            raise refused(path, "name", found.name, f"one of update.bundles: {', '.join(place.config.bundles)}")
        listed.append(Installed(found.name, digest, found.counter, len(data)))
    files.sync_folder(DOWNLOAD)
    if len({one.name for one in listed}) < len(listed):
        raise ConfigError("inframe update install", "BUNDLE", "two of one name", "each name once")
    slots.fetched(Release(BY_HAND, tuple(sorted(listed, key=lambda one: one.name))))


def begin_trial(place: Place) -> Release | None:
    """Show it from the next start on. Raises UpdateError."""
    with slots_of(place) as slots:
        slots.begin_trial(procedure_running=is_running(place), without_shadow=not place.config.shadow)
        return slots.status.trial


def commit(place: Place, why: str) -> Release | None:
    """Confirm the trial. Raises UpdateError."""
    with slots_of(place) as slots:
        slots.commit(why)
        return slots.status.active


def roll_back(place: Place, why: str, authorisation: Path | None) -> Status:
    """Give up what is on its way; where nothing is, bring the previous release back, which needs an authorisation."""
    with slots_of(place) as slots:
        if slots.status.trial is not None:
            slots.roll_back(why)
        else:
            excuse = _excuse(place, authorisation)
            if excuse is None:
                found = "none, and nothing on its way"
                raise refused("inframe update rollback", "--authorisation", found, "one: this is a downgrade")
            slots.restore(excuse)
        return slots.status


def _excuse(place: Place, path: Path | None) -> Excuse | None:
    if path is None:
        return None
    known = trust.read(place.files).roles.get("root")
    root = (
        known if known is not None else _read(place.base / place.config.root, "update.root").decode("utf-8", "replace")
    )
    raw = _read(path, "--authorisation")
    return excuse_from(raw, str(path), root, place.device.device, place.trusted_s())


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(path, option, error.strerror or error, "a file that can be read") from None


def report(place: Place, status: Status) -> dict[str, Any]:
    """The status, for programs."""

    def release(one: Release | None) -> dict[str, Any] | None:
        if one is None:
            return None
        bundles = {b.name: {"counter": b.counter, "sha256": b.digest, "size": b.size} for b in one.bundles}
        return {"name": one.name, "bundles": bundles}

    floor: dict[str, int] = {}
    with suppress(InframeError):  # a device that was never updated has none
        floor = FileFloor(place.files).read()
    return {
        "device": place.device.device,
        "state": status.state.value,
        "reason": status.reason,
        "slots": {slot.value: release(one) for slot, one in status.slots.items()},
        "floor": floor,
        "waiting_for_the_trail": len(status.outbox),
    }
