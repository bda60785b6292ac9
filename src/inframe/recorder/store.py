"""The disk's side of the recorder, in a thread of its own: an fsync may take seconds, and a full disk may stay full for hours.

What can't be written waits, in memory and within bounds; what does not fit is dropped, counted, and a GAP event says so as
soon as anything can be written again.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.errors import ConfigError, DeviceFault, one_line
from inframe.trail.home import Home
from inframe.trail.leaf import FRAMES, decode_columns, peek
from inframe.trail.note import Signer
from inframe.trail.records import EventKind, EventLeaf, EventRecord, Header, Leaf
from inframe.trail.write import Now, Writer, encoded

MAX_WAITING = 16 << 20
"""Bytes of leaves that wait for the disk: about an hour of one stream at 30 frames a second."""
RETRY_NS = NS_PER_S
ANCHOR_NS = 300 * NS_PER_S
"""So often the device's counter takes a step, if it has one: more wears a TPM's memory out, less leaves more to be cut unseen."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the recorder has come: what another one, started after it, goes on behind."""

    record: int = 0
    event: int = 0
    frames: int = 0
    """Frames recorded in all."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A second's leaves, encoded."""

    entries: list[bytes]
    cursor: Cursor
    frames: int = 0
    events: int = 0
    at_ns: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.entries))


def batch_of(leaves: Sequence[Leaf], cursor: Cursor, at_ns: int) -> Batch:
    """Leaves as they go to the disk."""
    events = sum(len(leaf.events) for leaf in leaves if isinstance(leaf, EventLeaf))
    frames = sum(len(leaf.frames) for leaf in leaves if not isinstance(leaf, EventLeaf))
    return Batch([entry for leaf in leaves for entry in encoded(leaf)], cursor, frames, events, at_ns)


@dataclass
class Dropped:
    """What did not fit into memory while the disk took nothing."""

    frames: int = 0
    events: int = 0
    since_ns: int = 0
    until_ns: int = 0


@dataclass
class Health:
    """What the thread tells the recorder; each field is written by one of them only."""

    failing: str = ""
    """Why nothing can be written; empty while it can."""
    busy_since_ns: int = 0
    """Since when a batch has been on its way to the disk; 0: none is."""
    damaged: str = ""
    """The log that was begun because the one before was found damaged."""
    is_uncounted: bool = False
    """The device has a monotonic counter, and it failed."""
    is_open: bool = False
    """The log has been opened once, and `newest` is known."""
    newest: tuple[int, int] = (0, 0)
    """The newest frame of this procedure that the log had when it was opened: when it was shown, ns, and its number."""
    refused: ConfigError | None = None
    dropped: int = 0
    """Frames, in all."""
    dropped_ns: int = 0
    """When a batch was last dropped."""
    kept: int = 0
    """Bytes of leaves that wait."""


