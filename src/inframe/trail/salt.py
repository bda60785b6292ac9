"""Salted digests: a frame's pixels can be shown to be those in the record only by whoever holds the procedure's salt.

Without the salt (32 random bytes in a file of its own, outside the tree) a digest says nothing about the patient's picture,
not even to somebody who has that picture. To erase the salt therefore unlinks them, and leaves the tree whole. Outputs are
salted as well: a mask or a score has so few likely values that its bare digest could be guessed.
"""

import hmac
import secrets
from hashlib import sha256

from inframe.trail.files import Files, put

SALT_BYTES = 32


def digest(salt: bytes, content: bytes | memoryview) -> bytes:
    """HMAC-SHA256(salt, SHA-256(content)), 32 bytes. The content is hashed first so that it can be hashed where it lies."""
    return seal(salt, sha256(content).digest())


def seal(salt: bytes, hashed: bytes) -> bytes:
    """The same from the content's SHA-256."""
    return hmac.digest(salt, hashed, "sha256")


def commitment(salt: bytes) -> str:
    """What a procedure's START event says of its salt, hex: a verifier can tell the right salt from a wrong one."""
    return sha256(b"inframe trail salt\n" + salt).hexdigest()


class Salts:
    """The salts' folder: one file for each procedure, named by its id."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def create(self, procedure: bytes) -> bytes:
        """A new salt, kept. Raises RuntimeError if there is one."""
        if self.get(procedure) is not None:
            raise RuntimeError(f"procedure {procedure.hex()} has its salt")
        salt = secrets.token_bytes(SALT_BYTES)
        put(self._files, procedure.hex(), salt)
        return salt

    def keep(self, procedure: bytes, salt: bytes) -> None:
        """Keep a salt that was made elsewhere, if there is none."""
        if self.get(procedure) is None:
            put(self._files, procedure.hex(), salt)

    def get(self, procedure: bytes) -> bytes | None:
        """The salt, or None: never made, or erased."""
        return self._files.read(procedure.hex())

    def erase(self, procedure: bytes) -> None:
        """Overwrite and delete. Flash may keep the old block: the folder belongs on an encrypted volume (docs/trail.md)."""
        if self.get(procedure) is not None:
            self._files.write(procedure.hex(), bytes(SALT_BYTES))
            self._files.sync(procedure.hex())
            self._files.remove(procedure.hex())
            self._files.sync_folder("")
