"""What `inframe trail` does: open a trail wherever it lies, and ask it. Prints nothing; returns values."""

import getpass
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import Trail
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.yamlfile import read_device
from inframe.machine.kernel import clock_state
from inframe.recorder.moment import moments
from inframe.trail import find
from inframe.trail.against import verify_range
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk, put
from inframe.trail.home import Home
from inframe.trail.leaf import peek
from inframe.trail.note import Key, Scheme, Signer, parse_key
from inframe.trail.read import CHECKPOINT, WITNESSED, Log
from inframe.trail.records import NO_ID, EventKind, EventRecord, FrameRecord
from inframe.trail.report import Progress, Report, Resume
from inframe.trail.tiles import WIDTH
from inframe.trail.trace import Trace, time_text, trace
from inframe.trail.verify import verify
from inframe.trail.witness import Witness, cosigned

DEVICE_FILES = (".yaml", ".yml")
MAX_KEY_BYTES = 1 << 16


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
    return Home(base / trail.folder, base / trail.key if trail.key is not None else None)


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
    if span is not None:
        return verify_range(place.disk, place.key, *span, progress)
    report = verify(
        place.disk,
        place.key,
        also=place.also,
        witnesses=witnesses,
        witnessed=witnessed,
        resume=_read_resume(resume, place.key) if resume is not None else None,
        progress=progress,
        saved=lambda state: _keep_resume(resume, place.key, state) if resume is not None else None,
    )
    if resume is not None and report.is_sound:
        _keep_resume(resume, place.key, report.resume)
    return report


def _read_resume(path: Path, key: Key) -> Resume | None:
    if not path.exists() or not path.stat().st_size:
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


def _keep_resume(path: Path, key: Key, state: Resume) -> None:
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


# --- asking ----------------------------------------------------------------------------------------------------------


def wall_ns(text: str, option: str) -> int:
    """ISO 8601 with or without a date (today's) and a zone (this machine's), in ns since 1970. Raises ConfigError."""
    try:
        moment = datetime.fromisoformat(text if "-" in text else f"{datetime.now().astimezone():%Y-%m-%d}T{text}")
    except ValueError:
        expected = "a time such as 10:42:13, 2026-11-26T10:42:13.5 or 2026-11-26T10:42:13Z"
        raise ConfigError("inframe trail", option, text, expected) from None
    whole = moment.replace(microsecond=0).astimezone(UTC)
    return int(whole.timestamp()) * NS_PER_S + moment.microsecond * 1000


def at_time(log: Log, at_ns: int) -> list[Trace]:
    """What was on the screen then, for each stream. Raises TrailDamaged."""
    found, between = find.at(log, at_ns)
    return [trace(log, index, row, between) for index, row in found]


def by_number(log: Log, seq: int, stream: str | None, procedure: bytes | None) -> list[Trace]:
    """The newest frame of that number."""
    found = find.frame(log, seq, stream, procedure)
    return [] if found is None else [trace(log, *found)]


@dataclass(slots=True)
class Line:
    """One line of `inframe trail show`: an event, a frame, or a second of frames."""

    leaf: int
    wall_ns: int
    kind: str
    name: str
    text: str
    who: str = ""
    data: dict[str, str] | None = None
    payload: bytes = b""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = {"leaf": self.leaf, "time": time_text(self.wall_ns), "kind": self.kind, "name": self.name}
        told |= {"text": self.text, "who": self.who, "data": self.data or {}}
        if self.payload:  # settings are text; the bytes of a torn end are not
            told["payload"] = self.payload.decode() if self.payload.isascii() else self.payload.hex()
        return told


def lines(log: Log, wanted: find.Filter, each_frame: bool) -> Iterator[Line]:
    """What passes the filter, oldest first; frames one by one, or a line for each leaf of them. Raises TrailDamaged."""
    second: list[tuple[FrameRecord, int]] = []
    last = (-1, "")
    for index, header, stream, record in find.show(log, wanted):
        if isinstance(record, FrameRecord) and not each_frame:
            if last != (index, stream) and second:
                yield _second(*last, second)
                second = []
            last = index, stream
            second.append((record, header.wall_ns(record.shown_ns)))
            continue
        if second:
            yield _second(*last, second)
            second = []
        if isinstance(record, FrameRecord):
            yield _frame(index, header.wall_ns(record.shown_ns), stream, record)
        else:
            yield _event(index, header.wall_ns(record.at_ns), record)
    if second:
        yield _second(*last, second)


def _event(index: int, at: int, event: EventRecord) -> Line:
    return Line(index, at, event.kind.name, event.name, event.text, event.who, dict(event.data), event.payload)


def _frame(index: int, at: int, stream: str, frame: FrameRecord) -> Line:
    ms = (frame.shown_ns - frame.captured_ns) / 1e6
    found = ", ".join(f"{finding.rule} {finding.value:.4g}" for finding in frame.findings)
    text = f"{frame.verdict.name} {frame.mode.name} {ms:.1f} ms" + (f"; {found}" if found else "")
    return Line(index, at, "FRAME", f"{stream} {frame.seq}" if frame.seq else f"{stream} NO SIGNAL", text)


def _second(index: int, stream: str, second: list[tuple[FrameRecord, int]]) -> Line:
    frames = [frame for frame, _ in second]
    verdicts = [frame.verdict.name for frame in frames]
    told = " ".join(f"{name} {verdicts.count(name)}" for name in dict.fromkeys(verdicts))
    modes = "/".join(dict.fromkeys(frame.mode.name for frame in frames))
    ms = sorted((frame.shown_ns - frame.captured_ns) / 1e6 for frame in frames)[len(frames) // 2]
    rules = ", ".join(dict.fromkeys(finding.rule for frame in frames for finding in frame.findings))
    text = f"{told}; {modes}; {ms:.1f} ms" + (f"; {rules}" if rules else "")
    seqs = [frame.seq for frame in frames if frame.seq]
    name = f"{stream} {seqs[0]}…{seqs[-1]}" if seqs else f"{stream} NO SIGNAL"
    return Line(index, second[0][1], "FRAMES", name, text)


def newest_procedure(log: Log) -> bytes | None:
    """The procedure that was recorded last."""
    for bundle in range((log.size - 1) // 256, -1, -1):
        for _, entry in reversed(list(log.entries(256 * bundle, 256 * (bundle + 1)))):
            procedure = peek(entry)[2].procedure
            if procedure != NO_ID:
                return procedure
    return None


def procedure_id(log: Log, text: str | None) -> bytes:
    """The procedure of that id or its beginning; None: the newest. Raises ConfigError."""
    if text is None:
        found = newest_procedure(log)
        if found is None:
            raise ConfigError(log.key.name, "procedure", "none in this trail", "at least one")
        return found
    known = dict.fromkeys(peek(entry)[2].procedure for _, entry in log.entries())
    fitting = [one for one in known if one != NO_ID and one.hex().startswith(text.lower())]
    if len(fitting) != 1:
        expected = "the id, or enough of its beginning, of one of: " + ", ".join(p.hex() for p in known if p != NO_ID)
        raise ConfigError(log.key.name, "--procedure", text, expected)
    return fitting[0]


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
    """Erase a procedure's salt: its digests then say nothing about anybody any more. Raises ConfigError where there is none."""
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
