"""Makes the repository: a folder of static files for any web server, object store or USB stick.

    metadata/N.root.json N.targets.json N.snapshot.json timestamp.json
    targets/SHA256.releases.json, targets/bundles/SHA256.NAME

Every file but timestamp.json has a name that is never used again, and timestamp.json comes last: a device that asks in the
middle of a publication sees the state before it.

Keys lie in a folder, ROLE-N.pem (PKCS #8). root, targets and downgrade belong on a machine without network; snapshot and
timestamp may lie where they are renewed.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import Error as SecureSystemsLibError
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from inframe.core.errors import ConfigError
from inframe.trail.files import Disk, put
from inframe.update.authorisation import KEYS as DOWNGRADE_KEYS
from inframe.update.client import SIGNED_S
from inframe.update.releases import TARGET, ListedBundle, ReleaseList, parse
from inframe.update.wallclock import as_datetime

DAY_S = 86_400
EXPIRES_DAYS = {"root": 3 * 365, "targets": 365, "snapshot": 30, "timestamp": 7}
"""After so long a device refuses what was not signed anew: how long a mirror can hide news. What runs goes on running."""
THRESHOLDS = {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1, "downgrade": 2}
"""How many of a role's keys must sign; as many are made."""
SERIALIZER = JSONSerializer(compact=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The private keys in a folder, by role."""

    folder: Path
    holders: Mapping[str, tuple[CryptoSigner, ...]]

    def sign(self, signed: Any, role: str, root: Root) -> Metadata[Any]:
        """Sign by every key of the role that is here. Raises ConfigError for fewer than its threshold."""
        known = root.roles[role]
        here = [one for one in self.holders.get(role, ()) if one.public_key.keyid in known.keyids]
        if len(here) < known.threshold:
            raise ConfigError(
                self.folder, f"{role}-N.pem", f"{len(here)} keys of that role", f"{known.threshold} of them"
            )
        metadata = Metadata(signed)
        for holder in here:
            metadata.sign(holder, append=True)
        return metadata


def read_keys(folder: Path) -> Keys:
    """Raises ConfigError."""
    holders: dict[str, list[CryptoSigner]] = {}
    for path in sorted(folder.glob("*-*.pem")):
        try:
            holder = CryptoSigner(load_pem_private_key(path.read_bytes(), None))
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm, SecureSystemsLibError) as error:
            raise ConfigError(path, "key", error, "a private key, PKCS #8 in PEM, without a password") from None
        holders.setdefault(path.stem.rpartition("-")[0], []).append(holder)
    if not holders:
        raise ConfigError(folder, "keys", "none", "files named ROLE-N.pem, as `inframe release init` makes them")
    return Keys(folder, {role: tuple(found) for role, found in holders.items()})


def make_keys(folder: Path, role: str, count: int) -> tuple[CryptoSigner, ...]:
    """New Ed25519 keys, under the next free numbers. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = 1 + max((int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{role}-*.pem")), default=0)
    made = []
    for number in range(first, first + count):
        holder = CryptoSigner.generate_ed25519()
        fd = os.open(folder / f"{role}-{number}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(holder.private_bytes)
        made.append(holder)
    return tuple(made)


# --- the repository --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository's folder, and the keys to publish in it. `now_s`: seconds since 1970."""

    folder: Path
    keys: Keys
    now_s: int

    def newest(self, role: str) -> Metadata[Any]:
        """The newest metadata of a role. Raises ConfigError."""
        found = {int(path.name.partition(".")[0]): path for path in self._metadata.glob(f"*.{role}.json")}
        path = self._metadata / "timestamp.json" if role == Timestamp.type else found.get(max(found, default=0))
        if path is None or not path.exists():
            raise ConfigError(
                self.folder, f"metadata/N.{role}.json", "none", "a repository made by `inframe release init`"
            )
        try:
            return Metadata[Any].from_bytes(path.read_bytes())
        except RepositoryError as error:
            raise ConfigError(path, "content", error, f"{role} metadata") from None

    @property
    def _metadata(self) -> Path:
        return self.folder / "metadata"

    def releases(self) -> ReleaseList:
        """The list as it is published. Raises ConfigError, UpdateError."""
        target = self.newest(Targets.type).signed.targets[TARGET]
        return parse((self.folder / "targets" / target.get_prefixed_paths()[0]).read_bytes())

    def publish(self, listed: ReleaseList, bundles: Mapping[str, Path] | None = None) -> None:
        """Put the list, and bundles by target path, where devices find them. Raises ConfigError, OSError."""
        targets = self.newest(Targets.type).signed
        for path, source in (bundles or {}).items():
            targets.targets[path] = self._add_target(path, source.read_bytes())
        content = json.dumps(listed.model_dump(), indent=1).encode()
        targets.targets[TARGET] = self._add_target(TARGET, content)
        targets.version += 1
        self._sign_targets(targets)

    def _add_target(self, path: str, data: bytes) -> TargetFile:
        target = TargetFile.from_data(path, data)
        place = self.folder / "targets" / target.get_prefixed_paths()[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        put(Disk(place.parent), place.name, data)
        return target

    def _sign_targets(self, targets: Targets) -> None:
        root = self.newest(Root.type).signed
        signed = self.keys.sign(self._dated(targets), Targets.type, root)
        self._write(f"{targets.version}.targets.json", signed)
        self.renew()

    def renew(self) -> None:
        """Sign snapshot and timestamp anew, over the newest targets: what must be done again before they expire."""
        root = self.newest(Root.type).signed
        targets = self.newest(Targets.type)
        snapshot = self._next(Snapshot.type, Snapshot())
        raw = targets.to_bytes(SERIALIZER)
        snapshot.meta = {"targets.json": MetaFile.from_data(targets.signed.version, raw, ["sha256"])}
        signed = self.keys.sign(self._dated(snapshot), Snapshot.type, root)
        self._write(f"{snapshot.version}.snapshot.json", signed)
        timestamp = self._next(Timestamp.type, Timestamp())
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, signed.to_bytes(SERIALIZER), ["sha256"])
        self._write("timestamp.json", self.keys.sign(self._dated(timestamp), Timestamp.type, root))

    def _next(self, role: str, first: Any) -> Any:
        try:
            newest = self.newest(role).signed
        except ConfigError:
            return first
        newest.version += 1
        return newest

    def _dated(self, signed: Signed) -> Signed:
        signed.unrecognized_fields[SIGNED_S] = self.now_s
        signed.expires = as_datetime(self.now_s + EXPIRES_DAYS[signed.type] * DAY_S)
        return signed

    def _write(self, name: str, metadata: Metadata[Any]) -> None:
        self._metadata.mkdir(parents=True, exist_ok=True)
        put(Disk(self._metadata), name, metadata.to_bytes(SERIALIZER))

    def rotate(self, role: str) -> None:
        """Replace a role's keys, in a new root that old and new root keys sign, and sign all anew. Raises ConfigError."""
        if role not in (*EXPIRES_DAYS, "downgrade"):
            raise ConfigError("inframe release rotate", "role", role, f"one of: {', '.join(THRESHOLDS)}")
        root = self.newest(Root.type).signed
        before = self.newest(Root.type).signed
        made = make_keys(self.keys.folder, role, THRESHOLDS[role])
        _give(root, role, made)
        root.version += 1
        keys = Keys(self.keys.folder, {**self.keys.holders, role: (*self.keys.holders.get(role, ()), *made)})
        signed = keys.sign(self._dated(root), Root.type, before)
        for holder in keys.sign(root, Root.type, root).signatures.values():
            signed.signatures[holder.keyid] = holder
        self._write(f"{root.version}.root.json", signed)
        again = Repository(self.folder, keys, self.now_s)
        targets = again.newest(Targets.type).signed
        targets.version += 1
        again._sign_targets(targets)


def _give(root: Root, role: str, holders: tuple[CryptoSigner, ...]) -> None:
    """Let these keys, and no others, sign for a role."""
    if role == "downgrade":
        keys = {one.public_key.keyid: one.public_key.to_dict() for one in holders}
        root.unrecognized_fields[DOWNGRADE_KEYS] = {"keys": keys, "threshold": THRESHOLDS[role]}
        return
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for one in holders:
        root.add_key(one.public_key, role)
    root.roles[role].threshold = THRESHOLDS[role]


def create(folder: Path, keys_folder: Path, now_s: int) -> Repository:
    """A new repository with new keys and an empty list. Raises ConfigError where there is one already."""
    if (folder / "metadata").exists():
        raise ConfigError(folder, "metadata/", "a repository", "a folder without one")
    if list(keys_folder.glob("*.pem")):
        raise ConfigError(keys_folder, "keys", "there are some", "a folder without any")
    holders = {role: make_keys(keys_folder, role, count) for role, count in THRESHOLDS.items()}
    repository = Repository(folder, Keys(keys_folder, holders), now_s)
    root = Root(consistent_snapshot=True)
    for role, made in holders.items():
        _give(root, role, made)
    repository._write("1.root.json", repository.keys.sign(repository._dated(root), Root.type, root))
    targets = Targets()
    targets.targets[TARGET] = repository._add_target(TARGET, json.dumps(ReleaseList().model_dump(), indent=1).encode())
    repository._sign_targets(targets)
    return repository


def list_bundle(path: str, data: bytes, counter: int, block: int) -> ListedBundle:
    """A bundle as the list has it."""
    blocks = [sha256(data[at : at + block]).hexdigest() for at in range(0, len(data), block)]
    return ListedBundle(path=path, sha256=sha256(data).hexdigest(), size=len(data), counter=counter, blocks=blocks)
