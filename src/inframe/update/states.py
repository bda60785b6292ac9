"""The words of an update, and SLOT_MOVES: everything that may ever happen to a slot, in one table that code, tests and docs read.

    fetch → verify → install → check → shadow → trial → commit
      └────────┴────────┴───────┴────────┴───────┴──► roll_back (with its reason)

A release is one or more bundles that go in together. The one on its way is in the slot `trial` from `fetch` on; its state
says how far it is. Nothing here touches a disk: a status comes in, another one goes out, or an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from inframe.core.errors import UpdateError


class State(StrEnum):
    """How far the newest update is."""

    NONE = "none"
    """There has been none yet."""
    FETCHED = "fetched"
    """Its bytes are on this device, and are those that the repository or the person named."""
    VERIFIED = "verified"
    """Its bundles' signatures, names, counters and constraints hold."""
    INSTALLED = "installed"
    """It is where bundles are loaded from."""
    CHECKED = "checked"
    """It passed every checkpoint on this very device."""
    SHADOW = "shadow"
    """It runs beside the active one and is not shown."""
    TRIAL = "trial"
    """It is shown; one violation, and it is gone."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"


class Slot(StrEnum):
    """Where an installed release lives."""

    ACTIVE = "active"
    TRIAL = "trial"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Installed:
    """One bundle of a release: the file that the device keeps under its digest."""

    name: str
    digest: str
    """SHA-256 of the file, hex."""
    counter: int
    """The release counter of its manifest: larger is newer."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Release:
    """Bundles that go in together: all or nothing."""

    name: str
    bundles: tuple[Installed, ...]
    """One for each name, sorted by name."""

    @property
    def counters(self) -> dict[str, int]:
        """The counter of each bundle."""
        return {bundle.name: bundle.counter for bundle in self.bundles}

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest of each bundle."""
        return tuple(bundle.digest for bundle in self.bundles)


@dataclass(frozen=True, slots=True)
class Told:
    """Something that happened, for the trail. `name` is a row of EVENTS."""

    name: str
    wall_ns: int
    """UTC, ns since 1970."""
    text: str = ""
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a release whose counter is below the floor may be active: an authorisation, or the loss of the active one."""

    why: str
    digests: tuple[str, ...]
    """The only bundles that it speaks for."""
    floor: Mapping[str, int]
    """The floor that it was given at: once the floor has risen, it speaks for nothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of the release on its way, or of the last one, beyond its state."""

    checks: tuple[tuple[str, bool, str], ...] = ()
    """Checkpoint, whether it was passed, and what was found."""
    compared: str = ""
    """How its shadow run came out; empty: it is not over."""
    trial_ns: int = 0
    """When its trial began, UTC, ns since 1970."""
    procedures: int = 0
    """So many procedures have ended while it was on trial."""
    deferred_ns: int = 0
    """Its trial does not begin before then, UTC, ns since 1970."""


@dataclass(frozen=True, slots=True)
class Status:
    """All that a device knows of its slots. Written as a whole or not at all."""

    state: State = State.NONE
    reason: str = ""
    """Why it was rolled back."""
    slots: Mapping[Slot, Release | None] = field(default_factory=lambda: dict.fromkeys(Slot))
    progress: Progress = Progress()
    excuses: tuple[Excuse, ...] = ()
    sequence: int = 0
    """Counts the changes."""
    outbox: tuple[Told, ...] = ()
    """Not yet known to be in the trail: written with the change itself, so that a power cut can tell one twice, never not."""
    rejected: tuple[tuple[str, str], ...] = ()
    """Releases that were rolled back here, the newest MAX_REJECTED, and why: none is fetched again of itself."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """The newest version of each role's metadata that was ever verified here: a damaged `trust` is made anew by nothing older."""
    history: tuple[Told, ...] = ()
    """The newest HISTORY moves; the trail has them all."""

    @property
    def active(self) -> Release | None:
        """What runs when nothing is on trial."""
        return self.slots[Slot.ACTIVE]

    @property
    def trial(self) -> Release | None:
        """What is on its way."""
        return self.slots[Slot.TRIAL]

    @property
    def previous(self) -> Release | None:
        """What was active before the last commit."""
        return self.slots[Slot.PREVIOUS]

    @property
    def shown(self) -> Release | None:
        """What the picture shows."""
        return self.trial if self.state is State.TRIAL else self.active


