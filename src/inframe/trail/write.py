"""Appending to the trail. One process does it: the recorder.

What is written in which order, so that a crash or a power cut at any byte leaves a trail that opens, verifies and says what
is missing (docs/trail.md walks through each step):

    commit    append the batch with its signed checkpoint to the tail, sync                     the one write of each second
    publish   bundle and tiles, sync; their folders, sync; checkpoint.new, sync, rename, sync folder      every 256 leaves,
              then (every 256 leaves) an empty tail.new, sync, rename, sync folder                    when docked, at the end
    open      a tail that is torn: its good part and a signed gap leaf as tail.new, sync, rename, sync folder
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256

from inframe.core.clock import NS_PER_S
from inframe.core.errors import DeviceFault, one_line
from inframe.trail import tail as tails
from inframe.trail.counter import Counter
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files, make_folders, parent, put
from inframe.trail.leaf import counted, decode, encode
from inframe.trail.note import Checkpoint, Key, Scheme, Signer, signed, verified
from inframe.trail.read import CHECKPOINT, MINIMUM, WITNESSED, Log
from inframe.trail.records import NO_ID, EventKind, EventLeaf, EventRecord, FrameLeaf, Header, Leaf, Moment
from inframe.trail.tiles import HEIGHT, MAX_ENTRY, WIDTH, bundle, entries_path, tile_path, width_at
from inframe.trail.tree import EMPTY_ROOT, fold, leaf_hash

MAX_PAYLOAD = 48 << 10
"""How much of a torn tail a gap leaf keeps; of the rest it has the digest."""
CLOSED = "CLOSED"
"""The name of the event that ends a log which was closed."""
Now = Callable[[], Moment]


class Writer:
    """The trail, open for appending. Any OSError leaves it unusable: make a new one, which repairs what there is to repair.

    `signers`: the log's Ed25519 key first; its ML-DSA key, if any, then also signs what is published. `waiting`: the
    leaves that a predecessor which failed still had in its own `waiting`. Raises DeviceFault where another process writes,
    TrailDamaged where bytes changed that had been safe.
    """

    def __init__(
        self,
        files: Files,
        signers: Sequence[Signer],
        now: Now,
        counter: Counter | None = None,
        waiting: Sequence[bytes] = (),
    ) -> None:
        if not signers or signers[0].key.scheme is not Scheme.ED25519:
            raise RuntimeError("the log's first signer is its Ed25519 key")
        self._files, self._signers, self._now, self._counter = files, tuple(signers), now, counter
        self._usable = False
        files.lock()
        if files.read(CHECKPOINT) is None and files.read(tails.PATH) in (None, tails.head(0)):
            put(files, tails.PATH, tails.head(0))
            put(files, CHECKPOINT, signed(Checkpoint(self.key.name, 0, EMPTY_ROOT).text(), signers, self._time_s()))
        self.waiting = list(waiting)
        """Leaves, encoded, that are appended and not yet durable."""
        self._load(Log(files, self.key))
        self._usable = True

    @property
    def key(self) -> Key:
        """The log's own key; its name is the origin."""
        return self._signers[0].key

    def _time_s(self) -> int:
        return self._now().wall_ns // NS_PER_S

    # --- opening -----------------------------------------------------------------------------------------------------

    def _load(self, log: Log) -> None:
        tail = log.tail
        if tail.torn and (len(tail.entries) == WIDTH or tails.signed_within(tail.torn, self.key) > 1):
            raise TrailDamaged(f"tail: byte {tail.good}", f"{len(tail.torn)} changed bytes", "what was safely written")
        last = log.entry(log.size - 1) if log.size else None
        self._start, self._entries, self._hashes = tail.start, tail.entries, tail.hashes
        self._frontier = log.frontier(log.size)
        self._published = log.published
        self._edge = [list(log.tile(level, tail.start >> HEIGHT * (level + 1))) for level in range(1, 64 // HEIGHT)]
        self._edge = [row[: (tail.start >> HEIGHT * level) % WIDTH] for level, row in enumerate(self._edge, 1)]
        self._sweep()
        if len(self._entries) == WIDTH:
            self._roll()
        gaps = self._gaps(tail.torn, last)
        if tail.torn:
            raw = self._files.read(tails.PATH) or b""
            self._grow([encode(EventLeaf(self.header(gaps[0].at_ns), tuple(gaps)))], raw[: tail.good])
        elif gaps:
            self._grow([encode(EventLeaf(self.header(gaps[0].at_ns), tuple(gaps)))])
        self._step()
        if len(self._entries) == WIDTH:
            self._roll()

    def _sweep(self) -> None:
        """Remove tiles that a crash left before their checkpoint: nothing refers to them, and they may be torn."""
        for level in range(64 // HEIGHT):
            index = self._start >> HEIGHT * (level + 1)
            width = width_at(self._published.size, level, index)
            for full in (tile_path(level, index), entries_path(index))[: 2 if level == 0 else 1]:
                if width < WIDTH and full.rpartition("/")[2] in self._files.names(parent(full)):
                    self._files.remove(full)
                for name in self._files.names(f"{full}.p"):
                    if not name.isdigit() or int(name) > width:
                        self._files.remove(f"{full}.p/{name}")

    def _gaps(self, torn: bytes, entry: bytes | None) -> list[EventRecord]:
        """What a look at the end of the log says is missing, as events."""
        last = decode(entry) if entry else None
        found, failed = self._take_counter(last)
        closed = last is None or (isinstance(last, EventLeaf) and last.events[-1].name == CLOSED)
        told = {"boot": last.header.moment.boot.hex(), "wall_ns": str(last.header.moment.wall_ns)} if last else {}
        before = last.header.counter if last else 0
        told |= {"counter": str(found), "log": str(before)} if self._counter is not None else {}
        at, gap = self._now().mono_ns, EventKind.GAP
        gaps = []
        if torn:
            count, digest = str(tails.whole_entries(torn)), sha256(torn).hexdigest()
            more = told | {"bytes": str(len(torn)), "leaves": count, "sha256": digest}
            text = "the last batch was torn; its bytes follow"
            gaps.append(EventRecord(gap, at, "TORN", text, "recorder", more, torn[:MAX_PAYLOAD]))
        elif not closed:
            text = "the log was not closed; what came after its last leaf is lost"
            gaps.append(EventRecord(gap, at, "NOT_CLOSED", text, "recorder", told))
        if last is not None and found != before:
            text = (
                "the counter is not where the log's last leaf left it: the end is missing, or the counter was replaced"
            )
            gaps.append(EventRecord(gap, at, "ROLLED_BACK", text, "recorder", told))
        if failed:
            gaps.append(failed)
        elif not gaps and self._counter is not None:
            gaps.append(EventRecord(EventKind.START, at, "OPENED", "", "recorder", told))
        return gaps

    # --- the counter -------------------------------------------------------------------------------------------------

    def _take_counter(self, last: Leaf | None) -> tuple[int, EventRecord | None]:
        """What the counter says, and what it failed with. The leaves from here on carry its next value, which it takes when
        the first of them is safe: a log behind its counter was cut, and never is so after a crash."""
        found = self._told = before = last.header.counter if last else 0
        if self._counter is None:
            return found, None
        try:
            found = self._counter.read()
            if found == before - 1:  # a crash came between that leaf and the counter's step
                found = self._counter.increment()
        except DeviceFault as error:
            return before, self._without_counter(error)
        self._stepped, self._told = found, found + 1
        return found, None

    def _without_counter(self, error: DeviceFault) -> EventRecord:
        """A broken counter does not keep the log from being written: it is left out until the log is opened again."""
        self._counter = None
        text, data = "the counter failed: an older copy or a missing end would not be noticed", {"why": one_line(error)}
        return EventRecord(EventKind.GAP, self._now().mono_ns, "NO_COUNTER", text, "recorder", data)

    def anchor(self) -> None:
        """With the next commit, take the counter one further: an older copy of the log will then be found out. A TPM's
        counter wears: once in some minutes is enough."""
        if self._counter is not None:
            self._told = self._stepped + 1

    def _step(self) -> None:
        """Let the counter follow, once a leaf that carries its next value is safe."""
        if self._counter is None or self._told == self._stepped:
            return
        try:
            self._stepped = self._told = self._counter.increment()
        except DeviceFault as error:
            failed = self._without_counter(error)
            self.append(EventLeaf(self.header(failed.at_ns), (failed,)))

    # --- appending ---------------------------------------------------------------------------------------------------

    @property
    def is_counted(self) -> bool:
        """Whether a monotonic counter follows the log: there is one, and it has not failed."""
        return self._counter is not None

    @property
    def size(self) -> int:
        """How many leaves are safely written."""
        return self._frontier.size

    @property
    def recent(self) -> list[bytes]:
        """The leaves since the last full bundle, encoded, oldest first."""
        return list(self._entries)

    def let_go(self) -> None:
        """Let another writer in: after a failure, for the one that repairs."""
        self._usable = False
        self._files.unlock()

    def header(self, first_ns: int, procedure: bytes = NO_ID) -> Header:
        """The header of a leaf made now, whose earliest record is of `first_ns`."""
        return Header(self._now(), first_ns, procedure)

    def append(self, leaf: Leaf) -> None:
        """Take a leaf; `commit` writes it. One too long for an entry (65,535 bytes) becomes two."""
        self.waiting += encoded(leaf)

    def commit(self) -> int:
        """Make all that was appended durable, under a signed checkpoint; returns the new size. Raises OSError."""
        if not self._usable:
            raise RuntimeError("the trail failed before; open it anew")
        self._usable = False
        while self.waiting:
            some = self.waiting[: WIDTH - len(self._entries)]
            self._grow(some)
            del self.waiting[: len(some)]
            self._step()
            if len(self._entries) == WIDTH:
                self._roll()
        self._usable = True
        return self.size

    def _grow(self, entries: list[bytes], good: bytes | None = None) -> None:
        """Write a batch behind the tail, or, after a tear, behind its `good` part in a new file that replaces it."""
        entries = [counted(entry, self._told) for entry in entries]
        grown, hashes = self._frontier.copy(), [leaf_hash(entry) for entry in entries]
        for hashed in hashes:
            grown.push(hashed)
        note = signed(Checkpoint(self.key.name, grown.size, grown.root()).text(), self._signers[:1], self._time_s())
        if good is None:
            self._files.append(tails.PATH, tails.batch(entries, note))
            self._files.sync(tails.PATH)
        else:
            put(self._files, tails.PATH, good + tails.batch(entries, note))
        self._frontier = grown
        self._entries += entries
        self._hashes += hashes

    # --- publishing --------------------------------------------------------------------------------------------------

    def publish(self) -> bytes:
        """Write the tiles and the checkpoint, so that anybody's tools can read all up to now; returns the checkpoint."""
        self.commit()
        index, width = self._start // WIDTH, len(self._entries)
        if self._published.size == self.size:
            return self._files.read(CHECKPOINT) or b""
        self._usable = False
        hashes = b"".join(self._hashes)
        self._save({entries_path(index, width): bundle(self._entries), tile_path(0, index, width): hashes})
        note = self._sign()
        self._usable = True
        return note

    def _roll(self) -> None:
        """The bundle is full: publish it and begin the next tail."""
        index = self._start // WIDTH
        saved = {entries_path(index): bundle(self._entries), tile_path(0, index): b"".join(self._hashes)}
        full = [entries_path(index), tile_path(0, index)]
        above = fold(self._hashes)
        for level, row in enumerate(self._edge, 1):
            row.append(above)
            place = self._start >> HEIGHT * (level + 1)
            saved[tile_path(level, place, len(row))] = b"".join(row)
            if len(row) < WIDTH:
                break
            full.append(tile_path(level, place))
            above = fold(row)
            row.clear()
        self._save(saved)
        if self._published.size < self.size:
            self._sign()
        self._start += WIDTH
        put(self._files, tails.PATH, tails.head(self._start))
        self._entries, self._hashes = [], []
        for path in full:
            remove_partial(self._files, path)

    def _save(self, contents: dict[str, bytes]) -> None:
        """Write tiles, durably. One that is there already (a crash came before the checkpoint) is only synced again: what
        a checkpoint may refer to is never written over."""
        for path, data in contents.items():
            make_folders(self._files, parent(path))
            if self._files.read(path) != data:
                self._files.write(path, data)
            self._files.sync(path)
        for folder in sorted({parent(path) for path in contents}):
            self._files.sync_folder(folder)

    def _sign(self) -> bytes:
        self._published = Checkpoint(self.key.name, self.size, self._frontier.root())
        note = signed(self._published.text(), self._signers, self._time_s())
        put(self._files, CHECKPOINT, note)
        return note

    def keep_witnessed(self, note: bytes, witnesses: Sequence[Key]) -> None:
        """Keep the newest checkpoint that a witness has cosigned beside the log. Raises TrailDamaged if none has."""
        verified(note, witnesses)
        verified(note, [self.key])
        put(self._files, WITNESSED, note)

    def prune(self, minimum: int, why: str, who: str) -> None:
        """Delete the bundles and tiles that lie wholly before leaf `minimum` (tlog-tiles, "Pruning"); the tree stays whole,
        and an event says so."""
        if not 0 <= minimum <= self.size:
            raise RuntimeError(f"no leaf {minimum} among {self.size}")
        data = {"minimum": str(minimum)}
        event = EventRecord(EventKind.PRUNE, self._now().mono_ns, "PRUNE", why, who, data)
        self.append(EventLeaf(self.header(event.at_ns), (event,)))
        self.publish()
        put(self._files, MINIMUM, f"{minimum}\n".encode())
        for path in pruned_paths(self._files, minimum):
            self._files.remove(path)

    def close(self, text: str = "") -> None:
        """Append a STOP event, publish, and let no more come."""
        event = EventRecord(EventKind.STOP, self._now().mono_ns, CLOSED, text, "recorder")
        self.append(EventLeaf(self.header(event.at_ns), (event,)))
        self.anchor()
        self.publish()
        self._usable = False


def encoded(leaf: Leaf) -> list[bytes]:
    """A leaf's entries: one, or more where it is too long for one (65,535 bytes)."""
    entry = encode(leaf)
    if len(entry) <= MAX_ENTRY:
        return [entry]
    if isinstance(leaf, FrameLeaf):
        half = len(leaf.frames) // 2
        later = replace(leaf.header, first_ns=leaf.frames[half].shown_ns)
        parts: list[Leaf] = [
            replace(leaf, frames=leaf.frames[:half]),
            replace(leaf, header=later, frames=leaf.frames[half:]),
        ]
    else:
        half = len(leaf.events) // 2
        parts = [replace(leaf, events=leaf.events[:half]), replace(leaf, events=leaf.events[half:])]
    return [entry for part in parts for entry in encoded(part)]


def remove_partial(files: Files, path: str) -> None:
    """Delete the partial tiles of a tile that is now there in full."""
    names = files.names(f"{path}.p")
    for name in names:
        files.remove(f"{path}.p/{name}")
    if names:
        files.remove_folder(f"{path}.p")


def pruned_paths(files: Files, minimum: int) -> list[str]:
    """The files of the bundles and tiles whose end index is at most `minimum`."""
    paths = [entries_path(index) for index in range(minimum // WIDTH)]
    for level in range(64 // HEIGHT):
        paths += [tile_path(level, index) for index in range(minimum >> HEIGHT * (level + 1))]
    there = {folder: set(files.names(folder)) for folder in {parent(path) for path in paths}}
    return [path for path in paths if path.rpartition("/")[2] in there[parent(path)]]
