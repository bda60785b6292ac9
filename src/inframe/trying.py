"""What a running device does with the release in its slot `trial`: it is the candidate, and its state in the slots follows.

    CHECKED   start it in shadow                     → SHADOW
    SHADOW    compared for long enough: say so; its trial begins between two procedures, or at once where that is allowed → TRIAL
    TRIAL     from the first frame of each start it is shown, the active release warm behind it
    a rule    the active release is shown from the next frame on, then the slots are told → rolled back
    the end   of a procedure counts; enough of them, or too long, and `update.trial` says what becomes of it

What a person does meanwhile (`inframe update trial | commit | rollback | defer`) is read from the slots, where it was written down.
The picture is changed before the disk where something is taken back, and after it where something is shown: a power cut in
between leaves the older release.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from inframe.candidate import Candidates
from inframe.core.config import Device
from inframe.core.errors import BundleError, ConfigError, DeviceFault, InframeError, UpdateError, one_line
from inframe.core.health import Phase, not_yet
from inframe.core.yamlfile import read_device
from inframe.fitting import beside_active, of_slots
from inframe.pipeline.board import Count, Row
from inframe.resolve import slot_files
from inframe.updatable import MOST_HOURS, Updatable, report, slots_beside, status_of
from inframe.update import status as statuses
from inframe.update.slots import Slots
from inframe.update.states import State, Status
from inframe.update.trial import NS_PER_HOUR, Verdict, is_open, verdict, why_not

MOVES = ("trial", "defer", "commit", "rollback")
SHADOWED = (State.CHECKED, State.SHADOW)
TOLD = ("UPDATE_RESTORED",)
"""What the last move of the slots says to people at the start of a device, however long ago it was."""


class Trying:
    """The release on its way, on one running device. Call `begin` before the first process is started, `step` twice a second, and
    `end` after the last frame."""

    def __init__(
        self, target: Updatable, device: Device, candidate: Candidates, display: Row, note: Callable[[str, str], None]
    ) -> None:
        """`device`: resolved, as it starts. `note(what, why)` tells people."""
        self._target, self._device = target, device
        self._candidate, self._display, self._note = candidate, display, note
        self._status = Status()
        self._written: tuple[int, int] | None = None
        self._back: str | None = None
        self._failed = ""
        candidate.ended = self._taken_back

    # --- the start and the end: no procedure is running ---------------------------------------------------------------

    def begin(self) -> str:
        """Before the first frame: go on with what there is. Returns the event that the screen has to tell of, if there is one."""
        self._read()
        if self._is_without():
            return "UPDATE_DAMAGED"
        before = self._status.sequence
        if self._device.candidate is not None:  # else what is shown was chosen when the device was resolved
            self._between()
        if self._status.state is State.TRIAL and self._is_beside():
            self._start(trial=True)
        elif self._status.state is State.TRIAL:
            self._candidate.alone = True
        elif self._status.state in SHADOWED and self._is_beside() and self._target.config.shadow:
            self._shadow()
        last = self._status.history[-1].name if self._status.history else ""
        now = last == "UPDATE_ROLLED_BACK" and self._status.sequence != before
        return last if now or last in TOLD else ""

    def _is_without(self) -> bool:
        """Whether the device has started without what comes from its slots, see `updatable.at_start`."""
        asked = read_device(self._target.path).bundles.values()
        return not of_slots(self._device) and any(one.file is None for one in asked)

    def end(self) -> None:
        """After the last frame: the procedure counts, and what may happen between two procedures happens."""
        self.step()
        if self._status.state is State.TRIAL and self._was_shown():
            self._move(lambda slots: slots.tried())
        self._between()

    def _between(self) -> None:
        config, now, minute = self._target.config, time.time_ns(), _minute()
        found, why = verdict(config.trial, self._status, now)
        if found is Verdict.COMMIT:
            self._move(lambda slots: slots.commit(why))
        elif found is Verdict.ROLL_BACK:
            self._move(lambda slots: slots.roll_back(why))
        elif self._is_ready() and not why_not(config.trial, self._status, now, minute):
            self._move(lambda slots: slots.begin_trial(procedure_running=False, without_shadow=not config.shadow))

    def _is_ready(self) -> bool:
        """For its trial, but for what `why_not` knows."""
        status = self._status
        if status.state not in SHADOWED:
            return False
        return bool(status.progress.compared) or not self._target.config.shadow or status.active is None

    def _is_beside(self) -> bool:
        """Whether there is an active release, which this device runs and beside which another one can."""
        return self._status.active is not None and self._device.candidate is not None and bool(of_slots(self._device))

    def _was_shown(self) -> bool:
        """On trial for so long that the procedure counts as one."""
        config = self._device.candidate
        least = config.health.window if config is not None else 1
        shown = self._candidate.health().shown if self._is_beside() else self._display.get(Count.FRAMES)
        return shown >= least

    # --- while a procedure runs ---------------------------------------------------------------------------------------

    def step(self) -> None:
        """Look once at the slots and at the candidate."""
        if self._back is not None:
            self._write_back()
            return
        if not self._read() and not self._candidate.release:
            return
        if self._candidate.release:
            self._follow(self._candidate.health().phase, self._status.state)
            return
        if self._candidate.alone and self._status.state is not State.TRIAL:
            self._candidate.committed()
        if self._status.state in SHADOWED and self._is_beside() and self._target.config.shadow:
            self._shadow()

    def _follow(self, phase: Phase, state: State) -> None:
        """Make the candidate what the slots say, or the slots what the candidate has reached."""
        if phase is Phase.SHADOW and state is State.CHECKED:  # a command had the slots when it was started
            self._move(lambda slots: slots.shadow())
        elif phase is Phase.SHADOW and state is State.SHADOW:
            self._compare()
        elif phase is Phase.SHADOW and state is State.TRIAL:  # a person's word, or ours
            with suppress(
                UpdateError
            ):  # not well enough at this very moment: it is taken back, or shown at a later look
                self._candidate.switch(of_release=True)
        elif phase is Phase.TRIAL and state is State.COMMITTED:
            self._candidate.keep(of_release=True)
        elif state not in (State.SHADOW, State.TRIAL):
            self._candidate.back(self._status.reason or f"the release is {state}")

    def _shadow(self) -> None:
        if self._candidate.is_busy() or not self._start(trial=False):
            return
        if self._status.state is State.CHECKED:
            self._move(lambda slots: slots.shadow())

    def _compare(self) -> None:
        config, health = self._target.config, self._candidate.health()
        rules = self._candidate.rules()
        if not_yet(rules, health) is not None:
            return
        if not self._status.progress.compared:
            measured = health.measured
            found = f"{measured.compared} results compared, disagreement {measured.disagreement:.4f}"
            self._move(lambda slots: slots.compared(found))
        elif config.trial.during_procedure and not why_not(config.trial, self._status, time.time_ns(), _minute()):
            self._move(lambda slots: slots.begin_trial(procedure_running=False))

    def _start(self, *, trial: bool) -> bool:
        """Start the release as a candidate; one that does not verify or fit is rolled back."""
        release = self._status.trial
        try:
            proposed = beside_active(self._device, slot_files(self._target.folder)[1])
        except (BundleError, ConfigError, UpdateError) as error:
            why = str(error)
            self._move(lambda slots: slots.roll_back(why))
            return False
        self._candidate.start(proposed, release=release.name if release is not None else "", trial=trial)
        return True

    # --- what a person asks for at the running device -------------------------------------------------------------------

    def asked(self, move: str, why: str, hours: float) -> None:
        """As `inframe update MOVE` does it; `step` follows. Raises UpdateError, DeviceFault while a command has the slots."""
        config = self._target.config
        with slots_beside(self._target) as slots:
            match move:
                case "commit":
                    slots.commit(why)
                case "rollback":
                    slots.roll_back(why)
                case "defer" if 0 <= hours <= MOST_HOURS:
                    slots.defer(time.time_ns() + int(hours * NS_PER_HOUR) if hours else 0, why)
                case "trial" if is_open(config.trial.window, _minute()):
                    running = not config.trial.during_procedure
                    slots.begin_trial(procedure_running=running, without_shadow=not config.shadow)
                case _:
                    expected = f"one of: {', '.join(MOVES)}; 0 to {MOST_HOURS} hours; a trial in its hours"
                    raise UpdateError(f"order: release: found {one_line(move)} {hours:g}, expected {expected}")

    def told(self) -> dict[str, Any]:
        """What is in which slot, and how far the newest update is. Raises UpdateError."""
        return report(self._target, status_of(self._target))

    # --- what is written ----------------------------------------------------------------------------------------------

    def _taken_back(self, why: str) -> None:
        """The candidate was taken back: it is shown no more, and the slots must know."""
        self._back = why
        self._write_back()

    def _write_back(self) -> None:
        why = self._back or ""
        self._read()
        on_its_way = self._status.state in (*SHADOWED, State.TRIAL)
        if not on_its_way or self._move(lambda slots: slots.roll_back(why)):
            self._back = None

    def _move(self, make: Callable[[Slots], None]) -> bool:
        """Make a move; one that can't be made now is tried again at the next look."""
        try:
            with slots_beside(self._target) as slots:
                make(slots)
                self._status = slots.status
        except (InframeError, OSError) as error:
            if not isinstance(error, DeviceFault) and str(error) != self._failed:  # that is a command's turn
                self._failed = str(error)
                self._note("update", str(error))
            return False
        return True

    def _read(self) -> bool:
        """Read the status if it is another one than last time; whether it is."""
        path = self._target.folder / statuses.PATH
        with suppress(OSError, InframeError):
            found = path.stat()
            written = (found.st_ino, found.st_mtime_ns)
            if written != self._written:
                self._status, self._written = status_of(self._target), written
                return True
        return False


def _minute() -> int:
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min
