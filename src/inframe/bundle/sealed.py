"""Bytes in memory that nobody can change any more, this process included: a memfd with all its seals (memfd_create(2), fcntl(2)).

A file is read into it once; what is verified, and what an engine gets, are those bytes, whatever happens to the file.
"""

import fcntl
import mmap
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from inframe.core.errors import BundleError

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_CHUNK = 1 << 20


class Sealed:
    """Made by `seal`. `fd` is the memory's descriptor, which another process may be given."""

    def __init__(self, fd: int) -> None:
        """Takes over `fd`, which has all SEALS and is not empty."""
        self.fd = fd
        # Private, as kernels before 6.7 map no write-sealed memory shared; and read-only, so it stays the sealed pages.
        self._map = mmap.mmap(fd, os.fstat(fd).st_size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        self.view = memoryview(self._map)
        """All of it, read-only."""

    def close(self) -> None:
        """Let go; the memory itself goes with its last user. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.view.release()
            with suppress(BufferError):  # somebody still holds a part: it goes with that
                self._map.close()


def seal(source: Path | int, limit: int) -> Sealed:
    """The bytes of a file, or of a descriptor, at most `limit`, in sealed memory. A descriptor stays the caller's; memory that has
    all the seals already is used as it is, without a copy. Raises BundleError."""
    where = name_of(source)
    try:
        if isinstance(source, int):
            return _of_descriptor(source, limit, where)
        fd = os.open(
            source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        )  # of a pipe, nobody may ever open the other end
        try:
            return Sealed(_copy(fd, limit, where))
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise BundleError(where, "file", getattr(error, "strerror", None) or error, "a readable bundle") from None


def name_of(source: Path | int) -> str:
    """As errors name it."""
    return f"descriptor {source}" if isinstance(source, int) else str(source)


def _of_descriptor(fd: int, limit: int, where: str) -> Sealed:
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # no memory file
        seals = 0
    if seals & SEALS != SEALS:
        return Sealed(_copy(fd, limit, where))
    if not 0 < os.fstat(fd).st_size <= limit:
        raise _wrong_size(where, os.fstat(fd).st_size, limit)
    return Sealed(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))


def _copy(fd: int, limit: int, where: str) -> int:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(where, "file", "no regular file", "a bundle")
    if not 0 < status.st_size <= limit:
        raise _wrong_size(where, status.st_size, limit)
    return fill(lambda at: os.pread(fd, _CHUNK, at), limit, where)


def fill(read: Callable[[int], bytes], limit: int, where: str) -> int:
    """Sealed memory with what `read(offset)` gives until it gives nothing; its descriptor."""
    memory = os.memfd_create("inframe-bundle", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        at = 0
        while at <= limit and (chunk := read(at)):
            at += len(chunk)
            _write_all(memory, chunk)
        if not 0 < at <= limit:  # it grew or shrank while it was read
            raise _wrong_size(where, at, limit)  # noqa: TRY301  # the memory is given back in one place
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:  # also when interrupted: the memory is given back, and the error goes on
        os.close(memory)
        raise
    return memory


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _wrong_size(where: str, size: int, limit: int) -> BundleError:
    return BundleError(where, "file", f"{size:,} bytes", f"a bundle of 1 to {limit:,} bytes")
