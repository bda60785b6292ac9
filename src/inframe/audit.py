"""What `inframe trail` does to a trail: find it wherever it lies, verify it, record what was done with it. Prints nothing."""

import getpass
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inframe.core.clock import MonotonicClock
from inframe.core.config import Trail
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.yamlfile import read_device
from inframe.drivers.tpm_counter import counter_of
from inframe.inquiry import newest_procedure
from inframe.machine.kernel import clock_state
from inframe.recorder.moment import moments
from inframe.trail.against import verify_range
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk, put
from inframe.trail.home import Home
from inframe.trail.leaf import peek
from inframe.trail.note import Key, Scheme, Signer, parse_key
from inframe.trail.read import CHECKPOINT, WITNESSED, Log
from inframe.trail.records import EventKind, EventRecord
from inframe.trail.report import Progress, Report, Resume
from inframe.trail.tiles import WIDTH
from inframe.trail.verify import verify
from inframe.trail.witness import Witness, cosigned

DEVICE_FILES = (".yaml", ".yml")
MAX_KEY_BYTES = 1 << 16
TRIES = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A log with the keys to check it by."""

    home: Home
    path: Path
    key: Key
    also: tuple[Key, ...]
    """The device's other keys (ML-DSA), which must have signed what is published."""
    key_from: str
    """Where the key came from: one that lies beside the log proves nothing against whoever could replace both."""

    @property
    def disk(self) -> Disk:
        """The log's folder."""
        return Disk(self.path)

    def log(self) -> Log:
        """The log as it is now. Raises TrailDamaged."""
        return Log(self.disk, self.key)


def home_of(path: Path) -> Home:
    """The trail's folder: of a device file, of a log in it, or itself. Raises ConfigError."""
    if path.suffix in DEVICE_FILES:
        device = read_device(path)
        if device.trail is None:
            raise ConfigError(path, "trail", "null", "a device that keeps a trail")
        return _of_device(path.parent.absolute(), device.trail)
    if (path / CHECKPOINT).exists():
        return Home(path.absolute().parent)
    if not path.is_dir():
        raise ConfigError(path, "trail", "no such folder", "a trail's folder or a device file")
    return Home(path)


def _of_device(base: Path, trail: Trail) -> Home:
    return Home(base / trail.folder, base / trail.key if trail.key is not None else None, counter_of(trail.counter))


def find_log(path: Path, key: str | None = None) -> Place:
    """The newest log at `path` (see `home_of`), or that very one. Raises ConfigError."""
    home = home_of(path)
    logs = [path] if (path / CHECKPOINT).exists() else home.logs()
    if not logs:
        raise ConfigError(path, "trail", "no log in it", "the folder of a trail that something was written to")
    return place_of(home, logs[-1], key)


def place_of(home: Home, log: Path, key: str | None) -> Place:
    """A log with the keys given, or those beside it."""
    keys = read_keys(key) if key is not None else home.public_keys()
    origin = (log / CHECKPOINT).read_bytes().partition(b"\n")[0].decode("utf-8", "replace")
    named = [Key(name_in(one, origin), one.scheme, one.public) for one in keys]
    return Place(home, log, named[0], tuple(named[1:]), str(home.key_file) + ".pub" if key is None else "--key")


def name_in(key: Key, origin: str) -> str:
    """The name of the device's key in the log of that origin: a second log's ends in /2."""
    number = origin.removeprefix(f"{key.name}/")
    return origin if number.isdigit() else key.name


def read_keys(text: str) -> list[Key]:
    """Public keys as given on the command line: the key itself, or a file with one a line. Raises ConfigError."""
    try:
        path = Path(text)
        if path.is_file() and path.stat().st_size <= MAX_KEY_BYTES:
            text = path.read_text("utf-8")
    except (OSError, ValueError):  # a key is no good file name
        pass
    try:
        return [parse_key(line) for line in text.splitlines() if line.strip()] or [parse_key(text)]
    except ConfigError as error:
        raise ConfigError("--key", "key", text.strip(), error.expected) from None


def read_file(path: Path, option: str) -> bytes:
    """What a command was given to read. Raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(path, option, error.strerror or error, "a file that can be read") from None


def is_written(log: Path) -> bool:
    """Whether a device writes this log now."""
    disk = Disk(log)
    try:
        disk.lock()
    except DeviceFault:
        return True
    disk.unlock()
    return False


# --- verifying -------------------------------------------------------------------------------------------------------


def check(
    place: Place,
    span: tuple[int, int] | None,
    resume: Path | None,
    witnesses: tuple[Key, ...],
    witnessed: tuple[bytes, ...],
    progress: Progress,
) -> Report:
    """Verify a log, or leaves first … last-1 of it. `resume`: a file that keeps how far it came, for the next time."""
    for _ in range(TRIES):
        if span is not None:
            report = verify_range(place.disk, place.key, *span, progress)
        else:
            report = verify(
                place.disk,
                place.key,
                also=place.also,
                witnesses=witnesses,
                witnessed=witnessed,
                counter=_counted(place),
                resume=_read_resume(resume, place.key),
                progress=progress,
                saved=lambda state: _keep_resume(resume, place.key, state),
            )
        if report.is_sound or not is_written(place.path):
            break  # else a device has written on between two reads, which looks like damage, and looked so once only
    if span is None and report.is_sound:
        _keep_resume(resume, place.key, report.resume)
    return report


def _counted(place: Place) -> int | None:
    """What the device's counter says, where the device file names one: it goes with the newest log."""
    counter = place.home.counter
    return counter.read() if counter is not None and place.path == place.home.logs()[-1] else None


