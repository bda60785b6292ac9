"""What `inframe update` does to a device: its slots, its repository, its trail, brought together. Prints nothing."""

import os
import time
from hashlib import sha256
from pathlib import Path

from inframe import __version__, verifying
from inframe.core.clock import MonotonicClock
from inframe.core.errors import ConfigError
from inframe.trail.files import make_folders
from inframe.updatable import MOST_HOURS, Updatable, is_running, report, slots_of
from inframe.update import trust
from inframe.update.authorisation import excuse_from
from inframe.update.checkpoints import Passed
from inframe.update.client import Source
from inframe.update.fetch import Link, Visit, visit
from inframe.update.releases import Facts
from inframe.update.sealed import refused
from inframe.update.slots import DOWNLOAD, Slots
from inframe.update.states import BY_HAND, Excuse, Installed, Release, State, Status
from inframe.update.transport import Speed, Transport
from inframe.update.trial import is_open
from inframe.validating import Examination

__all__ = ["begin_trial", "commit", "defer", "fetch", "install", "report", "roll_back"]

NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3600 * NS_PER_S
LONGEST_PAUSE_S = 60


# --- what the commands do --------------------------------------------------------------------------------------------


def fetch(target: Updatable, authorisation: Path | None = None, *, again: bool = False) -> Visit:
    """Ask the repository, and fetch the newest release for this device; `again`: also one that was rolled back here.

    Raises UpdateError, ConfigError.
    """
    with slots_of(target) as slots:
        active = slots.status.active or Release("", ())
        names, known = set(target.config.bundles), {} if again else dict(slots.status.rejected)
        digests = set(active.digests)
        facts = Facts(target.device.device, __version__, names, active.counters, digests, known)
        excuse = _excuse(target, authorisation)
        return visit(target.files, slots, _link(target), facts, excuse)


def _link(target: Updatable) -> Link:
    source = Source(target.config.repository, _read(target.base / target.config.root, "update.root"))
    transport = Transport(MonotonicClock(), Speed(target.config.least_bytes_s))

    def free() -> int:
        found = os.statvfs(target.folder)
        return found.f_bavail * found.f_frsize

    return Link(source, transport, target, lambda tried: time.sleep(min(2**tried, LONGEST_PAUSE_S)), free)


def install(target: Updatable, bundles: list[Path], authorisation: Path | None = None) -> tuple[Release, list[Passed]]:
    """Verify, install and check what was fetched, or those files. Raises UpdateError, ConfigError."""
    with slots_of(target) as slots:
        if bundles:
            _take_in(target, slots, bundles)
        release = slots.status.trial
        if slots.status.state is State.FETCHED:
            slots.verify(_excuse(target, authorisation))
        if slots.status.state is not State.INSTALLED:  # where something came in between, only the checks are left
            slots.install()
        if release is None:
            raise RuntimeError("installed nothing")
        _may_check(target)
        examination = Examination(target, first=slots.status.active is None)
        try:
            return release, slots.check(examination.checkpoints())
        finally:
            examination.close()


def _may_check(target: Updatable) -> None:
    """The latency is measured with a worker's own cores and priority, under load: not beside a procedure. Raises UpdateError."""
    if is_running(target):
        found, expected = "a running device", "a stopped one: checkpoints need its cores; then install again"
        raise refused("update", "check", found, expected)
    _in_window(target, "check")


def _in_window(target: Updatable, what: str) -> None:
    window, now = target.config.trial.window, time.localtime()
    if not is_open(window, now.tm_hour * 60 + now.tm_min):
        raise refused("update", what, f"{now.tm_hour:02}:{now.tm_min:02}", f"the hours {window}")


def _take_in(target: Updatable, slots: Slots, bundles: list[Path]) -> None:
    """As `fetch`, from files in the hand: they are copied, and named by what they say of themselves."""
    files, listed = target.files, []
    make_folders(files, DOWNLOAD)
    for path in bundles:
        data = _read(path, "BUNDLE")
        digest = sha256(data).hexdigest()
        where = f"{DOWNLOAD}/{digest}"
        files.write(where, data)
        files.sync(where)
        found = verifying.verified(target.folder / where, target.policy)
        if found.name not in target.config.bundles:
            raise refused(path, "name", found.name, f"one of update.bundles: {', '.join(target.config.bundles)}")
        listed.append(Installed(found.name, digest, found.counter, len(data)))
    files.sync_folder(DOWNLOAD)
    if len({one.name for one in listed}) < len(listed):
        raise ConfigError("inframe update install", "BUNDLE", "two of one name", "each name once")
    slots.fetched(Release(BY_HAND, tuple(sorted(listed, key=lambda one: one.name))))


def begin_trial(target: Updatable) -> Release | None:
    """Show it from the next start on; where trials may begin during a procedure, from the next frame on. Raises UpdateError."""
    config = target.config
    _in_window(target, "trial")
    with slots_of(target) as slots:
        running = is_running(target) and not config.trial.during_procedure
        slots.begin_trial(procedure_running=running, without_shadow=not config.shadow)
        return slots.status.trial


def defer(target: Updatable, hours: float, why: str) -> Status:
    """Put the trial off, from now; 0: not any more. Raises UpdateError, ConfigError."""
    if not 0 <= hours <= MOST_HOURS:
        raise ConfigError("inframe update defer", "--hours", f"{hours:g}", f"0 to {MOST_HOURS}")
    with slots_of(target) as slots:
        slots.defer(time.time_ns() + int(hours * NS_PER_HOUR) if hours else 0, why)
        return slots.status


def commit(target: Updatable, why: str) -> Release | None:
    """Confirm the trial. Raises UpdateError."""
    with slots_of(target) as slots:
        slots.commit(why)
        return slots.status.active


def roll_back(target: Updatable, why: str, authorisation: Path | None) -> Status:
    """Give up what is on its way; where nothing is, bring the previous release back, which needs an authorisation."""
    with slots_of(target) as slots:
        if slots.status.trial is not None:
            slots.roll_back(why)
        else:
            excuse = _excuse(target, authorisation)
            if excuse is None:
                found = "none, and nothing on its way"
                raise refused("inframe update rollback", "--authorisation", found, "one: this is a downgrade")
            slots.restore(excuse)
        return slots.status


def _excuse(target: Updatable, path: Path | None) -> Excuse | None:
    if path is None:
        return None
    known = trust.read(target.files).roles.get("root")
    root = (
        known
        if known is not None
        else _read(target.base / target.config.root, "update.root").decode("utf-8", "replace")
    )
    raw = _read(path, "--authorisation")
    return excuse_from(raw, str(path), root, target.device.device, target.trusted_s())


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(path, option, error.strerror or error, "a file that can be read") from None
