"""The bytes of a part on the disk: written in order, synced when asked, sealed on request."""

import errno
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from inframe.core.errors import ConfigError
from inframe.recording.seal import MAGIC, SALT_BYTES, Seal, SealedReader, read_device_key, unwrap

PLAIN, SEALED, KEY = ".mcap", ".mcap.sealed", ".key"
BUFFER = 1 << 20


class Sink:
    """A new file, written front to back; what `mcap.writer.Writer` wants of a stream. Raises OSError, after which only `close`
    may follow: what is there is a file cut off, which can be recovered."""

    def __init__(self, path: Path, key: bytes | None) -> None:
        self.path = path
        self._seal = Seal(key, os.urandom(SALT_BYTES)) if key is not None else None
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._buffer = bytearray()
        self._written, self._segments = 0, 0
        if self._seal is not None:
            self._put(self._seal.head)

    def write(self, data: bytes) -> int:
        """Take `data`; it is on its way to the disk after `flush`, and there after `sync`."""
        self._buffer += data
        self._written += len(data)
        if len(self._buffer) >= BUFFER:
            self.flush()
        return len(data)

    def tell(self) -> int:
        """How many bytes have been taken."""
        return self._written

    def flush(self) -> None:
        """Hand what was taken to the operating system."""
        if self._buffer:
            self._hand_over(last=False)

    def _hand_over(self, *, last: bool) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._seal is not None:
            data = self._seal.segment(self._segments, data, last=last)
            self._segments += 1
        self._put(data)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._fd, view)
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view = view[count:]

    def sync(self) -> None:
        """Wait until what was flushed is on the disk."""
        os.fdatasync(self._fd)

    def finish(self) -> None:
        """Flush, say that this was all, sync and close."""
        if self._buffer or self._seal is not None:
            self._hand_over(last=True)
        self.sync()
        self.close()

    def close(self) -> None:
        """Leave the file as it is; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # a disk that can't has said so before
                os.close(fd)


def open_part(path: Path, device_key: Path | None) -> tuple[BinaryIO, bool]:
    """The plain bytes of a part, and whether it is whole as far as the seal knows (always True without one).

    Raises ConfigError for a file that can't be read, and for a sealed one without its keys.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(path, "recording", error.strerror or error, "a readable MCAP file") from None
    try:
        head = file.read(len(MAGIC))
        file.seek(0)
        if head != MAGIC:
            return file, True
        sealed = SealedReader(file, path, _procedure_key(path, device_key))
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(sealed, BUFFER), sealed.is_whole


def _procedure_key(path: Path, device_key: Path | None) -> bytes:
    if device_key is None:
        raise ConfigError(path, "recording", "a sealed file", "--key FILE, the device key that it was recorded with")
    return unwrap(key_of(path), read_device_key(device_key))


def is_sealed(stream: BinaryIO) -> bool:
    """Whether what `open_part` returned is sealed on the disk."""
    return isinstance(getattr(stream, "raw", None), SealedReader)


def key_of(path: Path) -> Path:
    """The file of the procedure's key, beside any of its parts."""
    return path.with_name(path.name.partition(".")[0] + KEY)


def part_path(folder: Path, procedure: str, part: int, *, sealed: bool) -> Path:
    """The file of a part, counted from 0."""
    return folder / f"{procedure}.{part:03}{SEALED if sealed else PLAIN}"


def parts_after(path: Path) -> list[Path]:
    """The part `path` and those of the same procedure that follow it, in order; just `path` if it is named otherwise."""
    stem, _, rest = path.name.partition(".")
    number, _, ending = rest.partition(".")
    if not (number.isdecimal() and f".{ending}" in (PLAIN, SEALED)):
        return [path]
    found, part = [path], int(number) + 1
    while (following := path.with_name(f"{stem}.{part:0{len(number)}}.{ending}")).exists():
        found.append(following)
        part += 1
    return found
