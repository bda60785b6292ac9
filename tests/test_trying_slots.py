"""The release on its way and the candidate beside it, move by move, without a process: real slots on a real disk, a candidate that
only says what it was told."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inframe import trying
from inframe.core.errors import ConfigError, UpdateError
from inframe.core.health import Health, HealthRules, Measured, Phase
from inframe.core.updates import UpdateConfig
from inframe.resolve import slot_files
from inframe.trail.files import Disk
from inframe.trying import Trying
from inframe.update.floor import FileFloor
from inframe.update.slots import Slots
from inframe.update.states import State, Status
from inframe.update.status import PATH, decode
from inframe.update.trial import NS_PER_HOUR
from tests.update.made import PASS, pack, place, release, slots_on, update, verifier

ONE, TWO = pack("anatomy", 1), pack("anatomy", 2)
COMPARED = Measured(compared=300)


@dataclass
class Candidate:
    """Does what it is told, and says what it is asked to."""

    release: str = ""
    alone: bool = False
    phase: Phase = Phase.NONE
    measured: Measured = field(default_factory=Measured)
    shown: int = 0
    said: list[str] = field(default_factory=list)
    ended: Callable[[str], None] = lambda _: None

    def start(self, _: Any, *, release: str, trial: bool) -> None:
        self.release, self.phase = release, Phase.TRIAL if trial else Phase.SHADOW
        self.said.append("start on trial" if trial else "start")

    def switch(self, *, of_release: bool) -> None:
        self.phase = Phase.TRIAL
        self.said.append("switch")

    def keep(self, *, of_release: bool) -> None:
        self.release, self.phase = "", Phase.NONE
        self.said.append("keep")

    def back(self, why: str) -> None:
        self.release, self.phase = "", Phase.NONE
        self.said.append(f"back: {why}")
        self.ended(why)

    def committed(self) -> None:
        self.alone = False
        self.said.append("committed")

    def health(self) -> Health:
        return Health(self.phase, ready=True, measured=self.measured, shown=self.shown)

    def rules(self) -> HealthRules:
        return HealthRules()

    def is_busy(self) -> bool:
        return bool(self.release)


class World:
    """A device with one release committed, and one that was checked."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.disk, self.folder = Disk(folder), folder
        slots = slots_on(self.disk)
        if config.pop("active", True):
            update(slots, self.disk, "one", ONE)
        place(self.disk, TWO)
        slots.fetched(release("two", TWO))
        slots.verify()
        slots.install()
        slots.check([PASS])
        slots.close()
        whole = {"repository": "file:///r", "root": "r", "bundles": ("anatomy",)} | config
        files = SimpleNamespace(
            folder=folder, config=UpdateConfig.model_validate(whole), verify=verifier(self.disk.read)
        )
        files.path, files.device = folder / "device.yaml", SimpleNamespace(device="theatre 7")
        files.files, files.floor, files.home = Disk(folder), FileFloor(self.disk), lambda: None
        self.target, self.candidate, self.notes = files, Candidate(), list[str]()
        self.trying = self.start()

    def start(self) -> Trying:
        """The device, once more."""
        self.candidate = Candidate()
        device = SimpleNamespace(candidate=SimpleNamespace(health=HealthRules()))
        display = SimpleNamespace(get=lambda _: 1000)
        made: Any = Trying
        self.trying = made(
            self.target, device, self.candidate, display, lambda what, why: self.notes.append(f"{what}: {why}")
        )
        return self.trying

    @property
    def status(self) -> Status:
        return decode(self.disk.read(PATH) or b"")

    def change(self, make: Callable[[Slots], None]) -> None:
        """As a command does."""
        slots = slots_on(Disk(self.folder))
        make(slots)
        slots.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    monkeypatch.setattr(trying, "beside_active", lambda *_: None)
    monkeypatch.setattr(trying, "of_slots", lambda _: {"anatomy": None})
    monkeypatch.setattr(
        trying, "read_device", lambda _: SimpleNamespace(bundles={"anatomy": SimpleNamespace(file=None)})
    )
    (tmp_path / "slots").mkdir()
    return lambda **config: World(tmp_path / "slots", **config)


