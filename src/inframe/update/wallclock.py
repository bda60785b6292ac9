"""What time it is, for a device that may have been switched off, offline, or without a battery for a year.

The wall clock is believed only as far as it is later than everything that proves a later time: this software was built, an
offline key signed metadata, the trail was written. A clock that went back to 1970 then lets no expired metadata in. What an
online key signed proves nothing: whoever steals it could otherwise move every device's clock, and expire all that is good.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

BUILT_S = 1_795_651_200
"""2026-11-26T00:00:00Z: no device runs this software before it was written. Raised with each release of the software."""


@dataclass(frozen=True, slots=True)
class Proven:
    """Moments that have been, seconds since 1970."""

    metadata_s: int = 0
    trail_s: int = 0
    built_s: int = BUILT_S

    @property
    def floor_s(self) -> int:
        """The newest of them."""
        return max(self.built_s, self.metadata_s, self.trail_s)


def trusted_s(wall_s: int, proven: Proven) -> int:
    """The time to judge by: never before what is proven."""
    return max(wall_s, proven.floor_s)


def as_datetime(seconds: int) -> datetime:
    """UTC, as python-tuf wants it."""
    return datetime.fromtimestamp(seconds, UTC)


def text(seconds: int) -> str:
    """RFC 3339, UTC."""
    return as_datetime(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")
