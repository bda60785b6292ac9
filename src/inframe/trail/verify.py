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

from inframe.trail import tail as tails
from inframe.trail.against import against_outside, check_counter
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files
from inframe.trail.note import Checkpoint, Key, verified_checkpoint
from inframe.trail.read import CHECKPOINT, MINIMUM, Log, stored_bundle, stored_tile
from inframe.trail.report import Progress, Report, Resume, Tally
from inframe.trail.stray import strays
from inframe.trail.tiles import HEIGHT, WIDTH, bundle, entries_path, tile_path, width_at
from inframe.trail.tree import Frontier, fold, frontier_of, leaf_hash


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
    saved: Callable[[Resume], None] | None = None,
) -> Report:
    """Verify a whole trail. Never raises TrailDamaged: all that is found is in the report.

    `key`: the log's, from elsewhere than the log; `also`: its other keys (ML-DSA), which must have signed too.
    `witnesses`: if given, one of them must have cosigned. `witnessed`: cosigned checkpoints from elsewhere, e.g. from the
    witness itself, besides the one beside the log. `counter`: what the device's counter says now. `saved` is given, every few
    hundred bundles, from where a verification could resume that is broken off now.
    """
    run = _Run(files, key, Report(key.name), resume or Resume(), progress, saved)
    run.verify(also)
    if run.report.is_sound:
        against_outside(files, run.report, (key, *also), tuple(witnesses), witnessed)
    if run.report.is_sound and counter is not None:
        check_counter(Log(files, key), counter, run.report)
    return run.report


SAVE_EVERY = 256
"""Bundles between two moments at which a broken off verification could resume: half a second's work."""


class _Run:
    """The state of one verification."""

    def __init__(
        self,
        files: Files,
        key: Key,
        report: Report,
        resume: Resume,
        progress: Progress | None,
        saved: Callable[[Resume], None] | None,
    ) -> None:
        self.files, self.key, self.report, self.progress, self.saved = files, key, report, progress, saved
        self.resume = resume
        self.frontier = Frontier(resume.size, resume.peaks)
        self.tally = Tally(report)
        self.mismatches: list[tuple[str, int, str]] = []
        """Leaves whose hash is not the one in the tile: bundle, leaf, tile. Which of the two is wrong, the root will tell."""

    def verify(self, also: Sequence[Key]) -> None:
        try:
            published = verified_checkpoint(self._need(CHECKPOINT), self.key, also)
            raw = self._need(tails.PATH)
            start = tails.start_of(raw)
            self.report.minimum = self._minimum(published.size)
        except TrailDamaged as error:
            return self.report.note(error)
        self.report.size = published.size
        first = self._begin(published)
        for index in range(first, -(-published.size // WIDTH)):
            self._bundle(index, published.size)
            if self.progress:
                self.progress(self.frontier.size, published.size)
            if self.saved and index % SAVE_EVERY == SAVE_EVERY - 1 and self.report.is_sound and not self.mismatches:
                self.saved(Resume(self.frontier.size, self.frontier.peaks))
        self._upper_rows(published.size)
        self._root(published)
        self._tail(raw, start, published)
        for path in strays(self.files, published.size):
            self.report.damage(path, "a file that is not of the log", "none")
        if self.report.minimum > self.tally.minimum and not self.resume.size:
            self.report.damage(
                MINIMUM,
                str(self.report.minimum),
                f"at most {self.tally.minimum}, as the log's newest PRUNE event says",
            )
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
                self.report.note(error)
        start = self.frontier.size
        self.rows: list[list[bytes]] = []
        for level in range(1, 64 // HEIGHT):
            place, there = divmod(start >> HEIGHT * level, WIDTH)
            try:
                self.rows.append(self._stored(level, place, published.size)[:there])
            except TrailDamaged as error:
                self.report.note(error)
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
            self.report.note(error)
        try:
            entries = stored_bundle(self.files, index, width)
            hashes = [leaf_hash(entry) for entry in entries]
            self.tally.look_at(entries, path, WIDTH * index)
            self._partial(entries_path(index), lambda w: bundle(entries[:w]), width)
        except TrailDamaged as error:
            self.report.note(error)
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
                    span = (
                        f"leaf {(WIDTH * index + i) << HEIGHT * level} to {(WIDTH * index + i + 1) << HEIGHT * level}"
                    )
                    self.report.damage(f"{path}: hash {i} ({span})", theirs.hex(), f"{mine.hex()}, as the leaves give")
        except TrailDamaged as error:
            self.report.note(error)
        self._partial(tile_path(level, index), lambda w: b"".join(row[:w]), width)

    def _partial(self, full: str, content: Callable[[int], bytes], width: int) -> None:
        """The partial tiles of earlier checkpoints, which stay until the full one is there."""
        for name in self.files.names(f"{full}.p"):
            if name.isdigit() and int(name) < width and self.files.read(f"{full}.p/{name}") != content(int(name)):
                self.report.damage(f"{full}.p/{name}", "other bytes", f"the first {name} of the tile")

    # --- the end -----------------------------------------------------------------------------------------------------

    def _root(self, published: Checkpoint) -> None:
        is_right = self.frontier.root() == published.root
        for path, leaf, tile in self.mismatches:
            if is_right:
                self.report.damage(
                    f"{tile}: hash {leaf % WIDTH} (leaf {leaf})", "another hash", f"that of the leaf in {path}"
                )
            else:
                self.report.damage(
                    f"{path}: entry {leaf % WIDTH} (leaf {leaf})", "other bytes", f"those whose hash is in {tile}"
                )
        if not is_right and not self.report.damages:
            found = self.frontier.root().hex()
            self.report.damage(
                f"{CHECKPOINT}: leaf {self.resume.size} to {published.size}",
                f"root {found}",
                f"{published.root.hex()}, which is signed",
            )

    def _tail(self, raw: bytes, start: int, published: Checkpoint) -> None:
        if not start <= published.size <= start + WIDTH:
            return self.report.damage(
                tails.PATH, f"its start at leaf {start}", f"one fitting {published.size} published leaves"
            )
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
            self.report.damage(f"{tails.PATH}: byte {at}", "a checkpoint that does not verify", "the one signed there")
        if tail.torn:
            place = f"{tails.PATH}: byte {tail.good} (behind leaf {tail.size - 1})"
            self.report.damage(
                place, f"{len(tail.torn)} bytes that no signature covers", "none: a crash not yet repaired, or a change"
            )
        if tail.size < published.size or tail.hashes[:behind] != published_hashes[:behind]:
            return self.report.damage(
                tails.PATH, f"the end at leaf {tail.size}, or other leaves", f"those published, up to {published.size}"
            )
        self.tally.look_at(tail.entries[behind:], tails.PATH, published.size)
        self.report.size = tail.size
        size = published.size // WIDTH * WIDTH
        if self.report.is_sound:
            done = frontier_of(size, lambda level, index: self._node(level, index, published.size))
            self.report.resume = Resume(size, done.peaks)
        return None
