"""A bundle, verified: from a file or a descriptor to something that may be trusted, or an error.

The order is the security argument; each step reads only what the one before it vouches for:
    1 the bytes go into sealed memory, once                       sealed.py
    2 the outer structure: every byte has one place               container.py
    3 the signatures over the statement, against the policy       envelope.py
    4 the statement's list of members is the file's list          statement.py
    5 each member's digest                                        here
    6 only now anything within a member is parsed                 manifest.py; models, by the engines
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from inframe.bundle import container, envelope, statement
from inframe.bundle.container import MAX_BUNDLE, Header
from inframe.bundle.manifest import Manifest, parse_manifest
from inframe.bundle.policy import Policy
from inframe.bundle.sealed import Sealed, name_of, seal
from inframe.core.errors import BundleError


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. Close it when its members are in use no more; use it as a context manager."""

    manifest: Manifest
    digest: str
    """SHA-256 of the whole file, hex."""
    signed_by: tuple[str, ...]
    """The names of the policy's keys that signed; none where the policy asks for none."""
    header: Header
    digests: Mapping[str, str]
    """SHA-256 of each member, hex, as signed."""
    _members: Mapping[str, memoryview]
    _sealed: Sealed

    @property
    def counter(self) -> int:
        """The release counter."""
        return self.manifest.counter

    @property
    def name(self) -> str:
        """As people call it: name, version, counter."""
        return f"{self.manifest.bundle} {self.manifest.version} ({self.counter})"

    @property
    def fd(self) -> int:
        """The sealed memory's descriptor, for another process, which verifies it again. Valid until `close`."""
        return self._sealed.fd

    def member(self, name: str) -> memoryview:
        """The member's bytes: a read-only view of the sealed memory, valid until `close`. Raises KeyError."""
        return self._members[name]

    def close(self) -> None:
        """Let go of the memory; may be called twice."""
        for view in self._members.values():
            view.release()
        self._sealed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_bundle(source: Path | int, policy: Policy) -> Bundle:
    """The bundle in a file, or behind a descriptor (which stays the caller's), verified. Raises BundleError."""
    sealed = seal(source, MAX_BUNDLE)
    try:
        return verify(name_of(source), sealed, policy)
    except BaseException:  # also when interrupted: the memory is given back, and the error goes on
        sealed.close()
        raise


def verify(where: str, sealed: Sealed, policy: Policy) -> Bundle:
    """Steps 2 to 6, on sealed memory, which becomes the bundle's. Raises BundleError, naming `where`."""
    header, members = container.split(where, sealed.view)
    signed_by = envelope.signers(where, header.envelope, policy)
    digests = statement.digests_in(where, header.envelope.payload)
    check_members(where, digests, members)
    manifest = parse_manifest(where, members)
    digest = hashlib.sha256(sealed.view).hexdigest()
    return Bundle(manifest, digest, signed_by, header, digests, members, sealed)


def check_members(where: str, digests: Mapping[str, str], members: Mapping[str, memoryview]) -> None:
    """That the members are those that were signed: no more, no fewer, each with its digest. Raises BundleError."""
    for name in digests.keys() - members.keys():
        raise BundleError(where, "members", f"no {name}", "every member that was signed")
    for name in members.keys() - digests.keys():
        raise BundleError(where, "members", f"{name!r}, which was not signed", "only members that were signed")
    for name, expected in digests.items():
        found = hashlib.sha256(members[name]).hexdigest()
        if found != expected:
            raise BundleError(where, f"members.{name}", f"sha256 {found}", f"{expected}, as signed")
