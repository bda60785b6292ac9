"""The slots of one device, on its disk: the moves of SLOT_MOVES, each written so that a power cut at any byte leaves the state
before or the state after.

    status          which release is in which slot (one file, replaced in one step: that is the switch)
    floor           the rollback floor, where it is kept in a file
    trust           what was learnt from the repository (`trust`)
    store/DIGEST    bundles that a slot names
    download/DIGEST bundles on their way, or parts of them

A file is whole and safe before the status names it, and goes after the status no longer does. So `status` alone decides, and
what nothing names is swept away at the next start.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from inframe.core.errors import UpdateError
from inframe.trail.files import Files, make_folders, put
from inframe.update import status as statuses
from inframe.update import trust
from inframe.update.checkpoints import Checkpoint, Passed, run_all
from inframe.update.floor import Floor, below
from inframe.update.sealed import refused
from inframe.update.states import (
    BY_HAND,
    ON_ITS_WAY,
    SLOT_MOVES,
    Excuse,
    Installed,
    Progress,
    Release,
    Slot,
    State,
    Status,
    Told,
    moved,
    noted,
    rejected,
)

STORE, DOWNLOAD = "store", "download"
_STORED = (State.INSTALLED, State.CHECKED, State.SHADOW, State.TRIAL)
_VERIFIED = (State.VERIFIED, *_STORED)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle is, once its signatures, its members and its compatibility with this device were checked."""

    name: str
    digest: str
    counter: int


Verify = Callable[[str], Verified]
"""Verifies the bundle in a file of the update's folder. Raises UpdateError; a disk that fails is an OSError and no verdict."""


