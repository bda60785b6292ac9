"""Digests of what the models saw and said, taken by the recorder from the shared memory where it lies, read-only.

Nothing on the frame path does anything for it. A frame lies in its ring for three frame periods (100 ms at 30 a second);
hashing one of 1280x720 takes 2 ms of a background core (SHA-256 with the processor's SHA instructions). A recorder that is
held up for longer than those three periods finds the slot overwritten, or overwritten while it was hashing: that frame then
has no digest, which its record says and a counter counts. It never has a wrong one.
"""

from collections.abc import Mapping
from hashlib import sha256

from inframe.core.types import MissedReason, Run
from inframe.pipeline.results import canonical
from inframe.pipeline.ring import RingReader

KEPT = 512
"""So many digests wait for their records: more than the frames and results of two seconds."""


class Digests:
    """The digests of one ring's slots by the number of the frame that they are of."""

    def __init__(self, ring: RingReader, size: int | None) -> None:
        """`size`: the bytes of each payload in use; None: each slot's header says (a ring of results)."""
        self._ring, self._size = ring, size
        self._last = max(0, ring.newest() - ring.slots + 1)
        self._found: dict[int, bytes] = {}
        self.missed = 0
        """Slots that were overwritten before they could be hashed."""

    def look(self) -> None:
        """Hash what is new and still there, oldest first."""
        newest = self._ring.newest()
        if newest <= self._last:
            return
        first = max(self._last + 1, newest - self._ring.slots + 2)
        self.missed += first - self._last - 1
        for seq in range(first, newest + 1):
            self._hash(seq)
        self._last = newest
        while len(self._found) > KEPT:
            del self._found[next(iter(self._found))]

    def _hash(self, seq: int) -> None:
        header = self._ring.header(seq)
        if header is not None:
            payload = self._ring.payload(seq)
            if self._size is None:
                found, frame = sha256(canonical(header, payload)).digest(), header.tag
            else:
                found, frame = sha256(payload[: self._size].data).digest(), seq
            if self._ring.holds(seq):
                self._found[frame] = found
                return
        self.missed += 1

    def of(self, frame: int) -> bytes | None:
        """The SHA-256 for that frame, 32 bytes, if it was taken."""
        return self._found.get(frame)


def output_digest(runs: Mapping[str, Run | MissedReason], models: Mapping[str, Digests]) -> bytes | None:
    """SHA-256 over the SHA-256 of each result that the record names, in the order of the models; None where there is no
    result, or one was not taken."""
    found = [models[name].of(run.seq) for name, run in runs.items() if isinstance(run, Run)]
    whole = [digest for digest in found if digest is not None]
    return sha256(b"".join(whole)).digest() if found and len(whole) == len(found) else None