class Store:
    """`put` and `stop` are the recorder's; everything else happens in the thread. Never blocks who calls `put`."""

    def __init__(
        self,
        home: Home,
        keys: Callable[[], list[Signer]],
        now: Now,
        clock: Clock,
        salt: tuple[bytes, bytes],
        cursor: Cursor,
        safe: Callable[[Cursor], None] = lambda _cursor: None,
    ) -> None:
        """`salt`: the procedure and its salt. `safe` is called in the thread as soon as all up to a cursor is durable: what
        another recorder would go on behind, so that a kill in the next moment neither loses nor repeats a record."""
        self.health = Health()
        self._home, self._keys, self._now, self._clock = home, keys, now, clock
        self._procedure, self._salt = salt
        self.cursor, self._safe = cursor, safe
        """Where the recorder before this one ended."""
        self._queue: deque[Batch] = deque()
        self._queued = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._writer: Writer | None = None
        self._waiting: list[bytes] = []
        self._dropped = Dropped()
        self._salt_kept = False
        self._anchored_ns = clock.now()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self) -> None:
        """Begin: the log is opened first."""
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Hand over a batch, or count it as dropped if too much waits already."""
        with self._wake:
            if self._queued + self.health.kept + batch.size > MAX_WAITING:
                self._drop(batch)
                batch = Batch([], batch.cursor)
            self._queue.append(batch)
            self._queued += batch.size
            self._wake.notify()

    def _drop(self, batch: Batch) -> None:
        d = self._dropped
        d.since_ns = d.since_ns or batch.at_ns
        d.until_ns = batch.at_ns
        d.frames += batch.frames
        d.events += batch.events
        self.health.dropped += batch.frames
        self.health.dropped_ns = batch.at_ns

    def stop(self, timeout_s: float) -> bool:
        """Write what is there, close the log; whether that was done in time."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self.health.failing

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        batch = Batch([], self.cursor)
        is_last = False
        while not is_last:
            is_last = self._is_done()  # looked at before: what is put until then is still written
            self.health.busy_since_ns = self._clock.now()
            self.attempt(batch, is_last)
            self.health.busy_since_ns = 0
            batch = self._next(batch.cursor)

    def _next(self, cursor: Cursor) -> Batch:
        """All that is queued, as one batch; an empty one after a while."""
        with self._wake:
            if not self._queue and not self._stopping:
                self._wake.wait(RETRY_NS / NS_PER_S)
            batches = list(self._queue)
            self._queue.clear()
            self._queued = 0
        entries = [entry for one in batches for entry in one.entries]
        self.health.kept += sum(map(len, entries))
        return Batch(entries, batches[-1].cursor if batches else cursor)

    def _is_done(self) -> bool:
        with self._wake:
            return self._stopping and not self._queue

    def attempt(self, batch: Batch, is_last: bool = False) -> None:
        """Make a batch and all that waits durable, and say in `health` how that went."""
        self._waiting += batch.entries
        try:
            self._write()
            if is_last and self._writer is not None:
                self._writer.close()
        except ConfigError as error:
            self.health.refused = error
            self.health.failing = one_line(error)
        except (OSError, DeviceFault) as error:  # a full or broken disk, or another process that has not yet let go
            self._keep()
            self.health.failing = one_line(error)
        else:
            self.health.failing = ""
            self._safe(batch.cursor)
        self.health.kept = sum(map(len, self._waiting))

    def _write(self) -> None:
        writer = self._writer or self._open()
        gap = self._gap()
        if gap is not None:
            writer.append(gap)
        writer.waiting += self._waiting
        self._waiting = []
        if writer.waiting:
            if self._clock.now() - self._anchored_ns >= ANCHOR_NS:
                self._anchored_ns = self._clock.now()
                writer.anchor()
            writer.commit()
        self.health.is_uncounted = self._home.counter is not None and not writer.is_counted
        self._home.take_over(writer, self._clock.now())

    def _open(self) -> Writer:
        before = self._home.logs()
        self._writer = writer = self._home.open(self._keys(), self._now)
        if before and (newest := self._home.logs()[-1]) != before[-1]:
            self.health.damaged = newest.name
        if not self._salt_kept:
            self._home.salts().keep(self._procedure, self._salt)
            self._salt_kept = True
        self.health.newest = max(self.health.newest, _newest(writer, self._procedure))
        self.health.is_open = True
        if self._waiting and self.health.failing:
            writer.append(self._resumed(writer))
        return writer

    def _resumed(self, writer: Writer) -> EventLeaf:
        """Behind the gap that the writer has just recorded: not all is lost."""
        data = {"leaves": str(len(self._waiting)), "why": self.health.failing}
        text = "the disk takes records again; the leaves behind this one waited in memory"
        at = self._clock.now()
        return EventLeaf(writer.header(at), (EventRecord(EventKind.FAULT, at, "RESUMED", text, "recorder", data),))

    def _gap(self) -> EventLeaf | None:
        """The event for what was dropped, once."""
        with self._wake:
            d, self._dropped = self._dropped, Dropped()
        if not d.frames and not d.events:
            return None
        data = {"frames": str(d.frames), "events": str(d.events), "from_ns": str(d.since_ns), "to_ns": str(d.until_ns)}
        text = "dropped: the disk took nothing for so long that memory was full"
        event = EventRecord(EventKind.GAP, d.until_ns, "DROPPED", text, "recorder", data)
        return EventLeaf(Header(self._now(), d.until_ns, self._procedure), (event,))

    def _keep(self) -> None:
        """The writer is of no use any more; what it had not made safe goes to its successor."""
        if self._writer is not None:
            self._waiting = [*self._writer.waiting, *self._waiting]
            self._writer.let_go()
            self._writer = None


def _newest(writer: Writer, procedure: bytes) -> tuple[int, int]:
    """The newest frame of the procedure among the log's last leaves: when it was shown, ns, and its number; zeros if there
    is none."""
    for entry in reversed(writer.recent):
        kind, _, header = peek(entry)
        if kind == FRAMES and header.procedure == procedure:
            numbers = decode_columns(entry).numbers
            return int(numbers["shown_ns"].max()), int(numbers["seq"].max())
    return 0, 0
