"""A stand-in for signed bundles, and a device's slots in memory. No test in here."""

from collections.abc import Callable
from hashlib import sha256

from inframe.core.errors import UpdateError
from inframe.trail.files import Files, make_folders
from inframe.update.checkpoints import Checkpoint, Outcome
from inframe.update.floor import FileFloor
from inframe.update.slots import DOWNLOAD, Slots, Verified, Verify
from inframe.update.states import Excuse, Installed, Release

WALL_NS = 1_800_000_000_000_000_000
_MAGIC = b"stand-in bundle\n"


def pack(name: str, counter: int, size: int = 9_000, salt: str = "") -> bytes:
    """A bundle whose last 32 bytes are the digest of the rest."""
    head = _MAGIC + f"{name}\n{counter}\n{salt}\n".encode()
    filler = sha256(head).digest() * (size // 32 + 1)
    body = head + filler[: max(0, size - len(head) - 32)]
    return body + sha256(body).digest()


def opened(data: bytes | None, where: str) -> Verified:
    """What verification makes of it. Raises UpdateError."""
    if data is None or not data.startswith(_MAGIC) or sha256(data[:-32]).digest() != data[-32:]:
        raise UpdateError(f"{where}: signature: found a changed file, expected a signed bundle")
    name, counter = data.split(b"\n")[1:3]
    return Verified(name.decode(), sha256(data).hexdigest(), int(counter))


def verifier(read: Callable[[str], bytes | None]) -> Verify:
    """A `verify` over a disk."""
    return lambda path: opened(read(path), path)


def installed(data: bytes) -> Installed:
    """As a release lists it."""
    found = opened(data, "made")
    return Installed(found.name, found.digest, found.counter, len(data))


def release(name: str, *bundles: bytes) -> Release:
    """A release of those bundles."""
    return Release(name, tuple(sorted(map(installed, bundles), key=lambda one: one.name)))


def place(files: Files, *bundles: bytes, chunk: int = 5_000) -> None:
    """Download them: a chunk at a time, then safe."""
    make_folders(files, DOWNLOAD)
    for data in bundles:
        path = f"{DOWNLOAD}/{sha256(data).hexdigest()}"
        files.write(path, data[:chunk])
        for at in range(chunk, len(data), chunk):
            files.append(path, data[at : at + chunk])
        files.sync(path)
    files.sync_folder(DOWNLOAD)


def slots_on(files: Files) -> Slots:
    """The slots on that disk, recovered. Raises UpdateError."""
    slots = Slots.open(files, verifier(files.read), FileFloor(files), lambda: WALL_NS)
    slots.examine()
    return slots


PASS = Checkpoint("compatibility", lambda _: Outcome(True, "fits"))
FAIL = Checkpoint("golden", lambda _: Outcome(False, "found 0.4, expected 0.9"))


def into_trial(slots: Slots, files: Files, name: str, *bundles: bytes, excuse: Excuse | None = None) -> None:
    """Everything up to the trial."""
    place(files, *bundles)
    slots.fetched(release(name, *bundles))
    slots.verify(excuse)
    slots.install()
    slots.check([PASS])
    slots.begin_trial(procedure_running=False, without_shadow=True)


def update(slots: Slots, files: Files, name: str, *bundles: bytes) -> None:
    """A whole update that goes well."""
    into_trial(slots, files, name, *bundles)
    slots.commit()
