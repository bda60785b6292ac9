"""Each worker of a device with `candidate:` has two places, a and b: two rows of the process table, two rings for each model.

One word on the board says which place of each worker is shown, a bit for each. The display reads it once per frame, before it looks
for results: so all models change between two frames, together, and what changes is only in which ring it looks. Both rings are
mapped from the start; nothing is loaded, allocated or waited for.

    worker.w    ─► results.m     ─┐   bit of w = 0
                                  ├─► display
    worker.w.b  ─► results.m.b   ─┘   bit of w = 1

On trial the word has a second bit for the worker: the place that is not shown may stand in. Where the candidate has not spoken of a
frame when it has to be drawn, what the place before it says of that very frame is shown, and the frame's record says so. So even a
candidate that dies costs no frame its overlay, however late the parent notices it.

The worker whose place is shown wakes the display with its results; the other one's come in without waking anybody. No wake-up is
lost at the change: a worker publishes first and then reads the word, the display reads the word first and then looks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inframe.core.budgets import STAND_IN_NS
from inframe.core.config import Device
from inframe.core.types import Frame, Missed, MissedReason, Result, Results
from inframe.pipeline.board import SHOWN, Board, Count, Row
from inframe.pipeline.gate import looks_at
from inframe.pipeline.loop import ModelResults
from inframe.pipeline.results import read_newest
from inframe.pipeline.ring import RingReader

A, B = 0, 1
PLACES = (A, B)
NAMES = ("a", "b")
_SUFFIX = ("", ".b")
STAND_IN = 8
"""How far above the bits of the places shown those are by which a place may stand in."""
TRIAL = SHOWN << STAND_IN
UNSIGNED = 1 << 16
"""The bit that says: nobody signed a model that may be shown now."""
ROOM = 4
"""A result ring of a device with `candidate:` has so many times the room that its model needs: for a candidate with an input of
twice the side. Memory that is not written to costs nothing."""
SLOTS = 8
"""And so many slots: whoever compares both places runs when nothing else wants to."""


def row_name(worker: str, place: int) -> str:
    """The row of the process table for a place of a worker."""
    return f"worker.{worker}{_SUFFIX[place]}"


def ring_name(model: str, place: int) -> str:
    """The ring of a model's results for a place of its worker."""
    return f"results.{model}{_SUFFIX[place]}"


def worker_and_place(what: str) -> tuple[str, int]:
    """The worker and the place of a row, from what stands behind "worker." in its name."""
    worker, dot, _ = what.partition(".")
    return worker, B if dot else A


def bits(device: Device) -> dict[str, int]:
    """The bit of each worker in the word of the places shown."""
    return {worker: bit for bit, worker in enumerate(sorted({model.worker for model in device.models.values()}))}


def model_bits(device: Device) -> dict[str, int]:
    """The bit of each model's worker."""
    known = bits(device)
    return {name: known[model.worker] for name, model in device.models.items()}


def place(word: int, bit: int) -> int:
    """The place that the word says is shown."""
    return word >> bit & 1


def places_of(device: Device) -> tuple[int, ...]:
    """The places that this device has."""
    return PLACES if device.candidate is not None else (A,)


def readers(fds: Mapping[str, int], models: Mapping[str, object], place: int) -> dict[str, RingReader]:
    """The results of each model at a place, from a process's descriptors."""
    return {name: RingReader(fds[ring_name(name, place)]) for name in models}


def on_trial(word: int, bit: int) -> bool:
    """Whether the word lets the place that is not shown stand in."""
    return bool(word >> STAND_IN >> bit & 1)


@dataclass
class PlacedResults(ModelResults):
    """The newest output of each model, from the place that is shown."""

    board: Board = field(kw_only=True)
    places: tuple[Mapping[str, RingReader], Mapping[str, RingReader]] = field(kw_only=True)
    model_bits: Mapping[str, int] = field(kw_only=True)
    changed: Callable[[int], None] = field(kw_only=True)
    """Told which places are shown, before the frame that it holds for is decided."""
    stood_in: Callable[[], None] = field(kw_only=True, default=lambda: None)
    """Told of each frame for which a place stood in."""
    unsigned: Callable[[bool], None] = field(kw_only=True, default=lambda _: None)
    """Told whether nobody signed a model that may be shown, before the first frame that it holds for is drawn."""
    _word: int = -1
    _told_word: int = -1
    _seq: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._current = dict(self.rings)
        self.rings = self._current
        self._wait, self.wait = self.wait, self._wait_on_trial

    def await_for(self, frame: Frame, until_ns: int) -> Results:
        """See ModelResults."""
        word = self.board.shown()
        if word != self._word:
            self._turn(word)
        self._seq = frame.seq
        results = super().await_for(frame, until_ns)
        if word & TRIAL:
            results, word = self._stand_in(frame, results, word)
        if word & SHOWN != self._told_word:
            self._told_word = word & SHOWN
            self.changed(self._told_word)
        return results

    def _turn(self, word: int) -> None:
        self._word = word
        self.unsigned(bool(word & UNSIGNED))
        for name in self._current:
            self._current[name] = self.places[place(word, self.model_bits[name])][name]

    def _wait_on_trial(self, until_ns: int) -> bool:
        """Wait, but with a stand-in at hand not to the last moment."""
        if not self._word & TRIAL:
            return self._wait(until_ns)
        early_ns = until_ns - STAND_IN_NS
        if self.clock.now() < early_ns and self._wait(early_ns):
            return True
        return self._wait(until_ns) if not self._is_at_hand() else False

    def _is_at_hand(self) -> bool:
        """Whether all that may stand in have spoken of this frame, where they had to."""
        newest = (
            self.places[1 - place(self._word, bit)][name].latest()
            for name, bit in self.model_bits.items()
            if name in self._current and on_trial(self._word, bit) and looks_at(self._every[name], self._seq)
        )
        return all(header is not None and header.tag >= self._seq for header in newest)

    def _stand_in(self, frame: Frame, results: Results, word: int) -> tuple[Results, int]:
        """For each worker on trial that did not say all that it had to: what the place before it says, if that is all there."""
        for bit in {self.model_bits[name] for name in results}:
            due = {name: said for name, said in results.items() if self.model_bits[name] == bit and self._is_due(said)}
            if not on_trial(word, bit) or all(
                isinstance(said, Result) and said.seq == frame.seq for said in due.values()
            ):
                continue
            side, labels = self.places[1 - place(word, bit)], self.plan.labels
            other = {name: read_newest(side[name], name, len(labels[name]), frame.seq) for name in due}
            found = {name: said for name, said in other.items() if isinstance(said, Result) and said.seq == frame.seq}
            if len(found) == len(due):
                results, word = {**results, **found}, word ^ 1 << bit
                self.stood_in()
        return results, word

    @staticmethod
    def _is_due(said: Result | Missed) -> bool:
        return not (isinstance(said, Missed) and said.reason is MissedReason.NOT_DUE)


def is_up(board: Board, device: Device) -> Callable[[str], bool]:
    """Whether the worker that is shown for a model has been set up."""
    known = bits(device)
    rows: dict[str, tuple[int, list[Row]]] = {
        name: (known[m.worker], [board.row(row_name(m.worker, one)) for one in places_of(device)])
        for name, m in device.models.items()
    }

    def is_ready(model: str) -> bool:
        bit, workers = rows[model]
        return workers[place(board.shown(), bit)].get(Count.READY_NS) != 0

    return is_ready
