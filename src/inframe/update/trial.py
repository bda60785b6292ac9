"""When a release may be shown on trial, and what becomes of one that nobody has confirmed. Pure."""

from enum import Enum

from inframe.core.updates import TrialConfig
from inframe.update.states import State, Status
from inframe.update.wallclock import text

NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3600 * NS_PER_S


class Verdict(Enum):
    """Of a trial, between two procedures."""

    GO_ON = "go on"
    COMMIT = "commit"
    ROLL_BACK = "roll back"


def is_open(window: str | None, minute: int) -> bool:
    """Whether the minute of the day, local time, is in the maintenance window; one may go over midnight. None: always."""
    if window is None:
        return True
    begin, end = (int(one[:2]) * 60 + int(one[3:]) for one in window.split("-"))
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def why_not(config: TrialConfig, status: Status, now_ns: int, minute: int) -> str:
    """Why a trial does not begin now by itself, in words; empty where it may. `now_ns`: UTC; `minute`: of the day, local time."""
    if config.consent:
        return "it waits for a person: inframe update trial"
    if now_ns < status.progress.deferred_ns:
        return f"it was put off until {text(status.progress.deferred_ns // NS_PER_S)}"
    if not is_open(config.window, minute):
        return f"it waits for the hours {config.window}"
    return ""


def verdict(config: TrialConfig, status: Status, now_ns: int) -> tuple[Verdict, str]:
    """What becomes of a trial, now that no procedure runs; and why."""
    progress = status.progress
    if status.state is not State.TRIAL:
        return Verdict.GO_ON, ""
    done = progress.procedures >= config.procedures
    if done and config.confirm == "device":
        return Verdict.COMMIT, f"{progress.procedures} procedures on trial without a violation"
    if status.active is None:
        return Verdict.GO_ON, ""  # the first release of a device: there is nothing to go back to
    if done:
        return Verdict.ROLL_BACK, f"not confirmed after {progress.procedures} procedures on trial"
    if now_ns - progress.trial_ns > config.hours * NS_PER_HOUR:
        return Verdict.ROLL_BACK, f"not confirmed after {config.hours:g} hours on trial"
    return Verdict.GO_ON, ""