@dataclass(frozen=True, slots=True)
class Move:
    """One row: from which states, to which, and what then is in which slot."""

    name: str
    before: frozenset[State]
    after: State
    slots: Mapping[Slot, Slot | None]
    """The new contents of slots: those of another slot before the move, or nothing. Others stay."""
    event: str
    """The row of EVENTS that tells of it."""
    needs: str
    """What must hold besides; whoever makes the move sees to it."""


def _moves(*rows: Move) -> dict[str, Move]:
    return {row.name: row for row in rows}


AT_REST = frozenset({State.NONE, State.COMMITTED, State.ROLLED_BACK})
ON_ITS_WAY = frozenset(State) - AT_REST
_S = State

SLOT_MOVES: dict[str, Move] = _moves(
    Move("fetch", AT_REST, _S.FETCHED, {}, "UPDATE_FETCHED", "every byte is safe on the disk, with the digest named"),
    Move(
        "verify", frozenset({_S.FETCHED}), _S.VERIFIED, {}, "UPDATE_VERIFIED", "signatures; no counter below the floor"
    ),
    Move("install", frozenset({_S.VERIFIED}), _S.INSTALLED, {}, "UPDATE_INSTALLED", "the files are in the store"),
    Move("check", frozenset({_S.INSTALLED}), _S.CHECKED, {}, "UPDATE_CHECKED", "every checkpoint has passed here"),
    Move("shadow", frozenset({_S.CHECKED}), _S.SHADOW, {}, "UPDATE_SHADOW", "there is an active release to run beside"),
    Move(
        "trial",
        frozenset({_S.CHECKED, _S.SHADOW}),
        _S.TRIAL,
        {},
        "UPDATE_TRIAL",
        "no procedure is running, or the device file allows it; the shadow run is over, or none is asked for, or nothing is active",
    ),
    Move(
        "commit",
        frozenset({_S.TRIAL}),
        _S.COMMITTED,
        {Slot.PREVIOUS: Slot.ACTIVE, Slot.ACTIVE: Slot.TRIAL, Slot.TRIAL: None},
        "UPDATE_COMMITTED",
        "the trial is confirmed; the floor follows",
    ),
    Move("roll_back", ON_ITS_WAY, _S.ROLLED_BACK, {Slot.TRIAL: None}, "UPDATE_ROLLED_BACK", "a reason"),
    Move(
        "restore",
        frozenset(State),
        _S.ROLLED_BACK,
        {Slot.ACTIVE: Slot.PREVIOUS, Slot.PREVIOUS: None, Slot.TRIAL: None},
        "UPDATE_RESTORED",
        "there is a previous release, and an authorisation, or the active one does not verify",
    ),
)

BY_HAND = "by hand"
"""The name of a release that came from files: none that a repository can give."""
MAX_REJECTED = 50
HISTORY = 100
"""Moves kept in the status."""
MAX_OUTBOX = 200
"""Events that wait for the trail; beyond it the oldest go, and a last one says how many."""


def moved(before: Status, name: str, told: Told, *, release: Release | None = None, reason: str = "") -> Status:
    """The status after one move of SLOT_MOVES. `release`: what `fetch` brings. Raises UpdateError where the table forbids it."""
    move = SLOT_MOVES[name]
    if before.state not in move.before:
        expected = ", ".join(sorted(move.before))
        raise UpdateError(f"update: {name}: found an update in state {before.state.value!r}, expected: {expected}")
    slots = dict(before.slots)
    for slot, source in move.slots.items():
        slots[slot] = None if source is None else before.slots[source]
    progress = before.progress
    if release is not None:
        slots[Slot.TRIAL], progress = release, Progress()
    if move.after is State.TRIAL:
        progress = replace(progress, trial_ns=told.wall_ns)
    return replace(noted(before, told), state=move.after, reason=reason, slots=slots, progress=progress)


def rejected(before: Status, name: str, reason: str) -> Status:
    """The status with a release that is not to be fetched again."""
    others = tuple(one for one in before.rejected if one[0] != name)
    return replace(before, rejected=(*others, (name, reason))[-MAX_REJECTED:])


def noted(before: Status, told: Told) -> Status:
    """The status with an event that waits for the trail."""
    outbox = (*before.outbox, told)
    if len(outbox) > MAX_OUTBOX:
        lost = sum(int(one.data.get("lost", "1")) for one in outbox[: len(outbox) - MAX_OUTBOX + 1])
        first = replace(outbox[-MAX_OUTBOX], name="UPDATE_EVENTS_LOST", text="", data={"lost": str(lost)})
        outbox = (first, *outbox[-MAX_OUTBOX + 1 :])
    history = (*before.history, told)[-HISTORY:]
    return replace(before, sequence=before.sequence + 1, outbox=outbox, history=history)