class Slots:
    """The slots, open for this process alone. Make it with `Slots.open`; `wall_ns`: UTC now, ns.

    Raises UpdateError for a move that the table forbids and for a damaged status, floor or store.
    """

    def __init__(self, files: Files, verify: Verify, floor: Floor, wall_ns: Callable[[], int], status: Status) -> None:
        self._files, self._verify, self._floor, self._wall_ns = files, verify, floor, wall_ns
        self.status = status

    # --- opening -----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, files: Files, verify: Verify, floor: Floor, wall_ns: Callable[[], int]) -> "Slots":
        """Read the status and finish what a power cut interrupted. Raises UpdateError, DeviceFault where it is open already."""
        files.lock()
        try:
            raw = files.read(statuses.PATH)
            if raw is None:
                _begin(files, floor)
            slots = cls(files, verify, floor, wall_ns, Status() if raw is None else statuses.decode(raw))
            slots._recover()
        except BaseException:
            files.unlock()
            raise
        return slots

    def close(self) -> None:
        """Let the next one in."""
        self._files.unlock()

    def _recover(self) -> None:
        floor = self._floor.read()
        active = self.status.active
        if active is not None:
            low = below(active.counters, floor)
            if low and not is_excused(active, floor, self.status.excuses):
                found = ", ".join(f"{name} {active.counters[name]}" for name in low)
                raise refused(
                    statuses.PATH, "slots.active", found, "no counter below the floor: the status is an old copy"
                )
            self._floor.raise_to(active.counters)  # a cut came between a commit and its floor
        for name in self._files.names(""):
            if name.endswith(".new"):
                self._files.remove(name)
        self._sweep()

    def examine(self) -> None:
        """Verify every bundle that a slot names, as each start of a device does. A trial that does not verify is rolled back;
        an active one that does not gives way to the previous one, if that does."""
        trial, active, previous = self.status.trial, self.status.active, self.status.previous
        if trial is not None and self.status.state in _VERIFIED and (problem := self._problem(trial)):
            self.roll_back(problem)
        if active is not None and (problem := self._problem(active)):
            if previous is None or self._problem(previous):
                if self.status.history[-1].name != "UPDATE_DAMAGED":
                    self._note("UPDATE_DAMAGED", problem)
                return
            self._restore(f"the active release is damaged: {problem}")

    def _problem(self, release: Release) -> str:
        """Why it can't run; empty if it can."""
        for bundle in release.bundles:
            try:
                self._verified(bundle)
            except UpdateError as error:
                return str(error)
        return ""

    def _verified(self, bundle: Installed) -> None:
        path = self.path_of(bundle)
        if path is None:
            raise refused(f"{STORE}/{bundle.digest}", "file", "none", "the bundle that a slot names")
        found = self._verify(path)
        for field, is_, said in (
            ("digest", found.digest, bundle.digest),
            ("name", found.name, bundle.name),
            ("counter", found.counter, bundle.counter),
        ):
            if is_ != said:
                raise refused(path, field, is_, f"{said}, as the release says")

    def path_of(self, bundle: Installed) -> str | None:
        """Where a bundle is, relative to the folder; None where it is not, or not whole."""
        places = (f"{STORE}/{bundle.digest}", f"{DOWNLOAD}/{bundle.digest}")
        return next((path for path in places if self._files.size(path) == bundle.size), None)

    # --- the moves, in order -----------------------------------------------------------------------------------------

    def fetched(self, release: Release) -> None:
        """`fetch`: its bundles lie in download/ or in the store, safely."""
        for bundle in release.bundles:
            if self.path_of(bundle) is None:
                raise refused(f"{DOWNLOAD}/{bundle.digest}", "file", "none, or not whole", f"{bundle.size} bytes")
        others = tuple(one for one in self.status.rejected if one[0] != release.name)
        self._move("fetch", release.name, release, before=replace(self.status, rejected=others))

    def verify(self, excuse: Excuse | None = None) -> None:
        """`verify`; a release that is refused is rolled back, and the error raised. `excuse`: allows counters below the floor."""
        release = self._on_its_way("verify")
        excuses = (*self.status.excuses, *([excuse] if excuse is not None else ()))
        try:
            self._allowed(release, excuses)
            for bundle in release.bundles:
                self._verified(bundle)
        except UpdateError as error:
            self.roll_back(str(error))
            raise
        told = release.name if excuse is None else f"{release.name}: {excuse.why}"
        self._move("verify", told, before=replace(self.status, excuses=excuses))

    def _allowed(self, release: Release, excuses: tuple[Excuse, ...]) -> None:
        floor = self._floor.read()
        low = below(release.counters, floor)
        if low and not is_excused(release, floor, excuses):
            name = low[0]
            expected = f"{floor[name]} or more, or an authorisation of this downgrade"
            raise refused(release.name, f"{name}.counter", release.counters[name], expected)
        known = {
            (b.name, b.counter): b.digest
            for one in (self.status.active, self.status.previous)
            if one is not None
            for b in one.bundles
        }
        for b in release.bundles:
            if known.get((b.name, b.counter), b.digest) != b.digest:
                expected = "another counter: a file with other bytes had this one"
                raise refused(release.name, f"{b.name}.counter", b.counter, expected)

    def install(self) -> None:
        """`install`: into the store, by name only; the bytes stay where they are on the disk."""
        release = self._on_its_way("install")
        for bundle in release.bundles:
            if self.path_of(bundle) is None:
                self.roll_back(f"{bundle.name}: the downloaded file is gone")
                raise refused(f"{DOWNLOAD}/{bundle.digest}", "file", "none", "the bundle that was verified")
        make_folders(self._files, STORE)
        make_folders(self._files, DOWNLOAD)
        for bundle in release.bundles:
            if self._files.size(f"{STORE}/{bundle.digest}") != bundle.size:
                self._files.rename(f"{DOWNLOAD}/{bundle.digest}", f"{STORE}/{bundle.digest}")
        self._files.sync_folder(STORE)  # the new names before the old ones go: a cut may leave two, never none
        self._files.sync_folder(DOWNLOAD)
        self._move("install", release.name)

    def check(self, checkpoints: Sequence[Checkpoint]) -> list[Passed]:
        """`check`; the first checkpoint that is not passed rolls the release back. Returns what was found."""
        release = self._on_its_way("check")
        done = run_all(checkpoints, release)
        found = tuple((one.checkpoint, one.outcome.passed, one.outcome.reason) for one in done)
        self.status = replace(
            self.status, progress=replace(self.status.progress, checks=found)
        )  # written with the move
        failed = next((one for one in done if not one.outcome.passed), None)
        if failed is not None:
            self.roll_back(f"{failed.checkpoint}: {failed.outcome.reason}")
        else:
            passed = ", ".join(one.checkpoint for one in done) or "no checkpoint"
            self._move("check", f"{release.name}: passed {passed}", found={name: said for name, _, said in found})
        return done

    def shadow(self) -> None:
        """`shadow`. Raises UpdateError where nothing is active to run beside."""
        release = self._on_its_way("shadow")
        if self.status.active is None:
            raise refused("update", "shadow", "no active release", "one to run beside; begin the trial")
        self._move("shadow", release.name)

    def compared(self, found: str) -> None:
        """Its shadow run is over, without a violation. Raises UpdateError where it is in none."""
        release = self._in(State.SHADOW, "compared")
        progress = replace(self.status.progress, compared=found)
        self._note("UPDATE_COMPARED", f"{release.name}: {found}", progress)

    def begin_trial(self, *, procedure_running: bool, without_shadow: bool = False) -> None:
        """`trial`. Raises UpdateError in the middle of a procedure, and where a shadow run is asked for that is not over."""
        release = self._on_its_way("trial")
        if procedure_running:
            raise refused("update", "trial", "a procedure is running", "its end")
        if self.status.active is not None and not without_shadow and not self.status.progress.compared:
            found = "no shadow run yet" if self.status.state is State.CHECKED else "a shadow run that is not over"
            raise refused("update", "trial", found, "its end, or a device file that asks for none")
        self._move("trial", release.name)

    def tried(self) -> None:
        """A procedure has ended while it was shown. Raises UpdateError where it is not on trial."""
        release = self._in(State.TRIAL, "tried")
        progress = replace(self.status.progress, procedures=self.status.progress.procedures + 1)
        self._note("UPDATE_TRIED", f"{release.name}: procedure {progress.procedures} on trial", progress)

    def defer(self, until_ns: int, why: str) -> None:
        """Its trial does not begin before `until_ns` (UTC). Raises UpdateError where none is to begin."""
        before = tuple(state for state in State if state in ON_ITS_WAY and state is not State.TRIAL)
        if self.status.state not in before or self.status.trial is None:
            raise refused("update", "defer", f"an update in state {self.status.state}", "one that is on its way")
        self._note("UPDATE_DEFERRED", why, replace(self.status.progress, deferred_ns=until_ns))

    def commit(self, why: str = "") -> None:
        """`commit`: the trial is the active release from here on, and the floor rises to it."""
        release = self._on_its_way("commit")
        self._move("commit", f"{release.name}: {why}" if why else release.name)
        self._floor.raise_to(release.counters)
        self._sweep()

    def roll_back(self, reason: str, *, again: bool = False) -> None:
        """`roll_back`: what was on its way is gone, and why is kept. `again`: it may be fetched again of itself."""
        release = self._on_its_way("roll_back")
        kept = self.status if again or release.name == BY_HAND else rejected(self.status, release.name, reason)
        self._move("roll_back", f"{release.name}: {reason}", reason=reason, before=kept)
        for digest in release.digests:
            if self._files.size(f"{DOWNLOAD}/{digest}") is not None:
                self._files.remove(f"{DOWNLOAD}/{digest}")
        self._sweep()

    def restore(self, excuse: Excuse) -> None:
        """`restore`, by authorisation: the previous release is active again."""
        previous = self.status.previous
        if previous is None:
            raise refused("update", "previous", "an empty slot", "the release before the active one")
        if problem := self._problem(previous):
            raise UpdateError(problem)
        with_it = replace(self.status, excuses=(*self.status.excuses, excuse))
        floor = self._floor.read()
        if below(previous.counters, floor) and not is_excused(previous, floor, with_it.excuses):
            raise refused("authorisation", "bundles", ", ".join(excuse.digests), "those of the previous release")
        self._move("restore", f"{previous.name}: {excuse.why}", reason=excuse.why, before=with_it)
        self._sweep()

    def _restore(self, why: str) -> None:
        previous, floor = self.status.previous, self._floor.read()
        if previous is None:
            raise RuntimeError("nothing to restore")
        excuse = Excuse(why, previous.digests, floor)
        with_it = replace(self.status, excuses=(*self.status.excuses, excuse))
        self._move("restore", f"{previous.name}: {why}", reason=why, before=with_it)
        self._sweep()

    # --- events ------------------------------------------------------------------------------------------------------

    def note(self, name: str, text: str, **data: str) -> None:
        """Something that is no move and belongs into the trail: a refusal, an authorisation."""
        self._note(name, text, data=data)

    def saw(self, seen: Mapping[str, int]) -> None:
        """Which versions of the repository's metadata were verified: kept here too, for the day on which `trust` is damaged."""
        if dict(self.status.seen) != dict(seen):
            self._write(replace(self.status, seen=dict(seen)))

    def deliver(self, tell: Callable[[Told], None]) -> int:
        """Hand the waiting events to the trail, and forget them when they are there; returns how many. A cut in between tells
        one twice, never not."""
        waiting = self.status.outbox
        for told in waiting:
            tell(told)
        if waiting:
            self._write(replace(self.status, outbox=()))
        return len(waiting)

    # --- writing -----------------------------------------------------------------------------------------------------

    def _on_its_way(self, name: str) -> Release:
        if self.status.state not in SLOT_MOVES[name].before or self.status.trial is None:
            moved(self.status, name, self._told("", ""))  # raises
            raise refused(statuses.PATH, "slots.trial", "an empty slot", f"a release in state {self.status.state}")
        return self.status.trial

    def _in(self, state: State, what: str) -> Release:
        if self.status.state is not state or self.status.trial is None:
            raise refused("update", what, f"an update in state {self.status.state}", state)
        return self.status.trial

    def _move(
        self,
        name: str,
        text: str,
        release: Release | None = None,
        reason: str = "",
        before: Status | None = None,
        found: Mapping[str, str] | None = None,
    ) -> None:
        about = release or self.status.trial or self.status.previous
        data = {b.name: f"{b.counter} {b.digest}" for b in about.bundles} if about is not None else {}
        told = self._told(SLOT_MOVES[name].event, text, **{**data, **(found or {})})
        self._write(moved(before or self.status, name, told, release=release, reason=reason))

    def _told(self, name: str, text: str, **data: str) -> Told:
        return Told(name, self._wall_ns(), text, data)

    def _note(
        self, name: str, text: str, progress: Progress | None = None, data: Mapping[str, str] | None = None
    ) -> None:
        before = self.status if progress is None else replace(self.status, progress=progress)
        self._write(noted(before, self._told(name, text, **(data or {}))))

    def _write(self, status: Status) -> None:
        named = {digest for one in status.slots.values() if one is not None for digest in one.digests}
        kept = tuple(one for one in status.excuses if named & set(one.digests))
        status = replace(status, excuses=kept)
        put(self._files, statuses.PATH, statuses.encode(status))
        self.status = status

    def _sweep(self) -> None:
        """Remove from the store what no slot names. A removal that a power cut undoes is made again at the next start."""
        named = {digest for slot in Slot if (one := self.status.slots[slot]) is not None for digest in one.digests}
        for name in self._files.names(STORE):
            if name not in named:
                self._files.remove(f"{STORE}/{name}")