def test_shadow_then_trial_at_the_end_of_the_procedure_then_from_the_first_frame_on(
    world: Callable[..., World],
) -> None:
    w = world(trial={"procedures": 2, "confirm": "device"})
    assert w.trying.begin() == ""
    assert (w.status.state, w.candidate.said) == (State.SHADOW, ["start"])
    w.trying.step()
    assert w.status.progress.compared == ""
    w.candidate.measured = COMPARED
    w.trying.step()
    assert w.status.progress.compared == "300 results compared, disagreement 0.0000"
    w.trying.step()
    assert w.status.state is State.SHADOW, "not in the middle of a procedure"
    w.trying.end()
    assert (w.status.state, w.status.progress.procedures) == (State.TRIAL, 0)
    for procedures, state in ((1, State.TRIAL), (2, State.COMMITTED)):
        w.start().begin()
        assert w.candidate.said == ["start on trial"]
        w.candidate.shown = 200
        w.trying.step()
        w.trying.end()
        assert (w.status.progress.procedures, w.status.state) == (procedures, state)
    assert w.notes == []


def test_a_start_that_shows_next_to_nothing_is_no_procedure(world: Callable[..., World]) -> None:
    w = world(shadow=False)
    w.trying.begin()
    assert (w.status.state, w.candidate.said) == (State.TRIAL, ["start on trial"])
    w.candidate.shown = 10
    w.trying.end()
    assert w.status.progress.procedures == 0


def test_a_trial_may_begin_during_a_procedure_where_that_is_allowed(world: Callable[..., World]) -> None:
    w = world(trial={"during_procedure": True})
    w.trying.begin()
    w.candidate.measured = COMPARED
    for _ in range(3):
        w.trying.step()
    assert (w.status.state, w.candidate.said) == (State.TRIAL, ["start", "switch"])
    w.change(lambda slots: slots.commit("QA"))
    w.trying.step()
    assert w.candidate.said[-1] == "keep"


@pytest.mark.parametrize("more", [{"consent": True}, {"deferred": True}, {"window": True}])
def test_what_it_waits_for(world: Callable[..., World], more: dict[str, Any]) -> None:
    hour = (time.localtime().tm_hour + 2) % 24
    trial = {"consent": {"consent": True}, "deferred": {}, "window": {"window": f"{hour:02}:00-{hour:02}:30"}}
    (what,) = more
    w = world(trial=trial[what])
    if what == "deferred":
        w.change(lambda slots: slots.defer(time.time_ns() + NS_PER_HOUR, "a long list"))
    w.trying.begin()
    w.candidate.measured = COMPARED
    w.trying.step()
    w.trying.end()
    w.start().begin()
    assert (w.status.state, w.candidate.said) == (State.SHADOW, ["start"]), "compared, and compared on"
    if what == "deferred":
        w.change(lambda slots: slots.defer(0, "done early"))
        w.trying.end()
        assert w.status.state is State.TRIAL


def test_what_is_taken_back_is_off_the_picture_at_once_and_written_when_it_can_be(world: Callable[..., World]) -> None:
    w = world()
    w.trying.begin()
    w.disk.lock()  # a command has the slots
    w.candidate.back("disagreement: found 0.7")
    w.trying.step()
    assert w.status.state is State.SHADOW
    w.disk.unlock()
    w.trying.step()
    assert (w.status.state, w.status.reason) == (State.ROLLED_BACK, "disagreement: found 0.7")
    w.trying.step()
    assert w.candidate.said == ["start", "back: disagreement: found 0.7"]
    assert w.notes == []


def test_a_person_takes_it_back_and_nothing_is_written_twice(world: Callable[..., World]) -> None:
    w = world()
    w.trying.begin()
    w.change(lambda slots: slots.roll_back("the wrong one"))
    sequence = w.status.sequence
    w.trying.step()
    w.trying.step()
    assert (w.candidate.said, w.status.sequence) == (["start", "back: the wrong one"], sequence)


def test_a_shadow_that_could_not_be_written_is_written_later(world: Callable[..., World]) -> None:
    w = world()
    w.disk.lock()
    w.trying.begin()
    assert (w.status.state, w.candidate.said) == (State.CHECKED, ["start"])
    w.disk.unlock()
    w.trying.step()
    assert (w.status.state, w.candidate.said) == (State.SHADOW, ["start"])


