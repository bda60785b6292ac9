"""Every touch of the disk by the trail and by updates goes through `Files`: a test can stand in its place and cut the power.

What a power cut may leave of each call, and what the writer therefore assumes:

    append, write   nothing, all, or any 512-byte sectors of it, until `sync` returns
    write, rename   the name may be the old or the new one (or absent), until `sync_folder` of its folder returns
    remove          the same
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol

from inframe.core.errors import DeviceFault


class Files(Protocol):
    """A folder. Paths are relative to it, with forward slashes; "" is the folder itself. All may raise OSError."""

    def read(self, path: str) -> bytes | None:
        """The whole file; None where there is none."""
        ...

    def read_part(self, path: str, start: int, length: int) -> bytes:
        """`length` bytes from byte `start` on; fewer at the end, none where there is no file."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes; None where there is no file."""
        ...

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; empty where there is none."""
        ...

    def make_folder(self, path: str) -> None:
        """Create a folder, whose parent exists; does nothing where it exists."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file."""
        ...

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file that exists."""
        ...

    def truncate(self, path: str, size: int) -> None:
        """Cut a file that exists down to `size` bytes."""
        ...

    def sync(self, path: str) -> None:
        """Returns when the file's bytes and length are on the medium."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing the one that has it, in one step."""
        ...

    def sync_folder(self, path: str) -> None:
        """Returns when the folder's names are on the medium."""
        ...

    def remove(self, path: str) -> None:
        """Delete a file."""
        ...

    def remove_folder(self, path: str) -> None:
        """Delete an empty folder."""
        ...

    def lock(self) -> None:
        """Keep every other writer out until `unlock` or this process's end. Raises DeviceFault where there is one."""
        ...

    def unlock(self) -> None:
        """Let the next writer in."""
        ...


class Disk:
    """`Files` on a real file system. Files are private to the user and the group (0640, folders 0750)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = -1

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_part(self, path: str, start: int, length: int) -> bytes:
        try:
            with (self.root / path).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def size(self, path: str) -> int | None:
        try:
            return (self.root / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, path: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.root / path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def make_folder(self, path: str) -> None:
        (self.root / path).mkdir(mode=0o750, exist_ok=True)

    def write(self, path: str, data: bytes) -> None:
        self._put(path, data, os.O_CREAT | os.O_TRUNC)

    def append(self, path: str, data: bytes) -> None:
        self._put(path, data, os.O_APPEND)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.root / path, size)

    def _put(self, path: str, data: bytes, flags: int) -> None:
        fd = os.open(self.root / path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o640)
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)

    def sync(self, path: str) -> None:
        self._sync(path, os.O_RDONLY)

    def sync_folder(self, path: str) -> None:
        self._sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def _sync(self, path: str, flags: int) -> None:
        fd = os.open(self.root / path, flags | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        (self.root / old).replace(self.root / new)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def remove_folder(self, path: str) -> None:
        (self.root / path).rmdir()

    def lock(self) -> None:
        """The folder itself is locked: no lock file that could be left behind."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise DeviceFault(f"{self.root}: another process writes here") from None
        self._lock = fd

    def unlock(self) -> None:
        """Let the next writer in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def parent(path: str) -> str:
    """The folder that holds `path`; "" at the top."""
    return path.rpartition("/")[0]


def make_folders(files: Files, path: str) -> None:
    """Create a folder and those above it, durably."""
    if path and parent(path):
        make_folders(files, parent(path))
    if path and path.rpartition("/")[2] not in files.names(parent(path)):
        files.make_folder(path)
        files.sync_folder(parent(path))


def put(files: Files, path: str, data: bytes) -> None:
    """Replace a file so that a power cut leaves the old or the new one, whole."""
    files.write(f"{path}.new", data)
    files.sync(f"{path}.new")
    files.rename(f"{path}.new", path)
    files.sync_folder(parent(path))