def _begin(files: Files, floor: Floor) -> None:
    """The first start of a device. A status that is gone while other things are there is no first start. Raises UpdateError."""
    if files.names(STORE) or files.names(DOWNLOAD):
        raise refused(statuses.PATH, "file", "none, beside bundles", "the status of the slots")
    floor.begin()
    trust.begin(files)
    put(files, statuses.PATH, statuses.encode(Status()))


def is_excused(release: Release, floor: Mapping[str, int], excuses: Sequence[Excuse]) -> bool:
    """Whether one excuse speaks for every bundle below the floor, at this very floor."""
    low = set(below(release.counters, floor))
    digests = {b.digest for b in release.bundles if b.name in low}
    return any(
        digests <= set(one.digests) and all(one.floor.get(name) == floor[name] for name in low) for one in excuses
    )


def loaded(files: Files) -> tuple[State, dict[str, str], dict[str, str]]:
    """What a device loads at its start: for each bundle's name its file, relative to the folder; of the active release, and of
    the one on its way once it is in the store. Changes nothing and locks nothing: `status` is replaced in one step. Raises
    UpdateError where it is damaged."""
    raw = files.read(statuses.PATH)
    status = statuses.decode(raw) if raw is not None else Status()
    on_its_way = status.trial if status.state in _STORED else None
    return status.state, _files_of(status.active), _files_of(on_its_way)


def _files_of(release: Release | None) -> dict[str, str]:
    return {one.name: f"{STORE}/{one.digest}" for one in release.bundles} if release is not None else {}
