"""Where a device keeps its trail: one folder.

key, key.pub    the device's key, made at the first start (signed-note texts; `key` is 0600); a second line: ML-DSA-44
log, log-2 …    the logs; a new one is begun, under a name that ends in /2, where the one before is found damaged
salts/          one file for each procedure, outside the logs, so that erasing one breaks no tree
inbox/          what other programs want in the record (an export, a witness); whoever writes the log takes it over
"""

import json
import os
import re
import secrets
import time
from hashlib import sha256
from pathlib import Path

from inframe.core.errors import ConfigError
from inframe.trail.counter import Counter
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk, put
from inframe.trail.note import Key, Scheme, Signer, parse_key, parse_signer
from inframe.trail.read import CHECKPOINT
from inframe.trail.records import EventKind, EventLeaf, EventRecord
from inframe.trail.salt import Salts
from inframe.trail.write import Now, Writer

MAX_INBOX_FILES = 64
MAX_INBOX_BYTES = 8192
_LOG = re.compile(r"log(-[1-9]\d{0,5})?")
_INBOX = (EventKind.EXPORT, EventKind.WITNESS, EventKind.LOGIN, EventKind.PRUNE, EventKind.UPDATE)
_INBOX_KINDS = {kind.name: kind for kind in _INBOX}


class Home:
    """A trail's folder. Nothing is read or made before it is needed; all may raise OSError."""

    def __init__(self, folder: Path, key: Path | None = None, counter: Counter | None = None) -> None:
        self.folder = folder
        self.key_file = key or folder / "key"
        self.counter = counter

    # --- keys --------------------------------------------------------------------------------------------------------

    def signers(self, device: str, post_quantum: bool = False) -> list[Signer]:
        """The device's keys, Ed25519 first; made where there are none. Raises ConfigError for a file that holds no key."""
        if not self.key_file.exists():
            self._make_key(device, post_quantum)
        try:
            signers = [parse_signer(line) for line in self.key_file.read_text("utf-8").splitlines() if line]
        except (ConfigError, UnicodeDecodeError):
            signers = []
        if not signers or signers[0].key.scheme is not Scheme.ED25519:
            expected = "PRIVATE+KEY+name+id+base64 in its first line, an Ed25519 key"
            raise ConfigError(self.key_file, "trail.key", "no key of a trail", expected)
        return signers

    def _make_key(self, device: str, post_quantum: bool) -> None:
        seed = secrets.token_bytes(32)
        plain = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "device"
        name = f"{plain}.{sha256(Signer('x', Scheme.ED25519, seed).key.public).hexdigest()[:8]}"
        signers = [Signer(name, Scheme.ED25519, seed)]
        if post_quantum:
            signers.append(Signer(name, Scheme.ML_DSA_44, secrets.token_bytes(32)))
        folder = self.key_file.parent
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        public = "".join(f"{signer.key.text()}\n" for signer in signers)
        put(Disk(folder), f"{self.key_file.name}.pub", public.encode())
        _put_private(self.key_file, "".join(f"{signer.text()}\n" for signer in signers).encode())

    def public_keys(self) -> list[Key]:
        """The public keys beside the log, which prove nothing against whoever could replace both. Raises ConfigError."""
        path = self.key_file.with_name(f"{self.key_file.name}.pub")
        try:
            return [parse_key(line) for line in path.read_text("utf-8").splitlines() if line]
        except FileNotFoundError:
            raise ConfigError(path, "key", "no such file", "the device's public key; or give it with --key") from None

    # --- logs --------------------------------------------------------------------------------------------------------

    def logs(self) -> list[Path]:
        """The logs, oldest first."""
        found = [
            path for path in self.folder.glob("log*") if _LOG.fullmatch(path.name) and (path / CHECKPOINT).exists()
        ]
        return sorted(found, key=log_number)

    def open(self, signers: list[Signer], now: Now, waiting: list[bytes] | None = None) -> Writer:
        """The newest log, open for appending and repaired. Where its bytes were changed since they were safe, it is left as
        it is for those who must look at it, and a new log is begun, whose first event names the damage and how far the old
        one was signed. Raises DeviceFault where another process writes."""
        number = self._newest()
        try:
            return self._open(number, signers, now, waiting)
        except TrailDamaged as error:
            damage = error
        old = self._path(number)
        writer = self._open(number + 1, signers, now)
        newest = (Disk(old).read(CHECKPOINT) or b"none").decode(errors="replace")
        at = now().mono_ns
        data = {"log": old.name, "damage": str(damage), "checkpoint": newest[:2048]}
        event = EventRecord(EventKind.GAP, at, "DAMAGED", "the log before this one is damaged", "recorder", data)
        writer.append(EventLeaf(writer.header(at), (event,)))
        writer.waiting += waiting or []
        return writer

    def go_on(self, signers: list[Signer], now: Now) -> Writer:
        """The newest log, open for appending; raises TrailDamaged where `open` would begin a new one."""
        return self._open(self._newest(), signers, now)

    def _newest(self) -> int:
        return max((log_number(path) for path in self.logs()), default=1)

    def _path(self, number: int) -> Path:
        return self.folder / ("log" if number == 1 else f"log-{number}")

    def _open(self, number: int, signers: list[Signer], now: Now, waiting: list[bytes] | None = None) -> Writer:
        path = self._path(number)
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        named = [signer.renamed(log_name(signer.key.name, number)) for signer in signers]
        disk = Disk(path)
        try:
            return Writer(disk, named, now, self.counter, waiting or ())
        except BaseException:
            disk.unlock()
            raise

    # --- beside the logs ---------------------------------------------------------------------------------------------

    def salts(self) -> Salts:
        """The procedures' salts."""
        folder = self.folder / "salts"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Salts(Disk(folder))

    def ask(self, event: EventRecord) -> None:
        """Leave an event for whoever writes the log."""
        folder = self.folder / "inbox"
        folder.mkdir(mode=0o770, exist_ok=True)
        told = {
            "kind": event.kind.name,
            "name": event.name,
            "text": event.text,
            "who": event.who,
            "data": {**event.data},
        }
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"  # taken over in the order in which they were left
        put(Disk(folder), name, json.dumps(told).encode())

    def take_over(self, writer: Writer, at_ns: int) -> None:
        """Record what lies in the inbox. A file goes when its event is safe: a kill in between records it twice, never not."""
        paths = sorted((self.folder / "inbox").glob("*.json"))[:MAX_INBOX_FILES]
        events = tuple(event for event in (_asked(path, at_ns) for path in paths) if event is not None)
        if events:
            writer.append(EventLeaf(writer.header(at_ns), events))
            writer.commit()
        for path in paths:
            path.unlink(missing_ok=True)


def _asked(path: Path, at_ns: int) -> EventRecord | None:
    """Anybody who may write there may have written anything."""
    try:
        if path.stat().st_size > MAX_INBOX_BYTES:
            return None
        told = json.loads(path.read_bytes())
        data = {str(key): str(value) for key, value in told["data"].items()}
        kind = _INBOX_KINDS[told["kind"]]
        return EventRecord(kind, at_ns, str(told["name"]), str(told["text"]), str(told["who"]), data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _put_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may ever read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
    Disk(path.parent).sync_folder("")


def log_number(path: Path) -> int:
    """1 for `log`, 2 for `log-2` …"""
    return int(path.name.partition("-")[2] or 1)


def log_name(origin: str, number: int) -> str:
    """The name under which the device's key signs that log."""
    return origin if number == 1 else f"{origin}/{number}"
