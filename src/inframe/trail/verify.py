"""Full verification: every leaf is hashed and decoded, every tile, old partial tile and checkpoint compared, bottom up.

What is checked, in this order, and named where it fails:

    each bundle     it splits into its entries; each decodes; each one's hash stands in the tile of level 0
    each tile       of every level, full and partial, holds exactly the hashes that the leaves give
    checkpoint      signed by the key given, and its root is the one computed
    tail            each checkpoint in it likewise; nothing behind the last one
    minimum         leaves are missing only as far as the newest PRUNE event in the log allows
    witnessed       the tree begins with what the witness cosigned: neither cut nor forked
    counter         the newest leaf carries the device's counter
    the rest        no file that is not of the log
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inframe.trail import tail as tails
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files
from inframe.trail.leaf import FRAMES, decode, decode_columns
from inframe.trail.note import Checkpoint, Key, verified, verified_checkpoint
from inframe.trail.read import CHECKPOINT, MINIMUM, WITNESSED, Log, stored_bundle, stored_tile
from inframe.trail.records import EventKind, EventLeaf, EventRecord
from inframe.trail.stray import strays
from inframe.trail.tiles import HEIGHT, WIDTH, bundle, entries_path, tile_path, width_at
from inframe.trail.tree import Frontier, consistency_path, fold, frontier_of, is_consistent, leaf_hash

Progress = Callable[[int, int], None]
"""Leaves done, leaves in all."""
MAX_DAMAGES = 100


@dataclass(frozen=True, slots=True)
class Resume:
    """How far a verification came: the first `size` leaves (a multiple of 256) are good, and give these subtrees. Whoever
    keeps it must keep it where only they can write: the rest is verified against it."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Report:
    """What a verification found."""

    origin: str
    size: int = 0
    minimum: int = 0
    """Leaves before this one are pruned."""
    leaves: int = 0
    """Leaves looked at in this run."""
    frames: int = 0
    events: int = 0
    gaps: list[tuple[int, EventRecord]] = field(default_factory=list)
    """Gaps that the log itself records: leaf, event. They are not damage."""
    damages: list[TrailDamaged] = field(default_factory=list)
    """At most 100."""
    resume: Resume = field(default_factory=Resume)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.damages

    def raise_if_damaged(self) -> None:
        """Raise the first damage, if any."""
        if self.damages:
            raise self.damages[0]


