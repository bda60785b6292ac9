"""Recordings that nobody reads without the device's key, and nobody at all once the procedure's key is destroyed.

    device key      32 random bytes in a file of their own, made once (`inframe record key`)
    procedure key   32 random bytes, wrapped by the device key (AES key wrap, RFC 3394), in PROCEDURE.key beside the recording
    part key        HKDF-SHA256 of the procedure key and the part's salt: no two files share a key, so that counting is a safe nonce

A sealed part is MAGIC, the salt, then segments: the length of the ciphertext (4 bytes, little endian) and AES-256-GCM of it. The
nonce is the segment's number, 11 bytes, and 1 for the last segment, else 0 (the STREAM construction of Hoang, Reyhanitabar,
Rogaway and Vizár, 2015, which age and Tink use too): segments can be neither changed, swapped, repeated nor left out, and a
file that was cut off says so. The associated data is the magic and the salt.
"""

import io
import json
import os
from bisect import bisect_right
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from inframe.core.errors import ConfigError, DeviceFault

MAGIC = b"IFSEAL1\n"
KEY_BYTES = 32
SALT_BYTES = 32
HEAD_BYTES = len(MAGIC) + SALT_BYTES
FORMAT = "inframe procedure key 1"
_LENGTH_BYTES = 4
_TAG_BYTES = 16
MAX_SEGMENT = 1 << 30


def make_device_key(path: Path) -> None:
    """A new device key in the new file `path`, readable by its owner only. Raises ConfigError if there is a file already."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            path, "key", error.strerror or error, "a name that is free, in a folder that is there"
        ) from None
    with os.fdopen(fd, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(fd)


def read_device_key(path: Path) -> bytes:
    """The device key, 32 bytes. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(path, "key", error.strerror or error, f"a file of {KEY_BYTES} bytes") from None
    if len(key) != KEY_BYTES:
        raise ConfigError(path, "key", "another length", f"a file of {KEY_BYTES} bytes, made by `inframe record key`")
    return key


def procedure_key(path: Path, device_key: bytes) -> bytes:
    """The procedure's key from the file `path`; made now if there is none yet. Raises ConfigError for another device's."""
    if path.exists():
        return unwrap(path, device_key)
    key = os.urandom(KEY_BYTES)
    text = json.dumps({"format": FORMAT, "wrapped": aes_key_wrap(device_key, key).hex()})
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    _sync_folder(path.parent)  # a recording whose key is lost in a power cut is lost, too
    return key


def unwrap(path: Path, device_key: bytes) -> bytes:
    """The procedure's key, 32 bytes. Raises ConfigError for a file that is none, and for another device's key."""
    try:
        found = json.loads(path.read_bytes()[:1024])
        wrapped = bytes.fromhex(found["wrapped"]) if found["format"] == FORMAT else b""
    except OSError as error:
        why = "no key: erased" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise ConfigError(path, "key", why, "the key of this procedure") from None
    except (ValueError, KeyError, TypeError):
        wrapped = b""
    if not wrapped:
        raise ConfigError(path, "key", "something else", f"a file of format {FORMAT!r}")
    try:
        return aes_key_unwrap(device_key, wrapped)
    except (InvalidUnwrap, ValueError):
        raise ConfigError(
            path, "key", "a key wrapped by another device's key", "the key that it was recorded with"
        ) from None


def erase(path: Path) -> None:
    """Destroy a procedure's key: nobody reads the recording any more. Overwritten first; flash memory may keep the old block
    until it is reused, and without the device's key that block is worthless. Raises DeviceFault."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise DeviceFault(f"{path}: can't erase the key: {error.strerror or error}") from None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Seal:
    """One part's cipher."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self.head = MAGIC + salt
        derived = HKDF(SHA256(), KEY_BYTES, salt, b"inframe recording part").derive(key)
        self._cipher = AESGCM(derived)

    def segment(self, number: int, data: bytes, *, last: bool) -> bytes:
        """A segment as it lies in the file."""
        sealed = self._cipher.encrypt(_nonce(number, last), data, self.head)
        return len(sealed).to_bytes(_LENGTH_BYTES, "little") + sealed

    def open(self, number: int, sealed: bytes, *, last: bool) -> bytes:
        """What is in a segment. Raises InvalidTag."""
        return self._cipher.decrypt(_nonce(number, last), sealed, self.head)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class SealedReader(io.RawIOBase):
    """The plain bytes of a sealed part, as far as they are there; seekable. Segments are opened when they are needed.

    Raises ConfigError for a wrong key and for a segment that was changed.
    """

    def __init__(self, file: BinaryIO, path: Path, key: bytes) -> None:
        super().__init__()
        self._file, self._path = file, path
        head = file.read(HEAD_BYTES)
        self._seal = Seal(key, head[len(MAGIC) :])
        self._segments: list[tuple[int, int, int]] = []
        """Where its ciphertext is, how long that is, at which plain byte it begins."""
        self.size = self._scan(os.fstat(file.fileno()).st_size)
        self._at, self._cached, self._plain = 0, -1, b""
        self.is_whole = bool(self._segments) and self._is_last(len(self._segments) - 1)

    def _scan(self, size: int) -> int:
        at, plain = HEAD_BYTES, 0
        while at + _LENGTH_BYTES + _TAG_BYTES <= size:
            self._file.seek(at)
            length = int.from_bytes(self._file.read(_LENGTH_BYTES), "little")
            at += _LENGTH_BYTES
            if not _TAG_BYTES <= length <= MAX_SEGMENT or at + length > size:
                break
            self._segments.append((at, length, plain))
            at, plain = at + length, plain + length - _TAG_BYTES
        return plain

    def _is_last(self, number: int) -> bool:
        at, length, _ = self._segments[number]
        self._file.seek(at)
        try:
            self._seal.open(number, self._file.read(length), last=True)
        except InvalidTag:
            return False
        return True

    def _open(self, number: int) -> bytes:
        if number != self._cached:
            at, length, _ = self._segments[number]
            self._file.seek(at)
            sealed = self._file.read(length)
            try:
                last = self.is_whole and number == len(self._segments) - 1
                self._plain = self._seal.open(number, sealed, last=last)
            except InvalidTag:
                found = f"segment {number} that does not open"
                raise ConfigError(
                    self._path, "recording", found, "the key of this recording, and bytes unchanged"
                ) from None
            self._cached = number
        return self._plain

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See io.IOBase."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # what BufferedReader passes
        """See io.RawIOBase."""
        if self._at >= self.size:
            return 0
        number = bisect_right(self._segments, self._at, key=lambda segment: segment[2]) - 1
        start = self._at - self._segments[number][2]
        data = self._open(number)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """See io.IOBase."""
        self._file.close()
        super().close()
