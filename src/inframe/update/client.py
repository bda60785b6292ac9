"""Asks the repository what there is, with python-tuf, and keeps what was verified on the way, also where it ends in a refusal.

python-tuf does the workflow of the specification (root → timestamp → snapshot → targets, section 5). What it lacks is around it
here: its folder is made from our own checked state and is gone afterwards; its clock is the trusted one; its fetcher holds a
minimum speed.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Targets
from tuf.ngclient import Updater, UpdaterConfig

from inframe.core.errors import UpdateError
from inframe.update.releases import MAX_BYTES, TARGET, ReleaseList, parse
from inframe.update.sealed import refused
from inframe.update.transport import Fetcher, Transport
from inframe.update.trust import ROLES, Trust
from inframe.update.wallclock import Proven, as_datetime, trusted_s

SIGNED_S = "x-inframe-signed"
"""The field of our metadata that says when it was signed, seconds since 1970."""
_LIMITS = UpdaterConfig(
    root_max_length=256_000,
    timestamp_max_length=16_384,
    snapshot_max_length=256_000,
    targets_max_length=8_000_000,
    app_user_agent="inframe",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A repository."""

    url: str
    """Of the folder that holds metadata/ and targets/; http, https or file."""
    bootstrap: bytes
    """The root metadata that came with the device."""

    def of(self, path: str) -> str:
        """The address of something in it."""
        return f"{self.url.rstrip('/')}/{path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking."""

    trust: Trust
    """What is verified now: to be kept whatever the rest says, since what it replaces must never be accepted again."""
    listed: ReleaseList | None
    targets: dict[str, str]
    """The addresses of the targets that the list names."""
    problem: UpdateError | None
    """Why there is no list."""


def ask(source: Source, trust: Trust, transport: Transport, wall_s: int, trail_s: int) -> Answer:
    """Ask, and verify. Raises UpdateError only for a bootstrap that is none."""
    now_s = trusted_s(wall_s, Proven(trust.signed_s, trail_s))
    with tempfile.TemporaryDirectory(prefix="inframe-") as scratch:
        folder = Path(scratch)
        for role, text in trust.roles.items():
            if role != Root.type:
                (folder / f"{role}.json").write_text(text, "utf-8")
        updater = _updater(folder, source, trust, transport)
        updater._trusted_set.reference_time = as_datetime(now_s)  # it has no argument for it; a test sees that it holds
        listed, targets, problem = None, dict[str, str](), None
        try:
            listed, targets = _list_of(updater, source)
        except UpdateError as error:
            problem = error
        except (RepositoryError, DownloadError, ValueError, KeyError, TypeError) as error:
            # Metadata that was signed by nobody can make python-tuf raise the last three, too.
            cause = f": {error.__cause__}" if error.__cause__ is not None and not str(error) else ""
            found = f"{type(error).__name__}: {error}{cause} (judged at {as_datetime(now_s):%Y-%m-%d %H:%M} UTC)"
            problem = refused(source.url, "metadata", found, "a repository that verifies")
        return Answer(_learnt(folder, trust), listed, targets, problem)


def _updater(folder: Path, source: Source, trust: Trust, transport: Transport) -> Updater:
    bootstrap = trust.roles[Root.type].encode() if Root.type in trust.roles else source.bootstrap
    try:
        return Updater(
            str(folder),
            source.of("metadata"),
            str(folder / "targets"),
            source.of("targets"),
            Fetcher(transport),
            _LIMITS,
            bootstrap=bootstrap,
        )
    except (RepositoryError, ValueError, KeyError, TypeError) as error:
        raise refused("update.root", "metadata", error, "root metadata that is signed by its own keys") from None


def _list_of(updater: Updater, source: Source) -> tuple[ReleaseList, dict[str, str]]:
    updater.refresh()
    info = updater.get_targetinfo(TARGET)
    if info is None:
        raise refused(source.url, TARGET, "no such target", "the list of releases")
    if info.length > MAX_BYTES:
        raise refused(source.url, f"{TARGET}.length", info.length, f"at most {MAX_BYTES}")
    path = Path(updater.download_target(info, str(Path(updater.target_dir or "") / TARGET)))
    listed = parse(path.read_bytes())
    addresses: dict[str, str] = {}
    for release in listed.releases:
        for name, bundle in release.bundles.items():
            target = updater.get_targetinfo(bundle.path)
            if target is None or target.hashes.get("sha256") != bundle.sha256 or target.length != bundle.size:
                found = "no such target" if target is None else f"{target.length} bytes, {target.hashes.get('sha256')}"
                expected = f"{bundle.size} bytes, {bundle.sha256}, as the release {release.name} says of {name}"
                raise refused(source.url, bundle.path, found, expected)
            addresses[bundle.path] = source.of(f"targets/{target.get_prefixed_paths()[0]}")
    return listed, addresses


def _learnt(folder: Path, before: Trust) -> Trust:
    """What lies in the folder now: python-tuf writes there what it has verified, and nothing else."""
    roles: dict[str, str] = {}
    for role in ROLES:
        path = folder / f"{role}.json"
        if path.exists():
            roles[role] = path.read_text("utf-8")
    signed = [
        _signed_s(Metadata[Any].from_bytes(roles[r].encode()).signed) for r in (Root.type, Targets.type) if r in roles
    ]
    return Trust(roles, max([before.signed_s, *signed]))


def _signed_s(signed: Signed) -> int:
    """When an offline key signed; 0 where it does not say, or says what can't be."""
    said = signed.unrecognized_fields.get(SIGNED_S)
    return said if type(said) is int and 0 < said <= signed.expires.timestamp() else 0
