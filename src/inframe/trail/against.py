"""A trail against what others have seen of it, and a part of it against its newest checkpoint."""

from collections.abc import Sequence

from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Files
from inframe.trail.leaf import peek
from inframe.trail.note import Checkpoint, Key, verified, verified_checkpoint
from inframe.trail.read import WITNESSED, Log
from inframe.trail.report import Progress, Report, Tally
from inframe.trail.tiles import WIDTH, entries_path
from inframe.trail.tree import Frontier, consistency_path, is_consistent, leaf_hash


def against_outside(
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
        raise TrailDamaged(
            f"leaf {log.size}", f"the end of the log, at {log.size} leaves", f"the {old.size} that were seen ({place})"
        )
    path = consistency_path(old.size, log.size, log.node)
    if not is_consistent(old.size, old.root, log.size, log.checkpoint.root, path):
        raise TrailDamaged(
            f"leaf 0 to {old.size} ({place})", "another history", f"the one seen with root {old.root.hex()}"
        )


def check_counter(log: Log, counter: int, report: Report) -> None:
    """That the log's last leaf carries the counter's present value; or the next one, where the counter could not yet follow."""
    told = peek(log.entry(log.size - 1))[2].counter if log.size else 0
    if counter not in (told - 1, told):
        report.damage(
            f"leaf {log.size - 1}", f"counter {told}", f"{counter}, as the device's counter says: the end is missing"
        )


def verify_range(files: Files, key: Key, first: int, last: int, progress: Progress | None = None) -> Report:
    """Verify leaves first … last-1, and that they belong under the newest checkpoint, without reading the others. Damage is
    in the report."""
    report = Report(key.name)
    tally = Tally(report)
    try:
        log = Log(files, key)
        report.size, report.minimum = log.size, log.minimum()
        for index in range(first // WIDTH, -(-min(last, log.size) // WIDTH)):
            entries = log.bundle(index)
            low, high = max(first - WIDTH * index, 0), min(last - WIDTH * index, len(entries))
            _bundle_in_root(log, index, entries)
            tally.look_at(entries[low:high], entries_path(index), WIDTH * index + low)
            if progress:
                progress(min(WIDTH * (index + 1), last) - first, last - first)
    except TrailDamaged as error:
        report.note(error)
    return report


def _bundle_in_root(log: Log, index: int, entries: list[bytes]) -> None:
    """That a bundle's entries hash into the signed root. The tree over whole bundles is a Merkle tree of its own, whose
    leaves are the bundles' roots: RFC 6962 splits at powers of two."""
    frontier = Frontier()
    hashes = [leaf_hash(entry) for entry in entries]
    for i, (mine, theirs) in enumerate(zip(hashes, log.tile(0, index), strict=True)):
        if mine != theirs:
            raise TrailDamaged(
                f"{entries_path(index)}: entry {i} (leaf {WIDTH * index + i})", "other bytes", "those in the tile"
            )
    for hashed in hashes:
        frontier.push(hashed)
    proof = log.bundle_path(index)
    if not log.is_under_root(index, frontier.root(), proof):
        raise TrailDamaged(
            f"{entries_path(index)}: leaf {WIDTH * index} on", "leaves under another root", "the signed root"
        )