def test_a_trial_that_nobody_confirmed_is_over_at_the_next_start(world: Callable[..., World]) -> None:
    w = world(shadow=False, trial={"hours": 1})
    w.trying.begin()
    late = replace(w.status.progress, trial_ns=w.status.progress.trial_ns - 2 * NS_PER_HOUR)
    w.change(lambda slots: slots._write(replace(slots.status, progress=late)))
    w.trying.step()
    assert w.candidate.said == ["start on trial"], "not in the middle of a procedure"
    assert w.start().begin() == "UPDATE_ROLLED_BACK"
    assert (w.status.reason, w.candidate.said) == ("not confirmed after 1 hours on trial", [])
    assert w.start().begin() == "", "said once"


def test_one_that_does_not_fit_is_rolled_back(world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    w = world()

    def refuse(*_: object) -> None:
        raise ConfigError("a", "b", "c", "d")

    monkeypatch.setattr(trying, "beside_active", refuse)
    assert w.trying.begin() == "UPDATE_ROLLED_BACK"
    assert (w.status.state, w.status.reason) == (State.ROLLED_BACK, "a: b: found c, expected d")


def test_the_first_release_of_all_is_alone(world: Callable[..., World]) -> None:
    w = world(active=False)
    w.trying.begin()
    assert (w.status.state, w.candidate.alone, w.candidate.said) == (State.TRIAL, True, [])
    w.change(lambda slots: slots.commit("QA"))
    w.trying.step()
    assert w.candidate.said == ["committed"]


def test_a_move_that_fails_is_said_once(world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    w = world()
    w.trying.begin()
    w.candidate.measured = COMPARED

    def fail(*_: object) -> None:
        raise UpdateError("floor: digest: found x, expected y; it is damaged")

    monkeypatch.setattr(Slots, "compared", fail)
    for _ in range(3):
        w.trying.step()
    assert w.notes == ["update: floor: digest: found x, expected y; it is damaged"]


def test_a_device_without_its_slots_says_so(world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    w = world()
    monkeypatch.setattr(trying, "of_slots", lambda _: {})
    assert w.trying.begin() == "UPDATE_DAMAGED"
    w.trying.step()
    assert w.candidate.said == []


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_device_runs(world: Callable[..., World], beside: bool) -> None:
    w = world(shadow=False)
    one, two = (f"{w.folder}/store/{release('r', data).digests[0]}" for data in (ONE, TWO))
    assert slot_files(w.folder, beside=beside) == ({"anatomy": one}, {"anatomy": two}), "checked: not shown yet"
    w.change(lambda slots: slots.begin_trial(procedure_running=False, without_shadow=True))
    expected = ({"anatomy": one}, {"anatomy": two}) if beside else ({"anatomy": two}, {})
    assert slot_files(w.folder, beside=beside) == expected


def test_a_person_at_the_running_device_is_obeyed_as_a_command_is(world: Callable[..., World]) -> None:
    w = world(trial={"during_procedure": True, "consent": True})
    w.trying.begin()
    w.trying.asked("defer", "a long list", 12)
    assert w.status.progress.deferred_ns > time.time_ns() + 11 * NS_PER_HOUR
    assert w.trying.told()["trial"]["deferred_until"]
    w.candidate.measured = COMPARED
    w.trying.step()
    w.trying.asked("trial", "now", 0)
    w.trying.step()
    assert (w.status.state, w.candidate.said) == (State.TRIAL, ["start", "switch"])
    w.trying.asked("commit", "QA 12", 0)
    w.trying.step()
    assert (w.status.state, w.candidate.said[-1]) == (State.COMMITTED, "keep")
    assert w.status.history[-1].text == "two: QA 12"


def test_a_person_at_the_running_device_takes_it_back(world: Callable[..., World]) -> None:
    w = world()
    w.trying.begin()
    w.trying.asked("rollback", "the wrong one", 0)
    w.trying.step()
    assert (w.status.state, w.candidate.said[-1]) == (State.ROLLED_BACK, "back: the wrong one")


def test_what_can_not_be_asked_for_changes_nothing(world: Callable[..., World]) -> None:
    w = world(
        trial={"window": f"{(time.localtime().tm_hour + 2) % 24:02}:00-{(time.localtime().tm_hour + 2) % 24:02}:30"}
    )
    w.trying.begin()
    sequence = w.status.sequence
    for move, hours in (
        ("commit", 0),
        ("trial", 0),
        ("defer", -1),
        ("defer", 1e6),
        ("defer", float("nan")),
        ("erase", 0),
    ):
        with pytest.raises(UpdateError):
            w.trying.asked(move, "why", hours)
    assert w.status.sequence == sequence
