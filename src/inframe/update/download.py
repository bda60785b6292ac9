"""A bundle from the repository into download/DIGEST, over a link that drops, stalls and corrupts.

The signed list of releases has a digest for each block of a file. So a wrong byte costs one block, is never kept, and what a
power cut left of the file is good up to the first block that is not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from tuf.api.exceptions import DownloadError

from inframe.trail.files import Files, make_folders
from inframe.update.sealed import refused
from inframe.update.slots import DOWNLOAD
from inframe.update.transport import Transport

TRIES = 8
"""Tries in a row that bring no new block, before it is given up."""
RESERVE = 64 << 20
"""Bytes that stay free on the disk, for all else that a device writes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to have, and how to know it."""

    url: str
    digest: str
    size: int
    """Bytes."""
    block: int
    """Bytes; the last block may be shorter."""
    blocks: tuple[str, ...]
    """SHA-256 of each block, hex."""

    @property
    def path(self) -> str:
        """Where it is put, relative to the update's folder."""
        return f"{DOWNLOAD}/{self.digest}"


def check_space(wanted: list[Wanted], files: Files, free_bytes: int) -> None:
    """Before anything is fetched. Raises UpdateError."""
    needed = sum(max(0, one.size - (files.size(one.path) or 0)) for one in wanted) + RESERVE
    if free_bytes < needed:
        raise refused(DOWNLOAD, "free space", f"{free_bytes} bytes", f"{needed} bytes or more")


def download(files: Files, transport: Transport, wanted: Wanted, pause: Callable[[int], None]) -> int:
    """Fetch what is missing; returns how many tries it took (0: it was there). `pause`: waits before the try of that number.

    When it returns, the whole file is on the medium under its name. Raises UpdateError.
    """
    make_folders(files, DOWNLOAD)
    have = _keep_good(files, wanted)
    tried = fruitless = 0
    while have < len(wanted.blocks):
        before, problem = have, ""
        tried += 1
        try:
            for block in _blocks(transport, wanted, have):
                files.append(wanted.path, block)
                files.sync(wanted.path)
                have += 1
        except DownloadError as error:
            problem = str(error)
        fruitless = 0 if have > before else fruitless + 1
        if fruitless >= TRIES:
            expected = f"block {have + 1} of {len(wanted.blocks)} in {TRIES} tries"
            raise refused(wanted.url, "download", problem or "an end before its time", expected)
        if have < len(wanted.blocks):
            pause(fruitless)
    _check_whole(files, wanted)
    files.sync_folder(DOWNLOAD)
    return tried


def _keep_good(files: Files, wanted: Wanted) -> int:
    """Cut the file behind its last good block; returns how many those are."""
    if files.size(wanted.path) is None:
        files.write(wanted.path, b"")
    have = 0
    for digest in wanted.blocks:
        if sha256(files.read_part(wanted.path, have * wanted.block, wanted.block)).hexdigest() != digest:
            break
        have += 1
    size = min(have * wanted.block, wanted.size)
    if files.size(wanted.path) != size:
        files.truncate(wanted.path, size)
    files.sync(wanted.path)
    files.sync_folder(DOWNLOAD)
    return have


def _blocks(transport: Transport, wanted: Wanted, have: int) -> Iterator[bytes]:
    """The good blocks that follow, as far as they come. Raises DownloadError."""
    pending = bytearray()
    for chunk in transport.read(wanted.url, have * wanted.block):
        pending += chunk
        while have < len(wanted.blocks):
            length = min(wanted.block, wanted.size - have * wanted.block)
            if len(pending) < length:
                break
            block = bytes(pending[:length])
            found = sha256(block).hexdigest()
            if found != wanted.blocks[have]:
                raise DownloadError(f"block {have}: found SHA-256 {found[:16]}, expected {wanted.blocks[have][:16]}")
            del pending[:length]
            have += 1
            yield block
        if have == len(wanted.blocks):
            return  # whatever else it sends


def _check_whole(files: Files, wanted: Wanted) -> None:
    """The blocks' digests and the file's come from one signed list; that they agree is checked all the same."""
    whole = sha256()
    for at in range(0, wanted.size, wanted.block):
        whole.update(files.read_part(wanted.path, at, wanted.block))
    if whole.hexdigest() != wanted.digest or files.size(wanted.path) != wanted.size:
        files.remove(wanted.path)
        raise refused(wanted.url, "sha256", whole.hexdigest(), f"{wanted.digest}, as the list of releases says")