def verify(
    files: Files,
    key: Key,
    *,
    also: Sequence[Key] = (),
    witnesses: Sequence[Key] = (),
    witnessed: Sequence[bytes] = (),
    counter: int | None = None,
    resume: Resume | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify a whole trail. `key`: the log's, from elsewhere than the log; `also`: its other keys (ML-DSA), which must
    have signed too. `witnessed`: cosigned checkpoints from elsewhere, e.g. the witness, besides the one beside the log. `counter`: what the device's counter says now.
    Never raises TrailDamaged: all that is found is in the report."""
    run = _Run(files, key, Report(key.name), resume or Resume(), progress)
    run.verify(also)
    if run.report.is_sound:
        _against_outside(files, run.report, (key, *also), tuple(witnesses), witnessed)
    if counter is not None and run.counter != counter:
        run.damage(f"leaf {run.report.size - 1}", f"counter {run.counter}", f"{counter}, as the device's counter says: the end is missing")
    return run.report


class _Run:
    """The state of one verification."""

    def __init__(self, files: Files, key: Key, report: Report, resume: Resume, progress: Progress | None) -> None:
        self.files, self.key, self.report, self.progress = files, key, report, progress
        self.resume = resume
        self.frontier = Frontier(resume.size, resume.peaks)
        self.counter = 0
        self.allowed_minimum = 0
        self.mismatches: list[tuple[str, int, str]] = []
        """Leaves whose hash is not the one in the tile: bundle, leaf, tile. Which of the two is wrong, the root will tell."""

    def damage(self, place: str, found: str, expected: str) -> None:
        self.note(TrailDamaged(place, found, expected))

    def note(self, error: TrailDamaged) -> None:
        if len(self.report.damages) < MAX_DAMAGES:
            self.report.damages.append(error)

    def verify(self, also: Sequence[Key]) -> None:
        try:
            published = verified_checkpoint(self._need(CHECKPOINT), self.key, also)
            raw = self._need(tails.PATH)
            start = tails.start_of(raw)
            self.report.minimum = self._minimum(published.size)
        except TrailDamaged as error:
            return self.note(error)
        self.report.size = published.size
        first = self._begin(published)
        for index in range(first, -(-published.size // WIDTH)):
            self._bundle(index, published.size)
            if self.progress:
                self.progress(self.frontier.size, published.size)
        self._upper_rows(published.size)
        self._root(published)
        self._tail(raw, start, published)
        for path in strays(self.files, published.size):
            self.damage(path, "a file that is not of the log", "none")
        if self.report.minimum > self.allowed_minimum and not self.resume.size:
            self.damage(MINIMUM, str(self.report.minimum), f"at most {self.allowed_minimum}, as the log's newest PRUNE event says")
        return None

    def _need(self, path: str) -> bytes:
        data = self.files.read(path)
        if data is None:
            raise TrailDamaged(path, "no such file", "one")
        return data

    def _minimum(self, size: int) -> int:
        raw = self.files.read(MINIMUM)
        if raw is None:
            return 0
        text = raw.decode("ascii", "replace")
        if not (len(text) < 21 and text[:-1].isdigit() and f"{int(text[:-1])}\n" == text and int(text) <= size):
            raise TrailDamaged(MINIMUM, repr(text), f"a number up to {size}")
        return int(text)

    def _begin(self, published: Checkpoint) -> int:
        """The first bundle to look at; before it stand what `resume` vouches for, or pruned leaves, known by their hashes."""
        if not self.resume.size and self.report.minimum >= WIDTH:
            start = self.report.minimum // WIDTH * WIDTH
            try:
                self.frontier = frontier_of(start, lambda level, index: self._node(level, index, published.size))
            except TrailDamaged as error:
                self.note(error)
        start = self.frontier.size
        self.rows: list[list[bytes]] = []
        for level in range(1, 64 // HEIGHT):
            place, there = divmod(start >> HEIGHT * level, WIDTH)
            try:
                self.rows.append(self._stored(level, place, published.size)[:there])
            except TrailDamaged as error:
                self.note(error)
                self.rows.append([])
        return start // WIDTH

    def _node(self, level: int, index: int, size: int) -> bytes:
        height, inner = divmod(level, HEIGHT)
        first = index << inner
        return fold(self._stored(height, first // WIDTH, size)[first % WIDTH :][: 1 << inner])

    def _stored(self, level: int, index: int, size: int) -> list[bytes]:
        """A tile as it is on disk, in the width that a tree of `size` leaves has."""
        return stored_tile(self.files, level, index, width_at(size, level, index))

    # --- one bundle --------------------------------------------------------------------------------------------------

    def _bundle(self, index: int, size: int) -> None:
        width = width_at(size, 0, index)
        path, tile = entries_path(index, width), tile_path(0, index, width)
        stored: list[bytes] | None = None
        hashes: list[bytes] | None = None
        try:
            stored = self._stored(0, index, size)
        except TrailDamaged as error:
            self.note(error)
        try:
            entries = stored_bundle(self.files, index, width)
            hashes = [leaf_hash(entry) for entry in entries]
            self._look_at(entries, path, WIDTH * index)
            self._partial(entries_path(index), lambda w: bundle(entries[:w]), width)
        except TrailDamaged as error:
            self.note(error)
        if hashes is not None and stored is not None:
            self.mismatches += [(path, WIDTH * index + i, tile) for i in range(width) if hashes[i] != stored[i]]
        use = hashes or stored or [b""] * width
        self._partial(tile_path(0, index), lambda w: b"".join(use[:w]), width)
        for hashed in use:
            self.frontier.push(hashed)
        if width == WIDTH:
            self._above(fold(use), index, size)

    def _above(self, hashed: bytes, index: int, size: int) -> None:
        """Carry a full tile's hash up; compare each tile above that it completes."""
        for level, row in enumerate(self.rows, 1):
            row.append(hashed)
            index //= WIDTH
            if len(row) < WIDTH:
                return
            self._compare(level, index, row, size)
            hashed = fold(row)
            row.clear()

    def _upper_rows(self, size: int) -> None:
        for level, row in enumerate(self.rows, 1):
            if row:
                self._compare(level, (size >> HEIGHT * level) // WIDTH, row, size)

    def _compare(self, level: int, index: int, row: list[bytes], size: int) -> None:
        width = len(row)
        path = tile_path(level, index, width)
        row = list(row)
        try:
            stored = self._stored(level, index, size)
            for i, (mine, theirs) in enumerate(zip(row, stored, strict=True)):
                if mine != theirs:
                    span = f"leaf {(WIDTH * index + i) << HEIGHT * level} to {(WIDTH * index + i + 1) << HEIGHT * level}"
                    self.damage(f"{path}: hash {i} ({span})", theirs.hex(), f"{mine.hex()}, as the leaves give")
        except TrailDamaged as error:
            self.note(error)
        self._partial(tile_path(level, index), lambda w: b"".join(row[:w]), width)

    def _partial(self, full: str, content: Callable[[int], bytes], width: int) -> None:
        """The partial tiles of earlier checkpoints, which stay until the full one is there."""
        for name in self.files.names(f"{full}.p"):
            if name.isdigit() and int(name) < width and self.files.read(f"{full}.p/{name}") != content(int(name)):
                self.damage(f"{full}.p/{name}", "other bytes", f"the first {name} of the tile")

    def _look_at(self, entries: list[bytes], path: str, first: int) -> None:
        report = self.report
        for i, entry in enumerate(entries, first):
            try:
                if entry[1:2] == bytes([FRAMES]):
                    columns = decode_columns(entry)
                    report.frames += columns.count
                    self.counter = columns.header.counter
                else:
                    self._events(i, decode(entry))
            except TrailDamaged as error:
                self.damage(f"leaf {i} ({path}): {error.place}", error.found, error.expected)
        report.leaves += len(entries)

    def _events(self, index: int, leaf: object) -> None:
        if not isinstance(leaf, EventLeaf):
            return
        self.counter = leaf.header.counter
        self.report.events += len(leaf.events)
        self.report.gaps += [(index, event) for event in leaf.events if event.kind is EventKind.GAP]
        for event in leaf.events:
            if event.kind is EventKind.PRUNE:
                self.allowed_minimum = int("0" + event.data.get("minimum", ""))

    # --- the end -----------------------------------------------------------------------------------------------------

    def _root(self, published: Checkpoint) -> None:
        is_right = self.frontier.root() == published.root
        for path, leaf, tile in self.mismatches:
            if is_right:
                self.damage(f"{tile}: hash {leaf % WIDTH} (leaf {leaf})", "another hash", f"that of the leaf in {path}")
            else:
                self.damage(f"{path}: entry {leaf % WIDTH} (leaf {leaf})", "other bytes", f"those whose hash is in {tile}")
        if not is_right and not self.report.damages:
            found = self.frontier.root().hex()
            self.damage(f"{CHECKPOINT}: leaf {self.resume.size} to {published.size}", f"root {found}", f"{published.root.hex()}, which is signed")

    def _tail(self, raw: bytes, start: int, published: Checkpoint) -> None:
        if not start <= published.size <= start + WIDTH:
            return self.damage(tails.PATH, f"its start at leaf {start}", f"one fitting {published.size} published leaves")
        if self.report.damages:
            return None  # the frontier is not to be trusted: each of the tail's checkpoints would fail
        behind = published.size - start
        frontier = self.frontier.copy()
        published_hashes: list[bytes] = []
        if behind:
            last = (published.size - 1) // WIDTH
            published_hashes = self._stored(0, last, published.size)
            frontier = frontier_of(start, lambda level, index: self._node(level, index, published.size))
        tail = tails.scan(raw, self.key, frontier)
        for at in tail.bad_notes:
            self.damage(f"{tails.PATH}: byte {at}", "a checkpoint that does not verify", "the one signed there")
        if tail.torn:
            place = f"{tails.PATH}: byte {tail.good} (behind leaf {tail.size - 1})"
            self.damage(place, f"{len(tail.torn)} bytes that no signature covers", "none: a crash not yet repaired, or a change")
        if tail.size < published.size or tail.hashes[:behind] != published_hashes[:behind]:
            return self.damage(tails.PATH, f"the end at leaf {tail.size}, or other leaves", f"those published, up to {published.size}")
        self._look_at(tail.entries[behind:], tails.PATH, published.size)
        self.report.size = tail.size
        size = published.size // WIDTH * WIDTH
        if self.report.is_sound:
            done = frontier_of(size, lambda level, index: self._node(level, index, published.size))
            self.report.resume = Resume(size, done.peaks)
        return None


def _against_outside(
    files: Files, report: Report, keys: tuple[Key, ...], witnesses: tuple[Key, ...], notes: Sequence[bytes]
) -> None:
    """Compare a log that is sound in itself with what others have seen of it."""
    kept = files.read(WITNESSED)
    for place, note in [(WITNESSED, kept), *(("witness", note) for note in notes)]:
        if note is None:
            continue
        try:
            old = verified_checkpoint(note, keys[0], keys[1:] if note is kept else ())
            if witnesses:
                verified(note, witnesses)
            check_consistency(Log(files, keys[0]), old, place)
        except TrailDamaged as error:
            report.damages.append(error)


def check_consistency(log: Log, old: Checkpoint, place: str) -> None:
    """That the log begins with the tree of `old`. Raises TrailDamaged where it was cut or forked, or where it is pruned so
    far that nobody can tell."""
    if old.size > log.size:
        raise TrailDamaged(f"leaf {log.size}", f"the end of the log, at {log.size} leaves", f"the {old.size} that were seen ({place})")
    path = consistency_path(old.size, log.size, log.node)
    if not is_consistent(old.size, old.root, log.size, log.checkpoint.root, path):
        raise TrailDamaged(f"leaf 0 to {old.size} ({place})", "another history", f"the one seen with root {old.root.hex()}")


def verify_range(files: Files, key: Key, first: int, last: int, progress: Progress | None = None) -> Report:
    """Verify leaves first … last-1, and that they belong under the newest checkpoint, without reading the others. Damage is
    in the report."""
    report = Report(key.name)
    run = _Run(files, key, report, Resume(), None)
    try:
        log = Log(files, key)
        report.size, report.minimum = log.size, log.minimum()
        for index in range(first // WIDTH, -(-min(last, log.size) // WIDTH)):
            entries = log.bundle(index)
            low, high = max(first - WIDTH * index, 0), min(last - WIDTH * index, len(entries))
            _bundle_in_root(log, index, entries)
            run._look_at(entries[low:high], entries_path(index), WIDTH * index + low)
            if progress:
                progress(min(WIDTH * (index + 1), last) - first, last - first)
    except TrailDamaged as error:
        run.note(error)
    return report


def _bundle_in_root(log: Log, index: int, entries: list[bytes]) -> None:
    """That a bundle's entries hash into the signed root. The tree over whole bundles is a Merkle tree of its own, whose
    leaves are the bundles' roots: RFC 6962 splits at powers of two."""
    frontier = Frontier()
    hashes = [leaf_hash(entry) for entry in entries]
    for i, (mine, theirs) in enumerate(zip(hashes, log.tile(0, index), strict=True)):
        if mine != theirs:
            raise TrailDamaged(f"{entries_path(index)}: entry {i} (leaf {WIDTH * index + i})", "other bytes", "those in the tile")
    for hashed in hashes:
        frontier.push(hashed)
    proof = log.bundle_path(index)
    if not log.is_under_root(index, frontier.root(), proof):
        raise TrailDamaged(f"{entries_path(index)}: leaf {WIDTH * index} on", "leaves under another root", "the signed root")