def _read_resume(path: Path | None, key: Key) -> Resume | None:
    if path is None or not path.exists() or not path.stat().st_size:
        return None
    try:
        told = json.loads(path.read_bytes())
        peaks = tuple(bytes.fromhex(peak) for peak in told["peaks"])
        size = int(told["size"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(path, "--resume", error, "a file that `inframe trail verify --resume` wrote") from None
    if told.get("key") != key.text() or size % 256 or size.bit_count() != len(peaks):
        raise ConfigError(path, "--resume", told.get("key"), f"what was kept of the log of {key.text()}")
    return Resume(size, peaks)


def _keep_resume(path: Path | None, key: Key, state: Resume) -> None:
    if path is None:
        return
    told = {"key": key.text(), "size": state.size, "peaks": [peak.hex() for peak in state.peaks]}
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(told), "utf-8")
    new.replace(path)


def report_json(place: Place, report: Report) -> dict[str, Any]:
    """A verification, for programs."""
    return {
        "log": str(place.path),
        "origin": report.origin,
        "key": place.key.text(),
        "key_from": place.key_from,
        "sound": report.is_sound,
        "size": report.size,
        "leaves_looked_at": report.leaves,
        "frames": report.frames,
        "events": report.events,
        "pruned_before": report.minimum,
        "gaps": [{"leaf": leaf, "name": e.name, "text": e.text, "data": dict(e.data)} for leaf, e in report.gaps],
        "damages": [{"place": d.place, "found": d.found, "expected": d.expected} for d in report.damages],
    }


# --- recording what was done with it ---------------------------------------------------------------------------------


def record(place: Place, kind: EventKind, name: str, text: str, data: dict[str, str]) -> str:
    """Have an event recorded in the trail that it is about: by the device if it runs, else here. Says in words what came of
    it: a copy of a trail, or one without its private key, can't be written to."""
    if not place.home.key_file.exists() or place.path not in place.home.logs():
        return "not recorded in the trail: this is a copy without its key"
    try:
        place.home.ask(EventRecord(kind, 0, name, text, _who(), data))
        now = moments(MonotonicClock(), clock_state())
        try:
            writer = place.home.go_on(place.home.signers(""), now)
        except DeviceFault:
            return "recorded in the trail by the running device"
        try:
            place.home.take_over(writer, now().mono_ns)
            writer.close()
        finally:
            writer.let_go()
    except (OSError, ConfigError, TrailDamaged) as error:
        return f"not recorded in the trail: {error}"
    return "recorded in the trail"


def prune(place: Place, before_ns: int, why: str) -> int:
    """Delete the leaves from before a wall time, as far as whole bundles of 256 go; returns the first that is kept. The log
    says so itself. Raises DeviceFault while the device runs, ConfigError without its key."""
    if not place.home.key_file.exists():
        raise ConfigError(place.home.key_file, "key", "no such file", "the device's key: pruning is signed")
    log = place.log()
    headers = ((index, peek(entry)[2]) for index, entry in log.entries())
    minimum = next((index for index, h in headers if h.wall_ns(h.first_ns) >= before_ns), log.size) // WIDTH * WIDTH
    now = moments(MonotonicClock(), clock_state())
    writer = place.home.go_on(place.home.signers(""), now)
    try:
        writer.prune(minimum, why, _who())
        writer.close()
    finally:
        writer.let_go()
    return minimum


def forget(place: Place, procedure: bytes) -> str:
    """Erase a procedure's salt: its digests then say nothing about anybody any more. Raises ConfigError where there is none,
    and for the procedure that a device is recording now, which would only keep it again."""
    if is_written(place.path) and procedure == newest_procedure(place.log()):
        raise ConfigError(place.home.folder, "--procedure", procedure.hex(), "one that is over: stop the device first")
    salts = place.home.salts()
    if salts.get(procedure) is None:
        raise ConfigError(place.home.folder, "--procedure", procedure.hex(), "one whose salt is still there")
    salts.erase(procedure)
    text = "the procedure's salt was erased: its digests mean nothing any more"
    return record(place, EventKind.PRUNE, "SALT_ERASED", text, {"procedure": procedure.hex()})


# --- the witness -----------------------------------------------------------------------------------------------------


def cosign(folder: Path, name: str, logs: Mapping[str, Key], request: bytes) -> tuple[bytes, Key]:
    """Be the witness whose key and memory are in `folder` (made the first time, `witness.pub` for others to know it by):
    the answer to a device's request, and the key. Raises WitnessRefused, ConfigError."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (own, *_) = Home(folder).signers(name)
    signer = Signer(own.key.name, Scheme.COSIGNATURE, own.seed)
    put(Disk(folder), "witness.pub", f"{signer.key.text()}\n".encode())
    disk = Disk(folder / "logs")
    try:
        return Witness(disk, (signer,), logs).add_checkpoint(request, int(time.time())), signer.key
    finally:
        disk.unlock()


def keep_cosigned(place: Place, response: bytes, witnesses: tuple[Key, ...]) -> tuple[int, str]:
    """Keep what a witness cosigned; how many leaves those are, and whether that was recorded. Raises TrailDamaged."""
    log = place.log()
    note = cosigned(log.published_note, response, place.key, witnesses)
    put(place.disk, WITNESSED, note)
    data = {"leaves": str(log.published.size), "witness": ", ".join(key.name for key in witnesses)}
    return log.published.size, record(place, EventKind.WITNESS, "WITNESSED", "a witness vouches for the trail", data)


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return "unknown"
