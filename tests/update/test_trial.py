"""When a trial begins, and what becomes of one that nobody has confirmed."""

from dataclasses import replace

import pytest

from inframe.core.updates import TrialConfig
from inframe.update.states import Progress, Release, Slot, State, Status
from inframe.update.trial import NS_PER_HOUR, Verdict, is_open, verdict, why_not

BEGAN = 1_800_000_000 * 10**9
OLD, NEW = Release("old", ()), Release("new", ())
TRIED = Status(
    State.TRIAL, slots={Slot.ACTIVE: OLD, Slot.TRIAL: NEW, Slot.PREVIOUS: None}, progress=Progress(trial_ns=BEGAN)
)


@pytest.mark.parametrize(
    ("window", "open_at", "closed_at"),
    [
        (None, (0, 1439), ()),
        ("09:00-17:30", (540, 1049), (539, 1050, 0)),
        ("22:00-05:00", (1320, 1439, 0, 299), (300, 1319)),
        ("00:00-00:00", (0, 700, 1439), ()),
    ],
)
def test_the_window(window: str | None, open_at: tuple[int, ...], closed_at: tuple[int, ...]) -> None:
    assert all(is_open(window, minute) for minute in open_at)
    assert not any(is_open(window, minute) for minute in closed_at)


def test_what_a_trial_waits_for() -> None:
    status = Status(State.SHADOW, progress=Progress(deferred_ns=BEGAN))
    assert why_not(TrialConfig(), status, BEGAN, 0) == ""
    assert why_not(TrialConfig(), status, BEGAN - 1, 0) == "it was put off until 2027-01-15T08:00:00Z"
    assert why_not(TrialConfig(window="22:00-05:00"), status, BEGAN, 600) == "it waits for the hours 22:00-05:00"
    assert why_not(TrialConfig(consent=True), status, BEGAN, 0) == "it waits for a person: inframe update trial"


@pytest.mark.parametrize(
    ("confirm", "procedures", "hours", "expected"),
    [
        ("person", 9, 1, (Verdict.GO_ON, "")),
        ("person", 10, 1, (Verdict.ROLL_BACK, "not confirmed after 10 procedures on trial")),
        ("person", 1, 337, (Verdict.ROLL_BACK, "not confirmed after 336 hours on trial")),
        ("device", 9, 336, (Verdict.GO_ON, "")),
        ("device", 10, 400, (Verdict.COMMIT, "10 procedures on trial without a violation")),
        ("device", 9, 337, (Verdict.ROLL_BACK, "not confirmed after 336 hours on trial")),
    ],
)
def test_what_becomes_of_it(confirm: str, procedures: int, hours: float, expected: tuple[Verdict, str]) -> None:
    config = TrialConfig.model_validate({"confirm": confirm})
    status = replace(TRIED, progress=replace(TRIED.progress, procedures=procedures))
    assert verdict(config, status, BEGAN + int(hours * NS_PER_HOUR)) == expected


def test_the_first_release_of_a_device_is_not_rolled_back_to_nothing() -> None:
    first = replace(TRIED, slots={**TRIED.slots, Slot.ACTIVE: None}, progress=replace(TRIED.progress, procedures=99))
    assert verdict(TrialConfig(), first, BEGAN) == (Verdict.GO_ON, "")
    assert verdict(TrialConfig(confirm="device"), first, BEGAN)[0] is Verdict.COMMIT


def test_what_is_not_on_trial_is_left_alone() -> None:
    assert verdict(TrialConfig(), replace(TRIED, state=State.SHADOW), BEGAN + 10**20) == (Verdict.GO_ON, "")
