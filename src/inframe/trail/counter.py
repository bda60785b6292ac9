"""The device's monotonic counter, which nobody can turn back: it exposes a trail that was replaced by an older copy of itself.

On a device it is a TPM's NV counter (drivers/tpm_counter.py); here is a file, for tests. A file protects against nothing:
whoever replaces the trail replaces it too.
"""

from typing import Protocol

from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files, put


class Counter(Protocol):
    """Counts up, never down, and keeps its value without power. Both raise DeviceFault where it fails."""

    def read(self) -> int:
        """The present value."""
        ...

    def increment(self) -> int:
        """Add one, durably; returns the new value."""
        ...


class FileCounter:
    """A counter in a file."""

    def __init__(self, files: Files, path: str = "counter") -> None:
        self._files, self._path = files, path

    def read(self) -> int:
        """The present value, 0 at first. Raises TrailDamaged."""
        raw = self._files.read(self._path)
        if raw is None:
            return 0
        if not raw.isdigit() or len(raw) > 19:
            raise TrailDamaged(self._path, repr(raw), "a number")
        return int(raw)

    def increment(self) -> int:
        """Add one, durably."""
        value = self.read() + 1
        put(self._files, self._path, str(value).encode())
        return value
