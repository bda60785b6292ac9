"""What a verification says, and the part of it that looks into leaves."""

from collections.abc import Callable
from dataclasses import dataclass, field

from inframe.trail.errors import TrailDamaged
from inframe.trail.leaf import FRAMES, decode, decode_columns
from inframe.trail.records import EventKind, EventLeaf, EventRecord, Leaf

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

    def note(self, error: TrailDamaged) -> None:
        """Add a damage."""
        if len(self.damages) < MAX_DAMAGES:
            self.damages.append(error)

    def damage(self, place: str, found: str, expected: str) -> None:
        """Add a damage."""
        self.note(TrailDamaged(place, found, expected))

    def raise_if_damaged(self) -> None:
        """Raise the first damage, if any."""
        if self.damages:
            raise self.damages[0]


class Tally:
    """Looks into leaves: each must decode; what is in them is counted in the report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.minimum = 0
        """How far the newest PRUNE event allows leaves to be missing."""

    def look_at(self, entries: list[bytes], path: str, first: int) -> None:
        """Decode the entries of leaves `first` …, which lie in `path`, and count what is in them."""
        report = self.report
        for i, entry in enumerate(entries, first):
            try:
                if entry[1:2] == bytes([FRAMES]):
                    report.frames += decode_columns(entry).count
                else:
                    self._events(i, decode(entry))
            except TrailDamaged as error:
                report.damage(f"leaf {i} ({path}): {error.place}", error.found, error.expected)
        report.leaves += len(entries)

    def _events(self, index: int, leaf: Leaf) -> None:
        if not isinstance(leaf, EventLeaf):
            return
        self.report.events += len(leaf.events)
        self.report.gaps += [(index, event) for event in leaf.events if event.kind is EventKind.GAP]
        for event in leaf.events:
            if event.kind is EventKind.PRUNE:
                self.minimum = int("0" + event.data.get("minimum", ""))
