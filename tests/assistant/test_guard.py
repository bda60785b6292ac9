"""The guard: still while the device is anything but well, ended if that lasts."""

from dataclasses import dataclass, field

import pytest

from inframe.assistant.guard import KILLED_AFTER_NS, Guard
from inframe.core.types import Mode


@dataclass
class Clock:
    ns: int = 0

    def now(self) -> int:
        return self.ns


@dataclass
class Box:
    done: list[str] = field(default_factory=list)

    def freeze(self) -> None:
        self.done.append("freeze")

    def thaw(self) -> None:
        self.done.append("thaw")

    def kill(self) -> None:
        self.done.append("kill")


@pytest.mark.parametrize("mode", [Mode.DEGRADED, Mode.VIDEO_ONLY, Mode.FAULT])
def test_frozen_once_and_let_go_on(mode: Mode) -> None:
    box, clock = Box(), Clock()
    guard = Guard(box, clock)
    for one in (Mode.NOMINAL, mode, mode, Mode.NOMINAL, Mode.NOMINAL):
        guard.step(one)
    assert box.done == ["freeze", "thaw"]


def test_a_critical_phase_freezes_too() -> None:
    box = Box()
    Guard(box, Clock()).step(Mode.NOMINAL, is_critical=True)
    assert box.done == ["freeze"]


def test_ended_when_it_lasts_and_never_again() -> None:
    box, clock = Box(), Clock()
    guard = Guard(box, clock)
    guard.step(Mode.DEGRADED)
    clock.ns = KILLED_AFTER_NS - 1
    guard.step(Mode.FAULT)
    assert box.done == ["freeze"]
    clock.ns += 1
    guard.step(Mode.FAULT)
    guard.step(Mode.NOMINAL)
    guard.step(Mode.DEGRADED)
    assert box.done == ["freeze", "kill"]
    assert guard.is_over
